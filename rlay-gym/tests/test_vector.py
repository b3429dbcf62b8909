"""Vector environments and wrappers over remote environments give what they give over local ones."""

from __future__ import annotations

import sys
import types
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import NormalizeObservation, RecordEpisodeStatistics, RecordVideo, TimeLimit, TransformReward

import rlay
from moods import Moods
from processes import WAIT

ENVS, STEPS = 3, 200


def play(env: Any, seed: Any, steps: int = STEPS) -> list[Any]:
    """Return all that comes of ``steps`` random actions, which depend on the seed alone."""
    rng = np.random.default_rng(5)
    size = getattr(env, "num_envs", None)
    results: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        action = rng.integers(2, size=size)
        results.append(env.step(action if size else int(action)))
        if size is None and (results[-1][2] or results[-1][3]):
            results.append(env.reset())
    env.close()
    return results


def same(left: Any, right: Any) -> bool:
    """Whether two results are alike to the last bit."""
    if isinstance(left, tuple | list):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, np.ndarray) and left.dtype != object:
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, np.ndarray):
        return same(left.tolist(), right.tolist())
    return type(left) is type(right) and left == right


VECTORS: dict[str, dict[str, Any]] = {
    "sync": {"vectorization_mode": "sync"},
    "fork": {"vectorization_mode": "async", "vector_kwargs": {"context": "fork"}},
    "spawn": {"vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}},
}


@pytest.mark.parametrize("mode", VECTORS)
def test_make_vec_over_client_env(moods: Moods, mode: str) -> None:
    address = moods.serve("CartPole-v1")
    remote = gym.make_vec("rlay:ClientEnv-v0", ENVS, address=address, connect_timeout=WAIT, **VECTORS[mode])
    local = gym.make_vec("CartPole-v1", ENVS, vectorization_mode="sync")
    assert remote.single_observation_space == local.single_observation_space
    assert remote.action_space == local.action_space
    assert same(play(remote, [3, 1, 4]), play(local, [3, 1, 4]))


def test_vectors_of_a_registered_id(moods: Moods) -> None:
    rlay.register("VectorCartPole-v0", moods.serve("CartPole-v1"), kwargs={"connect_timeout": WAIT})
    remote = gym.make_vec("VectorCartPole-v0", ENVS)
    assert same(play(remote, 9), play(gym.make_vec("CartPole-v1", ENVS, vectorization_mode="sync"), 9))


def test_sync_vectors_over_server_env(moods: Moods) -> None:
    holder = moods.server()
    moods.dial(holder.address, "CartPole-v1")
    remote = SyncVectorEnv([lambda: rlay.ServerEnv(holder.address) for _ in range(ENVS)])
    local = SyncVectorEnv([lambda: gym.make("CartPole-v1") for _ in range(ENVS)])
    assert same(play(remote, 7), play(local, 7))


def test_an_error_in_one_of_an_async_vector(moods: Moods) -> None:
    address = moods.serve()
    env = gym.make_vec("rlay:ClientEnv-v0", 2, vectorization_mode="async", address=address)
    env.reset()
    # It crosses two processes; if it could not be pickled, this would wait for ever.
    with pytest.raises(ValueError, match="no such step"), pytest.warns(UserWarning, match="no such step"):
        env.step(np.array([0, 2]))
    env.close(terminate=True)


WRAPPERS = {
    "TimeLimit": lambda env: TimeLimit(env, 7),
    "RecordEpisodeStatistics": RecordEpisodeStatistics,
    "NormalizeObservation": NormalizeObservation,
    "TransformReward": lambda env: TransformReward(env, lambda reward: reward - 0.5),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers(moods: Moods, name: str) -> None:
    remote = WRAPPERS[name](moods.env("client", "CartPole-v1"))
    local = WRAPPERS[name](gym.make("CartPole-v1"))
    results = play(remote, 11), play(local, 11)
    for result in (info for results_ in results for *_, info in results_ if "episode" in info):
        assert result["episode"].pop("t") >= 0  # the time that it took
    assert same(*results)


def test_record_video_gets_every_frame(moods: Moods, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clips: list[list[Any]] = []

    class Clip:
        """Stands in for moviepy, which is large and would only encode the frames."""

        def __init__(self, frames: list[Any], fps: int) -> None:
            clips.append([fps, *frames])

        def write_videofile(self, *_: object, **__: object) -> None: ...

    for name in ("moviepy", "moviepy.video", "moviepy.video.io", "moviepy.video.io.ImageSequenceClip"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["moviepy.video.io.ImageSequenceClip"].ImageSequenceClip = Clip  # type: ignore[attr-defined]

    def record(env: Any) -> list[Any]:
        env = RecordVideo(env, str(tmp_path / f"{len(clips)}"), episode_trigger=lambda episode: True)
        play(env, 2, steps=40)
        return clips

    record(moods.env("client", "CartPole-v1", render_mode="rgb_array"))
    episodes = len(clips)
    record(gym.make("CartPole-v1", render_mode="rgb_array"))
    assert episodes >= 2 and sum(map(len, clips[:episodes])) >= 42
    assert same(clips[:episodes], clips[episodes:])

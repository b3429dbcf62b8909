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
from processes import WAIT
from rollout import play, same
from scripted_host import ScriptedHost

ENVS = 3

VECTORS: dict[str, dict[str, Any]] = {
    "sync": {"vectorization_mode": "sync"},
    "fork": {"vectorization_mode": "async", "vector_kwargs": {"context": "fork"}},
    "spawn": {"vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}},
}


@pytest.mark.parametrize("mode", VECTORS)
def test_make_vec_over_client_env(scripted_host: ScriptedHost, mode: str) -> None:
    address = scripted_host.serve("CartPole-v1")
    remote = gym.make_vec("rlay:ClientEnv-v0", ENVS, address=address, connect_timeout=WAIT, **VECTORS[mode])
    local = gym.make_vec("CartPole-v1", ENVS, vectorization_mode="sync")
    assert remote.single_observation_space == local.single_observation_space
    assert remote.action_space == local.action_space
    assert same(play(remote, [3, 1, 4]), play(local, [3, 1, 4]))


def test_vectors_of_a_registered_id(scripted_host: ScriptedHost) -> None:
    rlay.register("VectorCartPole-v0", scripted_host.serve("CartPole-v1"), kwargs={"connect_timeout": WAIT})
    remote = gym.make_vec("VectorCartPole-v0", ENVS)
    assert same(play(remote, 9), play(gym.make_vec("CartPole-v1", ENVS, vectorization_mode="sync"), 9))


def test_sync_vectors_over_server_env(scripted_host: ScriptedHost) -> None:
    holder = scripted_host.server()
    scripted_host.dial(holder.address, "CartPole-v1")
    remote = SyncVectorEnv([lambda: rlay.ServerEnv(holder.address) for _ in range(ENVS)])
    local = SyncVectorEnv([lambda: gym.make("CartPole-v1") for _ in range(ENVS)])
    assert same(play(remote, 7), play(local, 7))


def test_an_error_in_one_of_an_async_vector(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve()
    env = gym.make_vec("rlay:ClientEnv-v0", 2, vectorization_mode="async", address=address)
    env.reset()
    # The exception crosses two processes; if it could not be pickled, the test would wait for ever.
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
def test_wrappers(scripted_host: ScriptedHost, name: str) -> None:
    remote = WRAPPERS[name](scripted_host.env("client", "CartPole-v1"))
    local = WRAPPERS[name](gym.make("CartPole-v1"))
    results = play(remote, 11), play(local, 11)
    for result in (info for results_ in results for *_, info in results_ if "episode" in info):
        assert result["episode"].pop("t") >= 0  # the time that it took
    assert same(*results)


def test_record_video_gets_every_frame(
    scripted_host: ScriptedHost, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips: list[list[Any]] = []

    class Clip:
        """Replaces moviepy, which is large and would only encode the frames."""

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

    record(scripted_host.env("client", "CartPole-v1", render_mode="rgb_array"))
    episodes = len(clips)
    record(gym.make("CartPole-v1", render_mode="rgb_array"))
    assert episodes >= 2 and sum(map(len, clips[:episodes])) >= 42
    assert same(clips[:episodes], clips[episodes:])

"""gym.make_vec makes a ClientVectorEnv, and Gymnasium's wrappers of vectors work over it as over a SyncVectorEnv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import vector as wrappers

import rlay
from equal import difference
from host_process import HostProcess
from processes import WAIT
from rollout import play
from scripted_host import ScriptedHost
from twins import IS_OLDEST, MODES, Outcome, Twins

pytestmark = pytest.mark.gymnasium

MakeTwins = Callable[..., Twins]


@pytest.fixture
def address(host_process: HostProcess) -> str:
    """Where CartPoles are."""
    return host_process.address("CartPole-v1", "client")


@pytest.mark.parametrize("how", ["by name", "as the enum"])
@pytest.mark.parametrize("mode", MODES)
def test_make_vec_by_id(address: str, mode: str, how: str) -> None:
    given: Any = mode if IS_OLDEST or how == "by name" else gym.vector.AutoresetMode(mode)
    envs = gym.make_vec(
        "rlay:ClientEnv-v0",
        num_envs=8,
        vectorization_mode="vector_entry_point",
        address=address,
        autoreset_mode=given,
        connect_timeout=WAIT,
    )
    assert type(envs) is type(envs.unwrapped) is rlay.ClientVectorEnv
    assert (envs.num_envs, envs.autoreset_mode.value) == (8, mode)
    assert envs.spec is not None and envs.spec.id == "ClientEnv-v0"
    assert envs.spec.kwargs == {
        "address": address, "autoreset_mode": given, "connect_timeout": WAIT, "num_envs": 8,
        "vectorization_mode": "vector_entry_point",
    }  # fmt: skip
    again = gym.make_vec(envs.spec)
    assert type(again) is rlay.ClientVectorEnv and again.num_envs == 8
    for each in (envs, again):
        each.reset(seed=0)
        each.close()


def test_it_is_what_make_vec_prefers(address: str) -> None:
    id = "rlay:ClientEnv-v0"
    for mode, cls in ((None, rlay.ClientVectorEnv), ("sync", gym.vector.SyncVectorEnv)):
        envs = gym.make_vec(id, 2, mode, address=address, connect_timeout=WAIT)
        assert type(envs) is cls
        envs.close()
    envs = gym.make_vec(id, address=address, connect_timeout=WAIT)
    assert envs.num_envs == 1
    envs.close()


def test_make_vec_of_a_registered_id(address: str) -> None:
    rlay.register("VectorPole-v0", address, timeout=20.0, kwargs={"connect_timeout": WAIT})
    remote = gym.make_vec("VectorPole-v0", num_envs=4, timeout=19.0)
    assert type(remote) is rlay.ClientVectorEnv and remote.timeout == 19.0
    assert difference(play(gym.make_vec("CartPole-v1", 4, "sync"), 9), play(remote, 9)) is None


@pytest.mark.parametrize(
    ("id", "arguments"),
    [
        ("VectorLimited-v0", {"max_episode_steps": 5}),
        ("VectorStrict-v0", {"contract": "strict"}),
        ("VectorOwn-v0", {"vector_entry_point": None}),
    ],
)
def test_an_id_with_what_vectors_have_not(address: str, id: str, arguments: dict[str, Any]) -> None:
    """Single environments have it, so Gymnasium's own vector is made of those."""
    rlay.register(id, address, kwargs={"connect_timeout": WAIT}, **arguments)
    envs = gym.make_vec(id, num_envs=2)
    assert type(envs) is gym.vector.SyncVectorEnv
    envs.reset(seed=0)
    ends = [envs.step(np.array([i % 2] * 2))[3].any() for i in range(5)]
    assert ends == [False] * 4 + ["max_episode_steps" in arguments]
    envs.close()


def test_vectors_of_server_envs_are_gymnasiums(scripted_host: ScriptedHost) -> None:
    assert gym.spec("ServerEnv-v0").vector_entry_point is None
    server = scripted_host.server()
    scripted_host.dial(server.address, "CartPole-v1")
    rlay.register("VectorDialing-v0", server.address, entry="ServerEnv", kwargs={"connect_timeout": WAIT})
    assert gym.spec("VectorDialing-v0").vector_entry_point is None


@pytest.mark.parametrize("arguments", [{"max_episode_steps": 5}, {"contract": "strict"}])
def test_what_vectors_have_not_is_refused(address: str, arguments: dict[str, Any]) -> None:
    for make in (rlay.make_client_vector_env, lambda **named: gym.make_vec("rlay:ClientEnv-v0", **named)):
        with pytest.raises(gym.error.Error, match='for single environments; .* vectorization_mode "sync"'):
            make(num_envs=2, address=address, **arguments)  # type: ignore[operator]


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "TransformObservation": lambda envs: (
        wrappers.TransformObservation(
            envs, lambda observations: observations * 2, envs.single_observation_space, envs.observation_space
        )
        if not IS_OLDEST
        else wrappers.TransformObservation(envs, lambda observations: observations * 2, envs.observation_space)
    ),
    "VectorizeTransformObservation": lambda envs: wrappers.VectorizeTransformObservation(
        envs, gym.wrappers.RescaleObservation, {"min_obs": np.float32(0), "max_obs": np.float32(1)}
    ),
    "FlattenObservation": wrappers.FlattenObservation,
    "DtypeObservation": lambda envs: wrappers.DtypeObservation(envs, np.float64),
    "TransformAction": lambda envs: wrappers.TransformAction(envs, lambda actions: 1 - actions, envs.action_space),
    "ClipReward": lambda envs: wrappers.ClipReward(envs, 0.25, 0.75),
    "TransformReward": lambda envs: wrappers.TransformReward(envs, lambda rewards: rewards * 3),
    "DictInfoToList": wrappers.DictInfoToList,
    "several": lambda envs: wrappers.DictInfoToList(
        wrappers.NormalizeReward(wrappers.RecordEpisodeStatistics(wrappers.ClipReward(envs, -1, 1)))
    ),
}


def without_times(infos: Any) -> None:
    """Remove how long the episodes took."""
    for info in infos if isinstance(infos, list) else [infos]:
        for name in ("episode", "final_info"):
            for times in (info.get(name), (info.get(name) or {}).get("episode")):
                if isinstance(times, dict):
                    times.pop("t", None)
                    times.pop("_t", None)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers(twins: MakeTwins, mode: str, name: str) -> None:
    """All results agree, or both refuse the mode."""
    plain = twins("CartPole-v1", mode, slots=4)
    made = [Outcome(WRAPPERS[name], envs) for envs in plain]
    if made[0].error is not None:
        assert type(made[0].error) is type(made[1].error), made[1].error
        return
    pair = Twins(made[0].result, made[1].result)
    for attribute in ("observation_space", "action_space", "single_observation_space", "metadata"):
        pair.both(lambda envs: repr(getattr(envs, attribute)), attribute)

    def checked(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(envs: Any) -> Any:
            result = call(envs)
            without_times(result[-1])
            return result

        return run

    pair.both(checked(lambda envs: envs.reset(seed=3)), "reset")
    rng = np.random.default_rng(3)
    for _ in range(150):
        actions = rng.integers(2, size=4)
        result = pair.both(checked(lambda envs: envs.step(actions)), "step")
        if mode == "Disabled" and (ended := result[2] | result[3]).any():
            pair.both(checked(lambda envs: envs.reset(options={"reset_mask": ended.copy()})), "reset")

"""A backend hosts vector environments as they are: an instance, or what a function makes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import rlay
from equal import difference

NUMBER = 4


def assert_same(ours: Any, theirs: Any) -> None:
    """Compare to the bit; arrays of objects item by item."""
    assert (how := difference(listed(theirs), listed(ours))) is None, how


def listed(x: Any) -> Any:
    """Return ``x`` with lists in place of arrays of objects."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return [listed(item) for item in x.tolist()]
    if isinstance(x, dict):
        return {key: listed(value) for key, value in x.items()}
    return tuple(listed(item) for item in x) if isinstance(x, tuple) else x


def made(id: str, mode: str, number: int = NUMBER) -> SyncVectorEnv:
    """Return a vector in this process."""
    make = [lambda: gym.make(id, disable_env_checker=True)] * number
    return SyncVectorEnv(make, autoreset_mode=gym.vector.AutoresetMode(mode))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("id", ["CartPole-v1", "Blackjack-v1"])
@pytest.mark.parametrize("kind", ["instance", "function"])
def test_rows_are_those_of_the_vector(kind: str, id: str, mode: str) -> None:
    source: Any = made(id, mode) if kind == "instance" else lambda num_envs: made(id, mode, num_envs)
    local = made(id, mode)
    local.action_space.seed(1)
    with (
        rlay.ServerBackend(source) as host,
        rlay.ClientVectorEnv(host.address, num_envs=NUMBER, autoreset_mode=mode) as envs,
    ):
        assert_same(envs.reset(seed=3), local.reset(seed=3))
        for _ in range(200):
            actions = local.action_space.sample()
            theirs = local.step(actions)
            assert_same(envs.step(actions), theirs)
            ended = theirs[2] | theirs[3]
            if mode == "Disabled" and ended.any():
                ours = envs.reset(options={"reset_mask": ended.copy()})
                assert_same(ours, local.reset(options={"reset_mask": ended.copy()}))


def test_a_vector_that_is_no_list_of_environments() -> None:
    """Gymnasium's own of CartPoles is computed at once. Its rewards are float32; they arrive as every vector's do."""
    make = {"num_envs": 16, "vectorization_mode": "vector_entry_point"}
    local = gym.make_vec("CartPole-v1", **make)
    with rlay.ServerBackend(gym.make_vec("CartPole-v1", **make)) as host, rlay.ClientVectorEnv(host.address) as envs:
        assert envs.num_envs == 16 and envs.single_observation_space == local.single_observation_space
        np.testing.assert_equal(envs.reset(seed=1), local.reset(seed=1))
        for _ in range(100):
            actions = local.action_space.sample()
            np.testing.assert_equal(envs.step(actions), local.step(actions))


def test_what_does_not_fit() -> None:
    with rlay.ServerBackend(made("CartPole-v1", "NextStep")) as host:
        with pytest.raises(rlay.Error, match="steps 4 environments at once; ask for as many, not for 1"):
            rlay.ClientEnv(host.address)
        with pytest.raises(rlay.Error, match="steps 4 environments at once; ask for as many, not for 5"):
            rlay.ClientVectorEnv(host.address, num_envs=5)
        with pytest.raises(rlay.Incompatible, match="reset themselves in mode NextStep, where SameStep was asked for"):
            rlay.ClientVectorEnv(host.address, autoreset_mode="SameStep")


def test_an_exception_is_the_environments() -> None:
    class Broken(gym.vector.VectorEnv[Any, Any, Any]):
        num_envs = 2
        single_observation_space = gym.spaces.Discrete(2)
        single_action_space = gym.spaces.Discrete(2)
        observation_space = gym.spaces.MultiDiscrete([2, 2])
        action_space = gym.spaces.MultiDiscrete([2, 2])
        calls = 0

        def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            return np.array([0, 1]), {"options": np.array([str(options)] * 2, dtype=object)}

        def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
            self.calls += 1
            if self.calls == 2:
                raise ValueError("the second step")
            return np.array([1, 1]), np.ones(2), np.zeros(2, dtype=bool), np.zeros(2, dtype=bool), {}

    with rlay.ServerBackend(lambda num_envs: Broken()) as host, rlay.ClientVectorEnv(host.address, num_envs=2) as envs:
        assert envs.reset(options={"level": 3})[1]["options"].tolist() == ["{'level': 3}"] * 2
        envs.step(np.array([0, 1]))
        with pytest.raises(ValueError, match="the second step"):
            envs.step(np.array([0, 1]))
        assert envs.step(np.array([0, 1]))[0].tolist() == [1, 1]

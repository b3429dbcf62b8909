"""What `rlay.ray` does without Ray: the environments of its actors, RLlib's creator, and what it says is missing.

What it does on a cluster is in ``ray_tests``.
"""

from __future__ import annotations

import contextlib
import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
import rlay.ray
from processes import until

MODES = ("NextStep", "SameStep", "Disabled")


@pytest.mark.parametrize("mode", MODES)
def test_clients_of_several_slots_fill_a_vector(mode: str) -> None:
    """Of six slots one client has four and the other two; one that is lost is replaced by one of as many."""
    local = gym.vector.SyncVectorEnv(
        [lambda: gym.make("CartPole-v1", disable_env_checker=True)] * 6, autoreset_mode=gym.vector.AutoresetMode(mode)
    )
    envs = rlay.ServerVectorEnv(num_envs=6, autoreset_mode=mode, on_loss="replace", reconnect_timeout=0.0)
    with contextlib.closing(envs), contextlib.ExitStack() as stack:

        def dial(number: int) -> rlay.ClientBackend:
            source = rlay.ray.several("CartPole-v1", number, mode)
            return stack.enter_context(rlay.ClientBackend(source, envs.address, max_sessions=1))

        four = dial(4)
        dial(2)
        np.testing.assert_equal(envs.reset(seed=3)[0], local.reset(seed=3)[0])
        local.action_space.seed(1)
        for _ in range(100):
            actions = local.action_space.sample()
            theirs = local.step(actions)
            np.testing.assert_equal(envs.step(actions)[:4], theirs[:4])
            ended = theirs[2] | theirs[3]
            if mode == "Disabled" and ended.any():
                ours = envs.reset(options={"reset_mask": ended.copy()})
                np.testing.assert_equal(ours[0], local.reset(options={"reset_mask": ended.copy()})[0])
        four.close()
        envs.reset(seed=1)
        assert envs.vacant.sum() == 4
        dial(4)
        until(lambda: not (envs.reset(seed=3), envs.vacant.any())[1], "another")
        np.testing.assert_equal(envs.reset(seed=3)[0], local.reset(seed=3)[0])


def test_the_spec_and_the_render_mode_are_those_of_one() -> None:
    envs = rlay.ServerVectorEnv(num_envs=2, render_mode="rgb_array")
    make = rlay.ray.several("CartPole-v1", 2, "NextStep")
    with contextlib.closing(envs), rlay.ClientBackend(make, envs.address, max_sessions=1):
        envs.reset(seed=1)
        assert "<CartPole-v1>" in repr(envs)
        frames = envs.render()
        assert frames is not None and [frame.shape for frame in frames] == [(400, 600, 3)] * 2


def test_the_creator_for_rllib() -> None:
    with rlay.ServerBackend("CartPole-v1") as host:
        create = rlay.ray.env_creator(host.address, timeout=30.0)
        one: Any = create({})
        several: Any = create({"num_envs": 3})
        with contextlib.closing(one), contextlib.closing(several):
            assert isinstance(one.unwrapped, rlay.ClientEnv) and isinstance(several, rlay.ClientVectorEnv)
            assert one.reset(seed=1)[0].shape == (4,) and several.reset(seed=1)[0].shape == (3, 4)
            assert one.unwrapped.timeout == several.timeout == 30.0


def test_ray_is_asked_for_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec("ray") is None, "the tests need no Ray"
    with pytest.raises(ImportError, match=r'pip install "rlay-gym\[ray\]"'):
        rlay.ray.make_vec("CartPole-v1", 4)

"""Rollouts of remote environments are those of local ones, to the bit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

from conftest import Hosted
from equal import difference, same_reward
from hosted_envs import OWN, builtin_ids

STEPS = 1000
SEEDS = range(10)


def local_env(env_id: str, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make in this process what the host makes in its own."""
    return gym.make(env_id, render_mode=render_mode, disable_env_checker=True)


def assert_same_reset(local: Any, remote: Any, **kwargs: Any) -> None:
    """Reset both; they agree."""
    assert difference(local.reset(**kwargs), remote.reset(**kwargs)) is None


def assert_same_step(local: Any, remote: Any, action: Any) -> bool:
    """Step both; they agree. Return whether the episode is over."""
    expected, found = local.step(action), remote.step(action)
    assert same_reward(expected[1], found[1])
    assert type(found[2]) is bool
    assert type(found[3]) is bool
    assert difference((expected[0], bool(expected[2]), bool(expected[3]), expected[4]), (found[0], *found[2:])) is None
    return found[2] or found[3]


def assert_same_rollout(local: Any, remote: Any, seed: int, steps: int, *, frames: int = 0) -> None:
    """Play with both from one seed, through as many episodes as come; they agree, frames included."""
    local.action_space.seed(seed)
    assert_same_reset(local, remote, seed=seed)
    for step in range(steps):
        if assert_same_step(local, remote, local.action_space.sample()):
            # Unseeded: the remote generator goes on where it is.
            assert_same_reset(local, remote)
        if frames and step % (steps // frames) == 0:
            assert difference(local.render(), remote.render(), "frame") is None


@pytest.mark.parametrize("env_id", builtin_ids() + OWN)
def test_rollouts(hosted: Hosted, paradigm: str, env_id: str) -> None:
    local, remote = local_env(env_id), hosted(env_id, paradigm, chosen=True)
    assert difference(local.metadata, remote.metadata) is None
    for seed in SEEDS:
        assert_same_rollout(local, remote, seed, STEPS)
    local.close()


@pytest.mark.parametrize("env_id", builtin_ids() + OWN)
def test_frames(hosted: Hosted, paradigm: str, env_id: str) -> None:
    modes = local_env(env_id).metadata["render_modes"]
    assert {"rgb_array"} <= set(modes)
    for mode in modes:
        local, remote = local_env(env_id, mode), hosted(env_id, paradigm, chosen=True, render_mode=mode)
        assert remote.render_mode == mode
        # A window, even one that nobody sees, draws at its own pace.
        assert_same_rollout(local, remote, 3, 4 if mode == "human" else 60, frames=2 if mode == "human" else 20)
        local.close()
        remote.close()


def test_the_render_mode_is_the_hosts(hosted: Hosted, paradigm: str) -> None:
    """Without a render mode ``render`` says so and draws nothing, as it does locally."""
    remote = hosted("CartPole-v1", paradigm)
    remote.reset()
    assert remote.render_mode is None
    with pytest.warns(UserWarning, match="without specifying any render mode"):
        assert remote.render() is None


def test_the_agents_own_generator(hosted: Hosted, paradigm: str) -> None:
    """``np_random`` of the agent's side is seeded like that of a local environment, and then left alone."""
    remote = hosted("CartPole-v1", paradigm)
    for seed in (5, 2**100):
        remote.reset(seed=seed)
        fresh = np_random(seed)[0].bit_generator.state
        assert remote.np_random_seed == seed
        assert remote.np_random.bit_generator.state == fresh
        remote.step(0)
        remote.reset()
        assert remote.np_random_seed == seed
        assert remote.np_random.bit_generator.state == fresh


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**128 + 12345, True])
def test_seeds_of_any_size(hosted: Hosted, paradigm: str, seed: int) -> None:
    local, remote = local_env("CartPole-v1"), hosted("CartPole-v1", paradigm)
    assert_same_rollout(local, remote, seed, 20)


@pytest.mark.parametrize("seed", [-1, -(2**70), 1.0, "1", np.int64(1)])
def test_what_is_no_seed(hosted: Hosted, paradigm: str, seed: Any) -> None:
    """Refused with the words that Gymnasium has for it; the session goes on."""
    local, remote = local_env("CartPole-v1"), hosted("CartPole-v1", paradigm)
    with pytest.raises(gym.error.Error) as expected:
        local.reset(seed=seed)
    with pytest.raises(gym.error.Error) as found:
        remote.reset(seed=seed)
    assert str(found.value) == str(expected.value)
    assert_same_rollout(local, remote, 1, 20)


def test_an_episode_may_go_on_after_its_end(hosted: Hosted, paradigm: str) -> None:
    """A step after the end is the environment's business, here as there."""
    local, remote = local_env("FrozenLake-v1"), hosted("FrozenLake-v1", paradigm)
    assert_same_reset(local, remote, seed=0)
    ends = sum(assert_same_step(local, remote, step % 4) for step in range(200))
    assert ends > 1


def test_a_step_before_the_first_reset(hosted: Hosted, paradigm: str) -> None:
    local, remote = local_env("CartPole-v1"), hosted("CartPole-v1", paradigm)
    for env in (local, remote):
        with pytest.raises(gym.error.ResetNeeded):
            env.step(0)
    assert_same_rollout(local, remote, 1, 20)

"""Rollouts of remote environments are those of local ones, to the bit."""

from __future__ import annotations

import random
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

from equal import difference, same_reward
from host_process import PARADIGMS, Hosted
from hosted_envs import OWN, builtin_ids

pytestmark = pytest.mark.usefixtures("one_core")


SEEDS = range(2 if gym.__version__.startswith("1.0.") else 10)
"""What a seed leads to is a matter of each environment: one release is enough to try many."""


def local_env(env_id: str, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make in this process the environment that the host makes in its own."""
    return gym.make(env_id, render_mode=render_mode, disable_env_checker=True)


def assert_same_reset(local: Any, *remotes: Any, **kwargs: Any) -> None:
    """Reset all; the results agree."""
    expected = local.reset(**kwargs)
    for remote in remotes:
        assert difference(expected, remote.reset(**kwargs)) is None


def assert_same_step(action: Any, local: Any, *remotes: Any) -> bool:
    """Step all; the results agree. Return whether the episode is over."""
    observation, reward, terminated, truncated, info = local.step(action)
    expected = (observation, bool(terminated), bool(truncated), info)
    for remote in remotes:
        observation, found, terminated, truncated, info = remote.step(action)
        assert same_reward(reward, found)
        # The expected flags are bools, so these are exact bools too.
        assert difference(expected, (observation, terminated, truncated, info)) is None
    return expected[1] or expected[2]


def assert_same_rollout(local: Any, *remotes: Any, seed: int, steps: int, frames: int = 0) -> None:
    """Play with all from one seed, over several episodes; the results agree, frames included."""
    local.action_space.seed(seed)
    actions = [local.action_space.sample() for _ in range(min(steps, 50))]
    choose = random.Random(seed).choice
    assert_same_reset(local, *remotes, seed=seed)
    for step in range(steps):
        if assert_same_step(choose(actions), local, *remotes):
            # Unseeded: the remote generators continue from their state.
            assert_same_reset(local, *remotes)
        if frames and step % (steps // frames) == 0:
            expected = local.render()
            for remote in remotes:
                assert difference(expected, remote.render(), "frame") is None


@pytest.mark.parametrize(
    ("env_id", "seed"),
    [(env_id, seed) for env_id in builtin_ids() for seed in SEEDS]
    + [(env_id, seed) for env_id in OWN for seed in range(2)],
)
def test_rollouts(hosted: Hosted, env_id: str, seed: int) -> None:
    """A thousand steps with both paradigms and a local environment side by side."""
    local, remotes = local_env(env_id), [hosted(env_id, paradigm, chosen=True) for paradigm in PARADIGMS]
    for remote in remotes:
        assert difference(local.metadata, remote.metadata) is None
    assert_same_rollout(local, *remotes, seed=seed, steps=1000)


@pytest.mark.parametrize("env_id", builtin_ids() + OWN)
def test_frames(hosted: Hosted, paradigm: str, env_id: str) -> None:
    modes = local_env(env_id).metadata["render_modes"]
    assert {"rgb_array"} <= set(modes)
    for mode in modes:
        local, remote = local_env(env_id, mode), hosted(env_id, paradigm, chosen=True, render_mode=mode)
        assert remote.render_mode == mode
        # A window, even an invisible one, draws at its own pace.
        steps, frames = (4, 2) if mode == "human" else (60, 20)
        assert_same_rollout(local, remote, seed=3, steps=steps, frames=frames)
        local.close()
        remote.close()


def test_the_render_mode_is_the_hosts(hosted: Hosted, paradigm: str) -> None:
    """Without a render mode ``render`` warns and draws nothing, as it does locally."""
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
    assert_same_rollout(local, remote, seed=seed, steps=20)


@pytest.mark.parametrize("seed", [-1, -(2**70), 1.0, "1", np.int64(1)])
def test_what_is_no_seed(hosted: Hosted, paradigm: str, seed: Any) -> None:
    """Refused with Gymnasium's own words; the session continues."""
    local, remote = local_env("CartPole-v1"), hosted("CartPole-v1", paradigm)
    with pytest.raises(gym.error.Error) as expected:
        local.reset(seed=seed)
    with pytest.raises(gym.error.Error) as found:
        remote.reset(seed=seed)
    assert str(found.value) == str(expected.value)
    assert_same_rollout(local, remote, seed=1, steps=20)


def test_an_episode_may_go_on_after_its_end(hosted: Hosted, paradigm: str) -> None:
    """A step after the end is the environment's business, here as there."""
    local, remote = local_env("FrozenLake-v1"), hosted("FrozenLake-v1", paradigm)
    assert_same_reset(local, remote, seed=0)
    ends = sum(assert_same_step(step % 4, local, remote) for step in range(200))
    assert ends > 1


def test_a_step_before_the_first_reset(hosted: Hosted, paradigm: str) -> None:
    local, remote = local_env("CartPole-v1"), hosted("CartPole-v1", paradigm)
    for env in (local, remote):
        with pytest.raises(gym.error.ResetNeeded):
            env.step(0)
    assert_same_rollout(local, remote, seed=1, steps=20)

"""check_env finds in a remote environment exactly what it finds in the local one, in words too."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from conftest import HostProcess, make
from hosted_envs import FLAWED, OWN, builtin_ids

pytestmark = pytest.mark.usefixtures("one_core")

Words = list[tuple[str, str]]


def heard(run: Callable[[], None]) -> Words:
    """Return categories and texts of all warnings given in ``run``, and the exception that ended it, if any."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run()
            end = []
        except Exception as error:
            end = [(type(error).__name__, str(error))]
    return [(warning.category.__name__, str(warning.message)) for warning in caught] + end


@pytest.fixture
def quiet_logs(host_process: HostProcess, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither side has anything to say in its log."""
    host_process.take_log()
    yield
    assert host_process.take_log() == []
    assert [record.getMessage() for record in caplog.records if record.name == "rlay"] == []


@pytest.mark.parametrize("env_id", builtin_ids())
def test_built_in(host_process: HostProcess, paradigm: str, env_id: str, quiet_logs: None) -> None:
    local = gym.make(env_id)
    remote = make(host_process, env_id, paradigm)
    expected = heard(lambda: check_env(local.unwrapped))
    assert heard(lambda: check_env(remote.unwrapped)) == expected
    # The warnings are real ones: what is hosted for them is known to be warned about.
    assert bool(expected) == (env_id in ("CartPole-v1", "Pendulum-v1"))


@pytest.mark.parametrize("env_id", OWN + FLAWED)
def test_own(host_process: HostProcess, paradigm: str, env_id: str) -> None:
    local = gym.make(env_id)
    remote = make(host_process, env_id, paradigm, chosen=True)
    expected = heard(lambda: check_env(local.unwrapped))
    assert heard(lambda: check_env(remote.unwrapped)) == expected


@pytest.mark.parametrize("env_id", builtin_ids() + OWN + FLAWED)
def test_the_passive_checker(host_process: HostProcess, paradigm: str, env_id: str) -> None:
    """gym.make's own checker looks on, as it does over a local environment."""

    def play(env: gym.Env[Any, Any]) -> None:
        env.action_space.seed(0)
        env.reset(seed=0)
        for _ in range(3):
            env.step(env.action_space.sample())
        env.render()
        env.close()

    local = gym.make(env_id, render_mode="rgb_array")
    remote = make(host_process, env_id, paradigm, chosen=True, render_mode="rgb_array")
    assert heard(lambda: play(remote)) == heard(lambda: play(local))


@pytest.mark.parametrize("env_id", builtin_ids())
def test_the_rules_of_stable_baselines3(hosted: Any, paradigm: str, env_id: str) -> None:
    """What its checker demands and Gymnasium's does not, written out here."""
    env = hosted(env_id, paradigm)
    env.action_space.seed(0)
    observation, info = env.reset(seed=0)
    assert type(info) is dict
    for _ in range(30):
        if isinstance(env.observation_space, gym.spaces.Box):
            assert type(observation) is np.ndarray
            assert observation.dtype == env.observation_space.dtype
            assert observation.shape == env.observation_space.shape
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert type(reward) is float
        assert type(terminated) is bool
        assert type(truncated) is bool
        assert type(info) is dict
        if terminated or truncated:
            observation, info = env.reset()


def test_the_copy_of_a_server_env_listens_where_the_original_does(host_process: HostProcess) -> None:
    """spec.make, which check_env relies on, shares the listener; both environments work side by side."""
    env = make(host_process, "CartPole-v1", "server")
    assert env.spec is not None
    copy = env.spec.make()
    assert copy.unwrapped.address == env.unwrapped.address
    first, second = env.reset(seed=1)[0], copy.reset(seed=1)[0]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(env.step(0)[0], copy.step(0)[0])
    env.close()
    copy.step(0)
    copy.close()

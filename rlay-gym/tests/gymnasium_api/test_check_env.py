"""check_env finds in a remote environment exactly what it finds in the local one, texts included."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import env_checker
from gymnasium.utils.env_checker import check_env

import rlay
from host_process import HostProcess, make
from hosted_envs import FLAWED, OWN, Hoarder, builtin_ids
from processes import WAIT

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
    """Neither side logs anything."""
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
    # The warnings are real: the environments hosted for them are known to cause warnings.
    assert bool(expected) == (env_id in ("CartPole-v1", "Pendulum-v1"))


@pytest.mark.parametrize("env_id", OWN + FLAWED)
def test_own(host_process: HostProcess, paradigm: str, env_id: str) -> None:
    local = gym.make(env_id)
    remote = make(host_process, env_id, paradigm, chosen=True)
    expected = heard(lambda: check_env(local.unwrapped))
    assert heard(lambda: check_env(remote.unwrapped)) == expected


@pytest.mark.parametrize("env_id", builtin_ids() + OWN + FLAWED)
def test_the_passive_checker(host_process: HostProcess, paradigm: str, env_id: str) -> None:
    """gym.make's own checker checks every call, as it does for a local environment."""

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
    """The demands of its checker that Gymnasium's does not make, written out here."""
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


NEWEST = "check_returned_data_not_reused"
"""The newest check of Gymnasium."""


def test_the_checks_are_gymnasiums_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks that run here include it where Gymnasium has it; see `test_own`, too."""
    version = tuple(map(int, gym.__version__.split(".")[:2]))
    assert hasattr(env_checker, NEWEST) == (version >= (1, 4))
    ran = []
    monkeypatch.setattr(env_checker, NEWEST, lambda env: ran.append(env), raising=False)
    check_env(gym.make("FrozenLake-v1").unwrapped)
    assert bool(ran) == (version >= (1, 4))


@pytest.mark.parametrize("on_loss", ["raise", "truncate"])
@pytest.mark.parametrize("scheme", ["tcp", "shm"])
def test_no_data_is_handed_out_twice(
    host_process: HostProcess, fresh: Callable[[str], str], paradigm: str, scheme: str, on_loss: Any
) -> None:
    """Not even of an environment that returns the same objects again and again, which Gymnasium refuses locally."""
    if hasattr(env_checker, NEWEST):
        with pytest.raises(AssertionError, match="share an object"):
            check_env(Hoarder())
    env: rlay.RemoteEnv
    if paradigm == "client":
        number, address = host_process.serve("hosted_envs:Hoarder", address=fresh(scheme))
        env = rlay.ClientEnv(address, on_loss=on_loss)
    else:
        env = rlay.ServerEnv(fresh(scheme), on_loss=on_loss, connect_timeout=WAIT)
        number, _ = host_process.dial("hosted_envs:Hoarder", env.address)
    assert heard(lambda: check_env(env)) == []
    with gym.wrappers.PassiveEnvChecker(env) as checked:
        assert heard(lambda: (checked.reset(), checked.step(0), checked.step(0))) == []  # type: ignore[arg-type, return-value]
    host_process.stop(number)

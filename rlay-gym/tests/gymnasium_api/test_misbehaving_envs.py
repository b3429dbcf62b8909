"""What an environment raises, or returns against its contract, arrives unchanged."""

from __future__ import annotations

import contextlib
import logging
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from equal import as_float, difference, same_reward
from host_process import Hosted, HostProcess
from hosted_envs import FLAWED
from misbehaving_envs import DECODE_ERROR, EXCEPTIONS, FLAGS, FOREIGN, NO_REWARDS, RESULTS, REWARDS
from value_envs import OFFERED, TABLES

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def raiser(hosted: Hosted, paradigm: str) -> Any:
    """An environment that raises what its action names."""
    env = hosted("misbehaving_envs:Raiser", paradigm)
    env.reset()
    return env


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions(raiser: Any, name: str) -> None:
    """``except`` clauses that are written for the local environment work, and the text is the same."""
    local = EXCEPTIONS[name]()
    for call in (lambda: raiser.step(name), lambda: raiser.reset(options={"raise": name})):
        with pytest.raises(type(local)) as caught:
            call()
        error = caught.value
        assert isinstance(error, rlay.EnvError)
        assert str(error) == str(local).encode("utf-8", "backslashreplace").decode()
        module = "" if type(local).__module__ == "builtins" else f"{type(local).__module__}."
        assert error.remote_type == module + type(local).__qualname__
        assert 'misbehaving_envs.py", line ' in error.remote_traceback
        assert "in _raise" in error.remote_traceback
        # The session continues.
        assert raiser.step("")[0] == 1


@pytest.mark.parametrize("name", FOREIGN)
def test_exceptions_of_unknown_classes(raiser: Any, name: str) -> None:
    _, remote_type, text = FOREIGN[name]
    with pytest.raises(rlay.EnvError) as caught:
        raiser.step(name)
    assert type(caught.value) is rlay.EnvError
    assert caught.value.remote_type == remote_type
    assert str(caught.value) == text
    assert "in _raise" in caught.value.remote_traceback
    assert raiser.step("")[0] == 1


def test_an_exception_that_takes_more_than_a_text(raiser: Any) -> None:
    """The exception arrives as the nearest class that takes a text."""
    with pytest.raises(UnicodeError) as caught:
        raiser.step("decode")
    assert isinstance(caught.value, rlay.EnvError)
    assert caught.value.remote_type == "UnicodeDecodeError"
    assert str(caught.value) == str(DECODE_ERROR)


@pytest.fixture
def odd(hosted: Hosted, paradigm: str) -> Any:
    """An environment that returns what its action names."""
    env = hosted("misbehaving_envs:Odd", paradigm)
    env.reset()
    return env


@pytest.mark.parametrize("name", REWARDS)
def test_rewards(odd: Any, name: str) -> None:
    """Always a Python float, of equal value."""
    reward = odd.step(f"reward:{name}")[1]
    assert same_reward(REWARDS[name], reward)
    assert math.copysign(1, reward) == math.copysign(1, as_float(REWARDS[name]))


@pytest.mark.parametrize("name", NO_REWARDS)
def test_rewards_that_are_no_numbers(odd: Any, name: str) -> None:
    with pytest.raises(rlay.EnvError, match="the reward is .*, which is not a number; return a float") as caught:
        odd.step(f"reward:{name}")
    assert isinstance(caught.value, TypeError)
    assert odd.step("reward:int")[1] == 3


@pytest.mark.parametrize("name", FLAGS)
def test_flags(odd: Any, name: str) -> None:
    """Always exact bools, so that ``is`` works."""
    _, _, terminated, truncated, _ = odd.step(f"flags:{name}")
    assert terminated is bool(FLAGS[name])
    assert truncated is bool(FLAGS[name])


@pytest.mark.parametrize("name", RESULTS)
def test_results_that_are_none(odd: Any, name: str) -> None:
    with pytest.raises(rlay.EnvError, match=RESULTS[name][1]):
        odd.step(f"result:{name}")
    assert odd.step("reward:int")[1] == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("info is None", "reset returned an info that is None and no dict"),
        ("observation alone", "reset returned an int where a tuple of 2 was due; return .observation, info"),
        ("None", "reset returned None where a tuple of 2 was due"),
    ],
)
def test_results_of_reset_that_are_none(odd: Any, name: str, text: str) -> None:
    with pytest.raises(rlay.EnvError, match=text):
        odd.reset(options={"return": name})
    assert odd.reset() == (0, {})


@pytest.mark.parametrize("env_id", FLAWED)
def test_observations_outside_the_space(
    hosted: Hosted, host_process: HostProcess, caplog: pytest.LogCaptureFixture, paradigm: str, env_id: str
) -> None:
    """They arrive unchanged; the only effect is a warning in the agent's log, for the first results."""
    caplog.set_level(logging.WARNING, "rlay")
    host_process.take_log()
    local, remote = gym.make(env_id).unwrapped, hosted(env_id, paradigm, chosen=True)
    assert difference(local.reset(), remote.reset()) is None
    for _ in range(5):
        expected, found = local.step(0), remote.step(0)
        assert difference(expected, found) is None
    words = [record.getMessage() for record in caplog.records]
    assert len(words) <= 2
    assert all(text.startswith("the environment broke its contract: observation is not in ") for text in words)
    assert host_process.take_log() == []


def test_the_contract_may_be_strict(hosted: Hosted, paradigm: str) -> None:
    remote = hosted("hosted_envs:Flawed/NaN-v0", paradigm, chosen=True)
    remote.contract = "strict"
    with pytest.raises(
        rlay.Error,
        match=r"broke its contract: observation is not in Box\(-1.0, 1.0, \(3,\), float32\): element \[1\] is nan; ",
    ):
        remote.reset()
    remote.contract = "off"
    assert np.isnan(remote.reset()[0][1])


def test_observations_of_other_libraries_are_arrays(hosted: Hosted, host_process: HostProcess, paradigm: str) -> None:
    """Whether they are the whole observation or a leaf, packed or not; and the host logs that once."""
    for kind in ("alone", "dict"):
        remote = hosted(f"misbehaving_envs:holder:{kind}", paradigm, chosen=True)
        for name, (_, arrives) in OFFERED.items():
            host_process.take_log()
            expected = {"id": 1, "pos": [arrives]} if kind == "dict" else arrives
            assert difference(expected, remote.reset(options={"observe": ("offered", name)})[0]) is None
            for _ in range(3):
                assert difference(expected, remote.step(0)[0]) is None
            words = host_process.take_log()
            assert len(words) == 1, words
            assert "arrives as numpy.ndarray; the wire knows no other arrays" in words[0]


@pytest.mark.parametrize("table", ["opaque", "odd", "no array"])
def test_observations_that_no_value_holds_are_the_environments_error(hosted: Hosted, paradigm: str, table: str) -> None:
    """Agents would learn from a stand-in. In ``info`` a stand-in is allowed."""
    remote = hosted("misbehaving_envs:holder:dict", paradigm, chosen=True)
    for name in TABLES[table]:
        with pytest.raises(TypeError, match=r'^observation\["pos"\]\[0\].*; give numbers, text, bytes, ') as caught:
            remote.reset(options={"observe": (table, name)})
        assert isinstance(caught.value, rlay.EnvError), name
    assert remote.reset(options={"observe": ("same", "int 1")})[0] == {"id": 1, "pos": [1]}


def test_frames_are_data_too(hosted: Hosted, paradigm: str) -> None:
    """An array of another library is an array; an object is an error, but for the mode ``human``."""
    remote = hosted("misbehaving_envs:holder:alone", paradigm, chosen=True, render_mode="rgb_array")
    remote.reset(options={"observe": ("offered", "__array__")})
    assert difference(OFFERED["__array__"][1], remote.render()) is None
    with contextlib.suppress(rlay.EnvError):
        remote.reset(options={"observe": ("opaque", "set")})
    with pytest.raises(TypeError, match=r"^frame: a set cannot be sent; give numbers"):
        remote.render()
    human = hosted("misbehaving_envs:holder:alone", paradigm, chosen=True, render_mode="human")
    with contextlib.suppress(rlay.EnvError):
        human.reset(options={"observe": ("opaque", "set")})
    assert human.render() == rlay.Opaque("set", "{1}")


def test_spaces_that_change_in_reset(
    hosted: Hosted, host_process: HostProcess, caplog: pytest.LogCaptureFixture, paradigm: str
) -> None:
    """Both ends log that once; the agent keeps the first spaces and receives the observations unchanged."""
    caplog.set_level(logging.WARNING, "rlay")
    host_process.take_log()
    remote = hosted("misbehaving_envs:growing:yes", paradigm, chosen=True)
    for episode in range(6):
        assert remote.reset()[0].shape == ((2,) if episode < 2 else (3,))
        remote.step(0)
    assert remote.observation_space.shape == (2,)
    (there,) = host_process.take_log()
    assert there.startswith(
        "WARNING: Growing: reset() has replaced observation_space, from first to second: Box(-1.0, "
    )
    assert "(2,), float32) is not Box(-1.0, 1.0, (3,), float32); agents keep the first one. Make a new session" in there
    (here,) = [record.getMessage() for record in caplog.records if record.name == "rlay"]
    assert "observation is not in Box(-1.0, 1.0, (2,), float32): shape (3,) where (2,) was declared" in here
    assert "make a new session if its spaces change in reset" in here


def test_equal_spaces_may_be_other_objects(hosted: Hosted, host_process: HostProcess, paradigm: str) -> None:
    host_process.take_log()
    remote = hosted("misbehaving_envs:growing:no", paradigm, chosen=True)
    for _ in range(4):
        remote.reset()
    assert host_process.take_log() == []

"""Messages that made people stop: each as it reads now, and the part of it that says what to do next."""

from __future__ import annotations

import inspect
import math
import multiprocessing
import re
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from processes import WAIT, free_address
from rlay import errors


def reads(message: object, pattern: str, advice: str) -> None:
    """Assert that ``message`` reads as ``pattern``, where … stands for any text, and says to do ``advice``."""
    text = str(message)
    expected = ".*".join(re.escape(part) for part in pattern.split("…"))
    assert re.fullmatch(expected, text, re.DOTALL), text
    assert advice in text, f"{text!r} does not say {advice!r}"
    assert len(text) < 2000, f"a message of {len(text)} characters"


def test_a_message_that_advises_nothing_fails() -> None:
    for message, pattern, advice in [("it broke", "it …", "mend"), ("it broke; mend it", "it broke", "mend")]:
        try:
            reads(message, pattern, advice)
        except AssertionError:
            continue
        raise AssertionError(message)


# -- values, spaces, contracts ------------------------------------------------------------------


# -- hosting ------------------------------------------------------------------------------------


# -- launching ----------------------------------------------------------------------------------


# -- arguments and the surface ------------------------------------------------------------------

ADDRESSES: list[tuple[Any, str, str]] = [
    (None, "address=None is a NoneType; …", "give a str such as 'tcp://127.0.0.1:5005'"),
    (7, "address=7 is a int; …", "give a str such as 'tcp://127.0.0.1:5005'"),
    (Path("/tmp/x.sock"), "address=PosixPath('/tmp/x.sock') is a PosixPath; …", "'unix:///tmp/x.sock'"),
    (("10.0.0.5", 5005), "address=('10.0.0.5', 5005) is a tuple; …", "'tcp://10.0.0.5:5005'"),
    (
        b"tcp://127.0.0.1:5005",
        "address=b'tcp://127.0.0.1:5005' is a bytes; …",
        "give a str such as 'tcp://127.0.0.1:50",
    ),
    ("localhost:5005", '"localhost:5005" is not an address: it has no ://; …', 'write "tcp://localhost:5005"'),
    ("/tmp/x.sock", '"/tmp/x.sock" is not an address: it has no ://; …', 'write "unix:///tmp/x.sock"'),
    ("http://127.0.0.1:80", 'http://127.0.0.1:80: no transport for "http"; …', "there are: mem, quic, shm, tcp"),
]


@pytest.mark.parametrize(("address", "pattern", "advice"), ADDRESSES)
@pytest.mark.parametrize("endpoint", ["ClientEnv", "ServerEnv", "ServerBackend", "ClientBackend", "serve_policy"])
def test_an_address_that_is_none(
    endpoint: str, address: Any, pattern: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RLAY_ADDRESS", raising=False)
    make = getattr(rlay, endpoint)
    with pytest.raises((TypeError, rlay.AddressError, rlay.Error)) as caught:
        make(address) if endpoint.endswith("Env") else make("CartPole-v1" if "Back" in endpoint else str, address)
    if endpoint == "ClientBackend" and address is None:
        pattern, advice = "where to dial? …", "give an address, or start this program by rlay.launch"
    reads(caught.value, pattern, advice)


ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    ({"timeout": "5"}, TypeError, "timeout='5' is a str; …", "give seconds as a number, 0 or more; None: as long"),
    ({"timeout": True}, TypeError, "timeout=True is a bool; …", "give seconds as a number"),
    ({"timeout": np.False_}, TypeError, "timeout=… is a bool; …", "give seconds as a number"),
    ({"timeout": timedelta(seconds=1)}, TypeError, "timeout=… is a timedelta; …", "give seconds as a number"),
    ({"timeout": -1}, ValueError, "timeout=-1: …", "give seconds as a number, 0 or more; None: as long as the peer is"),
    ({"timeout": math.nan}, ValueError, "timeout=nan: …", "give seconds as a number, 0 or more"),
    ({"connect_timeout": None}, TypeError, "connect_timeout=None is a NoneType; …", "math.inf waits for ever"),
    ({"connect_timeout": -0.5}, ValueError, "connect_timeout=-0.5: …", "math.inf waits for ever"),
    ({"connect_timeout": "soon"}, TypeError, "connect_timeout='soon' is a str; …", "give seconds as a number"),
    ({"connect_timeout": math.nan}, ValueError, "connect_timeout=nan: …", "give seconds as a number"),
    ({"reconnect_timeout": -1}, ValueError, "reconnect_timeout=-1: …", "None: 2 s for an agent, 30 s for a backend"),
    ({"reconnect_timeout": "0"}, TypeError, "reconnect_timeout='0' is a str; …", "give seconds as a number"),
    ({"contract": "strikt"}, ValueError, "contract='strikt': …", "it is 'strict', 'warn' or 'off'"),
    ({"contract": None}, ValueError, "contract=None: …", "it is 'strict', 'warn' or 'off'"),
    ({"on_loss": "wait"}, ValueError, "on_loss='wait': …", "it is 'raise', 'replace' or 'truncate'"),
    ({"render_mode": True}, TypeError, "render_mode=True is a bool; …", "give a str such as 'rgb_array', or None"),
    ({"render_mode": ["ansi"]}, TypeError, "render_mode=['ansi'] is a list; …", "give a str such as 'rgb_array'"),
    ({"env_id": 7}, TypeError, "env_id=7 is a int; …", "give a str such as 'maze', or None"),
    ({"token": b"secret"}, TypeError, "token is a bytes; …", "give a str, such as token.decode()"),
    ({"token": 12345}, TypeError, "token is a int; …", "give a str, or None for RLAY_TOKEN"),
    ({"token": ""}, rlay.Error, "an empty token protects nothing; …", "make one of at least 16 random characters"),
    ({"max_frame": "64M"}, TypeError, "max_frame='64M' is a str; …", "give an int: bytes, such as 64 << 20"),
    ({"max_frame": 1e6}, TypeError, "max_frame=1000000.0 is a float; …", "give an int: bytes, such as 64 << 20"),
    ({"max_frame": 1000}, ValueError, "max_frame=1000: …", "give a number of bytes from 65536 (64 KiB)"),
    ({"env_kwargs": ["size"]}, TypeError, "env_kwargs=['size']: …", "names and values, such as env_kwargs={'size': 5}"),
    ({"env_kwargs": {1: 2}}, TypeError, "env_kwargs={1: 2}: …", "names and values, such as env_kwargs={'size': 5}"),
    ({"env_kwargs": "size"}, TypeError, "env_kwargs='size': …", "names and values, such as env_kwargs={'size': 5}"),
]
"""Arguments of an agent that cannot be."""

OF_LISTENERS: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    ({"handshake_timeout": None}, TypeError, "handshake_timeout=None is a NoneType; …", "give seconds as a number"),
    ({"max_handshakes": 0}, ValueError, "max_handshakes=0: …", "how many handshakes there may be at a time, 1 or more"),
    ({"max_handshakes": 2.5}, TypeError, "max_handshakes=2.5 is a float; …", "give an int: how many handshakes"),
    ({"max_sessions": "4"}, TypeError, "max_sessions='4' is a str; …", "give an int: how many sessions"),
]
"""Arguments of those that listen."""

OF_PROGRAMS: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    ({"restarts": -1}, ValueError, "restarts=-1: …", "how often reset() may start the program again, 0 or more"),
    ({"restarts": "3"}, TypeError, "restarts='3' is a str; …", "give an int: how often reset()"),
    ({"log": 1}, TypeError, "log=1 is a int; …", "give the path of a file, or None"),
    ({"log": sys.stderr}, TypeError, "log=<…", "give the path of a file, or None"),
]
"""Arguments of an agent that starts a program."""


@pytest.mark.parametrize(("given", "error", "pattern", "advice"), ARGUMENTS + OF_PROGRAMS)
def test_an_argument_of_a_client_env(given: Any, error: type[Exception], pattern: str, advice: str) -> None:
    with pytest.raises(error) as caught:
        rlay.ClientEnv("tcp://127.0.0.1:1", **{"connect_timeout": 0.1, **given})
    reads(caught.value, pattern, advice)
    with pytest.raises(error) as caught:
        rlay.launch(["/bin/true"], **{"connect_timeout": 0.1, **given})
    reads(caught.value, pattern, advice)


@pytest.mark.parametrize(("given", "error", "pattern", "advice"), ARGUMENTS + OF_LISTENERS)
def test_an_argument_of_a_server_env(given: Any, error: type[Exception], pattern: str, advice: str) -> None:
    with pytest.raises(error) as caught:
        rlay.ServerEnv(**given)
    reads(caught.value, pattern, advice)


@pytest.mark.parametrize(("given", "error", "pattern", "advice"), ARGUMENTS + OF_LISTENERS)
def test_an_argument_of_a_backend(given: Any, error: type[Exception], pattern: str, advice: str) -> None:
    """Of each of the two, as far as it has the argument; what agents may give are names there, and values here."""
    for cls in (rlay.ServerBackend, rlay.ClientBackend):
        if given.keys() <= inspect.signature(cls).parameters.keys() - {"env_kwargs", "max_sessions"}:
            with pytest.raises(error) as caught:
                cls("CartPole-v1", "tcp://127.0.0.1:0", **given)  # type: ignore[operator]
            reads(caught.value, pattern, advice)


@pytest.mark.parametrize("name", ["timeout", "contract", "on_loss", "render_mode"])
def test_an_attribute_is_checked_as_the_argument_is(name: str) -> None:
    with rlay.ServerEnv() as env:
        before = getattr(env, name)
        for given, error, pattern, advice in ARGUMENTS:
            if name in given:
                with pytest.raises(error) as caught:
                    setattr(env, name, given[name])
                reads(caught.value, pattern, advice)
                assert getattr(env, name) == before


@pytest.mark.parametrize("value", [5, 0, np.float32(2.5), np.int64(3), np.array(1.5), math.inf, Fraction(1, 2)])
def test_what_is_a_number_of_seconds(value: Any) -> None:
    with rlay.ServerEnv(timeout=value, connect_timeout=value) as env:
        assert env.timeout == value


@pytest.mark.parametrize("command", ["./game --headless", b"./game", [], ["./game", 7], None, 7])
def test_a_command_that_is_none(command: Any) -> None:
    with pytest.raises(TypeError) as caught:
        rlay.launch(command)
    reads(caught.value, "command=…", "the command is a list of words, such as ['./game', '--headless']")


def test_a_backend_takes_names_of_arguments_and_no_values() -> None:
    for given, pattern, advice in [
        (
            {"size": 5},
            "env_kwargs={'size': 5}: a backend takes the names that agents may give, such as …",
            "['size']; to",
        ),
        (7, "env_kwargs=7: …", "give names of keyword arguments, such as ['size']"),
        ([7], "env_kwargs=[7]: …", "give names of keyword arguments, such as ['size']"),
        ("size", "env_kwargs are names, …", "such as ('size',)"),
    ]:
        with pytest.raises(TypeError) as caught:
            rlay.ServerBackend("CartPole-v1", env_kwargs=given)  # type: ignore[arg-type]
        reads(caught.value, pattern, advice)


class Zoo:
    """What PettingZoo's environments look like, parallel or not: spaces of each agent, and the names of these."""

    def __init__(self) -> None:
        self.possible_agents = ["cat", "mouse"]

    def observation_space(self, agent: str) -> gym.spaces.Space[Any]:
        return gym.spaces.Discrete(3)

    action_space = observation_space


class ZooWrapper:
    """What PettingZoo's wrappers look like."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)


class Traffic(gym.Env[Any, Any]):
    """A single agent among others, which it calls agents."""

    observation_space = action_space = gym.spaces.Discrete(3)
    agents = possible_agents = ("car", "bus")


def several_poles() -> Any:
    return gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")


NOT_ONE: dict[str, tuple[Callable[[], Any], str]] = {
    "vector": (several_poles, "a vector of environments"),
    "a wrapped vector": (lambda: gym.wrappers.vector.ClipReward(several_poles(), 0, 1), "a vector of environments"),
    "a class of vectors": (lambda: gym.vector.SyncVectorEnv, "a vector of environments"),
    "several agents": (Zoo, "several agents"),
    "a wrapper around them": (lambda: ZooWrapper(Zoo()), "several agents"),
}


@pytest.mark.parametrize("name", NOT_ONE)
def test_what_is_more_than_one_environment(name: str) -> None:
    make, what = NOT_ONE[name]
    advice = "an agent that wants several opens several" if "vector" in what else "give a gymnasium.Env for one of them"
    with pytest.raises(TypeError) as caught:
        rlay.ServerBackend(make())
    reads(caught.value, f"cannot host …, which …{what}…", advice)
    if name == "a class of vectors":
        return
    with rlay.ServerBackend(make) as host, pytest.raises(rlay.EnvError) as refused:
        rlay.ClientEnv(host.address)
    assert isinstance(refused.value, TypeError)
    reads(refused.value, f"cannot host …, which …{what}…", advice)


def test_one_agent_that_knows_others_is_one() -> None:
    with rlay.ServerBackend(Traffic()) as host, rlay.ClientEnv(host.address) as env:
        assert env.observation_space == gym.spaces.Discrete(3)


def test_worker_processes_that_listen_at_one_port() -> None:
    address = free_address()
    with rlay.ServerEnv(address):
        with pytest.raises(rlay.AddressError) as caught:
            rlay.ServerBackend("CartPole-v1", address)
        reads(caught.value, f"{address}: address in use by another listener; …", "close it, or choose another")
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            text = pool.apply(why_not, (address,))
    reads(
        text,
        f"{address}: address in use by another listener; …worker process, as of AsyncVectorEnv, …",
        "SyncVectorEnv",
    )
    assert "or give each worker another port" in text


def why_not(address: str) -> str:
    """Return why no ServerEnv can listen at ``address``."""
    try:
        rlay.ServerEnv(address).close()
    except rlay.AddressError as error:
        return str(error)
    return "it can"


def test_what_a_host_does_not_offer() -> None:
    with rlay.ServerBackend("CartPole-v1") as host:
        for asked, pattern, advice in [
            (
                {"env_kwargs": {"size": 5}},
                'this host offers no keyword argument "size"; agents may ask for none; …',
                'ServerBackend(..., env_kwargs=["size"])',
            ),
            (
                {"env_id": "maze"},
                'this host offers no environment "maze"; agents may ask for none; leave env_id out, or …',
                'ServerBackend({"maze": ...})',
            ),
            (
                {"render_mode": "ascii"},
                "the environment does not render in mode 'ascii'; it declares […]; …",
                "choose one of these",
            ),
        ]:
            with pytest.raises(rlay.Error) as caught:
                rlay.ClientEnv(host.address, **asked)  # type: ignore[arg-type]
            reads(caught.value, pattern, advice)


def test_a_policy_that_is_none() -> None:
    with pytest.raises(TypeError) as caught:
        rlay.serve_policy(7, "tcp://127.0.0.1:0")  # type: ignore[arg-type]
    reads(caught.value, "policy=7: …", "give a function of an observation that returns an action")


class Quitter(gym.Env[Any, Any]):
    """Ends itself."""

    observation_space = action_space = gym.spaces.Discrete(4)

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> Any:
        sys.exit([None, 2, "no such level", "x" * 5000][action])


def test_an_environment_that_ends_programs() -> None:
    with rlay.ServerBackend(Quitter) as host:
        env = rlay.ClientEnv(host.address)
        env.reset()
        for action, call in enumerate(["sys.exit()", "sys.exit(2)", "sys.exit('no such level')", "sys.exit('xx…xx')"]):
            with pytest.raises(rlay.EnvError) as caught:
                env.step(action)
            assert caught.value.remote_type == "SystemExit"
            reads(caught.value, f"the environment called {call}, which ended this call; …", "let it raise an error")
    for interrupt, says in [(KeyboardInterrupt(), "its host; …"), (KeyboardInterrupt("x"), "its host (x); …")]:
        text = errors.describe(interrupt)[1]
        reads(text, f"the environment was interrupted in this call, as by Ctrl-C at {says}", "start the host again")


def test_an_environment_that_is_not_made_in_time() -> None:
    never = threading.Event()

    def wait() -> Any:
        never.wait(WAIT)
        raise ValueError("too late")

    with rlay.ServerBackend(wait) as host:
        with pytest.raises(rlay.Timeout) as caught:
            rlay.ClientEnv(host.address, connect_timeout=0.5)
        never.set()
    reads(
        caught.value, f"{host.address} did not make the environment within connect_timeout, …", "raise connect_timeout"
    )


# -- transports and waits -----------------------------------------------------------------------

"""Texts of peers and environments in errors and logs: nothing acts on a terminal, forges a line or is endless."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import raw_peer
import rlay
from processes import python, until
from raw_peer import HELLO, MAKE, RESET, SPEC, RawPeer, host, result

LONG = 5 << 20
"""More than any error or line of a log should hold, and less than a frame may."""

ACTS = "\x1b[2J\r\x07\x9b31m\u202e\u2028\u2066"
"""Characters that a terminal, or a reader of logs, takes for a command."""

FORGED = f"bye{ACTS}\nWARNING rlay: forged"

SHOWN = re.escape(r"bye\x1b[2J\r\x07\x9b31m\u202e\u2028\u2066")

MOST = 40_000
"""Characters of an error with its traceback."""

ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def is_harmless(text: str) -> bool:
    return not ACTING.search(text) and len(text) < MOST


@pytest.fixture
def entries(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines of the log, as a file would have them."""
    caplog.set_level(logging.INFO, "rlay")
    handler = caplog.handler
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    return lambda: handler.stream.getvalue().split("\n")  # type: ignore[attr-defined]


def is_honest(lines: list[str]) -> bool:
    """Whether every line is an entry of RLay's own, or visibly belongs to the entry above."""
    return all(is_harmless(line) and re.match(r"(INFO|WARNING|ERROR) rlay: (?!forged)|  |$", line) for line in lines)


def fault(code: int, fatal: bool, *texts: str) -> Any:
    failure = dict(zip(("error_type", "message", "traceback"), texts, strict=True))
    return {"code": code, "fatal": fatal, "slots": [], "failure": failure}


LIES: dict[str, tuple[str, Any]] = {
    "goodbye": ("Goodbye", {"code": 0, "message": FORGED}),
    "a long goodbye": ("Goodbye", {"code": 7, "message": "bye" + "x" * LONG}),
    "a fatal error": ("Error", fault(8, True, "", FORGED, "")),
    "a fatal error of the environment": ("Error", fault(9, True, FORGED, FORGED, FORGED)),
    "an error": ("Error", fault(1, False, "", FORGED, "")),
    "a long error": ("Error", fault(1, False, "", "bye" + "x" * LONG, "")),
    "an exception": ("Error", fault(9, False, FORGED, FORGED, FORGED)),
    "a long exception": ("Error", fault(9, False, "E" * LONG, "bye" + "x" * LONG, "y" * LONG)),
}


@pytest.mark.parametrize("name", LIES)
def test_an_agent_shows_what_a_host_says(name: str) -> None:
    kind, body = LIES[name]

    def play(foreign_peer: RawPeer) -> None:
        host(foreign_peer, SPEC | {"env_id": FORGED})
        reset = foreign_peer.receive()
        is_end = kind == "Goodbye" or body["fatal"]
        foreign_peer.send(kind, body, re=0 if is_end else reset["seq"])
        if not is_end:
            foreign_peer.socket.recv(1)

    with raw_peer.listen(play) as address:
        env = rlay.ClientEnv(address)
        assert is_harmless(repr(env))
        with pytest.raises(rlay.Error) as caught:
            env.reset()
        error = caught.value
        for text in (str(error), *getattr(error, "__notes__", [])):
            assert is_harmless(text)
        assert re.search("bye" if "long" in name else SHOWN, str(error))
        if isinstance(error, rlay.EnvError):
            assert is_harmless(error.remote_type) and is_harmless(error.remote_traceback)
            assert "\n" not in error.remote_type
        else:
            assert "\n" not in str(error)
        env.close()


def test_a_refusal_is_shown() -> None:
    def play(foreign_peer: RawPeer) -> None:
        foreign_peer.receive()
        foreign_peer.send("Reject", {"code": 7, "wire_min": 8, "wire_max": 9, "message": FORGED + "x" * 60_000})
        foreign_peer.socket.recv(1)

    with raw_peer.listen(play) as address, pytest.raises(rlay.Incompatible, match=SHOWN) as caught:
        rlay.ClientEnv(address)
    assert is_harmless(str(caught.value)) and "\n" not in str(caught.value)


@contextlib.contextmanager
def agent(address: str) -> Iterator[RawPeer]:
    """An agent by hand that has begun an episode."""
    with raw_peer.dial_and_shake(address) as foreign_peer:
        for kind, body in (("Make", MAKE), ("Reset", RESET)):
            foreign_peer.send(kind, body)
            foreign_peer.receive()
        yield foreign_peer


@pytest.mark.parametrize("name", ["goodbye", "a long goodbye", "a fatal error", "a fatal error of the environment"])
def test_the_log_of_a_host_shows_what_an_agent_says(entries: Callable[[], list[str]], name: str) -> None:
    with rlay.ServerBackend(Talkative, max_sessions=1) as host, agent(host.address) as foreign_peer:
        foreign_peer.send(*LIES[name])
        until(lambda: any("bye" in line for line in entries()), "it is told")
    assert is_honest(entries()), entries()


class Talkative(gym.Env[Any, Any]):
    """Repeats in its errors what the agent has sent, as most environments do."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None, name: str = "") -> None:
        if name:
            raise ValueError(f"no level {name}")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return 0, {"text": FORGED, "object": Thing()}

    def step(self, action: Any) -> Any:
        raise ValueError(f"bad action {'x' * int(action)}")

    def close(self) -> None:
        raise ValueError(f"{FORGED} at the end")


class Thing:
    """An object that no value holds."""

    def __repr__(self) -> str:
        return f"<{ACTS}>"


def test_the_log_of_a_host_shows_what_its_environment_repeats(entries: Callable[[], list[str]]) -> None:
    with rlay.ServerBackend(Talkative, env_kwargs=["name"]) as host:
        with pytest.raises(ValueError, match=SHOWN) as caught:
            rlay.ClientEnv(host.address, env_kwargs={"name": FORGED})
        assert is_harmless(str(caught.value))
        until(lambda: any("no level bye" in line for line in entries()), "it is told")
    assert any("Traceback" in line for line in entries()), "of its author"
    assert is_honest(entries()), entries()


def test_values_stay_as_they_are_and_what_stands_for_objects_is_shown() -> None:
    with rlay.ServerBackend(Talkative) as host:
        env = rlay.ClientEnv(host.address)
        _, info = env.reset()
        assert info["text"] == FORGED
        assert is_harmless(info["object"].repr) and is_harmless(repr(info["object"]))
        with pytest.raises(ValueError, match="at the end"):
            env.close()


POLICY = """
    import logging, sys, rlay
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")
    def policy(observation):
        raise ValueError(f"what is {observation}")
    rlay.serve_policy(policy, "tcp://127.0.0.1:0")
    """
"""The text of a policy's exception often contains the observation."""


def test_the_log_of_a_policy_shows_what_an_environment_says() -> None:
    space = {"Text": {"min_length": 0, "max_length": 1000, "charset": "a"}}
    with python(POLICY) as server:
        address = server.find("serving the policy at").rsplit(" ", 1)[1]
        lines: list[str] = []
        for kind, body in (("Goodbye", LIES["goodbye"][1]), ("Result", None)):
            with raw_peer.dial(address) as foreign_peer:
                foreign_peer.send("Hello", HELLO | {"role": "Env"})
                assert foreign_peer.receive()["kind"] == "Welcome"
                make = foreign_peer.receive()
                foreign_peer.send("Spec", SPEC | {"observation_space": space}, re=make["seq"])
                reset = foreign_peer.receive()
                if body is None:
                    row = result(True, b"")["body"]
                    foreign_peer.send("Result", row, re=reset["seq"], payload={"Values": [{"Str": FORGED}]})
                    assert is_harmless(foreign_peer.receive()["body"]["message"])
                else:
                    foreign_peer.send(kind, body)
                while not any(("bye" if body else "what is bye") in line for line in lines):
                    lines.append(server.line())
        server.interrupt()
        assert server.wait() == 0
        assert is_honest(lines + server.printed())


@pytest.mark.parametrize("length", [60_000, 3 << 20])
def test_an_exception_that_no_frame_holds_is_cut(paradigm: str, length: int) -> None:
    """The smallest possible limit: the text, and the traceback with the text in it, do not fit."""
    with contextlib.ExitStack() as stack:
        if paradigm == "client":
            host = stack.enter_context(rlay.ServerBackend(Talkative, max_frame=1 << 16))
            env: rlay.RemoteEnv = rlay.ClientEnv(host.address)
        else:
            env = rlay.ServerEnv(max_frame=1 << 16)
            stack.enter_context(rlay.ClientBackend(Talkative, env.address))
        env.reset()
        for _ in range(2):
            with pytest.raises(ValueError, match=r"^bad action xxx.*x… \(\d+ bytes left out\) …x") as caught:
                env.step(length)
            assert len(str(caught.value)) <= 1 << 14
            error: Any = caught.value
            assert re.search(r"bytes left out", error.remote_traceback)
            assert error.remote_traceback.startswith("Traceback") and error.remote_traceback.endswith("x\n")
            assert env.reset()[0] == 0, "the session goes on"
        with pytest.raises(ValueError, match="at the end"):
            env.close()


@pytest.mark.gymnasium
def test_a_bad_action_of_cartpole_does_not_end_the_session(paradigm: str) -> None:
    with contextlib.ExitStack() as stack:
        if paradigm == "client":
            host = stack.enter_context(rlay.ServerBackend(Boxed, max_frame=1 << 16))
            env: rlay.RemoteEnv = rlay.ClientEnv(host.address, max_frame=1 << 16)
        else:
            env = rlay.ServerEnv(max_frame=1 << 16)
            stack.enter_context(rlay.ClientBackend(Boxed, env.address, max_frame=1 << 16))
        env.reset()
        action = np.zeros(15_000, np.float32)
        with pytest.raises(AssertionError, match="invalid"):
            env.step(action)
        assert env.reset()[1] == {}
        env.close()


class Boxed(gym.Env[Any, Any]):
    """Raises that an action is invalid, with a text ten times as long as the action."""

    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Box(-1, 1, (15_000,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> Any:
        raise AssertionError(f"{action.tolist()!r} invalid")

"""Every transport in both paradigms, with agent and environment each in Python and in Rust: the same to the bit."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlay
import transcripts
from host_process import PARADIGMS, SCHEMES, HostProcess, Start
from processes import WAIT, Program, python
from rollout import play, same
from scripted_host import ScriptedHost

pytestmark = pytest.mark.timeout(900)  # the programs are built first, if they are not built yet
LANGUAGES = ("python", "rust")


class Meeting:
    """Connects an agent and an environment, each in the requested language."""

    def __init__(self, host: HostProcess, start: Start, stack: contextlib.ExitStack) -> None:
        self.host, self.start, self.stack = host, start, stack

    def serve(self, language: str, name: str, address: str) -> str:
        """Host an environment that listens; return its address."""
        if language == "python":
            number, address = self.host.serve(transcripts.SOURCES[name], address=address)
            self.stack.callback(self.host.stop, number)
            return address
        server = self.stack.enter_context(self.start("transcript", "host", name, "--listen", address))
        return server.find("listening at").split()[-1]

    def dial(self, language: str, name: str, address: str) -> None:
        """Host an environment that dials."""
        if language == "python":
            number, _ = self.host.dial(transcripts.SOURCES[name], address)
            self.stack.callback(self.host.stop, number)
        else:
            self.stack.enter_context(self.start("transcript", "host", name, "--dial", address))

    def play(self, paradigm: str, agent: str, env: str, name: str, address: str) -> str:
        """Return what the agent saw."""
        if paradigm == "client":
            address = self.serve(env, name, address)
            if agent == "rust":
                player = self.stack.enter_context(self.start("transcript", "play", "--connect", address))
                return player.find("transcript")
            remote: Any = rlay.ClientEnv(address, timeout=WAIT)
        else:
            if agent == "rust":
                player = self.stack.enter_context(self.start("transcript", "play", "--listen", address))
                self.dial(env, name, player.find("listening at").split()[-1])
                return player.find("transcript")
            remote = rlay.ServerEnv(address, timeout=WAIT)
            self.dial(env, name, remote.address)
        with contextlib.closing(remote):
            return transcripts.play(remote)


@pytest.fixture
def meeting(host_process: HostProcess, start: Start) -> Iterator[Meeting]:
    """Connect agents and environments; all started programs end with the test."""
    with contextlib.ExitStack() as stack:
        yield Meeting(host_process, start, stack)


@pytest.fixture(scope="session")
def expected(programs: Path) -> Callable[[str, str], str]:
    """Return the fingerprint of an environment without RLay."""

    def expected(language: str, name: str) -> str:
        if language == "rust":
            with Program(str(programs / "transcript"), "local", name) as program:
                return program.find("transcript")
        source = transcripts.SOURCES[name]
        if ":" in source:
            return transcripts.play(getattr(transcripts, source.split(":")[1])())
        return transcripts.play(gym.make(source))

    return expected


@pytest.mark.parametrize("env", LANGUAGES)
@pytest.mark.parametrize("agent", LANGUAGES)
@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_transcript(
    meeting: Meeting, fresh: Any, expected: Any, scheme: str, paradigm: str, agent: str, env: str
) -> None:
    for name in transcripts.SOURCES:
        found = meeting.play(paradigm, agent, env, name, fresh(scheme))
        assert found == expected(env, name), name


OTHERS = SCHEMES[2:]
"""The schemes that other test modules do not cover."""


@pytest.mark.gymnasium
@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", OTHERS)
def test_check_env(scripted_host: ScriptedHost, fresh: Any, scheme: str, paradigm: str) -> None:
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        check_env(gym.make("CartPole-v1").unwrapped)
    remote: Any
    if paradigm == "client":
        address = scripted_host.serve("CartPole-v1", address=fresh(scheme))
        remote = gym.make("rlay:ClientEnv-v0", address=address)
    else:
        listener = scripted_host.server(fresh(scheme))
        scripted_host.dial(listener.address, "CartPole-v1")
        remote = gym.make("rlay:ServerEnv-v0", address=listener.address)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(remote.unwrapped)
    assert [str(warning.message) for warning in caught] == [str(warning.message) for warning in expected]


@pytest.mark.gymnasium
@pytest.mark.parametrize("mode", ["fork", "spawn"])
@pytest.mark.parametrize("scheme", OTHERS)
def test_async_vector_env(scripted_host: ScriptedHost, fresh: Any, scheme: str, mode: str) -> None:
    address = scripted_host.serve("CartPole-v1", address=fresh(scheme))
    before = scripted_host.client(address)  # open while the process forks
    first = before.reset(seed=7)[0]
    kwargs: Any = {"vectorization_mode": "async", "vector_kwargs": {"context": mode}}
    remote = gym.make_vec("rlay:ClientEnv-v0", 2, address=address, connect_timeout=WAIT, **kwargs)
    local = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    assert same(play(remote, 3, 100), play(local, 3, 100))
    again = before.reset(seed=7)[0]
    assert np.array_equal(first, again) and before.step(0)[1] == 1.0, "the parent's session is unharmed"


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", OTHERS)
def test_ctrl_c(scripted_host: ScriptedHost, fresh: Any, scheme: str, paradigm: str) -> None:
    source = """
        import sys, scripted_env, rlay
        if sys.argv[1] == "client":
            env = rlay.ClientEnv(sys.argv[2])
        else:
            env = rlay.ServerEnv(sys.argv[2])
            print("listening at", env.address)
        env.reset()
        try:
            env.step(scripted_env.WAIT)
        except KeyboardInterrupt:
            print("interrupted")
        sys.stdin.readline()
        print("late", env.late(20)[0][0])
        env.close()
        """
    address = fresh(scheme)
    if paradigm == "client":
        address = scripted_host.serve(address=address)
    with python(source, paradigm, address) as program:
        if paradigm == "server":
            scripted_host.dial(program.find("listening at").split()[-1])
        scripted_host.wait_for("step")
        program.interrupt()
        program.find("interrupted")
        scripted_host.release()
        program.say("go on")
        program.find("late 1")
        assert program.wait() == 0


@pytest.mark.parametrize("scheme", OTHERS)
def test_a_listener_that_comes_back(scripted_host: ScriptedHost, fresh: Any, scheme: str) -> None:
    number, address = scripted_host.host.serve("scripted_env:ScriptedEnv", address=fresh(scheme))
    env = scripted_host.client(address)
    env.reset()
    scripted_host.host.stop(number)
    with pytest.raises(rlay.Error):
        env.step(0)
    again = scripted_host.serve(address=address)
    assert again == address
    env = scripted_host.client(address)
    env.reset()
    assert env.step(0)[0][0] == 1

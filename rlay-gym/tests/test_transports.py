"""Every transport in both paradigms, with agent and environment each in Python and in Rust: the same to the bit."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import rlay
import transcripts
from conftest import PARADIGMS, HostProcess
from processes import WAIT, Program
from test_pairings import programs, start  # noqa: F401  (fixtures)

pytestmark = pytest.mark.timeout(900)  # the programs are built first, if nobody has done that yet
SCHEMES = ("tcp", "unix", "zmq", "zmq+ipc", "quic", "shm")
LANGUAGES = ("python", "rust")
_numbers = itertools.count()


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[str], str]:
    """Return an address where to listen."""

    def fresh(scheme: str) -> str:
        number = next(_numbers)
        if scheme in ("unix", "zmq+ipc"):
            return f"{scheme}://{tmp_path}/{number}.sock"
        return f"shm://test-{os.getpid()}-{number}" if scheme == "shm" else f"{scheme}://127.0.0.1:0"

    return fresh


class Meeting:
    """Brings an agent and an environment together, each in the language it is asked for."""

    def __init__(self, host: HostProcess, start: Callable[..., Program], stack: contextlib.ExitStack) -> None:
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
def meeting(host_process: HostProcess, start: Callable[..., Program]) -> Iterator[Meeting]:  # noqa: F811
    """Let agents and environments meet; whatever was started ends with the test."""
    with contextlib.ExitStack() as stack:
        yield Meeting(host_process, start, stack)


@pytest.fixture(scope="session")
def expected(programs: Path) -> Callable[[str, str], str]:  # noqa: F811
    """Return what an environment says without RLay."""

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

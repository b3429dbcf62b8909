"""Fixtures: environments that live in another process, and the processes that host them."""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())

import gymnasium as gym

import hosts
import rlay
from moods import Moods, moods_of
from processes import HERE, Program

# Shells let what they start in the background ignore Ctrl-C, and every program here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

WAIT = 30.0
"""Bounds every wait for another process, in seconds."""

ROOT = HERE.parents[1]
PROGRAMS = ("cartpole_server", "agent", "policy_server", "transcript", "knock")

SCHEMES = ("tcp", "tls", "unix", "zmq", "zmq+ipc", "quic", "shm")

PARADIGMS = ("client", "server")
"""``client``: ClientEnv dials a ServerBackend. ``server``: a ClientBackend dials a ServerEnv."""


class HostProcess:
    """A process of its own that hosts environments (see ``hosts.py``)."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._addresses: dict[Any, str] = {}
        self._listeners: list[rlay.ServerEnv] = []
        self.process = context.Process(target=hosts.main, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def tell(self, command: str, *args: Any, **kwargs: Any) -> Any:
        """Give one of ``hosts.Commands`` and return its answer."""
        self._pipe.send((command, args, kwargs))
        if not self._pipe.poll(WAIT):
            raise TimeoutError(f"the host process did not answer {command}{args} within {WAIT} s")
        good, answer = self._pipe.recv()
        if not good:
            raise RuntimeError(f"the host process: {answer}")
        return answer

    def serve(self, source: str, **kwargs: Any) -> tuple[int, str]:
        """Start a ServerBackend there; return its number and address."""
        return self.tell("serve", source, **kwargs)

    def dial(self, source: str, address: str, **kwargs: Any) -> tuple[int, str]:
        """Start a ClientBackend there; return its number and address."""
        return self.tell("dial", source, address, **kwargs)

    def stop(self, number: int) -> None:
        """Close the backend with this number."""
        self.tell("stop", number)

    def address(self, source: str, paradigm: str, *, chosen: bool = False, **backend: Any) -> str:
        """Return where ``source`` is had: an address for ClientEnv or for ServerEnv.

        Its backend lives as long as the process, for every test that asks for the same. With ``chosen``
        even one backend serves all sources: the environments made there are those chosen last.
        """
        if chosen:
            self.tell("choose", source)
            source = "hosts:chosen"
        key = (source, paradigm, *sorted(backend.items()))
        if key not in self._addresses:
            if paradigm == "client":
                self._addresses[key] = self.serve(source, **backend)[1]
            else:
                # The listener is held open for whoever comes next; the backend always has a spare session ready.
                listener = rlay.ServerEnv()
                self._listeners.append(listener)
                self._addresses[key] = self.dial(source, listener.address, **backend)[1]
        return self._addresses[key]

    def take_log(self) -> list[str]:
        """Return what was logged and warned about there since the last time."""
        return self.tell("take_log")

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self.process.kill()
        self.process.join(WAIT)

    def close(self) -> None:
        """Let the process end."""
        for listener in self._listeners:
            listener.close()
        self._pipe.close()
        self.process.join(WAIT)
        if self.process.exitcode is None:
            self.kill()


@pytest.fixture(scope="session")
def host_process() -> Iterator[HostProcess]:
    """The process that most tests share. Whoever kills processes starts one with ``spawn_host``."""
    process = HostProcess()
    yield process
    process.close()


@pytest.fixture(scope="module")
def one_core(host_process: HostProcess) -> Iterator[None]:
    """Keep this process and the host on one core. They take turns; so neither has to wake another core up."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

    def move(to: set[int]) -> None:
        for pid in (os.getpid(), host_process.pid):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), to)

    move({cores[worker % len(cores)]})
    yield
    move(set(cores))


@pytest.fixture
def spawn_host() -> Iterator[Callable[[], HostProcess]]:
    """A function that starts a host process for this test alone."""
    with contextlib.ExitStack() as stack:

        def spawn() -> HostProcess:
            process = HostProcess()
            stack.callback(process.close)
            return process

        yield spawn


@pytest.fixture(params=PARADIGMS)
def paradigm(request: pytest.FixtureRequest) -> str:
    """Both paradigms, one after the other."""
    return request.param


Hosted = Callable[..., Any]


@contextlib.contextmanager
def agents_of(process: HostProcess) -> Iterator[Hosted]:
    """Yield a function that returns environments of ``process``; they are closed at the end of the block."""
    with contextlib.ExitStack() as stack:

        def hosted(
            source: str,
            paradigm: str,
            *,
            chosen: bool = False,
            backend: dict[str, Any] | None = None,
            **kwargs: Any,
        ) -> Any:
            """Return an agent's environment for ``source``, which runs in the other process.

            ``backend`` are arguments for the backend, ``kwargs`` for ClientEnv or ServerEnv;
            for ``chosen`` see `HostProcess.address`.
            """
            cls = rlay.ClientEnv if paradigm == "client" else rlay.ServerEnv
            address = process.address(source, paradigm, chosen=chosen, **(backend or {}))
            env = cls(address, connect_timeout=WAIT, **kwargs)
            stack.callback(quietly_close, env)
            return env

        yield hosted


def make(process: HostProcess, source: str, paradigm: str, *, chosen: bool = False, **kwargs: Any) -> gym.Env[Any, Any]:
    """Return the same through ``gym.make``, with all the wrappers that adds."""
    name = "ClientEnv" if paradigm == "client" else "ServerEnv"
    return gym.make(f"rlay:{name}-v0", address=process.address(source, paradigm, chosen=chosen), **kwargs)


def quietly_close(env: Any) -> None:
    """Close whatever state ``env`` is in."""
    with contextlib.suppress(rlay.Error):
        env.close()


@pytest.fixture
def hosted(host_process: HostProcess) -> Iterator[Hosted]:
    """``hosted(source, paradigm)``: an agent's environment that runs in the shared host process."""
    with agents_of(host_process) as function:
        yield function


@pytest.fixture
def moods(host_process: HostProcess) -> Iterator[Moods]:
    """What ``moods.py`` offers, in the shared host process."""
    with moods_of(host_process) as moods:
        yield moods


@pytest.fixture
def own_moods(spawn_host: Callable[[], HostProcess]) -> Iterator[Moods]:
    """Moods of a host process that the test may kill."""
    host = spawn_host()
    with moods_of(host) as moods:
        yield moods
        moods.forsake()


Start = Callable[..., Program]


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with the Rust programs. RLAY_EXAMPLES says where they are if they are built already."""
    if "RLAY_EXAMPLES" in os.environ:
        return Path(os.environ["RLAY_EXAMPLES"])
    cargo = shutil.which("cargo")
    assert cargo, "cargo builds the Rust programs; without it, set RLAY_EXAMPLES"
    examples = [argument for name in PROGRAMS for argument in ("--example", name)]
    command = [cargo, "build", "--quiet", "--release", "-p", "rlay", "-p", "rlay-gym", "--all-features", *examples]
    subprocess.run(command, cwd=ROOT, check=True)
    told = subprocess.run(
        [cargo, "metadata", "--no-deps", "--format-version=1"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return Path(json.loads(told.stdout)["target_directory"]) / "release" / "examples"


@pytest.fixture
def start(programs: Path) -> Start:
    """Start one of the Rust programs."""
    return lambda name, *arguments: Program(str(programs / name), *arguments)


MADE = ("two hosts", "a bad link", "a link that goes down")
"""What tests make as well as the machine allows; they record how."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how that was, and which faults were brought about."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    recorded = [pair for report in reports for pair in getattr(report, "user_properties", [])]
    for line in sorted({f"{name}: {how}" for name, how in recorded if name in MADE}):
        terminalreporter.line(line)
    import failure_page  # which needs this module

    measured = {tuple(key): seconds for name, (*key, seconds) in recorded if name == failure_page.MEASURED}
    if measured:
        terminalreporter.section("faults")
        terminalreporter.write(failure_page.summary(measured))


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

"""Fixtures: processes that host environments, the environments in them, Rust programs, and fresh addresses."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["SDL_AUDIODRIVER"] = "dummy"
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())

from host_process import PARADIGMS, Hosted, HostProcess, Start, agents_of
from processes import ROOT, Program
from scripted_host import ScriptedHost, scripted_host_of

# Shells let what they start in the background ignore Ctrl-C, and every program here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
TOUCH_GYMNASIUM = ("spaces", "gymnasium_api")
"""Folders in which all tests depend on Gymnasium's release; in other folders the marked tests do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run with the oldest Gymnasium."""
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in TOUCH_GYMNASIUM:
            item.add_marker("gymnasium")


PROGRAMS = (
    "cartpole_server",
    "agent",
    "counting_game",
    "game",
    "policy_server",
    "transcript",
    "silent_client",
    "vector_server",
)


@pytest.fixture(scope="session")
def host_process() -> Iterator[HostProcess]:
    """The process that most tests share. A test that kills processes starts one with ``spawn_host``."""
    process = HostProcess()
    yield process
    process.close()


@pytest.fixture(scope="module")
def one_core(host_process: HostProcess) -> Iterator[None]:
    """Keep this process and the host on one core. The two run in turns, so neither has to wake another core."""
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
def spawn_host() -> Iterator[Callable[..., HostProcess]]:
    """A function that starts a host process for this test alone; with ``fresh=True``, see `HostProcess`."""
    with contextlib.ExitStack() as stack:

        def spawn(fresh: bool = False) -> HostProcess:
            process = HostProcess(fresh)
            stack.callback(process.close)
            return process

        yield spawn


@pytest.fixture(params=PARADIGMS)
def paradigm(request: pytest.FixtureRequest) -> str:
    """Both paradigms, one after the other."""
    return request.param


@pytest.fixture
def hosted(host_process: HostProcess) -> Iterator[Hosted]:
    """``hosted(source, paradigm)``: an agent's environment that runs in the shared host process."""
    with agents_of(host_process) as function:
        yield function


@pytest.fixture
def scripted_host(host_process: HostProcess) -> Iterator[ScriptedHost]:
    """What ``scripted_host.py`` offers, in the shared host process."""
    with scripted_host_of(host_process) as scripted_host:
        yield scripted_host


@pytest.fixture
def own_scripted_host(spawn_host: Callable[[], HostProcess]) -> Iterator[ScriptedHost]:
    """The scripted host of a process that the test may kill."""
    host = spawn_host()
    with scripted_host_of(host) as scripted_host:
        yield scripted_host
        scripted_host.disown()


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
    """Print how the tests' surroundings were made, and which faults were injected."""
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

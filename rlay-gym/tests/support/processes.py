"""Programs in processes of their own: started from a source text, driven by lines, ended by their starter."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from forked_process import ForkedProcess, forked

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[2]
WAIT = 30.0
"""Bounds every wait, in seconds."""


def environment() -> dict[str, str]:
    """Return what programs find in their environment."""
    paths = [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


class Program:
    """A program with output that is read by lines; as a context manager it is killed at the end."""

    def __init__(self, *command: str, process: ForkedProcess | None = None) -> None:
        self.process = process or subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.errors: list[str] = []
        assert self.process.stdout is not None and self.process.stderr is not None
        self._read(self.process.stdout, self._lines.put, last=True)
        self._read(self.process.stderr, self.errors.append)

    def _read(self, stream: IO[str], give: Callable[[Any], None], last: bool = False) -> None:
        def run() -> None:
            with contextlib.suppress(ValueError):
                for line in stream:
                    give(line.rstrip("\n"))
            if last:
                give(None)

        threading.Thread(target=run, daemon=True).start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, timeout: float = WAIT) -> str:
        """Return the next line it prints."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"the program printed nothing within {timeout} s; {self._errors()}") from None
        assert line is not None, f"the program ended with {self.process.wait(WAIT)}; {self._errors()}"
        return line

    def printed(self) -> list[str]:
        """Return the lines it has printed since."""
        lines = []
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                lines.append(line)
        return lines

    def find(self, text: str, timeout: float = WAIT) -> str:
        """Return the next line it prints that holds ``text``."""
        deadline = time.monotonic() + timeout
        while True:
            line = self.line(max(0.0, deadline - time.monotonic()))
            if text in line:
                return line

    def _errors(self) -> str:
        return "its standard error:\n" + "\n".join(self.errors)

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the program as a crash does."""
        self.process.kill()
        self.process.wait(WAIT)

    def wait(self, timeout: float = WAIT) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(timeout)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError, ValueError):
                stream.close()


def python(source: str, *arguments: str, within: Sequence[str] = (), fresh: bool = False) -> Program:
    """Start a Python program; ``within`` is a command that runs the command after it.

    Its interpreter has imported Gymnasium already, unless it is to be a ``fresh`` one.
    """
    source = textwrap.dedent(source)
    if not within and not fresh and (process := forked(source, arguments, environment())):
        return Program(process=process)
    return Program(*within, sys.executable, "-c", source, *arguments)


def free_address() -> str:
    """Return an address without a listener: on a loopback host of this process's own, so that none is by chance."""
    number = os.getpid()
    host = f"127.{78 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    with socket.create_server((host, 0)) as listener:
        return f"tcp://{host}:{listener.getsockname()[1]}"


def held(pid: int) -> tuple[int, int, int]:
    """Return the descriptors, threads and mappings of a process."""
    here = Path(f"/proc/{pid}")
    mappings = (here / "maps").read_text().count("\n")
    return len(list((here / "fd").iterdir())), len(list((here / "task").iterdir())), mappings


def own_memory(pid: int) -> int:
    """Return how many KiB of memory a process has for itself: what it allocated and touched."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


def until(ready: Callable[[], Any], what: str, timeout: float = WAIT) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout
    while not (answer := ready()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.01)
    return answer


@contextlib.contextmanager
def thread(target: Callable[[], Any]) -> Iterator[threading.Thread]:
    """Run ``target`` beside the block, and wait for its end after it. What it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            target()
        except BaseException as error:
            raised.append(error)

    beside = threading.Thread(target=run, daemon=True)
    beside.start()
    yield beside
    beside.join(WAIT)
    assert not beside.is_alive(), "the thread beside did not end"
    if raised:
        raise raised[0]

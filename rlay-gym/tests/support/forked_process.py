"""Python programs that ``python_forker.py`` forks, with the interface of `subprocess.Popen` as far as tests use it."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

FORKER = Path(__file__).with_name("python_forker.py")


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an interpreter reads while it starts."""
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


class _Forker:
    """The interpreter that forks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = _of_python(environment)
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(FORKER), str(theirs.fileno())]
            # It ends when the last copy of this end of the socket is closed.
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=dict(environment)
            )

    def ask(self, request: object, streams: Sequence[int] = ()) -> int:
        """Return the number that the forker answers."""
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
            return int(self._socket.recv(64))


@functools.cache
def _forker() -> _Forker:
    from processes import environment

    return _Forker(environment())


def forked(source: str, arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedProcess | None:
    """Run a program in a fork; return None where an interpreter of its own would differ, or nothing can be forked."""
    if not hasattr(os, "pidfd_open") or _of_python(environment) != _forker().environment:
        return None
    return ForkedProcess(_forker(), source, arguments, environment)


class ForkedProcess:
    """A child of the forking process, waited for through that process."""

    def __init__(self, forker: _Forker, source: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        (stdin, to), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
        request = {
            "source": source,
            "arguments": arguments,
            "environment": dict(environment),
            "directory": os.getcwd(),
        }
        self._forker = forker
        self.pid = forker.ask(request, (stdin, stdout, stderr))
        for stream in (stdin, stdout, stderr):
            os.close(stream)
        # Even if the process has ended, its number is not reused until it is waited for.
        self._descriptor = os.pidfd_open(self.pid)
        self._waiting = threading.Lock()
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = open(to, "w"), open(out), open(err)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it was waited for."""
        with self._waiting:
            if self.returncode is None:
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """End the process as a crash does."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """Wait for its end and return the exit status."""
        with self._waiting:
            if self.returncode is None:
                if not select.select([self._descriptor], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("python", timeout)
                self.returncode = self._forker.ask({"ended": self.pid})
                os.close(self._descriptor)
            return self.returncode

"""The command ``rlay`` as a process, and what its judge found."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from processes import WAIT, Program, environment

RLAY = (sys.executable, "-m", "rlay")
LONGEST = 300.0
"""Bounds a run of the judge, which takes ten seconds."""


def run(*arguments: str, timeout: float = LONGEST) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run((*RLAY, *arguments), capture_output=True, text=True, timeout=timeout, env=environment())


def judge(*arguments: str) -> dict[str, Any]:
    """Return the report of ``rlay check``."""
    ended = run("check", "--json", *arguments)
    assert ended.returncode in (0, 1), ended.stderr
    report = json.loads(ended.stdout)
    assert ended.returncode == bool(report["failed"])
    return report


def failures(report: dict[str, Any]) -> list[str]:
    """Return what failed, and why."""
    checks = [check for check in report["checks"] if check["result"] == "failed"]
    return [f"{check['name']} (section {check['section']}): {check['why']}" for check in checks]


class Listening:
    """A judge that listens for a client that dials."""

    def __init__(self, program: Program) -> None:
        self._program = program
        deadline = time.monotonic() + WAIT
        while not any("listening at " in line for line in program.errors):
            assert time.monotonic() < deadline, program.errors
            time.sleep(0.01)
        self.address = program.errors[-1].split()[-1]

    def report(self) -> dict[str, Any]:
        """Wait for the end, and return the report."""
        assert self._program.wait(LONGEST) in (0, 1), self._program.errors
        return json.loads(self._program.line())


@contextlib.contextmanager
def listening(address: str = "tcp://127.0.0.1:0", *arguments: str) -> Iterator[Listening]:
    """Start a judge that listens."""
    with Program(*RLAY, "check", "--json", "--connect-timeout", "30", "--listen", address, *arguments) as program:
        yield Listening(program)

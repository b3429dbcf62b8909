"""Lets a run fail when a test was skipped, unless ``skips.txt`` says that it may be, and why.

Each line of that file is ``id: reason``, just as the failure prints it. A test that is expected to
fail counts as skipped.
"""

from __future__ import annotations

from pathlib import Path

import pytest

LIST = Path(__file__).resolve().parents[1] / "skips.txt"

unlisted: list[str] = []


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped:
        return
    # Where it was skipped, then "Skipped: " and the reason.
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    reason = getattr(report, "wasxfail", text.removeprefix("Skipped: "))
    line = f"{report.nodeid}: {reason}"
    if line not in LIST.read_text().splitlines():
        unlisted.append(line)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unlisted:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if unlisted:
        terminalreporter.section(f"skipped, and not in {LIST.name}", red=True)
        for line in unlisted:
            terminalreporter.line(line)

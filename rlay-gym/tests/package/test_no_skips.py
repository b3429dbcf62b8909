"""A skipped test fails the run, unless the list says that it may be skipped, and why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import no_skips

TESTS = """
import pytest

@pytest.mark.skip(reason="no ship")
def test_marked(): ...

def test_inside():
    pytest.skip("no ship")

@pytest.mark.xfail(reason="no ship")
def test_expected_to_fail():
    assert False

def test_good(): ...
"""
MODULE = "import pytest\npytest.importorskip('no_such_module', reason='no ship')"
SKIPPED = [
    "test_module.py: no ship",
    "test_them.py::test_marked: no ship",
    "test_them.py::test_inside: no ship",
    "test_them.py::test_expected_to_fail: no ship",
]


def run(folder: Path, listed: list[str], *arguments: str) -> tuple[int, list[str]]:
    """Run test files of its own with a skip list of its own; return exit code and output."""
    (folder / "support").mkdir(exist_ok=True)
    (folder / "support" / "no_skips.py").write_text(Path(no_skips.__file__).read_text())
    (folder / "skips.txt").write_text("\n".join(listed))
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = support\naddopts = -p no_skips\n")
    (folder / "test_them.py").write_text(TESTS)
    (folder / "test_module.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_skips_fail_the_run(tmp_path: Path, workers: str) -> None:
    code, output = run(tmp_path, [], "-n", workers)
    assert code == 1
    assert set(SKIPPED) <= set(output)


def test_listed_skips_do_not_and_the_reason_counts(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED)[0] == 0
    code, output = run(tmp_path, [*SKIPPED[1:], SKIPPED[0] + " today"])
    assert code == 1
    assert SKIPPED[0] in output
    assert SKIPPED[1] not in output


def test_a_run_without_skips_passes(tmp_path: Path) -> None:
    assert run(tmp_path, [], "test_them.py::test_good")[0] == 0

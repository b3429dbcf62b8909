"""The judge finds nothing wrong with a small foreign client, and each fault that it can be given."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import faulty_client
from judge import failures, judge
from processes import SUPPORT, Program

# A judge waits for what a fault keeps silent.
pytestmark = pytest.mark.timeout(600)

TOKEN = "a token of these tests"
WITH_TOKEN = {"asks-for-no-token", "believes-any-proof"}


def start(*arguments: str) -> tuple[Program, str]:
    program = Program(sys.executable, f"{SUPPORT}/faulty_client.py", *arguments)
    return program, program.find("listening at ").split()[-1]


def test_a_client_without_a_fault_passes() -> None:
    program, address = start()
    with program:
        report = judge(address)
        assert failures(report) == []
        assert report["passed"] > 130


def test_a_client_with_a_token_passes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    program, address = start("--token", TOKEN)
    with program:
        report = judge(address, "--token-file", str(file))
        assert failures(report) == []
        names = {check["name"] for check in report["checks"] if check["result"] == "passed"}
        assert {"a dialer without the token", "a dialer with another token"} <= names


@pytest.mark.parametrize("fault", faulty_client.FAULTS)
def test_every_fault_is_found(fault: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    has_token = fault in WITH_TOKEN
    program, address = start("--fault", fault, *(["--token", TOKEN] if has_token else []))
    with program:
        given = ["--token-file", str(file)] if has_token else []
        report = judge(address, "--level", faulty_client.FAULTS[fault], "--timeout", "2", *given)
    assert failures(report), f"nothing was found in {fault}"
    found = [check for check in report["checks"] if check["result"] == "failed"]
    assert all(1 <= check["section"] <= 22 and check["why"] for check in found)
    # Each failure shows the bytes of what was said.
    assert any(entry["hex"] for check in found for entry in check["record"])

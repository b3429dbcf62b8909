"""RLay's own hosts pass the judge, over every transport and whichever side dials."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

import rlay
from judge import failures, judge, listening, run
from processes import WAIT, Program

TOKEN = "a token of these tests"


def addresses(tmp_path: Path) -> dict[str, str]:
    """Return where hosts listen, by scheme."""
    name = uuid.uuid4().hex
    return {
        "tcp": "tcp://127.0.0.1:0",
        "unix": f"unix://{tmp_path}/rlay.sock",
        "shm": f"shm://{name}",
        "quic": "quic://127.0.0.1:0",
        "tls": "tls://127.0.0.1:0",
    }


@pytest.mark.parametrize("scheme", ["tcp", "unix", "shm", "quic", "tls"])
def test_a_host_that_listens_passes(scheme: str, tmp_path: Path) -> None:
    with rlay.ServerBackend("CartPole-v1", addresses(tmp_path)[scheme]) as host:
        report = judge(host.address)
    assert failures(report) == []
    assert report["passed"] > 120


@pytest.mark.parametrize("scheme", ["tcp", "unix", "shm", "quic"])
def test_a_host_that_dials_passes(scheme: str, tmp_path: Path) -> None:
    with listening(addresses(tmp_path)[scheme]) as judging:
        with rlay.ClientBackend("CartPole-v1", judging.address, connect_timeout=WAIT):
            report = judging.report()
    assert failures(report) == []
    assert report["passed"] > 80


def test_a_host_with_a_token_passes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    with rlay.ServerBackend("FrozenLake-v1", token=TOKEN) as host:
        assert failures(judge(host.address, "--token-file", str(file))) == []
        refused = run("check", host.address, "--level", "contract")
    assert refused.returncode == 1


def test_a_host_that_lists_attributes_passes() -> None:
    with rlay.ServerBackend("CartPole-v1", attributes=["gravity", "a name that it has not"]) as host:
        report = judge(host.address, "--level", "conversation")
    assert failures(report) == []
    names = {check["name"] for check in report["checks"] if check["result"] == "passed"}
    # A picture is longer than the smallest frame limit.
    assert {"attributes that are listed", "an answer above the agreed limit is Error 1"} <= names


@pytest.mark.parametrize("level", ["handshake", "contract"])
def test_one_level_alone(level: str) -> None:
    with rlay.ServerBackend("FrozenLake-v1") as host:
        report = judge(host.address, "--level", level)
    assert {check["level"] for check in report["checks"]} == {level}
    assert failures(report) == []


def test_a_failure_shows_section_and_bytes() -> None:
    with Program(sys.executable, "-m", "faulty_client", "--fault", "re-missing") as program:
        address = program.find("listening at ").split()[-1]
        ended = run("check", address, "--level", "determinism")
    assert ended.returncode == 1
    assert "re of Spec is 0, and must be 1" in ended.stdout
    assert "received: Spec seq 1 ack 1 re 0" in ended.stdout
    assert "20000000" in ended.stdout
    assert ended.stdout.splitlines()[-1].endswith("s") and " 3 failed" in ended.stdout.splitlines()[-1]

"""The clients of ``sdk/`` pass the judge, whichever side dials."""

from __future__ import annotations

from typing import Any

import pytest

from judge import failures, judge, listening

# Up to eighteen judgements, on a slow machine.
pytestmark = pytest.mark.timeout(600)


def timeout_of(games: Any) -> tuple[str, str]:
    return "--timeout", str(games.client.judged_timeout)


def test_a_client_that_listens_passes(games: Any) -> None:
    _, address = games.listen("--sessions", "3")
    report = judge(address, *timeout_of(games))
    assert failures(report) == []
    assert report["passed"] > 140


def test_a_client_with_a_token_passes(games: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAY_TOKEN", "a token of these tests")
    _, address = games.listen()
    report = judge(address, *timeout_of(games), "--level", "handshake")
    assert failures(report) == []
    # Without a token these do not apply.
    names = {check["name"] for check in report["checks"] if check["result"] == "passed"}
    assert {"a dialer without the token", "a dialer with another token"} < names


def test_every_space_passes(games: Any) -> None:
    # Echo draws no number and ends no episode: determinism and the contract are judged with Drift alone.
    _, address = games.listen()
    for case in range(18):
        echo = ("--env-id", "Echo", "--env-kwargs", f'{{"case": {case}}}')
        report = judge(address, *timeout_of(games), *echo, "--level", "spaces")
        assert failures(report) == [], case
        assert report["passed"] >= 8, case


def test_a_client_that_dials_passes(games: Any) -> None:
    with listening("tcp://127.0.0.1:0", *timeout_of(games)) as judging:
        games.start("--dial", judging.address, "--sessions", "3")
        report = judging.report()
    assert failures(report) == []
    assert report["passed"] > 80

"""The clients of ``sdk/`` pass the judge, whichever side dials."""

from __future__ import annotations

from typing import Any

import pytest

from judge import failures, judge, listening

# Up to eighteen judgements, on a slow machine.
pytestmark = pytest.mark.timeout(600)


def test_a_client_that_listens_passes(games: Any) -> None:
    _, address = games.listen("--sessions", "3")
    report = judge(address)
    assert failures(report) == []
    assert report["passed"] > 140


def test_every_space_passes(games: Any) -> None:
    _, address = games.listen("--sessions", "3")
    for case in range(18):
        kwargs = ("--env-id", "Echo", "--env-kwargs", f'{{"case": {case}}}')
        report = judge(address, *kwargs, "--level", "spaces", "--level", "determinism", "--level", "contract")
        assert failures(report) == [], case


def test_a_client_that_dials_passes(games: Any) -> None:
    with listening() as judging:
        games.start("--dial", judging.address, "--sessions", "3")
        report = judging.report()
    assert failures(report) == []
    assert report["passed"] > 80

"""Every fault of the table in ``faults.py``, over every transport: who sees what, how soon, and that things go on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import faults
from conftest import ROOT, HostProcess
from faults import BOUNDS, FAULTS, GONE, NOTHING, Fault, Logged, Raised
from mishaps import Stage
from moods import Moods

HERE = ROOT / "rlay-gym" / "tests"


def check(expected: object, found: object) -> None:
    """Fail unless that is what was raised or said."""
    if isinstance(expected, Raised):
        assert all(isinstance(found, cls) for cls in expected.classes), repr(found)
        assert expected.says in str(found)
    elif isinstance(expected, faults.Told):
        assert expected.says in str(found)
    else:
        assert found is None


@pytest.mark.parametrize(
    ("fault", "scheme"),
    [
        pytest.param(fault, scheme, id=f"{fault.name}-{scheme}")
        for fault in FAULTS
        for outcome in fault.outcomes
        for scheme in outcome.over
    ],
)
def test_fault(
    request: pytest.FixtureRequest,
    fresh: Callable[[str], str],
    spawn_host: Callable[[], HostProcess],
    fault: Fault,
    scheme: str,
) -> None:
    outcome = fault.outcome(scheme)
    moods: Moods = request.getfixturevalue("own_moods" if fault.is_the_hosts else "moods")
    seen = fault.bring(Stage(scheme, moods, fresh, spawn_host))
    check(outcome.agent, seen.agent)
    check(outcome.host, seen.host)
    assert seen.after < BOUNDS[outcome.when]
    if isinstance(outcome.host, Logged):
        moods.log(outcome.host.says)
    elif outcome.host == NOTHING:
        assert moods.host.take_log() == []
    else:
        assert isinstance(outcome.host, Raised) or outcome.host == GONE


def test_the_page_shows_this_table() -> None:
    """If it does not, renew it; ``faults.py`` says how."""
    assert (ROOT / "docs" / "failure.md").read_text() == faults.page()


@pytest.mark.parametrize("fault", faults.ELSEWHERE, ids=lambda fault: fault.name)
def test_the_tests_named_there_exist(fault: Any) -> None:
    file, name = fault.test.split("::")
    assert re.search(rf"^def {name}\(", (HERE / file).read_text(), re.MULTILINE)

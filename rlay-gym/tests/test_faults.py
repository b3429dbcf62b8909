"""Every fault of the table in ``faults.py``, over every transport: who sees what, how soon, and that things go on."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import faults
from conftest import ROOT, HostProcess
from faults import BOUNDS, FAULTS, GOES_ON, GONE, NOTHING, OF_SILENCE, Fault, Logged, Raised
from mishaps import Stage
from moods import Moods, moods_of
from processes import HERE

Fresh = Callable[[str], str]
Spawn = Callable[[], HostProcess]


def check(expected: object, found: object) -> None:
    """Fail unless that is what was raised or said."""
    if isinstance(expected, Raised):
        assert all(isinstance(found, cls) for cls in expected.classes), repr(found)
        assert expected.says in str(found)
    elif isinstance(expected, faults.Told):
        assert expected.says in str(found)
    else:
        assert found is None


def prove(fault: Fault, stage: Stage) -> None:
    """Bring the fault about, and fail unless all comes as the table says."""
    outcome = fault.outcome(stage.scheme)
    seen = fault.bring(stage)
    check(outcome.agent, seen.agent)
    check(outcome.host, seen.host)
    assert seen.after < BOUNDS[outcome.when]
    if isinstance(outcome.host, Logged):
        stage.moods.log(outcome.host.says)
    elif outcome.host == NOTHING:
        # A place may still be taken when the next agent asks for it, which then tries again.
        assert [line for line in stage.moods.host.take_log() if "sessions are taken" not in line] == []
    else:
        assert isinstance(outcome.host, Raised) or outcome.host == GONE


TAKES_LONG = (OF_SILENCE, GOES_ON)
CASES = [(fault, scheme, outcome.when) for fault in FAULTS for outcome in fault.outcomes for scheme in outcome.over]
SLOW = [(fault, scheme) for fault, scheme, when in CASES if when in TAKES_LONG]


@pytest.mark.parametrize(
    ("fault", "scheme"),
    [
        pytest.param(fault, scheme, id=f"{fault.name}-{scheme}")
        for fault, scheme, when in CASES
        if when not in TAKES_LONG
    ],
)
def test_a_fault(request: pytest.FixtureRequest, fresh: Fresh, spawn_host: Spawn, fault: Fault, scheme: str) -> None:
    moods: Moods = request.getfixturevalue("own_moods" if fault.is_the_hosts else "moods")
    prove(fault, Stage(scheme, moods, fresh, spawn_host))


def test_the_faults_that_take_long(fresh: Fresh, spawn_host: Spawn) -> None:
    """All at the same time, for each takes half a minute."""
    wrong: dict[str, BaseException] = {}

    def play(fault: Fault, scheme: str, host: HostProcess) -> None:
        try:
            with moods_of(host) as moods:
                prove(fault, Stage(scheme, moods, fresh, spawn_host))
                if fault.is_the_hosts:
                    moods.forsake()
        except BaseException as error:
            wrong[f"{fault.name}-{scheme}"] = error

    with ThreadPoolExecutor(len(SLOW)) as pool:
        for fault, scheme in SLOW:
            pool.submit(play, fault, scheme, spawn_host())
    assert not wrong, wrong


def test_the_page_shows_this_table(record_property: Callable[[str, object], None]) -> None:
    """If it does not, renew it; ``faults.py`` says how. The summary of the run shows it, too, see ``conftest.py``."""
    record_property("faults", faults.lines(faults.rows()))
    assert (ROOT / "docs" / "failure.md").read_text() == faults.page()


@pytest.mark.parametrize("fault", faults.ELSEWHERE, ids=lambda fault: fault.name)
def test_the_tests_named_there_exist(fault: Any) -> None:
    file, name = fault.test.split("::")
    # Those in Rust are named from the top.
    path, word = (HERE.parents[1] / file, "fn") if file.endswith(".rs") else (HERE / file, "def")
    assert re.search(rf"^{word} {name}\(", path.read_text(), re.MULTILINE)

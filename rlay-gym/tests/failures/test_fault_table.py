"""Every fault of ``fault_table.py``, over every transport and in both paradigms: what each side sees, how soon, and
what continues."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import failure_page
from fault_outcomes import BOUNDS, EARLIEST, GONE, NEVER, NOTHING, TAKES_LONG, Fault, Logged, Raised, Told
from fault_table import FAULTS
from host_process import HostProcess
from processes import ROOT
from scenario import SCENARIOS, Scenario
from scripted_host import ScriptedHost, scripted_host_of

Fresh = Callable[[str], str]
Spawn = Callable[[], HostProcess]
Record = Callable[[str, object], None]

TESTS = ROOT / "rlay-gym" / "tests"
SIDES = ("agent", "host")

# Log lines about waiting are no fault: when all permits are taken an agent tries again, and an endpoint that waits for
# long says for what.
PATIENCE = ("is taken;", "are taken;", "still waiting for", "waiting for an environment", "still no connection")


def prove(fault: Fault, scenario: Scenario, record: Record) -> None:
    """Inject the fault, and fail unless its outcome is as the table says."""
    outcome = fault.courses[scenario.paradigm].outcome(scenario.scheme)
    expected = {"agent": outcome.agent, "host": outcome.host}
    with scenario, fault.bring(scenario) as seen:
        after = seen.after
        for side, sight in expected.items():
            found = getattr(seen, side)
            if isinstance(sight, Raised | Told):
                assert sight.says in str(found), repr(found)
                assert isinstance(sight, Told) or all(isinstance(found, cls) for cls in sight.classes), repr(found)
            else:
                assert found is None
            if isinstance(sight, Logged):
                began = time.monotonic()
                scenario.hear(side, sight.says)
                after += time.monotonic() - began
        assert EARLIEST.get(outcome.when, 0.0) <= after < BOUNDS[outcome.when]
    for side, sight in expected.items():
        if sight == NOTHING:
            lines = scenario.take_log(side)
            assert [line for line in lines if not any(word in line for word in PATIENCE)] == []
        else:
            assert sight == GONE or not isinstance(sight, str)
    if outcome.when != NEVER:
        record(failure_page.MEASURED, (fault.name, scenario.paradigm, scenario.scheme, after))


CASES = [
    pytest.param(fault, paradigm, scheme, id=f"{fault.name}-{paradigm}-{scheme}")
    for fault in FAULTS
    for paradigm, course in fault.courses.items()
    for outcome in course.outcomes
    for scheme in outcome.over
]


def takes_long(fault: Fault, paradigm: str, scheme: str) -> bool:
    return fault.courses[paradigm].outcome(scheme).when in TAKES_LONG


@pytest.mark.parametrize(("fault", "paradigm", "scheme"), [case for case in CASES if not takes_long(*case.values)])
def test_a_fault(
    request: pytest.FixtureRequest,
    record_property: Record,
    fresh: Fresh,
    scripted_host: ScriptedHost,
    fault: Fault,
    paradigm: str,
    scheme: str,
) -> None:
    here = request.getfixturevalue("own_scripted_host") if fault.ends_the_host else scripted_host
    prove(fault, SCENARIOS[paradigm](scheme, here, fresh, lambda: scripted_host), record_property)


@pytest.mark.timeout(300)
def test_the_faults_that_take_long(record_property: Record, fresh: Fresh, spawn_host: Spawn) -> None:
    """All faults at the same time, for each takes a quarter of a minute."""
    slow = [case for case in CASES if takes_long(*case.values)]
    # Where all of them start at once none is there in time.
    starting = threading.Semaphore(4)
    wrong: dict[str, BaseException] = {}

    def play(case: Any) -> None:
        fault, paradigm, scheme = case.values
        try:
            with contextlib.ExitStack() as stack:

                def start() -> ScriptedHost:
                    with starting:
                        return stack.enter_context(scripted_host_of(spawn_host()))

                scripted_host = start()
                try:
                    prove(fault, SCENARIOS[paradigm](scheme, scripted_host, fresh, start), record_property)
                finally:
                    if fault.ends_the_host:
                        scripted_host.disown()
        except BaseException as error:
            wrong[case.id] = error

    with ThreadPoolExecutor(len(slow)) as pool:
        for case in slow:
            pool.submit(play, case)
    assert not wrong, wrong


def test_the_page_shows_this_table() -> None:
    """If the page differs, renew it; ``failure_page.py`` says how."""
    assert (ROOT / "docs" / "failure.md").read_text() == failure_page.page()


@pytest.mark.parametrize("fault", failure_page.ELSEWHERE, ids=lambda fault: fault.name)
def test_the_tests_named_there_exist(fault: Any) -> None:
    file, name = fault.test.split("::")
    # Tests in Rust are named from the root of the repository.
    path, word = (ROOT / file, "fn") if file.endswith(".rs") else (TESTS / file, "def")
    assert re.search(rf"^{word} {name}\(", path.read_text(), re.MULTILINE)

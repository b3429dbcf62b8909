"""The page ``docs/failure.md`` and the summary of a run: the table of faults as text, and what other tests show.

To renew the page, from ``rlay-gym``: ``PYTHONPATH=python python tests/support/failure_page.py > ../docs/failure.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from fault_outcomes import AT_ONCE, AT_THE_DEADLINE, GONE, NOTHING, OF_SILENCE, Elsewhere, but
from fault_table import FAULTS
from host_process import PARADIGMS, SCHEMES
from scenario import LIVENESS

MEASURED = "a fault, and after how many seconds it was seen"
"""How tests record that, for the summary: the name of the fault, the paradigm, the transport, the seconds."""

LINK_DOWN = "the link between two machines goes down"

Measured = Mapping[tuple[str, str, str], float]

ELSEWHERE = (
    Elsewhere(
        "a kill in the middle of a large frame", "all", "`ConnectionLost`", "log", f"{AT_ONCE}, `quic` {OF_SILENCE}",
        "the host serves the next agent",
        "failures/test_transport_failures.py::test_a_kill_in_the_middle_of_a_large_frame",
    ),
    Elsewhere(
        "a large action, and a host that takes nothing in", "tcp, tls, zmq, quic, ws", "`Timeout`, or Ctrl-C", NOTHING,
        AT_THE_DEADLINE, "another connection brings what was half sent, within `reconnect_timeout`",
        "failures/test_blocked_sends.py::test_a_deadline",
    ),
    Elsewhere(
        "the same, on one machine", "unix, zmq+ipc, shm", "`ConnectionLost` where it was half sent, else `Timeout`",
        NOTHING, AT_THE_DEADLINE, "the host serves the next agent",
        "failures/test_blocked_sends.py::test_a_deadline",
    ),
    Elsewhere(
        "a large answer, and an agent that takes nothing in", "all", GONE, "`close()` takes no longer than ever",
        AT_ONCE, "the environment is closed",
        "failures/test_blocked_sends.py::test_a_host_that_closes",
    ),
    Elsewhere(
        "the name server says nothing", "tcp, tls, zmq, quic, ws", "`ConnectionLost`", "the same, if it dials",
        "at `connect_timeout`", "", "failures/test_name_lookup.py::test_a_deadline_is_kept",
    ),
    Elsewhere(
        LINK_DOWN, "tcp, tls, zmq, quic, ws", "`ConnectionLost`", "log", "after `liveness` and `reconnect_timeout`",
        "both dial anew",
        "endpoints/test_two_machines.py::test_both_ends_notice_that_the_link_is_down",
    ),
    Elsewhere(
        "one of another release dials, whichever it is", "all", "refused, or log", "log, or refused", AT_ONCE,
        "the listener admits the next",
        "tests/facade/version_mismatch.rs::one_of_another_release_is_told",
    ),
    Elsewhere(
        "the connection is cut, both sides live", "tcp, tls, zmq, quic, ws", NOTHING, "nothing", "",
        "the session goes on, every step is taken once",
        "tests/facade/reconnecting.rs::a_session_outlasts_its_connections",
    ),
    Elsewhere(
        "the connection is cut after any one byte, in either direction", "a stream of bytes in memory", NOTHING,
        "nothing", "", "the session goes on, every step is taken once",
        "rlay-testkit/tests/sessions.rs::cut_everywhere",
    ),
    Elsewhere(
        "the disk with the log of a launched game is full", "launch", NOTHING, GONE, "", "the game goes on",
        "endpoints/test_launch.py::test_a_full_disk_does_not_stop_it",
    ),
    Elsewhere(
        "a launched game takes its time to save when the environment is closed", "launch", NOTHING, GONE,
        "up to `close_timeout`", "`close()` waits for it; several end side by side",
        "endpoints/test_launch.py::test_programs_end_side_by_side",
    ),
    Elsewhere(
        "a launched game does not end", "launch", "log: SIGTERM, SIGKILL", GONE,
        "after `close_timeout`, and 5 s more", "it has ended when `close()` returns",
        "endpoints/test_launch.py::test_one_that_does_not_end_is_ended",
    ),
    Elsewhere(
        "a launcher script puts the game into the background and ends", "launch", "`ConnectionLost`", GONE,
        "at once", "the game is ended; the script is to let it take its place",
        "endpoints/test_launch.py::test_a_script_that_puts_the_game_into_the_background",
    ),
    Elsewhere(
        "another program dials where a launched game is to dial", "launch", "log", GONE, AT_ONCE,
        "they are refused, and the game becomes the environment",
        "endpoints/test_launch.py::test_nobody_else_becomes_the_environment",
    ),
    Elsewhere(
        "a certificate's file turns into a FIFO, or is not read in time", "tls, quic", NOTHING, "log", "",
        "what was read before stays in use",
        "tests/facade/certificates.rs::a_file_that_cannot_be_read_keeps_nobody_waiting",
    ),
    Elsewhere(
        "a listener has no descriptors left", "all", "`Busy`", "log", "at `connect_timeout`",
        "what is open goes on, and others are admitted once there are some",
        "failures/test_descriptor_exhaustion.py::test_a_host_without_descriptors",
    ),
    Elsewhere(
        "a dialer says nothing", "all", GONE, "log", "after 5 s", "the host serves others meanwhile",
        "failures/test_transport_failures.py::test_clients_that_say_nothing",
    ),
    Elsewhere(
        "a method that the agent calls (`attributes=`) hangs past `timeout`", "all", "`Timeout`", NOTHING,
        AT_THE_DEADLINE, "`late()` returns its result, `reset()` drops it",
        "gymnasium_api/test_remote_attributes.py::test_a_call_that_hangs_is_late",
    ),
    Elsewhere(
        "one environment of a vector raises", "all", "the same exception, and its slot", "log", AT_ONCE,
        "every environment has taken that step; the next call goes on",
        "vector/test_vector_failures.py::test_one_that_raises_leaves_the_others_usable",
    ),
    Elsewhere(
        "one environment of a vector hangs past `timeout`", "all", "`Timeout`", NOTHING, "at the deadline",
        "`late()` fetches all rows, `reset()` drops them",
        "vector/test_vector_failures.py::test_one_that_hangs_past_the_deadline_is_late",
    ),
    Elsewhere(
        "the same, of several that dial in, where `on_loss` replaces them", "all",
        "its rows are vacant, and truncated if so asked", "log", "at the deadline",
        "the next that dials in takes its slot",
        "vector/test_lanes.py::test_one_that_is_killed_and_one_that_hangs_are_replaced",
    ),
    Elsewhere(
        "one of several environments that dial in is killed", "all",
        "`ConnectionLost` with its slot, or as above", GONE, AT_ONCE, "the others step on where it is replaced",
        "vector/test_lanes.py::test_rows_of_a_lost_game",
    ),
    Elsewhere(
        "the host of all environments of a vector is killed", "all", "`ConnectionLost`, or all rows are vacant", GONE,
        AT_ONCE, "another host at the same address takes over",
        "vector/test_vector_failures.py::test_the_host_of_all_is_killed",
    ),
    Elsewhere(
        "crowds of hostile foreign peers", "all", GONE, "log", "", "a good session goes on",
        "security/test_hostile_peers.py::test_a_crowd_of_hostile_foreign_peers",
    ),
)  # fmt: skip

INTRODUCTION = f"""\
# When something breaks

What you see at the agent, what you see at the host, how soon, and what you can do then.

- **The environment raised.** The same exception is raised at the agent, with the remote traceback. The session is as
  good as before: call `reset()`.
- **No answer in time.** With `timeout=`, a call raises `Timeout`. The answer may still come. `late()` fetches it,
  `reset()` drops it; no other call is ever given it. Without `timeout=`, a call waits as long as the other side lives.
- **The other side is gone.** The call raises `ConnectionLost`, and so does every call after it. Close the environment
  and make a new one, once there is a peer again; with `on_loss="replace"` (in Rust `OnLoss::Replace`) `reset()` does
  that, and with `"truncate"` the step does not raise but ends the episode. A host closes the environments of an agent
  that is gone, and serves the next one; `restarts=` lets an agent start the game again that it launched. A host
  that was launched ends: `run()` returns once the agent that launched it has closed the environment.
- **Only the connection is gone**, and both sides live: over networks (`tcp`, `tls`, `zmq`, `quic`, `ws`) the session
  goes on over another one, every step is taken once, and neither side sees it. An agent's call waits 2 s for that
  before it says that the other side is gone, unless nothing has the port; a host keeps an environment for 30 s, and
  less if it is full. `reconnect_timeout=` says how long; at the host it is 0 in the rows below on killed agents, and
  4 s in those on hosts that stand still.
- **It lasts.** An endpoint that finds no peer for a second logs that, and one that waits for an answer for ten seconds
  logs for which, and what came last: as a warning, for something may be wrong. A host whose agent asks for nothing says
  that as information, for agents think. `notice_after=` replaces the ten seconds, and the second by a tenth of itself.
  The logger is `rlay`, in Rust `tracing`.
- **Sessions that come to nothing.** Where an environment cannot be made, or the agent does not want it, both logs say
  why: once, and then how often it has happened. A host that dials pauses for 20 ms after such a session, twice as long
  after each further one, and at most for 5 s; so does an agent's `reset()` that takes another environment because one
  was lost before its first step. That an agent joins a host, or leaves it, after how many steps and why, is
  information.
- **A peer is no RLay endpoint.** A listener writes a warning to the logger `rlay`, closes the connection and goes on.
  `zmq` and `quic` drop what is not theirs without a word, and over `zmq` a foreign peer may do worse: see
  [SECURITY.md](../SECURITY.md).

There is a table for each paradigm. A dash stands where no user of RLay is left to see anything, or where a fault makes
no sense over a transport or cannot be brought about: HTTP does not reach shared memory, and the tests speak no QUIC by
hand. “{AT_ONCE}” is within 2 s. A silent peer is given up within `liveness=`, 18 s by default and {LIVENESS:g} s in the
rows below; the 2 s are those that an agent's call waits for another connection.
What is in quotes is part of the message, often its end.

<!-- Made by rlay-gym/tests/support/failure_page.py, which says how; every row is asserted by
rlay-gym/tests/failures/test_fault_table.py. -->
"""

TITLES = {
    "client": "The agent dials: `ClientEnv` and `ServerBackend`",
    "server": "The environment dials: `ServerEnv` and `ClientBackend`",
}

COLUMNS = ("fault", "over", "the agent's user sees", "the host's user sees", "when", "and then")

Rows = Iterator[tuple[str, ...]]


def rows(paradigm: str, took: Callable[[str, Iterable[str]], tuple[str, ...]]) -> Rows:
    """Yield the rows of the table of `FAULTS`; ``took`` says after how long something was seen."""
    for fault in FAULTS:
        if (course := fault.courses.get(paradigm)) is None:
            continue
        name, then = fault.name, course.then
        for outcome in course.outcomes:
            over = "all" if outcome.over == SCHEMES else ", ".join(outcome.over)
            measured = took(fault.name, outcome.over)
            yield name, over, str(outcome.agent), str(outcome.host), outcome.when, *measured, then
            name = then = ""
        none = but(*(scheme for outcome in course.outcomes for scheme in outcome.over))
        if none:
            yield "", ", ".join(none), "–", "–", "–", *took(fault.name, ()), ""


def lines(columns: tuple[str, ...], rows: Rows) -> str:
    """Return a table as Markdown."""
    return "".join("| " + " | ".join(row) + " |\n" for row in (columns, ("---",) * len(columns), *rows))


def elsewhere(took: Callable[[str, Iterable[str]], tuple[str, ...]]) -> Rows:
    """Yield the rows of the table of `ELSEWHERE`, in the same way."""
    for fault in ELSEWHERE:
        measured = took(fault.name, SCHEMES)
        yield fault.name, fault.over, fault.agent, fault.host, fault.when, *measured, fault.then, f"`{fault.test}`"


def page() -> str:
    """Return docs/failure.md."""

    def untold(name: str, over: Iterable[str]) -> tuple[str, ...]:
        return ()

    tables = "".join(f"\n## {title}\n\n{lines(COLUMNS, rows(paradigm, untold))}" for paradigm, title in TITLES.items())
    return f"{INTRODUCTION}{tables}\n## Other tests show these\n\n{lines((*COLUMNS, 'test'), elsewhere(untold))}"


def summary(measured: Measured) -> str:
    """Return the tables with what was measured in this run: over each transport, in the worse of the paradigms."""

    def taken(*paradigms: str) -> Callable[[str, Iterable[str]], tuple[str, ...]]:
        def took(name: str, over: Iterable[str]) -> tuple[str, ...]:
            keys = {scheme: [(name, paradigm, scheme) for paradigm in paradigms] for scheme in over}
            found = {scheme: [measured[key] for key in those if key in measured] for scheme, those in keys.items()}
            return (", ".join(f"{scheme} {max(seconds):.2f} s" for scheme, seconds in found.items() if seconds),)

        return took

    columns = (*COLUMNS[:-1], "measured", COLUMNS[-1])
    tables = [
        *(f"{title}\n\n{lines(columns, rows(paradigm, taken(paradigm)))}" for paradigm, title in TITLES.items()),
        lines((*columns, "test"), elsewhere(taken(*PARADIGMS))),
    ]
    return "\n".join(table for table in tables if re.search(r"\d\.\d\d s", table))


if __name__ == "__main__":
    print(page(), end="")

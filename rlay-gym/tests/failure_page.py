"""The page ``docs/failure.md`` and the summary of a run: the table of faults as text, and what other tests show.

To renew the page, from the folder above: ``PYTHONPATH=python python tests/failure_page.py > ../docs/failure.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from conftest import SCHEMES
from faults import FAULTS
from outcomes import AT_ONCE, GONE, NOTHING, OF_SILENCE, Elsewhere, but

MEASURED = "a fault, and after how many seconds it was seen"
"""How tests record that, for the summary: the name of the fault, the paradigm, the transport, the seconds."""

Measured = Mapping[tuple[str, str, str], float]

ELSEWHERE = (
    Elsewhere(
        "a kill in the middle of a large frame", "all", "`ConnectionLost`", "log", f"{AT_ONCE}, `quic` {OF_SILENCE}",
        "the host serves the next agent",
        "test_transport_failures.py::test_a_kill_in_the_middle_of_a_large_frame",
    ),
    Elsewhere(
        "the link between two machines goes down", "quic", "`ConnectionLost`", "log", OF_SILENCE, "both dial anew",
        "test_two_hosts.py::test_both_ends_notice_that_the_link_is_down",
    ),
    Elsewhere(
        "the connection is cut, both sides live", "tcp, tls, zmq, quic", NOTHING, "nothing", "",
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
        "test_launch.py::test_a_full_disk_does_not_stop_it",
    ),
    Elsewhere(
        "who dials says nothing", "all", GONE, "log", "after 5 s", "the host serves others meanwhile",
        "test_transport_failures.py::test_clients_that_say_nothing",
    ),
    Elsewhere(
        "crowds of hostile strangers", "all", GONE, "log", "", "a good session goes on",
        "test_hostile.py::test_a_crowd_of_hostile_strangers",
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
  and make a new one, once somebody listens again; with `on_loss="replace"` `reset()` does that, and with `"truncate"`
  the step does not raise but ends the episode. A host closes the environments of an agent that is gone, and serves the
  next one; `restarts=` lets an agent start the game again that it launched.
- **Only the connection is gone**, and both sides live: over networks (`tcp`, `tls`, `zmq`, `quic`) the session goes on
  over another one, every step is taken once, and nobody sees anything. An agent's call waits 2 s for that before it
  says that the other side is gone, unless nobody has the port; a host keeps an environment for 30 s, and less if it
  is full. `reconnect_timeout=` says how long; at the host it is 0 in the rows below on killed agents, and 1 s in those
  on hosts that stand still.
- **Somebody else is at the door.** Whoever listens writes a warning to the logger `rlay`, closes the connection and
  goes on. `zmq` and `quic` drop what is not theirs without a word, and over `zmq` a stranger may do worse: see
  [SECURITY.md](../SECURITY.md).

There is a table for each paradigm. A dash stands where no user of RLay is left to see anything, or where a fault makes
no sense over a transport or cannot be brought about: HTTP does not reach shared memory, and the tests speak no QUIC by
hand. “{AT_ONCE}” is within 2 s. The 20 s of silence may be up to 25 s, for who is silent is asked every 5 s. The 2 s
are those that an agent's call waits for another connection.
What is in quotes is part of the message, often its end.

<!-- Made by rlay-gym/tests/failure_page.py, which says how; rlay-gym/tests/test_faults.py asserts every row. -->
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


def page() -> str:
    """Return docs/failure.md."""
    tables = "".join(
        f"\n## {title}\n\n{lines(COLUMNS, rows(paradigm, lambda *_: ()))}" for paradigm, title in TITLES.items()
    )
    elsewhere = lines(
        (*COLUMNS, "test"), ((*list(vars(fault).values())[:-1], f"`{fault.test}`") for fault in ELSEWHERE)
    )
    return f"{INTRODUCTION}{tables}\n## Other tests show these\n\n{elsewhere}"


def summary(measured: Measured) -> str:
    """Return the tables with what was measured in this run."""

    def table(paradigm: str, title: str) -> str:
        def took(name: str, over: Iterable[str]) -> tuple[str, ...]:
            found = ((scheme, measured.get((name, paradigm, scheme))) for scheme in over)
            return (", ".join(f"{scheme} {seconds:.2f} s" for scheme, seconds in found if seconds is not None),)

        return f"{title}\n\n{lines((*COLUMNS[:-1], 'measured', COLUMNS[-1]), rows(paradigm, took))}"

    return "\n".join(table(*title) for title in TITLES.items())


if __name__ == "__main__":
    print(page(), end="")

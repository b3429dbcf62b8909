"""The table of faults, as data: what each side sees over each transport, how soon, and what goes on after it.

``test_faults.py`` asserts it, and ``docs/failure.md`` shows it. That page is renewed, from the folder above, with
``PYTHONPATH=python python tests/faults.py > ../docs/failure.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mishaps
import rlay
from conftest import SCHEMES

AT_ONCE, AT_THE_DEADLINE, OF_SILENCE = "at once", "at the deadline", "after 20 s of silence"
GOES_ON = "when it goes on"
NEVER = ""

SLACK = 4.0
BOUNDS = {
    AT_ONCE: 2.0 + SLACK,
    AT_THE_DEADLINE: mishaps.DEADLINE + SLACK,
    # Whoever is silent is asked every few seconds, and the count begins with the last answer.
    OF_SILENCE: 25.0 + 2 * SLACK,
    GOES_ON: mishaps.LONG + SLACK,
    NEVER: SLACK,
}
"""Upper bounds in seconds, for machines that have other things to do."""


@dataclass(frozen=True)
class Raised:
    """An exception of these classes, whose message has this in it."""

    classes: tuple[type[Exception], ...]
    says: str

    def __str__(self) -> str:
        """Show it in the table."""
        return " and ".join(f"`{cls.__name__}`" for cls in self.classes) + f": “{self.says}”"


@dataclass(frozen=True)
class Told:
    """An answer to somebody who speaks RLay by hand, with this in it."""

    says: str

    def __str__(self) -> str:
        """Show it in the table."""
        return f"refused: “{self.says}”"


@dataclass(frozen=True)
class Logged:
    """A warning in the log, with this in it."""

    says: str

    def __str__(self) -> str:
        """Show it in the table."""
        return f"log: “{self.says}”"


NOTHING = "nothing"
GONE = "–"
"""Nobody is there to see anything."""


@dataclass(frozen=True)
class Outcome:
    """What comes of a fault over some transports."""

    over: tuple[str, ...]
    agent: Raised | Told | str
    host: Raised | Logged | str
    when: str


@dataclass(frozen=True)
class Fault:
    """A fault, how it is brought about, what comes of it, and how things go on. Over no other transport it makes sense.

    Some faults end or stop the host; that needs a process of its own.
    """

    name: str
    bring: Callable[[mishaps.Stage], mishaps.Seen]
    outcomes: tuple[Outcome, ...]
    then: str
    is_the_hosts: bool = False

    def outcome(self, scheme: str) -> Outcome:
        """Return what comes of it over this transport."""
        (outcome,) = (outcome for outcome in self.outcomes if scheme in outcome.over)
        return outcome


@dataclass(frozen=True)
class Elsewhere:
    """A fault that another test shows."""

    name: str
    over: str
    agent: str
    host: str
    when: str
    then: str
    test: str


def but(*others: str) -> tuple[str, ...]:
    """Return all transports but these."""
    return tuple(scheme for scheme in SCHEMES if scheme not in others)


def raised(*classes: type[Exception], says: str) -> Raised:
    return Raised(classes, says)


def everywhere(agent: Any, host: Any, when: str, over: tuple[str, ...] = SCHEMES) -> tuple[Outcome, ...]:
    """Return what comes of it where that is the same over all these transports."""
    return (Outcome(over, agent, host, when),)


CRASHED = "the process at the other end was killed or crashed"
SILENT = "nothing was heard for too long; its machine or the network is gone, or it was killed"
GIVEN_UP = "the other end heard nothing for too long and gave the connection up; did this one stand still?"
LATE = "its answer may still come: late() fetches it, reset() drops it"
TAKEN = "address in use by another listener; close it, or choose another (port 0 takes a free one)"
MATCHING = "install matching releases of rlay"
CHECK = "check the address and port at both ends"
NOT_TLS = "not a TLS peer; is its address a tls:// one?"

HOST_DIES = (
    Outcome(but("quic"), raised(rlay.ConnectionLost, says=CRASHED), GONE, AT_ONCE),
    Outcome(("quic",), raised(rlay.ConnectionLost, says=SILENT), GONE, OF_SILENCE),
)


def fails(name: str) -> Fault:
    return Fault(
        f"the environment raises in `{name}`",
        mishaps.fail_in(name),
        everywhere(raised(rlay.EnvError, ValueError, says=f"{name} went wrong"), NOTHING, AT_ONCE),
        "the environment is closed all the same" if name == "close" else "`reset()` and the session goes on",
    )


FAULTS = (
    Fault("the host is killed (SIGKILL) during a call", mishaps.kill_host, HOST_DIES,
          "another host takes its address, agents dial anew", is_the_hosts=True),
    Fault("the environment calls `os._exit`", mishaps.end_host, HOST_DIES,
          "another host takes its address, agents dial anew", is_the_hosts=True),
    Fault("the agent is killed (SIGKILL)", mishaps.kill_agent, (
        Outcome(but("quic"), GONE, Logged(CRASHED), AT_ONCE),
        Outcome(("quic",), GONE, Logged(SILENT), OF_SILENCE),
    ), "its environment is closed, its place is free"),
    Fault("the agent is killed while workers live that it forked", mishaps.kill_parent, (
        Outcome(("tcp", "tls", "unix", "shm"), GONE, Logged(CRASHED), AT_ONCE),
        Outcome(("zmq", "zmq+ipc"), GONE, Logged("nothing was heard for 20s"), OF_SILENCE),
        Outcome(("quic",), GONE, Logged(SILENT), OF_SILENCE),
    ), "its environment is closed, the workers' sessions go on"),
    Fault("the host stands still for 2 s (SIGSTOP, SIGCONT)", mishaps.stop_host,
          everywhere(raised(rlay.Timeout, says=LATE), NOTHING, AT_THE_DEADLINE),
          "`late()` returns the answer, the session goes on", is_the_hosts=True),
    Fault("the host stands still for 28 s", mishaps.stop_host_for_long, (
        Outcome(("tcp", "tls", "unix", "shm"), NOTHING, NOTHING, GOES_ON),
        Outcome(("zmq", "zmq+ipc"), raised(rlay.ConnectionLost, says="nothing was heard for 20s"),
                Logged("the other end dropped the channel without a goodbye"), OF_SILENCE),
        Outcome(("quic",), raised(rlay.ConnectionLost, says=SILENT), Logged(GIVEN_UP), OF_SILENCE),
    ), "where the agent has waited, the session goes on; the host serves the next agent", is_the_hosts=True),
    Fault("the agent stands still for 2 s (SIGSTOP, SIGCONT)", mishaps.stop_agent,
          everywhere(NOTHING, NOTHING, NEVER), "the session goes on; others are served meanwhile"),
    Fault("the environment cannot be made", mishaps.fail_to_make,
          everywhere(raised(rlay.EnvError, OSError, says="no display"), NOTHING, AT_ONCE), "its place is free"),
    *map(fails, ("reset", "step", "render", "close")),
    Fault("the environment answers after the deadline", mishaps.answer_late,
          everywhere(raised(rlay.Timeout, says=LATE), NOTHING, AT_THE_DEADLINE),
          "other calls are `Busy`; `late()` returns the answer, the session goes on"),
    Fault("an observation of 50 MB, limit 16 MB", mishaps.say_too_much,
          everywhere(raised(rlay.Error, says="larger than the frame limit of 16000000; raise the frame limit at both "
                            "ends (max_frame in Python, Options::limits in Rust)"), NOTHING, AT_ONCE),
          "the session goes on"),
    Fault("the address is taken", mishaps.take_the_address,
          everywhere(GONE, raised(rlay.AddressError, says=TAKEN), AT_ONCE), "who was there first is undisturbed"),
    Fault("an agent dials an agent", mishaps.two_agents,
          everywhere(raised(rlay.Incompatible, says="connect with ClientBackend, not ClientEnv"), GONE, AT_ONCE),
          "the listener still waits for an environment"),
    Fault("an environment dials an environment", mishaps.two_environments,
          everywhere(GONE, raised(rlay.Incompatible, says="connect with ClientEnv, not ClientBackend"), AT_ONCE),
          "the host serves the next agent"),
    Fault("an agent of another release", mishaps.another_version,
          everywhere(Told(MATCHING), Logged(MATCHING), AT_ONCE, but("quic")), "the host serves the next agent"),
    Fault("an HTTP client dials", mishaps.browse, (
        Outcome(("tcp", "unix"), GONE, Logged("an HTTP peer on an RLay port"), AT_ONCE),
        Outcome(("tls",), GONE, Logged(NOT_TLS), AT_ONCE),
        Outcome(("zmq", "zmq+ipc"), GONE, NOTHING, NEVER),
    ), "the host serves the next agent"),
    Fault("an HTTPS client dials", mishaps.browse_safely, (
        Outcome(("tcp", "unix"), GONE, Logged("a TLS peer on an RLay port"), AT_ONCE),
        Outcome(("tls",), GONE, Logged("an HTTP peer on an RLay port"), AT_ONCE),
        Outcome(("zmq", "zmq+ipc"), GONE, NOTHING, NEVER),
    ), "the host serves the next agent"),
    Fault("somebody sends garbage", mishaps.talk_nonsense, (
        Outcome(("tcp", "unix", "shm"), GONE, Logged(CHECK), AT_ONCE),
        Outcome(("tls",), GONE, Logged(NOT_TLS), AT_ONCE),
        Outcome(("zmq", "zmq+ipc"), GONE, NOTHING, NEVER),
        Outcome(("quic",), GONE, NOTHING, NEVER),
    ), "the host serves the next agent"),
)  # fmt: skip

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
  and make a new one, once somebody listens again; with `on_loss="replace"` (in Rust `OnLoss::Replace`) `reset()` does
  that, and with `"truncate"` the step does not raise but ends the episode. A host closes the environments of an agent that is gone, and serves the
  next one; `restarts=` lets an agent start the game again that it launched.
- **Only the connection is gone**, and both sides live: over networks (`tcp`, `tls`, `zmq`, `quic`) the session goes on
  over another one, every step is taken once, and nobody sees anything. An agent's call waits 2 s for that before it
  says that the other side is gone, unless nobody has the port; a host keeps an environment for 30 s, and less if it
  is full. `reconnect_timeout=` says how long; in the rows below on killed agents it is 0 at the host.
- **Somebody else is at the door.** The host writes a warning to the logger `rlay`, closes the connection and serves on.
  `zmq` and `quic` drop what is not theirs without a word, and over `zmq` a stranger may do worse: see
  [SECURITY.md](../SECURITY.md).

In the table the agent dials (`ClientEnv` and `ServerBackend`). A dash stands where no user of RLay is left to see
anything, or where a fault makes no sense over a transport or cannot be brought about: HTTP does not reach shared
memory, and the tests speak no QUIC by hand. “{AT_ONCE}” is within 2 s. “{OF_SILENCE}” may be up to 25 s, for who is
silent is asked every 5 s.
What is in quotes is part of the message, often its end.

<!-- Made by rlay-gym/tests/faults.py, which says how; rlay-gym/tests/test_faults.py asserts every row. -->
"""


def rows() -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table of `FAULTS`."""
    yield "fault", "over", "the agent's user sees", "the host's user sees", "when", "and then"
    yield ("---",) * 6
    for fault in FAULTS:
        name, then = fault.name, fault.then
        for outcome in fault.outcomes:
            over = "all" if outcome.over == SCHEMES else ", ".join(outcome.over)
            yield name, over, str(outcome.agent), str(outcome.host), outcome.when, then
            name = then = ""
        none = but(*(scheme for outcome in fault.outcomes for scheme in outcome.over))
        if none:
            yield "", ", ".join(none), "–", "–", "–", ""


def elsewhere() -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table of `ELSEWHERE`."""
    yield "fault", "over", "the agent's user sees", "the host's user sees", "when", "and then", "test"
    yield ("---",) * 7
    for fault in ELSEWHERE:
        yield (*list(vars(fault).values())[:-1], f"`{fault.test}`")


def lines(table: Iterator[tuple[str, ...]]) -> str:
    """Return a table as Markdown."""
    return "".join("| " + " | ".join(row) + " |\n" for row in table)


def page() -> str:
    """Return docs/failure.md."""
    return f"{INTRODUCTION}\n{lines(rows())}\nOther tests show these:\n\n{lines(elsewhere())}"


if __name__ == "__main__":
    print(page(), end="")

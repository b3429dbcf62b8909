"""The words of the table of faults: what a side sees, when, over which transports, and which side dials."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import inject_process_faults
from host_process import PARADIGMS, SCHEMES
from scenario import LIVENESS, Scenario, Seen

AT_ONCE, AT_THE_DEADLINE, GOES_ON, NEVER = "at once", "at the deadline", "when it goes on", ""
AFTER_TWO = "after 2 s"
"""An agent that listens waits for the dialer to come back, over networks."""
OF_SILENCE = "within `liveness` and 2 s"
"""A silent peer is given up after `LIVENESS` at most, and an agent's call waits two seconds more."""

SLACK = 4.0
BOUNDS = {
    AT_ONCE: 2.0 + SLACK,
    AFTER_TWO: 2.0 + 2.0 + SLACK,
    AT_THE_DEADLINE: inject_process_faults.DEADLINE + SLACK,
    OF_SILENCE: LIVENESS + 2.0 + 2 * SLACK,
    GOES_ON: inject_process_faults.LONG + SLACK,
    NEVER: SLACK,
}
"""Upper bounds in seconds, for busy machines."""

EARLIEST = {
    AFTER_TWO: 1.9,
    AT_THE_DEADLINE: 0.9 * inject_process_faults.DEADLINE,
    GOES_ON: inject_process_faults.LONG / 2,
}
"""Lower bounds in seconds, for outcomes that must not come early."""

TAKES_LONG = (OF_SILENCE, GOES_ON)


@dataclass(frozen=True)
class Raised:
    """An exception of these classes, with this in its message."""

    classes: tuple[type[Exception], ...]
    says: str

    def __str__(self) -> str:
        """Show it in the table."""
        return " and ".join(f"`{cls.__name__}`" for cls in self.classes) + f": “{self.says}”"


@dataclass(frozen=True)
class Told:
    """An answer to a peer that speaks RLay by hand, with this in it."""

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
"""The side does not exist any more."""

Sight = Raised | Told | Logged | str


@dataclass(frozen=True)
class Outcome:
    """The outcome of a fault over some transports."""

    over: tuple[str, ...]
    agent: Sight
    host: Sight
    when: str


@dataclass(frozen=True)
class Course:
    """The outcome of a fault in one paradigm, and what continues. Over other transports the fault makes no sense."""

    outcomes: tuple[Outcome, ...]
    then: str

    def outcome(self, scheme: str) -> Outcome:
        """Return the outcome over this transport."""
        (outcome,) = (outcome for outcome in self.outcomes if scheme in outcome.over)
        return outcome


@dataclass(frozen=True)
class Fault:
    """A fault, how it is injected, and its course in each paradigm where the fault makes sense.

    Some faults end the host's process.
    """

    name: str
    bring: Callable[[Scenario], AbstractContextManager[Seen]]
    courses: dict[str, Course]
    ends_the_host: bool = False


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


def everywhere(agent: Sight, host: Sight, when: str, over: tuple[str, ...] = SCHEMES) -> tuple[Outcome, ...]:
    """Return the outcome of a fault where it is the same over all these transports."""
    return (Outcome(over, agent, host, when),)


def whoever_dials(outcomes: tuple[Outcome, ...], then: str) -> dict[str, Course]:
    """Return the courses where it makes no difference which side dials."""
    return dict.fromkeys(PARADIGMS, Course(outcomes, then))


def to_the_listener(*rows: tuple[tuple[str, ...], Sight, Sight, str], then: tuple[str, str]) -> dict[str, Course]:
    """Return the courses where one side listens: what the dialer sees and then what the listener sees."""
    return {
        "client": Course(
            tuple(Outcome(over, dialer, listener, when) for over, dialer, listener, when in rows), then[0]
        ),
        "server": Course(
            tuple(Outcome(over, listener, dialer, when) for over, dialer, listener, when in rows), then[1]
        ),
    }

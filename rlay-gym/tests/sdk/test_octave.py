"""What Octave alone can do wrong: functions whose files cannot be opened, and a main program that an interrupt ends."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import pytest

import raw_peer
import rlay
from processes import WAIT, Program
from sdk_clients import OCTAVE, of

pytestmark = of("matlab")

DESCRIPTORS = 40
"""How many descriptors a program has in which they run out."""

FEW = ("sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh")


@contextlib.contextmanager
def host(*within: str) -> Iterator[tuple[Program, str]]:
    """Start the program with wrong environments; ``within`` runs the command after it. Yield its address, too."""
    with Program(*within, *OCTAVE, "misuse", "--listen", "tcp://127.0.0.1:0") as program:
        yield program, program.find("listening at ").split()[-1]


def dial(address: str, how: str) -> rlay.ClientEnv:
    return rlay.ClientEnv(address, env_id=how, connect_timeout=WAIT, timeout=WAIT)


def test_more_dialers_than_descriptors() -> None:
    """A function's file is opened when it is called first, so dialers are not to take all descriptors."""
    with host(*FEW) as (program, address), contextlib.ExitStack() as crowd:
        with dial(address, "nothing is wrong") as env:
            env.reset()
            for _ in range(DESCRIPTORS + 10):
                crowd.enter_context(raw_peer.plug(address))
            for _ in range(20):
                env.step(1)
            env.reset(seed=2**70, options={"a dict": {5: (1, b"")}})
        crowd.close()
        dial(address, "nothing is wrong").close()
        assert program.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_sessions(number: signal.Signals) -> None:
    with host() as (program, address), dial(address, "close is seen") as env:
        env.reset()
        time.sleep(0.5)  # until it waits again: amid the work on an answer it can only leave the agent
        program.process.send_signal(number)
        assert program.find("closed") == "closed an environment"
        program.wait()
        with pytest.raises(rlay.ConnectionLost, match="goodbye"):
            env.step(0)


def test_an_environment_whose_making_closes_the_backend() -> None:
    with host() as (program, address):
        with pytest.raises(rlay.Error):
            dial(address, "make closes the backend")
        assert program.find("closed") == "closed an environment"
        assert program.find("closed") == "closed"
        assert program.wait() == 0

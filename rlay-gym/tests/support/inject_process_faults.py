"""Injects each fault of ``fault_table.py`` that one of the two sides causes, and asserts what continues after it.

Each injector is a context manager: it yields what each side saw, and continues once that was asserted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import rlay
import scripted_env
from processes import Program, thread, until
from scenario import LIVENESS, Scenario, Seen, see

Mishap = Callable[[Scenario], contextlib.AbstractContextManager[Seen]]

DEADLINE = 0.5
"""The timeout of a call, where the agent sets one, in seconds."""

STOPPED = 2.0
"""How long a process stands still: less than what counts as death over any transport."""

LONG = 2.5 * LIVENESS
"""How long a process stands still that is to be given up where silence counts as death, in seconds."""

SOON = 4.0
"""How long a host that was given up keeps the environment for an agent that may come back, in seconds."""

LIMIT = 16_000_000
"""The frame limit, in bytes, of an agent that is sent too much."""

SILENCE = 60.0
"""Bounds every wait for an answer or for a peer to be given up, in seconds."""

FAMILY = """
    import os, select, sys, rlay
    env = rlay.ClientEnv(sys.argv[2])
    env.reset()
    for _ in range(2):
        if os.fork() == 0:
            own = rlay.ClientEnv(sys.argv[2])
            own.reset()
            os.write(1, b"ready\\n")  # at once, or two workers would write into one line
            os.read(0, len(b"on\\n"))  # One for each worker; what is left is the other's.
            os.write(1, b"goes on %d\\n" % own.step(0)[0][0])
            end = select.poll()
            end.register(0, 0)
            end.poll()
            os._exit(0)
    while True:
        os.wait()
    """


# -- processes that die or stand still ------------------------------------------------------------


@contextlib.contextmanager
def kill_host(scenario: Scenario) -> Iterator[Seen]:
    env = scenario.env()
    env.reset()
    killed: list[float] = []

    def kill() -> None:
        scenario.scripted_host.wait_for("step")
        killed.append(time.monotonic())
        scenario.scripted_host.host.kill()

    with thread(kill):
        error, _ = see(lambda: env.step(scripted_env.WAIT))
        after = time.monotonic() - killed[0]
    yield Seen(agent=error, after=after)
    scenario.next_host()


@contextlib.contextmanager
def end_host(scenario: Scenario) -> Iterator[Seen]:
    env = scenario.env()
    env.reset()
    error, after = see(lambda: env.step(scripted_env.DIE))
    yield Seen(agent=error, after=after)
    # A process that ends closes one thing after the other; the address may be the last.
    scenario.scripted_host.host.process.join(SILENCE)
    scenario.next_host()


def missed(scenario: Scenario, agent: Program) -> float:
    """Kill the agent, and return after how many seconds its environment was closed."""
    agent.kill()
    return see(lambda: scenario.scripted_host.wait_for("close", timeout=SILENCE))[1]


@contextlib.contextmanager
def kill_agent(scenario: Scenario) -> Iterator[Seen]:
    with scenario.agent(max_sessions=1, reconnect_timeout=0) as agent:
        yield Seen(after=missed(scenario, agent))
    scenario.next_agent()


@contextlib.contextmanager
def kill_parent(scenario: Scenario) -> Iterator[Seen]:
    with scenario.agent(FAMILY, max_sessions=3, reconnect_timeout=0) as agent:
        agent.find("ready")
        yield Seen(after=missed(scenario, agent))
        for _ in range(2):
            agent.say("on")
        for _ in range(2):
            agent.find("goes on 1")
        # There is room for three, and the two workers have their permits.
        scenario.next_agent()


def states_of_threads(pid: int) -> list[str]:
    """Return what the kernel says of each thread of a process."""
    states = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # It has ended meanwhile.
            states.append((task / "stat").read_text())
    return states


@contextlib.contextmanager
def stopped(pid: int, at_least: float = STOPPED) -> Iterator[None]:
    """Let a process stand still for the time of the block, and for so many seconds at least."""
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        until(
            lambda: all(stat.rpartition(")")[2].split()[0] == "T" for stat in states_of_threads(pid)),
            "all threads to stop",
        )
        yield
        time.sleep(max(0.0, began + at_least - time.monotonic()))
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def stop_host(scenario: Scenario) -> Iterator[Seen]:
    env = scenario.env()
    env.reset()
    env.timeout = DEADLINE
    with stopped(scenario.scripted_host.host.pid):
        error, after = see(lambda: env.step(0))
    env.timeout = None
    assert env.late(SILENCE)[0] == [1]
    assert env.step(0)[0] == [2]
    yield Seen(agent=error, after=after)
    scenario.next_agent()


@contextlib.contextmanager
def stop_host_for_long(scenario: Scenario) -> Iterator[Seen]:
    env = scenario.env(backend={"reconnect_timeout": SOON})
    env.reset()
    scenario.settle()
    stands = threading.Event()

    def stand_still() -> None:
        with stopped(scenario.scripted_host.host.pid, LONG):
            stands.set()

    with thread(stand_still):
        assert stands.wait(SILENCE)
        error, after = see(lambda: env.step(0))
    if error is None:
        assert env.step(0)[0] == [2]
    else:
        # The host is told that it was given up, though the agent's process and its sockets still exist.
        scenario.scripted_host.wait_for("close", timeout=SILENCE)
    yield Seen(agent=error, after=after)
    scenario.next_agent()


@contextlib.contextmanager
def stop_agent(scenario: Scenario) -> Iterator[Seen]:
    with scenario.agent() as agent:
        scenario.settle()
        with stopped(agent.pid):
            agent.say("step")
            scenario.other_agent()
        agent.find("step 1")
        yield Seen()
        agent.say("step")
        agent.find("step 2")
        agent.end_input()
        assert agent.wait() == 0
        assert agent.errors == []


# -- environments that misbehave ------------------------------------------------------------------


@contextlib.contextmanager
def fail_to_make(scenario: Scenario) -> Iterator[Seen]:
    error, after = see(lambda: scenario.env("scripted_env:broken", {"max_sessions": 1}).reset())
    yield Seen(agent=error, after=after)
    # The second one shows that the first has given its permit back.
    assert "no display" in str(see(scenario.next_agent)[0])


def fail_in(name: str) -> Mishap:
    """Let the environment raise in one of its methods."""

    @contextlib.contextmanager
    def fail(scenario: Scenario) -> Iterator[Seen]:
        env = scenario.env(render_mode="ansi")
        env.reset()
        calls = {"step": lambda: env.step(0), "render": env.render, "close": env.close}
        if name == "reset":
            error, after = see(lambda: env.reset(options={"raise_in": "reset"}))
        else:
            env.reset(options={"raise_in": name})
            error, after = see(calls[name])
        yield Seen(agent=error, after=after)
        if name == "close":
            env.close()
        else:
            assert env.reset()[0] == [0]
            assert env.step(0)[0] == [1]
        scenario.next_agent()

    return fail


@contextlib.contextmanager
def answer_late(scenario: Scenario) -> Iterator[Seen]:
    env = scenario.env()
    env.reset()
    env.timeout = DEADLINE
    error, after = see(lambda: env.step(scripted_env.WAIT))
    yield Seen(agent=error, after=after)
    env.timeout = None
    scenario.scripted_host.release()
    assert isinstance(see(lambda: env.step(0))[0], rlay.Busy), "the answer is not this call's"
    assert env.late(SILENCE)[0] == [1]
    assert env.step(0)[0] == [2]
    scenario.next_agent()


@contextlib.contextmanager
def say_too_much(scenario: Scenario) -> Iterator[Seen]:
    env = scenario.env("scripted_env:Endless", max_frame=LIMIT)
    env.reset()
    error, after = see(lambda: env.step(0))
    yield Seen(agent=error, after=after)
    assert env.step(0)[:2] == ("a", 2.0)
    scenario.next_agent(max_frame=LIMIT)

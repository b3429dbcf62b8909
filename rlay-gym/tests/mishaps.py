"""How each fault of ``faults.py`` is brought about over one transport, and what is to go on after it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hostile_quic
import hostile_shm
import hostile_zmq
import moody
import rlay
import strangers
from moods import Moods
from processes import Program, python, thread, until
from strangers import HELLO

DEADLINE = 0.5
"""What agents allow a call where they allow it something, in seconds."""

STOPPED = 2.0
"""How long a process stands still: less than what counts as death over any transport."""

LONG = 28.0
"""How long one stands still that is to be given up where silence counts as death, in seconds."""

LIMIT = 16_000_000
"""The longest frame that an agent takes which is told too much, in bytes."""

SILENCE = 60.0
"""Bounds every wait for an answer or for somebody to be missed, in seconds."""

AGENT = """
    import sys, rlay
    env = rlay.ClientEnv(sys.argv[1])
    env.reset()
    print("ready")
    while sys.stdin.readline():
        print("step", env.step(0)[0][0])
    """

FAMILY = """
    import os, sys, rlay
    env = rlay.ClientEnv(sys.argv[1])
    env.reset()
    for _ in range(2):
        if os.fork() == 0:
            own = rlay.ClientEnv(sys.argv[1])
            own.reset()
            os.write(1, b"ready\\n")  # at once, or two workers would write into one line
            while sys.stdin.readline():
                os.write(1, b"goes on %d\\n" % own.step(0)[0][0])
            os._exit(0)
    while True:
        os.wait()
    """


@dataclass
class Seen:
    """What came of it: what was raised (or said to somebody by hand) at each end, and after how many seconds."""

    agent: Exception | str | None = None
    host: Exception | None = None
    after: float = 0.0


def see(call: Callable[[], Any]) -> tuple[Exception | None, float]:
    """Call; return what was raised, and after how many seconds."""
    began = time.monotonic()
    try:
        call()
    except Exception as error:
        return error, time.monotonic() - began
    return None, time.monotonic() - began


class Stage:
    """A transport, and a host process with moody environments."""

    def __init__(self, scheme: str, moods: Moods, fresh: Callable[[str], str], spawn: Callable[[], Any]) -> None:
        self.scheme, self.moods, self._fresh, self._spawn = scheme, moods, fresh, spawn
        self.address = ""

    def fresh(self) -> str:
        """Return an address where to listen."""
        return self._fresh(self.scheme)

    def serve(self, source: str = "moody:Moody", **backend: Any) -> str:
        """Let the host process serve, and return where."""
        self.address = self.moods.serve(source, address=self.fresh(), **backend)
        return self.address

    def env(self, source: str = "moody:Moody", **kwargs: Any) -> Any:
        """Return an environment of the host process."""
        return self.moods.client(self.serve(source), **kwargs)

    def next_agent(self) -> None:
        """Make sure that the host serves the next agent."""
        assert self.moods.client(self.address).reset()[0] in ([0], "a")

    def next_host(self) -> None:
        """Make sure that another host can take the place of the one that is gone."""
        self._spawn().serve("moody:Moody", address=self.address.partition("?")[0])
        self.next_agent()


# -- processes that die or stand still ------------------------------------------------------------


def kill_host(stage: Stage) -> Seen:
    env = stage.env()
    env.reset()
    with thread(lambda: (stage.moods.wait_for("step"), stage.moods.host.kill())):
        error, after = see(lambda: env.step(moody.WAIT))
    stage.next_host()
    return Seen(agent=error, after=after)


def end_host(stage: Stage) -> Seen:
    env = stage.env()
    env.reset()
    error, after = see(lambda: env.step(moody.DIE))
    stage.next_host()
    return Seen(agent=error, after=after)


def missed(stage: Stage, agent: Program) -> float:
    """Kill the agent, and return after how many seconds its environment was closed."""
    agent.kill()
    return see(lambda: stage.moods.wait_for("close", timeout=SILENCE))[1]


def kill_agent(stage: Stage) -> Seen:
    with python(AGENT, stage.serve(max_sessions=1, reconnect_timeout=0)) as agent:
        agent.find("ready")
        after = missed(stage, agent)
    stage.next_agent()
    return Seen(after=after)


def kill_parent(stage: Stage) -> Seen:
    with python(FAMILY, stage.serve(max_sessions=3, reconnect_timeout=0)) as agent:
        for _ in range(2):
            agent.find("ready")
        after = missed(stage, agent)
        agent.say("on")
        agent.find("goes on 1")
        # There is room for three, and the two workers have their places.
        stage.next_agent()
    return Seen(after=after)


def states_of_threads(pid: int) -> list[str]:
    """Return what the kernel says of each thread of a process."""
    return [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]


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


def stop_host(stage: Stage) -> Seen:
    env = stage.env(timeout=DEADLINE)
    env.reset()
    with stopped(stage.moods.host.pid):
        error, after = see(lambda: env.step(0))
    env.timeout = None
    assert env.late(SILENCE)[0] == [1]
    assert env.step(0)[0] == [2]
    stage.next_agent()
    return Seen(agent=error, after=after)


def stop_host_for_long(stage: Stage) -> Seen:
    env = stage.env()
    env.reset()
    stands = threading.Event()

    def stand_still() -> None:
        with stopped(stage.moods.host.pid, LONG):
            stands.set()

    with thread(stand_still):
        assert stands.wait(SILENCE)
        error, after = see(lambda: env.step(0))
    if error is None:
        assert env.step(0)[0] == [2]
    else:
        # The host learns that it was given up, though the agent's process and its sockets are still there.
        stage.moods.wait_for("close", timeout=SILENCE)
    stage.next_agent()
    return Seen(agent=error, after=after)


def stop_agent(stage: Stage) -> Seen:
    with python(AGENT, stage.serve()) as agent:
        agent.find("ready")
        with stopped(agent.pid):
            agent.say("step")
            stage.next_agent()
        agent.find("step 1")
        agent.say("step")
        agent.find("step 2")
        agent.end_input()
        assert agent.wait() == 0
    return Seen()


# -- environments that misbehave ------------------------------------------------------------------


def fail_to_make(stage: Stage) -> Seen:
    address = stage.serve("moody:broken", max_sessions=1)
    for _ in range(2):  # the second one shows that the first has given its place back
        error, after = see(lambda: stage.moods.client(address))
    return Seen(agent=error, after=after)


def fail_in(name: str) -> Callable[[Stage], Seen]:
    """Let the environment raise in one of its methods."""

    def fail(stage: Stage) -> Seen:
        env = stage.env(render_mode="ansi")
        env.reset()
        calls = {"step": lambda: env.step(0), "render": env.render, "close": env.close}
        if name == "reset":
            error, after = see(lambda: env.reset(options={"raise_in": "reset"}))
        else:
            env.reset(options={"raise_in": name})
            error, after = see(calls[name])
        if name == "close":
            env.close()
        else:
            assert env.reset()[0] == [0]
            assert env.step(0)[0] == [1]
        stage.next_agent()
        return Seen(agent=error, after=after)

    return fail


def answer_late(stage: Stage) -> Seen:
    env = stage.env(timeout=DEADLINE)
    env.reset()
    error, after = see(lambda: env.step(moody.WAIT))
    env.timeout = None
    stage.moods.release()
    assert isinstance(see(lambda: env.step(0))[0], rlay.Busy), "the answer is not this call's"
    assert env.late(SILENCE)[0] == [1]
    assert env.step(0)[0] == [2]
    stage.next_agent()
    return Seen(agent=error, after=after)


def say_too_much(stage: Stage) -> Seen:
    env = stage.env("moody:Endless", max_frame=LIMIT)
    env.reset()
    error, after = see(lambda: env.step(0))
    assert env.step(0)[:2] == ("a", 2.0)
    stage.next_agent()
    return Seen(agent=error, after=after)


# -- who does not belong there --------------------------------------------------------------------


def take_the_address(stage: Stage) -> Seen:
    address = stage.serve()
    error, after = see(lambda: rlay.ServerBackend(moody.Moody, address))
    stage.next_agent()
    return Seen(host=error, after=after)


def two_agents(stage: Stage) -> Seen:
    listener = stage.moods.server(stage.fresh())
    error, after = see(lambda: rlay.ClientEnv(listener.address))
    stage.moods.dial(listener.address)
    assert listener.reset()[0] == [0], "it still waits for an environment"
    return Seen(agent=error, after=after)


def two_environments(stage: Stage) -> Seen:
    backend = rlay.ClientBackend(moody.Moody, stage.serve())
    error, after = see(backend.run)
    stage.next_agent()
    return Seen(host=error, after=after)


BY_HAND = {
    "tcp": strangers.dial,
    "tls": strangers.dial_tls,
    "unix": strangers.dial,
    "zmq": hostile_zmq.dial,
    "zmq+ipc": hostile_zmq.dial,
    "shm": hostile_shm.dial,
}
"""How to speak RLay by hand. Nobody speaks QUIC by hand here."""


def another_version(stage: Stage) -> Seen:
    with BY_HAND[stage.scheme](stage.serve()) as stranger:
        stranger.send("Hello", HELLO | {"wire_min": 7, "wire_max": 9})
        began = time.monotonic()
        answer = stranger.receive()
        after = time.monotonic() - began
    assert answer["kind"] == "Reject"
    stage.next_agent()
    return Seen(agent=answer["body"]["message"], after=after)


def browse(stage: Stage) -> Seen:
    browser = http.client.HTTPConnection("localhost")
    browser.sock = strangers.plug(stage.serve())
    browser.sock.settimeout(1.0)  # ZeroMQ greets, and then waits like the browser.

    def get() -> None:
        with contextlib.closing(browser):
            browser.request("GET", "/")
            browser.getresponse()

    error, after = see(get)
    assert isinstance(error, OSError | http.client.HTTPException)
    stage.next_agent()
    return Seen(after=after)


def browse_safely(stage: Stage) -> Seen:
    """Where TLS is spoken that is found out later: by what is said in it."""

    def get() -> None:
        with strangers.dial_tls(stage.address) as stranger:
            stranger.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert stranger.socket.recv(1) == b""

    stage.serve()
    error, after = see(get)
    assert isinstance(error, OSError) == (stage.scheme != "tls")
    stage.next_agent()
    return Seen(after=after)


def talk_nonsense(stage: Stage) -> Seen:
    address = stage.serve()
    garbage = b"\xde\xad\xbe\xef" * 16
    if stage.scheme == "quic":
        hostile_quic.send([garbage], address)
        stage.next_agent()
        return Seen()
    dial = hostile_shm.dial if stage.scheme == "shm" else strangers.dial
    with dial(address) as stranger:

        def until_the_end() -> None:
            with contextlib.suppress(ConnectionError):
                stranger.socket.sendall(garbage)
                while stranger.socket.recv(1 << 10):
                    pass

        error, after = see(until_the_end)
    assert error is None
    stage.next_agent()
    return Seen(after=after)

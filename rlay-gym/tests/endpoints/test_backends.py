"""The two backends: what they host, on which thread, for how many, and how they start and end."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import rlay
import scripted_env
from host_process import PARADIGMS, HostProcess
from processes import WAIT, free_address, python, thread, until
from scripted_host import Agent, ScriptedHost, backend

PROMISED = 2.0
"""Seconds in which ``close`` returns."""


def test_a_listening_backend_knows_its_address_at_once() -> None:
    host = rlay.ServerBackend("CartPole-v1")
    assert host.address.startswith("tcp://127.0.0.1:") and not host.address.endswith(":0")
    port = int(host.address.rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), WAIT).close()
    host.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), WAIT)


def test_a_listening_agent_knows_its_address_at_once() -> None:
    first, second = rlay.ServerEnv(), rlay.ServerEnv()
    assert not first.address.endswith(":0")
    assert first.address != second.address, "a free port each"
    again = rlay.ServerEnv(first.address)
    assert again.address == first.address, "a port that is shared"
    first.close()
    port = int(again.address.rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), WAIT).close()
    again.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), WAIT)
    second.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_start_returns_the_backend_and_with_starts_it(host_process: HostProcess, paradigm: str) -> None:
    host = backend(paradigm)
    assert host.start() is host
    host.close()
    with backend(paradigm) as host:
        assert Agent(host_process, paradigm, host.address).step(scripted_env.WALK) == "[1]"


CLOSERS: dict[str, Callable[[Callable[[], None]], None]] = {
    "this thread": lambda close: close(),
    "another thread": lambda close: beside(close),
}


def beside(close: Callable[[], None]) -> None:
    with thread(close) as closer:
        closer.join(10 * PROMISED)
        assert not closer.is_alive()


@pytest.mark.parametrize("closer", CLOSERS)
@pytest.mark.parametrize("paradigm", PARADIGMS)
class TestClose:
    """``close`` may be called twice, and from any thread."""

    def close(self, host: Any, closer: str) -> None:
        CLOSERS[closer](host.close)
        CLOSERS[closer](host.close)

    def test_before_anything_was_served(self, paradigm: str, closer: str) -> None:
        self.close(backend(paradigm), closer)
        self.close(backend(paradigm).start(), closer)

    def test_while_agents_think(self, host_process: HostProcess, paradigm: str, closer: str) -> None:
        scripted_env.forget()
        host = backend(paradigm).start()
        agents = [Agent(host_process, paradigm, host.address) for _ in range(3)]
        self.close(host, closer)
        assert [name for name, _ in scripted_env.journal()].count("close") == 3, "environments are closed"
        assert [agent.step(scripted_env.WALK) for agent in agents] == ["ConnectionLost"] * 3

    def test_while_an_environment_is_in_a_call(self, host_process: HostProcess, paradigm: str, closer: str) -> None:
        scripted_env.forget()
        host = backend(paradigm).start()
        agent = Agent(host_process, paradigm, host.address)
        agent.begin_step(scripted_env.WAIT)
        until(lambda: scripted_env.journal()[-1][0] == "step", "the step")
        self.close(host, closer)
        assert scripted_env.journal()[-1][0] == "step", "it is not closed in the middle of a call"
        scripted_env.release()
        assert agent.end_step() == "[1]", "the call ends as it would have"
        until(lambda: scripted_env.journal()[-1][0] == "close", "the environment to be closed")
        assert agent.step(scripted_env.WALK) == "ConnectionLost"


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_close_ends_run(paradigm: str) -> None:
    host = backend(paradigm)
    with thread(host.run):
        until(lambda: repr(host).endswith(", serving>"), "it to run")
        host.close()
    for again in (host.run, host.start):
        with pytest.raises(rlay.Error, match="the backend was closed; make a new one"):
            again()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_backend_serves_once(host_process: HostProcess, paradigm: str) -> None:
    with backend(paradigm).start() as host:  # entering does not start it a second time
        for again in (host.run, host.start):
            with pytest.raises(rlay.Error, match="serves already; call run"):
                again()
        assert Agent(host_process, paradigm, host.address).step(scripted_env.WALK) == "[1]"


@pytest.mark.parametrize("source", [scripted_env.ScriptedEnv, scripted_env.ScriptedEnv()], ids=["callable", "instance"])
def test_a_host_that_does_not_serve_yet_lets_nobody_in(scripted_host: ScriptedHost, source: Any) -> None:
    host = rlay.ServerBackend(source)
    with pytest.raises(rlay.Busy, match=r"does not serve yet; did it call run\(\) or start\(\)\?"):
        rlay.ClientEnv(host.address, connect_timeout=0.5)
    waiting = f"""
        import sys, rlay
        print("dialing")
        env = rlay.ClientEnv("{host.address}", connect_timeout=30)
        print("reset", env.reset()[0][0])
        env.close()
        """
    with python(waiting) as agent:
        agent.find("dialing")
        until(lambda: any("still no connection" in line for line in agent.errors), "the agent to say that it waits")
        with host:
            assert agent.line() == "reset 0"
            assert agent.wait() == 0


def test_a_client_backend_gives_up_when_nobody_listens() -> None:
    host = rlay.ClientBackend(scripted_env.ScriptedEnv, free_address(), connect_timeout=1.0)
    with pytest.raises(rlay.ConnectionLost, match="no connection to"):
        host.run()


@pytest.mark.parametrize("max_sessions", [1, 64])
def test_a_game_that_was_played_ends_well_when_no_other_agent_comes(
    caplog: pytest.LogCaptureFixture, max_sessions: int
) -> None:
    agent = """
        import rlay
        env = rlay.ServerEnv()
        print(env.address)
        env.reset()
        env.step(0)
        env.close()
        """
    with caplog.at_level(logging.INFO, "rlay"), python(agent) as program:
        host = rlay.ClientBackend(
            scripted_env.ScriptedEnv, program.line(), max_sessions=max_sessions, connect_timeout=2.0
        )
        host.run()
    said = [record.getMessage() for record in caplog.records]
    assert said.count(f"{host.address}: the agent left; waiting 2 s for another") == 1
    assert any("the agent left, and no other came" in line for line in said)


def test_a_turn_ends_when_another_thread_closes_the_backend() -> None:
    host = rlay.ClientBackend(scripted_env.ScriptedEnv(), free_address())
    ready = threading.Event()

    def turn() -> None:
        ready.set()
        with pytest.raises(rlay.Error, match="closed"):
            host.turn(WAIT)

    with thread(turn):
        ready.wait(WAIT)
        host.close()
    host.close()
    with pytest.raises(rlay.Error, match="closed"):
        host.turn()


def test_max_sessions(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve(max_sessions=2)
    first, second = scripted_host.client(address), scripted_host.client(address)
    with pytest.raises(rlay.Busy, match="all 2 sessions are taken"):
        scripted_host.client(address, connect_timeout=1.0)
    first.close()
    third = scripted_host.client(address)
    for env in (second, third):
        assert env.reset()[0] == [0]


def test_max_sessions_of_a_backend_that_dials(scripted_host: ScriptedHost) -> None:
    first = scripted_host.server()
    scripted_host.dial(first.address, max_sessions=2)
    second, third = scripted_host.server(first.address), scripted_host.server(first.address, connect_timeout=0.5)
    first.reset()
    second.reset()
    with pytest.raises(rlay.Timeout):
        third.reset()
    first.close()
    assert scripted_host.first_observation(third) == [0]

"""The two backends: what they host, on which thread, for how many, and how they start and end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import pytest

import moody
import rlay
from conftest import PARADIGMS, HostProcess
from moods import Moods, moods_of
from processes import WAIT, python, thread, until

PROMISED = 2.0
"""Seconds in which ``close`` returns."""


@pytest.fixture
def moods(host_process: HostProcess) -> Iterator[Moods]:
    with moods_of(host_process) as moods:
        yield moods


def backend(paradigm: str, source: Any = moody.Moody, **kwargs: Any) -> Any:
    """Make a backend in this process; agents come from another."""
    if paradigm == "client":
        return rlay.ServerBackend(source, **kwargs)
    return rlay.ClientBackend(source, free_address(), **kwargs)


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


class Agent:
    """An agent in the host process, for environments of this one."""

    def __init__(self, host: HostProcess, paradigm: str, address: str) -> None:
        self._host = host
        self._number = host.tell("call", "agents:open", paradigm, address)

    def __getattr__(self, name: str) -> Callable[..., str]:
        return lambda *arguments: self._host.tell("call", f"agents:{name}", self._number, *arguments)


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
        assert Agent(host_process, paradigm, host.address).step(moody.WALK) == "[1]"


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
    """It may be called twice, and from any thread."""

    def close(self, host: Any, closer: str) -> None:
        CLOSERS[closer](host.close)
        CLOSERS[closer](host.close)

    def test_before_anything_was_served(self, paradigm: str, closer: str) -> None:
        self.close(backend(paradigm), closer)
        self.close(backend(paradigm).start(), closer)

    def test_while_agents_think(self, host_process: HostProcess, paradigm: str, closer: str) -> None:
        moody.forget()
        host = backend(paradigm).start()
        agents = [Agent(host_process, paradigm, host.address) for _ in range(3)]
        self.close(host, closer)
        assert [name for name, _ in moody.journal()].count("close") == 3, "environments are closed"
        assert [agent.step(moody.WALK) for agent in agents] == ["ConnectionLost"] * 3

    def test_while_an_environment_is_in_a_call(self, host_process: HostProcess, paradigm: str, closer: str) -> None:
        moody.forget()
        host = backend(paradigm).start()
        agent = Agent(host_process, paradigm, host.address)
        agent.begin_step(moody.WAIT)
        until(lambda: moody.journal()[-1][0] == "step", "the step")
        self.close(host, closer)
        assert moody.journal()[-1][0] == "step", "it is not closed in the middle of a call"
        moody.release()
        assert agent.end_step() == "[1]", "the call ends as it would have"
        until(lambda: moody.journal()[-1][0] == "close", "the environment to be closed")
        assert agent.step(moody.WALK) == "ConnectionLost"


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_close_ends_run(paradigm: str) -> None:
    host = backend(paradigm)
    with thread(host.run):
        host.close()
    host.run()  # it is over and stays so


def test_a_client_backend_gives_up_when_nobody_listens() -> None:
    host = rlay.ClientBackend(moody.Moody, free_address(), connect_timeout=1.0)
    with pytest.raises(rlay.ConnectionLost, match="no connection to"):
        host.run()


def test_a_turn_ends_when_another_thread_closes_the_backend() -> None:
    host = rlay.ClientBackend(moody.Moody(), free_address())
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


SOURCES: dict[str, Callable[[], Any]] = {
    "an id": lambda: "CartPole-v1",
    "an EnvSpec": lambda: gym.spec("CartPole-v1"),
    "a class": lambda: moody.Moody,
    "a function with render_mode": lambda: moody.with_mode,
    "a function without render_mode": lambda: moody.without_mode,
    "a lambda": lambda: lambda: moody.Moody(),
    "a lambda that takes anything": lambda: lambda **kwargs: moody.Moody(**kwargs),
    "an instance": moody.Moody,
}


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("name", SOURCES)
def test_what_can_be_hosted(host_process: HostProcess, name: str, paradigm: str) -> None:
    with backend(paradigm, SOURCES[name]()) as host:
        assert Agent(host_process, paradigm, host.address).step(0).startswith("[")


@pytest.mark.parametrize("source", [7, None, object(), "NoSuchEnvironment-v0"])
def test_what_cannot_be_hosted_is_refused_at_once(source: Any) -> None:
    with pytest.raises((TypeError, gym.error.Error)):
        rlay.ServerBackend(source)


@pytest.mark.parametrize(("source", "mode"), [("with_mode", "ansi"), ("Moody", "ansi"), ("without_mode", None)])
def test_a_callable_is_told_the_render_mode_if_it_takes_one(moods: Moods, source: str, mode: str | None) -> None:
    env = moods.env(source=f"moody:{source}", render_mode="ansi")
    env.reset()
    if mode is not None:
        assert (env.render_mode, env.render()) == (mode, "step 0")


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_environment_lives_on_one_thread(moods: Moods, paradigm: str) -> None:
    env = moods.env(paradigm, render_mode="ansi")
    env.reset()
    env.step(0)
    env.render()
    env.close()
    moods.wait_for("close")
    threads = moods.threads()
    assert set(threads) == {"make", "reset", "step", "render", "close"}
    assert len(set.union(*threads.values())) == 1


def test_sessions_have_environments_and_threads_of_their_own(moods: Moods) -> None:
    address = moods.serve()
    first, second = moods.client(address), moods.client(address)
    first.reset()
    second.reset()
    assert first.step(0)[0] == [1] and first.step(0)[0] == [2] and second.step(0)[0] == [1]
    assert moods.calls().count("make") == 2
    assert len(moods.threads()["step"]) == 2


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_instance_is_served_on_the_thread_that_runs_and_is_not_closed(paradigm: str) -> None:
    source = """
        import sys, moody, rlay
        from processes import thread
        env = moody.Moody("ansi")
        name, address = sys.argv[1:]
        host = rlay.ServerBackend(env) if name == "client" else rlay.ClientBackend(env, address)
        print(host.address)
        with thread(lambda: (sys.stdin.readline(), host.close())):
            host.run()
        print(*(f"{name}:{'main' if on == 0 else 'another'}" for name, on in moody.journal()))
        """
    holder = rlay.ServerEnv()
    with python(source, paradigm, holder.address) as program:
        address = program.line()
        for _ in range(2):  # one agent after the other
            env = rlay.ClientEnv(address) if paradigm == "client" else rlay.ServerEnv(address, connect_timeout=WAIT)
            env.reset()
            env.step(0)
            assert env.render() == "step 1"
            env.close()
        program.say("close")
        calls = program.line().split()
        assert calls == ["make:main", *["reset:main", "step:main", "render:main"] * 2]
        assert program.wait() == 0
    holder.close()


def test_an_instance_has_one_session_at_a_time() -> None:
    source = """
        import sys, moody, rlay
        with rlay.ServerBackend(moody.Moody()) as host:
            print(host.address)
            sys.stdin.readline()
        """
    with python(source) as program:
        address = program.line()
        env = rlay.ClientEnv(address)
        with pytest.raises(rlay.Busy, match="1 sessions are taken"):
            rlay.ClientEnv(address, connect_timeout=1.0)
        env.close()
        rlay.ClientEnv(address, connect_timeout=WAIT).close()


def test_max_sessions(moods: Moods) -> None:
    address = moods.serve(max_sessions=2)
    first, second = moods.client(address), moods.client(address)
    with pytest.raises(rlay.Busy, match="all 2 sessions are taken"):
        moods.client(address, connect_timeout=1.0)
    first.close()
    third = moods.client(address)
    for env in (second, third):
        assert env.reset()[0] == [0]


def test_max_sessions_of_a_backend_that_dials(moods: Moods) -> None:
    first = moods.server()
    moods.dial(first.address, max_sessions=2)
    second, third = moods.server(first.address), moods.server(first.address, connect_timeout=0.5)
    first.reset()
    second.reset()
    with pytest.raises(rlay.Timeout):
        third.reset()
    first.close()
    third._connect_timeout = WAIT
    assert third.reset()[0] == [0]

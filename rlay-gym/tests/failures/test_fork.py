"""A fork leaves open endpoints to the parent: calls in the child say so, and disturb nothing."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import rlay
import scripted_env
from forks import OPEN_IT_IN_THE_CHILD, Child
from host_process import PARADIGMS
from processes import WAIT, free_address, python, thread, until
from scripted_host import ScriptedHost

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_environment_of_the_parent_says_so_in_the_child(scripted_host: ScriptedHost, paradigm: str) -> None:
    env = scripted_host.env(paradigm, render_mode="ansi")
    env.reset()
    calls: list[Callable[[], Any]] = [env.reset, lambda: env.step(0), env.render]
    for call in calls:
        with Child(call) as child:
            assert OPEN_IT_IN_THE_CHILD in child.said()
            child.leave()
    with Child(env.close) as child:
        assert child.said() == "None", "closing is always well"
        child.leave()
    assert [env.step(0)[0][0] for _ in range(3)] == [1, 2, 3], "the parent's session goes on"
    with Child(lambda: env.step(0)) as child:
        child.said()
        assert env.step(0)[0] == [4], "while the child lives, too"
    assert scripted_host.calls().count("step") == 4


def test_a_copy_is_a_session_of_the_child(scripted_host: ScriptedHost) -> None:
    env = scripted_host.env()
    env.reset()
    env.step(0)

    def play() -> Any:
        copy = pickle.loads(pickle.dumps(env))
        copy.reset()
        return int(copy.step(0)[0][0])

    with Child(play) as child:
        assert child.said() == "1"
        assert env.step(0)[0] == [2]
        child.leave()
    assert env.step(0)[0] == [3]


def test_a_fork_while_another_thread_is_in_a_call(scripted_host: ScriptedHost) -> None:
    env = scripted_host.env()
    env.reset()
    answers: list[Any] = []
    with thread(lambda: answers.append(env.step(scripted_env.WAIT))):
        scripted_host.wait_for("step")
        with Child(lambda: env.step(0)) as child:
            assert "belongs to the parent process; open it in the child" in child.said()
            child.leave()
        scripted_host.release()
    assert answers[0][0] == [1]


def test_a_fork_while_another_thread_waits_for_an_environment(
    scripted_host: ScriptedHost, caplog: pytest.LogCaptureFixture
) -> None:
    env = scripted_host.server()
    with thread(env.reset):
        until(lambda: "waiting for an environment" in caplog.text, "the thread to wait")
        with Child(env.reset) as child:
            assert OPEN_IT_IN_THE_CHILD in child.said()
            child.leave()
        scripted_host.dial(env.address)
    assert env.step(0)[0] == [1]


def test_the_child_of_a_listening_agent_may_listen_itself(scripted_host: ScriptedHost) -> None:
    env = scripted_host.server()

    def listen() -> bool:
        own = rlay.ServerEnv()
        own.close()
        return own.address != env.address

    with Child(listen) as child:
        assert child.said() == "True"


def refused(address: str) -> bool:
    host, port = address.removeprefix("tcp://").split(":")
    try:
        socket.create_connection((host, int(port)), WAIT).close()
    except ConnectionRefusedError:
        return True
    return False


LISTENERS: dict[str, Callable[[], Any]] = {
    "ServerEnv": rlay.ServerEnv,
    "ServerBackend": lambda: rlay.ServerBackend(scripted_env.ScriptedEnv),
    "ServerBackend that serves": lambda: rlay.ServerBackend(scripted_env.ScriptedEnv).start(),
}


@pytest.mark.parametrize("name", LISTENERS)
def test_a_port_is_free_once_the_parent_closed_it_though_a_child_lives(name: str) -> None:
    listener = LISTENERS[name]()
    with Child(lambda: None) as child:
        child.said()
        assert not refused(listener.address)
        listener.close()
        assert refused(listener.address)


def test_a_session_ends_once_the_parent_closed_it_though_a_child_lives(scripted_host: ScriptedHost) -> None:
    env = scripted_host.env()
    env.reset()
    with Child(lambda: None) as child:
        child.said()
        env.close()
        scripted_host.wait_for("close")


class TestBackends:
    """The child cannot serve what the parent hosts."""

    def test_one_that_listens(self, scripted_host: ScriptedHost) -> None:
        with rlay.ServerBackend(scripted_env.ScriptedEnv) as host:
            number = scripted_host.host.tell("call", "remote_agents:open", "client", host.address)
            with Child(host.run) as child:
                assert "belongs to the parent; make it in the child" in child.said()
            with Child(host.close) as child:
                assert child.said() == "None"
                assert scripted_host.host.tell("call", "remote_agents:step", number, 0) == "[1]"
                child.leave()
            assert scripted_host.host.tell("call", "remote_agents:step", number, 0) == "[2]"
            scripted_host.host.tell("call", "remote_agents:close", number)

    def test_one_that_dials_may_serve_from_the_child(self, scripted_host: ScriptedHost) -> None:
        env = scripted_host.server()
        host = rlay.ClientBackend(scripted_env.ScriptedEnv, env.address, connect_timeout=1.0)
        with Child(host.run) as child:
            env.reset()
            assert env.step(0)[0] == [1]
            env.close()
            assert child.said() == "None", "it has played, and returns when nobody listens any more"

    def test_one_that_dials_and_serves(self, scripted_host: ScriptedHost) -> None:
        env = scripted_host.server()
        scripted_host.dial(env.address)
        with Child(lambda: env.observation_space) as child:
            child.said()
            env.reset()
        assert env.step(0)[0] == [1]

    def test_one_that_is_polled(self, scripted_host: ScriptedHost) -> None:
        address = free_address()
        backend = rlay.ClientBackend(scripted_env.ScriptedEnv(), address)
        with thread(lambda: scripted_host.host.tell("call", "remote_agents:listen_and_reset", address)):
            assert backend.turn(WAIT) == rlay.Reset(seed=3, options=None)
            with Child(backend.close) as child:
                assert child.said() == "None"
                child.leave()
            backend.reply(scripted_env.np.array([0]))
            turn = backend.turn(WAIT)
            assert isinstance(turn, rlay.Close) and "agent closed" in turn.reason
        backend.close()


def test_a_child_that_ends_as_programs_do(scripted_host: ScriptedHost) -> None:
    source = """
        import os, sys, scripted_env, rlay
        env = rlay.ClientEnv(sys.argv[1])
        env.reset()
        with rlay.ServerBackend(scripted_env.ScriptedEnv) as host, rlay.ServerEnv() as agent:
            if os.fork() == 0:
                sys.exit()  # blocks are left, exit handlers run, objects are collected
            os.wait()
            print("step", env.step(0)[0][0])
            print(rlay.ClientEnv(host.address).reset()[0][0])
        """
    with python(source, scripted_host.serve()) as program:
        assert [program.line(), program.line()] == ["step 1", "0"]
        assert program.wait() == 0


def test_many_threads_and_many_forks(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve()
    stop = threading.Event()

    def play() -> None:
        env = rlay.ClientEnv(address)
        env.reset()
        steps = 0
        while not stop.is_set():
            steps += 1
            assert env.step(0)[0] == [steps]
        env.close()

    with thread(play), thread(play):
        for _ in range(10):
            with Child(lambda: rlay.ClientEnv(address).reset()[0].tolist()) as child:
                assert child.said() == "[0]"
        stop.set()

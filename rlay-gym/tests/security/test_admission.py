"""A peer that is admitted and sends nothing, or is admitted again and again, keeps no other peer out."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import raw_peer
import rlay
import scripted_env
from processes import WAIT, python, thread, until
from raw_peer import HELLO, RESET, WELCOME, RawPeer

SOON = 0.3
"""How long a silent session has its permit to itself, in seconds."""


def enter(address: str, stack: contextlib.ExitStack, role: str = "Agent") -> RawPeer:
    """Be admitted as an honest peer is."""
    foreign_peer = stack.enter_context(raw_peer.dial(address))
    foreign_peer.send("Hello", HELLO | {"role": role})
    assert foreign_peer.receive()["kind"] == "Welcome"
    return foreign_peer


def plays(address: str) -> None:
    """Play as an honest agent."""
    env = rlay.ClientEnv(address, connect_timeout=WAIT / 3)
    assert env.reset()[0] == [0]
    env.close()


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
@pytest.mark.parametrize("most", [1, 3])
def test_silent_agents_make_room(scheme: str, most: int, fresh: Callable[[str], str]) -> None:
    with rlay.ServerBackend(scripted_env.ScriptedEnv, fresh(scheme), max_sessions=most, handshake_timeout=SOON) as host:
        with contextlib.ExitStack() as stack:
            silent = [enter(host.address, stack) for _ in range(most)]
            plays(host.address)
            told = silent[0].receive()
            assert told["kind"] == "Goodbye"
            assert "handshake_timeout" in told["body"]["message"]
            assert silent[0].receive() is None


def test_an_agent_that_asks_for_no_environment_makes_room() -> None:
    with (
        rlay.ServerBackend(scripted_env.ScriptedEnv(), handshake_timeout=SOON) as host,
        contextlib.ExitStack() as stack,
    ):
        busy = enter(host.address, stack)

        def ask() -> None:
            with contextlib.suppress(ConnectionError, TypeError):
                while True:
                    busy.send("Reset", RESET)
                    if busy.receive()["kind"] == "Goodbye":
                        return
                    time.sleep(0.02)

        with thread(ask):
            plays(host.address)


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_agents_that_take_no_answers_in_cost_nothing(scheme: str, fresh: Callable[[str], str]) -> None:
    """They request what is refused, for as long as there is room for that, and read no refusal."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def close_without_end(foreign_peer: RawPeer) -> None:
        foreign_peer.socket.settimeout(1)
        with contextlib.suppress(OSError):
            while True:
                foreign_peer.socket.sendall(
                    b"".join(struct.pack("<I", 40) + foreign_peer.head(0x25) + bytes(8) for _ in range(1000))
                )

    options = {"max_sessions": 2, "handshake_timeout": SOON}
    with (
        rlay.ServerBackend(scripted_env.ScriptedEnv, fresh(scheme), **options) as host,
        contextlib.ExitStack() as stack,
    ):
        plays(host.address)
        before = descriptors()
        for n in range(1, 4):
            close_without_end(enter(host.address, stack))
            plays(host.address)
            plays(host.address)
            until(lambda n=n: descriptors() <= before + n + 1, "the host to let go of it")


def test_an_agent_with_an_environment_keeps_its_place() -> None:
    with rlay.ServerBackend(scripted_env.ScriptedEnv(), handshake_timeout=SOON) as host:
        env = rlay.ClientEnv(host.address)
        with pytest.raises(rlay.Busy):
            rlay.ClientEnv(host.address, connect_timeout=5 * SOON)
        assert env.reset()[0] == [0]
        env.close()


def test_silent_environments_are_passed_over() -> None:
    with contextlib.ExitStack() as stack:
        env = stack.enter_context(rlay.ServerEnv(handshake_timeout=SOON, connect_timeout=WAIT / 2))
        silent = [enter(env.address, stack, "Env") for _ in range(5)]
        with rlay.ClientBackend(scripted_env.ScriptedEnv, env.address):
            assert env.reset()[0] == [0]
            assert silent[0].receive()["kind"] == "Make"
            told = silent[0].receive()
            assert told["kind"] == "Goodbye"
            assert "made first" in told["body"]["message"]


def test_silent_environments_in_the_queue_make_room() -> None:
    with (
        rlay.ServerEnv(max_sessions=2, handshake_timeout=SOON, connect_timeout=WAIT / 2) as env,
        contextlib.ExitStack() as stack,
    ):
        silent = [enter(env.address, stack, "Env") for _ in range(2)]
        with rlay.ClientBackend(scripted_env.ScriptedEnv, env.address, max_sessions=1):
            told = silent[0].receive()
            assert told["kind"] == "Goodbye"
            assert env.reset()[0] == [0]


def test_a_slow_environment_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Although the spare session of its host is asked meanwhile, which also answers late."""

    def slow(render_mode: str | None) -> scripted_env.ScriptedEnv:
        time.sleep(1.0)
        return scripted_env.ScriptedEnv(render_mode)

    with rlay.ServerEnv(handshake_timeout=SOON, connect_timeout=WAIT / 2) as env:
        with rlay.ClientBackend(slow, env.address):
            assert env.reset()[0] == [0]
            assert env.step(0)[0] == [1]


CROWD = """
    import contextlib, os, resource, sys
    import scripted_env, rlay, raw_peer
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, most))
    if sys.argv[1] == "host":
        many = {"max_sessions": 4096, "handshake_timeout": 6.0}
        here = rlay.ServerBackend(scripted_env.ScriptedEnv, "tcp://127.0.0.1:0", **many).start()
    else:
        here = rlay.ServerEnv(connect_timeout=20.0)
    print(here.address)
    input()
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(30)]
    print("opened", len(os.listdir("/proc/self/fd")))
    if sys.argv[1] == "agent":
        print("first", here.reset()[0])
    input()
    """


@pytest.mark.parametrize("role", ["host", "agent"])
def test_a_crowd_leaves_descriptors_for_the_program_itself(role: str) -> None:
    with python(CROWD, role) as program, contextlib.ExitStack() as stack:
        address = program.line()
        crowd = "Agent" if role == "host" else "Env"
        answers = []
        for _ in range(450):
            foreign_peer = stack.enter_context(raw_peer.dial(address))
            # Some are refused without a message.
            with contextlib.suppress(ConnectionError):
                foreign_peer.send("Hello", HELLO | {"role": crowd})
                answers.append(foreign_peer.receive())
        told = [answer for answer in answers if answer is not None and answer["kind"] == "Reject"]
        let_in = len([answer for answer in answers if answer is not None and answer["kind"] == "Welcome"])
        assert 32 <= let_in < 350
        assert told[-1]["body"]["code"] == 5
        program.say("")
        program.find("opened")
        if role == "host":
            plays(address)
        else:
            stack.close()
            with rlay.ClientBackend(scripted_env.ScriptedEnv, address):
                program.find("first [0]")


@contextlib.contextmanager
def deaf(scheme: str, fresh: Callable[[str], str]) -> Iterator[str]:
    """Yield the address of a Unix socket with a full queue, for no process accepts."""
    address = fresh(scheme)
    rest = address.split("://")[1]
    path = f"\0rlay-shm-{os.geteuid()}-{rest}" if scheme == "shm" else rest
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as queue:
        listener.bind(path)
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = queue.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(path)
        yield address


LOCAL = ("unix", "zmq+ipc", "shm")


@pytest.mark.parametrize("scheme", LOCAL)
def test_dialing_a_full_queue_ends_with_connect_timeout(scheme: str, fresh: Callable[[str], str]) -> None:
    source = """
        import sys, time, rlay
        print("dials")
        began = time.monotonic()
        try:
            rlay.ClientEnv(sys.argv[1], connect_timeout=float(sys.argv[2]))
        except rlay.ConnectionLost as error:
            print(time.monotonic() - began, error)
        except KeyboardInterrupt:
            print("interrupted")
        """
    with deaf(scheme, fresh) as address:
        with python(source, address, "1") as dialer:
            dialer.line()
            took, text = dialer.line(10.0).split(" ", 1)
            assert float(took) < 5.0
            assert "queue is full" in text
        with python(source, address, "60") as dialer:
            dialer.line()
            time.sleep(0.2)
            dialer.interrupt()
            assert dialer.line(10.0) == "interrupted"


@pytest.mark.parametrize("scheme", LOCAL)
def test_binding_where_the_queue_is_full_says_that_it_is_in_use(scheme: str, fresh: Callable[[str], str]) -> None:
    source = """
        import sys, rlay
        try:
            rlay.ServerEnv(sys.argv[1])
        except rlay.AddressError as error:
            print(error)
        """
    with deaf(scheme, fresh) as address, python(source, address) as listener:
        assert "in use" in listener.line(10.0)


@pytest.mark.parametrize("scheme", ["unix", "zmq+ipc"])
def test_closing_leaves_the_socket_file_of_another(scheme: str, fresh: Callable[[str], str]) -> None:
    address = fresh(scheme)
    path = Path(address.split("://")[1])
    first = rlay.ServerBackend(scripted_env.ScriptedEnv, address).start()
    path.unlink()
    with rlay.ServerBackend(scripted_env.ScriptedEnv, address):
        first.close()
        assert path.exists()
        plays(address)
    until(lambda: not path.exists(), "the file to go")


TICKET = [7] * 32


@contextlib.contextmanager
def dropping(lasting: bool) -> Iterator[tuple[str, list[float]]]:
    """Yield an address where every dialer is welcomed and dropped, and when that was."""
    dropped: list[float] = []
    over = threading.Event()

    def drop(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, TypeError):
            foreign_peer = RawPeer(connection)
            again = foreign_peer.receive()["body"]["resume"] is not None
            new = {"features": 1, "ticket": TICKET} if lasting else {}
            back = {"features": 2, "received": 0}
            foreign_peer.send("Welcome", WELCOME | (back if again else new))
            dropped.append(time.monotonic())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def accept() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    drop(listener.accept()[0])

        with thread(accept):
            try:
                yield f"tcp://127.0.0.1:{listener.getsockname()[1]}", dropped
            finally:
                over.set()


def dial_as_agent(address: str) -> None:
    with pytest.raises(rlay.Error):
        rlay.ClientEnv(address, connect_timeout=2.0)


def dial_as_host(address: str) -> None:
    with rlay.ClientBackend(scripted_env.ScriptedEnv, address):
        time.sleep(2.0)


def dial_as_engine(address: str) -> None:
    game = rlay.ClientBackend(scripted_env.ScriptedEnv(), address)
    ends = time.monotonic() + 2.0
    while time.monotonic() < ends:
        game.turn(0.05)
    game.close()


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("dial", [dial_as_agent, dial_as_host, dial_as_engine])
def test_a_listener_that_welcomes_and_drops_is_dialed_with_pauses(
    dial: Callable[[str], Any], lasting: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "rlay"), dropping(lasting) as (address, dropped):
        dial(address)
    # Pauses of 20 ms that double make seven in two seconds.
    assert 1 <= len(dropped) < 70
    assert len(caplog.records) < 70


def test_a_dialer_that_comes_back_again_and_again_is_counted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with rlay.ServerBackend(scripted_env.ScriptedEnv) as host:
        with raw_peer.dial(host.address) as foreign_peer:
            foreign_peer.send("Hello", HELLO | {"features": 1})
            ticket = foreign_peer.receive()["body"]["ticket"]
        for _ in range(200):
            with raw_peer.dial(host.address) as foreign_peer:
                foreign_peer.send("Hello", HELLO | {"features": 3, "resume": {"ticket": ticket, "received": 0}})
                assert foreign_peer.receive()["kind"] == "Welcome"
    assert 0 < len(caplog.records) < 20


def test_a_host_whose_agents_only_look_in_is_not_dialed_without_pause() -> None:
    """Agents that close their environment in good order are no failures."""
    with rlay.ServerEnv() as env:
        began, rounds = time.monotonic(), 0
        with rlay.ClientBackend(scripted_env.ScriptedEnv, env.address, max_sessions=1):
            while time.monotonic() - began < 1.0:
                other = rlay.ServerEnv(env.address)
                _ = other.observation_space
                other.close()
                rounds += 1
    assert rounds <= 60

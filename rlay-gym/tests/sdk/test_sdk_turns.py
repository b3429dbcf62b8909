"""Sessions of one game do not keep each other out: not by slow resets, by floods, or by a dial that is refused."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import hostile
import raw_peer
import rlay
from processes import WAIT, Program, held, thread
from raw_peer import RESET, RawPeer
from sdk_clients import CLIENTS, Client

SLOW = 5.5
"""How long a slow reset takes, in seconds: longer than a handshake may."""

LONGEST = 10 * SLOW + WAIT
"""How long another agent waits, in seconds."""

TOKEN = "a token of the tests"


def slow(seconds: float) -> Any:
    """The body of a Reset that the game takes so long for."""
    bits = struct.pack(">d", seconds).hex()
    return RESET | {"options": {"Dict": [[{"Str": "sleep"}, {"Float": bits}]]}}


def beside(play: Callable[[], Any]) -> None:
    """Do it again and again beside the test, until it fails, as it does when the game is killed."""

    def run() -> None:
        with contextlib.suppress(rlay.Error, OSError, AssertionError):
            while True:
                play()

    threading.Thread(target=run, daemon=True).start()


def listener_admits_another(client: Client, token: str | None) -> None:
    """Have a game that listens admit another agent beside one whose resets are slow."""
    variables = (f"RLAY_TOKEN={token}",) if token else ()
    with Program("env", *variables, *client.game, "--listen", "tcp://127.0.0.1:0", "--sessions", "3") as game:
        address = game.find("listening at ").split()[-1]
        options: Any = {"connect_timeout": LONGEST, "timeout": LONGEST, "token": token}
        first = rlay.ClientEnv(address, **options)
        beside(lambda: first.reset(options={"sleep": SLOW}))
        time.sleep(0.5)
        second = rlay.ClientEnv(address, **options)
    # The game is gone, so this does not wait for a reset.
    second.close()


def dialer_is_admitted(client: Client) -> None:
    """Have a game that dials come through another handshake beside an agent whose resets are slow."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LONGEST)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with Program(*client.game, "--dial", address, "--sessions", "2"), listener.accept()[0] as connection:
            first = RawPeer(connection)
            raw_peer.ask(first)
            connection.settimeout(LONGEST)

            def play() -> None:
                first.send("Reset", slow(SLOW))
                assert first.receive()["kind"] == "Result"

            beside(play)
            deadline = time.monotonic() + LONGEST
            while not takes_a_session(listener):
                assert time.monotonic() < deadline, "each handshake was given up"


def takes_a_session(listener: socket.socket) -> bool:
    """Take the next dialer as an agent; return whether it has come through the handshake and made an environment."""
    with listener.accept()[0] as connection:
        peer = RawPeer(connection)
        connection.settimeout(2 * SLOW)
        try:
            raw_peer.ask(peer)
        except (OSError, AssertionError, TypeError):
            return False
        return True


@pytest.mark.begins_first
@pytest.mark.timeout(2 * LONGEST)
def test_slow_resets_keep_no_agent_out() -> None:
    """All clients at a time, for each takes a while."""
    attempts: dict[str, Callable[[Client], None]] = {
        "listen": lambda client: listener_admits_another(client, None),
        "listen, token": lambda client: listener_admits_another(client, TOKEN),
        "dial": dialer_is_admitted,
    }
    cases = [(what, client) for what in attempts for client in CLIENTS]

    def failure(case: tuple[str, Client]) -> Exception | None:
        what, client = case
        try:
            attempts[what](client)
        except Exception as error:
            return error
        return None

    with ThreadPoolExecutor(len(cases)) as pool:
        failures = list(pool.map(failure, cases))
    assert not (
        failed := {
            (what, client.name): error
            for (what, client), error in zip(cases, failures, strict=True)
            if error is not None
        }
    ), failed


REFUSALS = ("another program listens there", "the token is refused", "the agent that has launched it is gone")


@pytest.mark.parametrize("why", REFUSALS)
def test_a_dial_that_is_refused_ends_no_session(games: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(WAIT)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        if why == REFUSALS[2]:
            monkeypatch.setenv("RLAY_ADDRESS", address)
        games.start("--dial", address, "--sessions", "2")
        first = RawPeer(stack.enter_context(listener.accept()[0]))
        raw_peer.ask(first)
        spare, _ = listener.accept()
        with spare:
            if why == REFUSALS[0]:
                spare.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            elif why == REFUSALS[1]:
                peer = RawPeer(spare)
                peer.receive()
                peer.send("Reject", {"code": 13, "wire_min": 0, "wire_max": 0, "message": "no"})
            else:
                peer = RawPeer(spare)
                raw_peer.ask(peer)
                listener.close()
                peer.send("Goodbye", {"code": 0, "message": ""})
                spare.sendall(b"\xff" * 4)
        for _ in range(4):
            time.sleep(0.3)
            first.send("Reset", RESET)
            answer = first.receive()
            assert answer is not None and answer["kind"] == "Result", answer


FLOODS: dict[str, tuple[str, Any]] = {"refused": ("Render", [0]), "slow": ("Reset", slow(0.01))}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_requests_keeps_no_agent_waiting(games: Any, flood: str) -> None:
    _, address = games.listen("--sessions", "2")
    with (
        rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT) as env,
        raw_peer.dial_and_shake(address) as peer,
    ):
        hostile.make(peer)
        env.reset()
        kind, body = FLOODS[flood]

        def ask() -> None:
            peer.send(kind, body)

        def drink() -> None:
            assert peer.socket.recv(1 << 20)

        beside(ask)
        beside(drink)
        time.sleep(0.5)
        deadline = time.monotonic() + WAIT
        for _ in range(20):
            env.step(0)
        assert time.monotonic() < deadline
        peer.socket.shutdown(socket.SHUT_RDWR)


def test_silent_dialers_keep_no_agent_waiting(games: Any) -> None:
    """After a slow reset a game lets handshakes come in, though not one after another for ever."""
    _, address = games.listen("--sessions", "2")
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    is_over = threading.Event()

    def dial() -> None:
        silent: deque[socket.socket] = deque()
        while not is_over.wait(0.03):
            with contextlib.suppress(OSError):
                silent.append(socket.create_connection((host, int(port)), WAIT))
            if len(silent) > 20:
                silent.popleft().close()
        for connection in silent:
            connection.close()

    with (
        rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT) as env,
        rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT) as other,
        thread(dial),
    ):
        try:
            env.reset(options={"sleep": 0.4})
            env.step(0)
            other.reset()
            other.step(0)
        finally:
            is_over.set()


def used_time(pid: int) -> float:
    """Return how many seconds of a processor a process has used."""
    with open(f"/proc/{pid}/stat") as status:
        fields = status.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


# The checks of memory need descriptors themselves.
UNCHECKED = [client for client in CLIENTS if client.name != "cpp-sanitized"]


@pytest.mark.parametrize("client", UNCHECKED, ids=lambda client: client.name)
def test_a_game_without_descriptors_plays_on(games: Any) -> None:
    program, address = games.listen("--sessions", "3")
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    with rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT) as env:
        env.reset()
        _, most = resource.prlimit(program.pid, resource.RLIMIT_NOFILE)
        few = held(program.pid)[0] + 4
        resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (few, most))
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(socket.create_connection((host, int(port)), WAIT))
            time.sleep(0.5)
            before, began = used_time(program.pid), time.monotonic()
            for _ in range(10):
                time.sleep(0.1)
                env.step(0)
            used, passed = used_time(program.pid) - before, time.monotonic() - began
            assert used < 0.8 * passed, "it asks for connections without a pause"
        resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (most, most))
        rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT).close()


# Without such a client there is no test, rather than one that is skipped.
test_a_game_without_descriptors_plays_on.__test__ = bool(UNCHECKED)  # type: ignore[attr-defined]

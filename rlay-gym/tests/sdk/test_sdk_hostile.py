"""Hostile peers of a game: it stays up and small, shows nothing that acts on a terminal, and serves the next agent."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import hostile
import raw_peer
import rlay
from equal import difference
from processes import WAIT, own_memory, until
from raw_peer import HELLO, MAKE, RESET, WELCOME, RawPeer
from sdk_clients import Client
from sdk_game import Drift
from wire_reference import RESUMABLE, RESUMING

CROWD = 24
"""Hostile peers at a time; fewer than any client's handshakes at a time."""

SILENT = 200
"""Dialers that say nothing; more than any client has handshakes at a time."""

MIB = 1 << 10
"""In the unit of ``own_memory``."""

ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that a terminal, or a reader of logs, takes for a command."""

FORGED = "bye\x1b[2J\r\x07\x9b31m\u202e\u2028\u2066\nrlay: forged"

TEXT = struct.pack("<Q", len(FORGED.encode())) + FORGED.encode()


KNOWN = {
    ("godot", "beyond_ascii"): "Godot 3 reads variables of the environment as Latin-1",
}
"""What is known to fail and not mended yet: of which client, a word in the name of the test, and why."""


@pytest.fixture(autouse=True)
def known(request: pytest.FixtureRequest, client: Client) -> None:
    for (name, word), reason in KNOWN.items():
        if client.name == name and word in request.node.name:
            request.applymarker(pytest.mark.xfail(reason=reason))


def serves(address: str) -> None:
    """Play as an honest agent, which the game lets in as soon as it has noticed that a hostile one is gone."""
    with rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT) as env:
        assert (found := difference(Drift().reset(seed=4), env.reset(seed=4), "reset")) is None, found


def is_let_in(play: Any, address: str) -> bool:
    """Play an opening; return whether there was room for it."""
    try:
        play(address)
    except AssertionError as error:
        if "'Reject'" not in str(error):
            raise
        return False
    return True


def peak_memory(pid: int) -> int:
    """Return how many KiB of memory a process has had at most."""
    with open(f"/proc/{pid}/status") as status:
        return int(status.read().split("VmHWM:")[1].split()[0])


def test_a_crowd(games: Any) -> None:
    program, address = games.listen("--sessions", "3")
    wrong: dict[str, Exception] = {}

    def attempt(attack: hostile.Attack) -> None:
        name, play = attack
        try:
            play(address)
        except Exception as error:
            wrong[name] = error

    quick = hostile.over(raw_peer.dial, hostile.STREAM, hostile.FIRST)
    silent = hostile.over(raw_peer.dial, hostile.STREAM_SILENT)
    with ThreadPoolExecutor(CROWD) as pool:
        list(pool.map(attempt, silent + quick))
    for name, play in hostile.over(raw_peer.dial, hostile.INSIDE):
        # One after another, and again where the game has not noticed yet that the one before is gone.
        until(lambda play=play: is_let_in(play, address), name)
    assert not wrong, wrong
    assert program.process.poll() is None
    serves(address)


def test_answers_that_are_not_read(games: Any) -> None:
    program, address = games.listen()
    with raw_peer.dial_and_shake(address) as peer:
        hostile.make(peer)
        before = own_memory(program.pid)
        peer.socket.settimeout(3.0)
        # No more is read of a peer that does not read.
        with pytest.raises(OSError):
            for _ in range(1 << 12):
                render = b"".join(hostile.framed(peer.head(0x23) + struct.pack("<QI", 1, 0)) for _ in range(1 << 12))
                peer.socket.sendall(render)
        assert own_memory(program.pid) - before < 64 * MIB
    serves(address)


def test_lists_that_announce_much(games: Any) -> None:
    program, address = games.listen()
    with raw_peer.dial_and_shake(address) as peer:
        hostile.make(peer)
        before = peak_memory(program.pid)
        frame = peer.head(0x21) + struct.pack("<QIB", 1, 0, 0)
        count = (1 << 20) - 64
        frame += struct.pack("<IQ", 7, count) * 30 + bytes(4 * count)
        peer.send_bytes(frame)
        message = peer.receive()
        assert message["kind"] == "Error" and message["body"]["fatal"], message
        assert peak_memory(program.pid) - before < 128 * MIB
    serves(address)


def connect(address: str, resume: Any = None, **changes: Any) -> tuple[RawPeer, Any]:
    """Connect for a new session, or for that of a ticket; return the Welcome, too."""
    features = RESUMABLE | (RESUMING if resume else 0)

    def attempt() -> Any:
        peer = RawPeer(raw_peer.plug(address))
        peer.send("Hello", HELLO | {"features": features, "resume": resume, **changes})
        answer = peer.receive()
        # The game may not have noticed yet that the agent before has left.
        assert answer["kind"] == "Welcome" or (not resume and answer["body"]["code"] == 5), answer
        return (peer, answer["body"]) if answer["kind"] == "Welcome" else peer.socket.close()

    return until(attempt, "a place")


def harmless(program: Any) -> None:
    """Check what a game has logged."""
    lines = list(program.errors)
    assert not [line for line in lines if ACTING.search(line) or line.startswith("rlay: forged")], lines


def test_texts_of_agents(games: Any) -> None:
    program, address = games.listen()
    fatal = struct.pack("<IBQ", 8, 1, 0) + 3 * TEXT
    for kind, body in ((0x09, struct.pack("<I", 0) + TEXT), (0x09, struct.pack("<I", 4) + TEXT), (0x0A, fatal)):
        peer, _ = connect(address, peer=FORGED)
        hostile.make(peer)
        peer.send_bytes(peer.head(kind) + body)
        assert peer.receive_bytes() is None
        peer.socket.close()
    serves(address)
    harmless(program)


@pytest.mark.parametrize("code", [5, 7, 13])
def test_texts_of_a_refusal(games: Any, code: int) -> None:
    def refuse(peer: RawPeer) -> None:
        peer.receive()
        peer.send_bytes(hostile.head(5) + struct.pack("<IHH", code, 0, 0) + TEXT)
        assert peer.receive_bytes() is None

    with raw_peer.listen(refuse) as address:
        program = games.start("--dial", address)
    with contextlib.suppress(AssertionError):
        # Some games say why they were refused, and some dial on without a word.
        until(lambda: any("bye" in line for line in program.errors), "the reason", timeout=3.0)
    harmless(program)


def test_a_listener_that_says_nothing(games: Any) -> None:
    """The game leaves it after the time of a handshake, also if a byte comes now and then, and dials again."""
    welcome = hostile.framed(
        raw_peer.encode("frame", {"kind": "Welcome", "seq": 0, "ack": 0, "re": 0, "body": WELCOME})
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)
        games.start("--dial", f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        for drip in (0, 1):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(0.5)
                end = time.monotonic() + 3 * hostile.HANDSHAKE
                hello = b""
                for i in range(1 << 20):
                    assert time.monotonic() < end, "the game waits on and on"
                    with contextlib.suppress(TimeoutError):
                        piece = connection.recv(4096)
                        hello += piece
                        if not piece:
                            break
                    if drip:
                        with contextlib.suppress(OSError):
                            connection.sendall(welcome[i : i + 1])
                assert hello[4:5] == b"\x01"


def test_a_listener_of_another_protocol(games: Any) -> None:
    """The game does not wait for it, and says what it is."""

    def answer(peer: RawPeer) -> None:
        peer.socket.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert peer.socket.recv(1 << 16)

    with raw_peer.listen(answer) as address:
        program = games.start("--dial", address)
    until(lambda: any("HTTP" in line for line in program.errors), "the name of the protocol")


def test_dialers_that_say_nothing(games: Any) -> None:
    """They dial again as soon as they are refused, and an honest agent is let in all the same."""
    _, address = games.listen()
    is_over = threading.Event()

    def silent() -> None:
        while not is_over.wait(0.1):
            with contextlib.suppress(OSError), raw_peer.plug(address) as connection:
                connection.settimeout(0.1)
                while not is_over.is_set():
                    with contextlib.suppress(TimeoutError):
                        if not connection.recv(1):
                            break

    with ThreadPoolExecutor(SILENT) as pool:
        for _ in range(SILENT):
            pool.submit(silent)
        try:
            time.sleep(1.0)
            serves(address)
        finally:
            is_over.set()


def test_a_session_that_never_begins(games: Any) -> None:
    _, address = games.listen()
    with raw_peer.dial(address) as peer:
        peer.send("Hello", HELLO | {"features": RESUMABLE})
        assert peer.receive()["kind"] == "Welcome"
        # Its place is free after the time of a handshake, for an agent that waits.
        serves(address)


def test_a_token_beyond_ascii(games: Any, paradigm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "ein Schlüssel – 漢字🎲"
    monkeypatch.setenv("RLAY_TOKEN", token)
    with games.agent(paradigm, token=token) as env:
        assert (found := difference(Drift().reset(seed=4), env.reset(seed=4), "reset")) is None, found


def test_frames_near_the_limit(games: Any) -> None:
    with games.agent("client", timeout=WAIT) as env:
        for size in (1 << 20, 63 << 20):
            options = {"large": np.arange(size, dtype=np.uint8)}
            _, info = env.reset(options=options)
            assert (found := difference({"seeded": False, "options": options}, info, "info")) is None, found
        # The request fits into a frame, and the answer does not.
        with pytest.raises(rlay.Error, match="bytes"):
            env.reset(options={"large": np.zeros((64 << 20) - 200, np.uint8)})
        assert (found := difference(Drift().reset(seed=4), env.reset(seed=4), "reset")) is None, found


def test_an_interrupt(games: Any) -> None:
    program, address = games.listen()
    with rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT) as env:
        env.reset()
        program.interrupt()
        program.wait()
        with pytest.raises(rlay.Error):
            env.step(0)


REQUESTS: list[tuple[str, Any, dict[str, Any]]] = [
    ("Make", MAKE, {}),
    ("Reset", RESET | {"rows": [[0, "07"]]}, {}),
    ("Step", [0], {"payload": {"Values": [{"Int": 2}]}}),
    ("Close", [], {}),
]
ANSWERS = ("Spec", "Result", "Result", "Closed")


@pytest.mark.parametrize("cut", range(len(REQUESTS)), ids=[kind for kind, _, _ in REQUESTS])
def test_a_cut_around_a_request(games: Any, cut: int) -> None:
    """The connection is lost before a request, in the middle of it and behind it; each is carried out once."""
    _, address = games.listen()
    found = []
    for how in ("before", "half", "behind"):
        peer, welcome = connect(address)
        for number, (kind, body, more) in enumerate(REQUESTS):
            answer = None
            if number == cut:
                if how == "half":
                    frame = {"kind": kind, "seq": number + 1, "ack": peer.received, "re": 0, "body": body, **more}
                    peer.socket.sendall(hostile.framed(raw_peer.encode("frame", frame))[:-3])
                elif how == "behind":
                    peer.send(kind, body, **more)
                sent, received = peer.sent, peer.received
                hostile.crash(peer)
                peer, resumed = connect(address, {"ticket": welcome["ticket"], "received": received})
                assert resumed["received"] in (number, sent)
                peer.sent, peer.received = resumed["received"], received
            if peer.sent == number:
                peer.send(kind, body, **more)
            answer = peer.receive()
            assert (answer["kind"], answer["re"]) == (ANSWERS[number], number + 1)
            if kind == "Step":
                found.append(answer["payload"])
        peer.send("Goodbye", {"code": 0, "message": ""})
        peer.socket.close()
    assert found[0] == found[1] == found[2]

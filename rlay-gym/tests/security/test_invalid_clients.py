"""Foreign peers on the port of a host, invalid clients in its sessions, invalid servers: it stays up and says why."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import raw_peer
import rlay
from processes import thread, until
from raw_peer import HELLO, MAKE, RESET, RawPeer
from scripted_host import ScriptedHost

GREETINGS = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "an HTTP peer on an RLay port"),
    "TLS": (bytes.fromhex("16030102000100 01fc0303".replace(" ", "")) + bytes(64), "a TLS peer on an RLay port"),
    "garbage": (b"\xde\xad\xbe\xef" * 16, "not an RLay peer"),
    "zeros": (bytes(64), "handshake"),
    "a short frame": (struct.pack("<I", 10) + bytes(10), "handshake"),
    "an empty frame": (bytes(4), "handshake"),
    "a frame that is none": (struct.pack("<I", 64) + b"\xff" * 64, "handshake"),
    "half a frame": (struct.pack("<I", 64) + b"\x01", "handshake failed"),
}


@pytest.fixture
def good(scripted_host: ScriptedHost) -> Iterator[Any]:
    """A good session, which continues while foreign peers connect and leave."""
    env = scripted_host.env()
    env.reset()
    env.step(0)
    yield env
    assert env.step(0)[0] == [2]
    rlay.ClientEnv(env.address).close()


@pytest.mark.parametrize("name", GREETINGS)
def test_a_foreign_peer_gets_no_answer_and_the_host_tells(scripted_host: ScriptedHost, good: Any, name: str) -> None:
    greeting, notice = GREETINGS[name]
    with raw_peer.dial(good.address) as foreign_peer:
        foreign_peer.socket.sendall(greeting)
        if name == "half a frame":
            foreign_peer.socket.close()
        else:
            assert foreign_peer.socket.recv(1) == b""
    assert "tcp://127.0.0.1:" in scripted_host.log(notice)


def test_a_first_frame_that_is_not_hello(scripted_host: ScriptedHost, good: Any) -> None:
    with raw_peer.dial(good.address) as foreign_peer:
        foreign_peer.send("Make", MAKE)
        assert foreign_peer.socket.recv(1) == b""
    scripted_host.log("before the handshake was over")


REJECTED = {
    "a newer wire": ({"wire_min": 7, "wire_max": 9}, "this side speaks wire 0, the dialer speaks 7 to 9"),
    "the same role": ({"role": "Env"}, "connect with ClientEnv, not ClientBackend"),
    "authentication": ({"auth": 2}, "authentication"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_peer_that_does_not_fit_is_told_why(scripted_host: ScriptedHost, good: Any, name: str) -> None:
    changes, text = REJECTED[name]
    with raw_peer.dial(good.address) as foreign_peer:
        foreign_peer.send("Hello", HELLO | changes)
        answer = foreign_peer.receive()
        assert (answer["kind"], answer["body"]["code"]) == ("Reject", 7)
        assert text in answer["body"]["message"]
        assert foreign_peer.receive() is None
    scripted_host.log(text)


def bomb(foreign_peer: RawPeer, options: bytes) -> None:
    """Send a Reset with these options."""
    foreign_peer.send_bytes(foreign_peer.head(0x21) + struct.pack("<QIB", 1, 0, 0) + options)


VIOLATIONS: dict[str, tuple[Callable[[RawPeer], None], str]] = {
    "an oversized frame": (lambda s: s.socket.sendall(struct.pack("<I", (64 << 20) + 1)), "larger than the limit"),
    "a nesting bomb": (lambda s: bomb(s, struct.pack("<IQ", 7, 1) * 100_000), "nested"),
    "a count bomb": (lambda s: bomb(s, struct.pack("<IQ", 7, 1 << 60)), "items"),
    "too many values": (
        lambda s: bomb(s, struct.pack("<IQ", 7, (1 << 20) + 1) + bytes(4 << 20) + bytes(4)),
        "too many values",
    ),
    "a long string": (lambda s: bomb(s, struct.pack("<IQ", 5, 1 << 62) + b"a"), "bytes"),
    "a frame out of order": (lambda s: s.send("Reset", RESET, seq=9), "frame 9 arrived where frame 2 was due"),
    "a reply": (lambda s: s.send("Closed", [], re=0), "out of turn"),
    "bytes too many": (lambda s: s.send_bytes(s.head(0x25) + struct.pack("<Q", 0) + b"\0"), "byte"),
    "an unknown kind": (lambda s: s.send_bytes(s.head(0x77)), "kind"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_its_session_alone(scripted_host: ScriptedHost, good: Any, name: str) -> None:
    violate, text = VIOLATIONS[name]
    with raw_peer.dial_and_shake(good.address) as foreign_peer:
        foreign_peer.send("Make", MAKE)
        assert foreign_peer.receive()["kind"] == "Spec"
        violate(foreign_peer)
        answer = foreign_peer.receive()
        assert (answer["kind"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 8, True)
        message = answer["body"]["failure"]["message"]
        assert text in message
        assert foreign_peer.receive() is None
    scripted_host.log(message)
    scripted_host.wait_for("close")


def test_a_request_that_makes_no_sense_is_answered_and_the_session_goes_on(
    scripted_host: ScriptedHost, good: Any
) -> None:
    with raw_peer.dial_and_shake(good.address) as foreign_peer:
        foreign_peer.send("Reset", RESET)
        answer = foreign_peer.receive()
        assert (answer["kind"], answer["re"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 1, 1, False)
        foreign_peer.send("Make", MAKE)
        assert foreign_peer.receive()["kind"] == "Spec"
        foreign_peer.send("Step", [0], payload={"Values": [{"Int": 0}]})
        assert foreign_peer.receive()["body"]["code"] == 2
        foreign_peer.send("Reset", RESET)
        assert foreign_peer.receive()["kind"] == "Result"
        foreign_peer.send("Step", [0], payload={"Packed": "00" * 8})
        answer = foreign_peer.receive()
        assert (answer["body"]["code"], answer["body"]["fatal"]) == (8, False)
        foreign_peer.send("Step", [0], payload={"Values": [{"Int": 0}]})
        assert foreign_peer.receive()["kind"] == "Result"
        foreign_peer.send("Goodbye", {"code": 0, "message": "done"})
        assert foreign_peer.receive() is None


@pytest.mark.parametrize("role", ["env", "agent"])
def test_the_time_of_a_handshake_is_the_users_choice(scripted_host: ScriptedHost, role: str) -> None:
    listener = scripted_host.server(handshake_timeout=0.2) if role == "agent" else None
    address = listener.address if listener else scripted_host.serve(handshake_timeout=0.2)
    began = time.monotonic()
    with raw_peer.dial(address) as foreign_peer:
        assert foreign_peer.socket.recv(1) == b""
    assert time.monotonic() - began < 4, "less than the five seconds that it takes otherwise"


def test_the_number_of_handshakes_is_the_users_choice(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve(max_handshakes=2, handshake_timeout=60.0)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(raw_peer.dial(address)) for _ in range(3)]
        assert silent[0].socket.recv(1) == b"", "the oldest makes room"
        assert scripted_host.log("too many newer ones are under way")


def test_an_agent_that_listens_is_not_disturbed_either(
    scripted_host: ScriptedHost, caplog: pytest.LogCaptureFixture
) -> None:
    env = scripted_host.server()
    with thread(env.reset):
        with raw_peer.dial(env.address) as foreign_peer:
            foreign_peer.socket.sendall(GREETINGS["HTTP"][0])
            assert foreign_peer.socket.recv(1) == b""
        # Soon, and not when an environment dials in: the foreign peer may be that environment, with a wrong address.
        until(lambda: "an HTTP peer on an RLay port" in caplog.text, "the agent to tell who dialed", 6.0)
        scripted_host.dial(env.address)
    assert env.step(0)[0] == [1]

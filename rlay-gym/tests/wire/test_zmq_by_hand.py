"""ZeroMQ's own library at either end: the bytes of section 17 of docs/wire.md, with none of RLay's code."""

from __future__ import annotations

import contextlib
import struct
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

import rlay
from processes import WAIT, thread
from raw_peer import HELLO, MAKE, RESET, SPEC, WELCOME, RawPeer, result
from scripted_host import ScriptedHost

DATA, CREDIT, PING, PONG, BYE, BYE_ACK, ABORT = (bytes([kind]) for kind in range(7))
PLENTY = 1 << 30


class ByHand(RawPeer):
    """A connection over libzmq, with the credit, the pings and the goodbye that section 17 asks for."""

    def __init__(self, socket: Any, identity: list[bytes]) -> None:
        self.socket, self.identity = socket, identity
        self.sent = self.received = self.credit = 0
        self.frames: deque[bytes] = deque()
        self.heard: list[bytes] = []

    def say(self, kind: bytes, rest: bytes = b"") -> None:
        self.socket.send_multipart([*self.identity, kind + rest])

    def give(self, credit: int) -> None:
        self.say(CREDIT, struct.pack("<Q", credit))

    def send_bytes(self, frame: bytes) -> None:
        self.listen(lambda: self.credit > 0)
        self.credit -= len(frame) + 64
        self.say(DATA, frame)

    def receive_bytes(self) -> bytes | None:
        self.listen(lambda: self.frames or BYE in self.heard)
        return self.frames.popleft() if self.frames else None

    def listen(self, ready: Any, timeout: float = WAIT) -> bool:
        """Receive messages until ``ready``, or fail; without it, until the time is over."""
        end = time.monotonic() + timeout
        while not (ready and ready()):
            if not self.socket.poll(max(0, end - time.monotonic()) * 1000):
                assert ready is None, f"waited {timeout} s; heard {self.heard}"
                return False
            *identity, message = self.socket.recv_multipart()
            assert identity == self.identity
            kind, rest = message[:1], message[1:]
            self.heard.append(kind)
            if kind == DATA:
                self.frames.append(rest)
            elif kind == CREDIT:
                self.credit += struct.unpack("<Q", rest)[0]
            elif kind == PING:
                self.say(PONG)
            elif kind == BYE:
                self.say(BYE_ACK)
        return True

    def leave(self) -> None:
        self.say(BYE)
        self.listen(lambda: BYE_ACK in self.heard)


@contextlib.contextmanager
def context(kind: int) -> Iterator[Any]:
    """Yield a socket of libzmq's."""
    with zmq.Context() as everything, everything.socket(kind) as socket:
        socket.linger = 0
        yield socket


@pytest.fixture(params=["zmq", "zmq+ipc"])
def there(request: Any, tmp_path: Any) -> str:
    """An address without a listener yet."""
    return "zmq://127.0.0.1:0" if request.param == "zmq" else f"zmq+ipc://{tmp_path}/by-hand.sock"


def endpoint(address: str) -> str:
    """Return what libzmq calls it."""
    return address.replace("zmq+ipc:", "ipc:").replace("zmq:", "tcp:")


@contextlib.contextmanager
def dial(address: str) -> Iterator[ByHand]:
    with context(zmq.DEALER) as socket:
        socket.connect(endpoint(address))
        yield ByHand(socket, [])


@contextlib.contextmanager
def dial_and_shake(address: str) -> Iterator[ByHand]:
    with dial(address) as agent:
        agent.give(PLENTY)
        agent.send("Hello", HELLO)
        assert agent.receive()["kind"] == "Welcome"
        yield agent


def test_an_agent_by_hand(scripted_host: ScriptedHost, there: str) -> None:
    with dial_and_shake(scripted_host.serve(address=there)) as agent:
        agent.send("Make", MAKE)
        assert agent.receive()["kind"] == "Spec"
        agent.send("Reset", RESET)
        agent.receive()
        for n in range(1, 4):
            agent.send("Step", [0], payload={"Packed": "00" * 16})
            answer = agent.receive()
            packed = bytes.fromhex(answer["payload"]["Packed"])
            assert (answer["re"], struct.unpack("<q", packed)) == (agent.sent, (n,))
        agent.send("Close", [0])
        assert agent.receive()["kind"] == "Closed"
        agent.send("Goodbye", {"code": 0, "message": ""})
        agent.leave()
    assert scripted_host.calls() == ["make", "reset", "step", "step", "step", "close"]


def test_a_host_by_hand(there: str) -> None:
    def play(socket: Any) -> None:
        identity, message = socket.recv_multipart()
        assert message[:1] == CREDIT, "the dialer begins"
        host = ByHand(socket, [identity])
        host.credit += struct.unpack("<Q", message[1:])[0]
        host.give(PLENTY)
        host.receive()
        host.send("Welcome", WELCOME)
        make = host.receive()
        host.send("Spec", SPEC, re=make["seq"])
        for _ in range(2):
            request = host.receive()
            host.send("Result", re=request["seq"], **result(request["kind"] == "Reset", bytes(16)))
        close = host.receive()
        host.send("Closed", [], re=close["seq"])
        assert host.receive()["kind"] == "Goodbye"
        assert host.receive() is None

    with context(zmq.ROUTER) as socket:
        socket.bind(endpoint(there).replace(":0", ":*") if there.endswith(":0") else endpoint(there))
        found = socket.last_endpoint.decode()
        address = found.replace("ipc:", "zmq+ipc:") if found.startswith("ipc") else found.replace("tcp:", "zmq:")
        with thread(lambda: play(socket)):
            env = rlay.ClientEnv(address)
            assert env.reset() == (0, {})
            assert env.step(1)[0] == 0
            env.close()


def test_who_gets_no_credit_waits(scripted_host: ScriptedHost, there: str) -> None:
    with dial(scripted_host.serve(address=there)) as agent:
        agent.give(1)  # the last frame may overdraw it
        agent.send("Hello", HELLO)
        assert agent.receive()["kind"] == "Welcome"
        agent.send("Make", MAKE)
        agent.listen(None, 1.0)
        assert not agent.frames, "a frame without credit"
        agent.give(PLENTY)
        assert agent.receive()["kind"] == "Spec"


def test_who_says_nothing_is_asked(scripted_host: ScriptedHost, there: str) -> None:
    with dial_and_shake(scripted_host.serve(address=there)) as agent:
        agent.listen(lambda: PING in agent.heard)


STRANGE = {
    "no part": [b""],
    "two parts": [DATA, DATA],
    "an unknown kind": [b"\x07"],
    "credit of seven bytes": [CREDIT + bytes(7)],
    "a ping with something in it": [PING + b"?"],
    "HTTP": [b"GET / HTTP/1.1\r\n\r\n"],
}


@pytest.mark.parametrize("when", ["first", "later"])
@pytest.mark.parametrize("name", STRANGE)
def test_a_message_that_is_none_is_answered_with_abort(
    scripted_host: ScriptedHost, there: str, name: str, when: str
) -> None:
    address = scripted_host.serve(address=there)
    with dial_and_shake(address) if when == "later" else dial(address) as agent:
        agent.socket.send_multipart(STRANGE[name])
        agent.listen(lambda: ABORT in agent.heard)
    scripted_host.client(address).reset()


def test_data_without_credit_is_refused(scripted_host: ScriptedHost, there: str) -> None:
    address = scripted_host.serve(address=there)
    with dial(address) as agent:
        agent.give(PLENTY)
        agent.listen(lambda: agent.credit > 0)
        for _ in range(3):
            agent.say(DATA, bytes(agent.credit))
        agent.listen(lambda: ABORT in agent.heard)
    scripted_host.client(address).reset()

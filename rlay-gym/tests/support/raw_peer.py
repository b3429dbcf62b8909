"""Peers made by hand from the specification, on plain sockets: honest ones, broken ones, hostile ones."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

from processes import WAIT, thread
from wire_reference import decode, encode

Json = Any

HELLO = {
    "wire_min": 0,
    "wire_max": 0,
    "role": "Agent",
    "auth": 0,
    "features": 0,
    "max_frame": 1 << 26,
    "peer": "by hand",
    "nonce": None,
    "resume": None,
}
WELCOME = {
    "wire": 0,
    "features": 0,
    "max_frame": 1 << 26,
    "peer": "by hand",
    "proof": None,
    "ticket": None,
    "received": None,
}
DISCRETE = {"Discrete": {"dtype": "i64", "n": 2, "start": 0}}
SPEC = {
    "env_id": "", "observation_space": DISCRETE, "action_space": DISCRETE, "slots": 1,
    "autoreset_mode": "Disabled", "render_mode": None,
    "metadata": {"Dict": []}, "details": {"Dict": []}, "attributes": [],
}  # fmt: skip
MAKE: Json = {
    "env_id": None, "kwargs": {"Dict": []}, "render_mode": None, "slots": 1, "autoreset_mode": "Disabled",
}  # fmt: skip
RESET = {"rows": [[0, None]], "options": "None"}


def result(first: bool, packed: bytes) -> Json:
    """Body and payload of a Result for slot 0."""
    row = {"slot": 0, "first": first, "last": False, "terminated": False, "truncated": False, "reward": f"{0:016x}"}
    return {"body": [row | {"info": {"Dict": []}}], "payload": {"Packed": packed.hex()}}


def proof(token: str, who: bytes, hello: bytes, challenge: bytes) -> bytes:
    """What proves that ``who`` knows the token, after the frames of Hello and Challenge."""
    secret = token.encode()
    key = hashlib.sha256(struct.pack("<Q", len(secret)) + secret).digest()
    return hmac.new(key, who + hello + challenge, hashlib.sha256).digest()


class RawPeer:
    """A connection on which frames are written by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(WAIT)
        self.sent = self.received = 0

    def send(self, kind: str, body: Json, re: int = 0, seq: int | None = None, **more: Json) -> None:
        """Send a message, numbered as it should be unless ``seq`` says otherwise."""
        if kind not in ("Hello", "Challenge", "Proof", "Welcome", "Reject"):
            self.sent += 1
        number = self.sent if seq is None else seq
        frame = {"kind": kind, "seq": number, "ack": self.received, "re": re, "body": body, **more}
        self.send_bytes(encode("frame", frame))

    def send_bytes(self, frame: bytes) -> None:
        """Send any bytes as a frame."""
        self.socket.sendall(struct.pack("<I", len(frame)) + frame)

    def head(self, kind: int) -> bytes:
        """Return the header of the next frame, to be followed by a body that no writer would write."""
        self.sent += 1
        return struct.pack("<B7xQQQ", kind, self.sent, self.received, 0)

    def receive(self) -> Json:
        """Return the next message; None at the end of the connection."""
        frame = self.receive_bytes()
        if frame is None:
            return None
        message = decode("frame", frame)
        self.received = message["seq"]
        return message

    def receive_bytes(self) -> bytes | None:
        """Return the next frame, whatever is in it."""
        (length,) = struct.unpack("<I", self._read(4) or b"\xff" * 4)
        return None if length == 0xFFFFFFFF else self._read(length)

    def _read(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                return b""
            data += piece
        return data


@contextlib.contextmanager
def dial(address: str) -> Iterator[RawPeer]:
    """Connect to a tcp or unix address."""
    with plug(address) as connection:
        yield RawPeer(connection)


def plug(address: str) -> socket.socket:
    """Return a socket that is connected to the listener there: at shm's rendezvous, without ZMTP, without TLS."""
    scheme, rest = address.partition("?")[0].split("://")
    if scheme in ("tcp", "tls", "zmq", "ws"):
        host, port = rest.split(":")
        return socket.create_connection((host, int(port)), WAIT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(WAIT)
    connection.connect(f"\0rlay-shm-{os.geteuid()}-{rest}" if scheme == "shm" else rest)
    return connection


@contextlib.contextmanager
def dial_tls(address: str) -> Iterator[RawPeer]:
    """Connect to a tls address, believing whatever certificate is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with plug(address) as connection, context.wrap_socket(connection) as wrapped:
        yield RawPeer(wrapped)


@contextlib.contextmanager
def dial_and_shake(address: str) -> Iterator[RawPeer]:
    """Connect as an honest agent does."""
    with dial(address) as foreign_peer:
        foreign_peer.send("Hello", HELLO)
        assert foreign_peer.receive()["kind"] == "Welcome"
        yield foreign_peer


def host(foreign_peer: RawPeer, spec: Json = SPEC) -> None:
    """Play an honest host that an agent has dialed, up to and including Spec."""
    foreign_peer.receive()
    foreign_peer.send("Welcome", WELCOME)
    make = foreign_peer.receive()
    foreign_peer.send("Spec", spec, re=make["seq"])


def ask(foreign_peer: RawPeer) -> None:
    """Play an honest agent that an environment has dialed, up to and including Spec."""
    foreign_peer.receive()
    foreign_peer.send("Welcome", WELCOME)
    foreign_peer.send("Make", MAKE)
    assert foreign_peer.receive()["kind"] == "Spec"


@contextlib.contextmanager
def listen(play: Callable[[RawPeer], None]) -> Iterator[str]:
    """Yield an address where ``play`` answers one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                play(RawPeer(connection))

        with thread(accept):
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"

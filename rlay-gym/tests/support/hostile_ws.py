"""Hostile openings over WebSocket (docs/wire.md, section 23): the upgrade by hand, and RLay's frames inside."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator

from hostile import FRAME, NOISE, Opening, Openings, drip, half_close, hello, leave, say, then
from raw_peer import RawPeer, plug

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FINAL, MASKED = 0x80, 0x80


def request(path: str = "/", *headers: str, key: str = "dGhlIHNhbXBsZSBub25jZQ==") -> bytes:
    """A request for a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers,
    ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def fragment(
    opcode: int, payload: bytes = b"", first: int = FINAL, length: int | None = None, mask: bool = True
) -> bytes:
    """A WebSocket frame, or the beginning of one that announces another length."""
    n, flag = len(payload) if length is None else length, MASKED if mask else 0
    if n < 126:
        head = struct.pack("!BB", first | opcode, flag | n)
    elif n < 1 << 16:
        head = struct.pack("!BBH", first | opcode, flag | 126, n)
    else:
        head = struct.pack("!BBQ", first | opcode, flag | 127, n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    keys = key * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(keys[: len(payload)], "big")
    return head + key + masked.to_bytes(len(payload), "big")


class WsPeer(RawPeer):
    """A dialer after its upgrade."""

    def upgrade(self, sent: bytes) -> bytes:
        """Ask for a WebSocket; return the status line."""
        self.socket.sendall(sent)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            piece = self.socket.recv(1)
            if not piece:
                break
            answer += piece
        return answer.partition(b"\r\n")[0]

    def send_bytes(self, frame: bytes) -> None:
        self.socket.sendall(fragment(BINARY, frame))

    def receive_bytes(self) -> bytes | None:
        while True:
            head = self._read(2)
            if not head:
                return None
            length = head[1]
            if length >= 126:
                size = 2 if length == 126 else 8
                length = int.from_bytes(self._read(size), "big")
            payload = self._read(length)
            if head[0] & 15 == CLOSE:
                return None
            if head[0] & 15 == BINARY:
                return payload


@contextlib.contextmanager
def dial(address: str) -> Iterator[RawPeer]:
    """Connect to a ws address."""
    with plug(address) as connection:
        foreign_peer = WsPeer(connection)
        assert b" 101 " in foreign_peer.upgrade(request()), "the upgrade is refused"
        yield foreign_peer


@contextlib.contextmanager
def dial_bare(address: str) -> Iterator[RawPeer]:
    """Connect, and ask for nothing yet."""
    with plug(address) as connection:
        yield WsPeer(connection)


def words(*those: bytes) -> Opening:
    """Send bytes behind a well-formed Hello."""
    return say(fragment(BINARY, hello()) + b"".join(those))


UPGRADES: Openings = {
    "no upgrade": say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "another page": say(request("/", "Origin: https://evil.example")),
    "two origins": say(request("/", "Origin: http://localhost", "Origin: https://evil.example")),
    "an origin of noise": say(request("/", "Origin: \x7f\x1b[2J" + "x" * 1000)),
    "another path": say(request("/" + "x" * 5000)),
    "another version": say(request().replace(b"13", b"12")),
    "no key": say(request(key="")),
    "a key of noise": say(request(key="%" * 24)),
    "a thousand headers": say(request("/", *(f"X-{i}: {i}" for i in range(1000)))),
    "a header of 100 KB": say(request("/", "X: " + "x" * 100_000)),
    "HTTP/1.0": say(request().replace(b"HTTP/1.1", b"HTTP/1.0")),
    "words behind the request": say(request() + fragment(BINARY, hello())),
    "half a request, and gone": then(say(request()[:-9]), leave),
    "half a request, and an end": then(say(request()[:-9]), half_close),
}
UPGRADES_SILENT: Openings = {
    "half a request": say(request()[:-9]),
    "a request byte by byte": drip(request()[:30], 0.1),
    "one letter of a request": say(b"G"),
}
MESSAGES: Openings = {
    "a text": say(fragment(TEXT, b"hello")),
    "a text behind a Hello": words(fragment(TEXT, b"hello")),
    "no mask": say(fragment(BINARY, hello(), mask=False)),
    "an extension": say(fragment(BINARY, hello(), FINAL | 0x40)),
    "an unknown kind": say(fragment(5, hello())),
    "an unknown control": say(fragment(12)),
    "a continuation of nothing": say(fragment(CONTINUATION, hello())),
    "a message within a message": say(fragment(BINARY, hello()[:9], 0) + fragment(BINARY, hello())),
    "a ping in parts": say(fragment(PING, b"a", 0)),
    "a ping that is too long": say(fragment(PING, bytes(126))),
    "half a closing code": say(fragment(CLOSE, b"\3")),
    "a closing without a code": say(fragment(CLOSE)),
    "a closing with another code": say(fragment(CLOSE, struct.pack("!H", 4000) + b"\xff\xfe\x1b[2J")),
    "a goodbye at once": say(fragment(CLOSE, struct.pack("!H", 1000))),
    "a message of 2^63 bytes": say(fragment(BINARY, b"", length=1 << 63)),
    "a message of 2^64 - 1 bytes": say(fragment(BINARY, b"", length=(1 << 64) - 1)),
    "a message above the limit": say(fragment(BINARY, b"", length=FRAME + 1)),
    "parts above the limit": say(fragment(BINARY, NOISE[:FRAME], 0) + fragment(CONTINUATION, b"x")),
    "a thousand empty parts": say(fragment(BINARY, b"", 0) + fragment(CONTINUATION, b"", 0) * 1000 + fragment(0)),
    "pings without end": then(say(fragment(PING, b"x" * 100) * 20_000), leave),
    "pings behind a Hello, unread": then(words(fragment(PING, b"x" * 100) * 20_000), leave),
    "half a message, and gone": then(say(fragment(BINARY, hello())[:-9]), leave),
    "noise": say(NOISE[:FRAME]),
}
MESSAGES_SILENT: Openings = {
    "an upgrade, then silence": say(b""),
    "half a message": say(fragment(BINARY, hello())[:-9]),
    "a part, then silence": say(fragment(BINARY, hello(), 0)),
    "pongs, then silence": say(fragment(PONG) * 100),
}

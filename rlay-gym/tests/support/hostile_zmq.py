"""Hostile openings over ZeroMQ (docs/wire.md, section 17): ZMTP by hand on a plain socket, and RLay's frames inside.

No frame here announces more than follows by a little. The crate that reads ZMTP reserves what a header announces,
which is how a hostile peer can end the process: SECURITY.md says so, and a test of it would only end the host.
"""

from __future__ import annotations

import contextlib
import select
import struct
import time
from collections.abc import Iterator

from hostile import HANDSHAKE, NOISE, PATIENCE, Opening, Openings, crash, hello, leave, linger, say, then
from raw_peer import RawPeer, plug

DATA, CREDIT, PING, PONG, BYE, BYE_ACK, ABORT = (bytes([kind]) for kind in range(7))
PLENTY = struct.pack("<Q", 1 << 30)
MORE, LONG, COMMAND = 1, 2, 4


def greeting(signature: bytes = b"\xff" + bytes(8) + b"\x7f", version: bytes = b"\3\0", rest: bytes = b"NULL") -> bytes:
    """ZMTP's first 64 bytes."""
    return (signature + version + rest).ljust(64, b"\0")


def part(words: bytes, flags: int = 0) -> bytes:
    """A frame of ZMTP's."""
    if len(words) > 255 or flags & LONG:
        return struct.pack(">BQ", flags | LONG, len(words)) + words
    return struct.pack("BB", flags, len(words)) + words


def ready(*properties: tuple[bytes, bytes], name: bytes = b"READY") -> bytes:
    """A command of ZMTP's."""
    pairs = [bytes([len(key)]) + key + struct.pack(">I", len(value)) + value for key, value in properties]
    return part(bytes([len(name)]) + name + b"".join(pairs), COMMAND)


DEALER = (b"Socket-Type", b"DEALER")


class Zmtp(RawPeer):
    """A connection on which messages of section 17 are written by hand."""

    def meet(self, *properties: tuple[bytes, bytes]) -> None:
        """Do what any ZeroMQ does first."""
        self.socket.sendall(greeting() + ready(DEALER, *properties))
        self._read(64)
        self.part()

    def say(self, message: bytes) -> None:
        """Send a message."""
        self.socket.sendall(part(message))

    def send_bytes(self, frame: bytes) -> None:
        self.say(DATA + frame)

    def receive_bytes(self) -> bytes | None:
        """Return the next frame; None after the word that the connection is over."""
        end = time.monotonic() + PATIENCE
        while self.socket.fileno() >= 0 and time.monotonic() < end:
            if not select.select([self.socket], [], [], 1.0)[0]:
                # The goodbye may get lost. A peer that pings the host is told again, as any unknown peer.
                self.say(PING)
                continue
            message = self.part()
            if message[:1] == DATA:
                return message[1:]
            if message == PING:
                self.say(PONG)
            if message == BYE:
                self.say(BYE_ACK)
            if message in (b"", BYE, ABORT):
                return None
        if self.socket.fileno() >= 0:
            raise TimeoutError("the host has not said that it is over")
        return None

    def part(self) -> bytes:
        """Return the next frame of ZMTP's; nothing at the end of the connection."""
        flags = self._read(1)
        if not flags:
            return b""
        return self._read(int.from_bytes(self._read(8 if flags[0] & LONG else 1), "big"))


@contextlib.contextmanager
def meet(address: str) -> Iterator[RawPeer]:
    """Connect, as any ZeroMQ does."""
    with plug(address) as connection:
        foreign_peer = Zmtp(connection)
        foreign_peer.meet()
        yield foreign_peer


@contextlib.contextmanager
def dial(address: str) -> Iterator[RawPeer]:
    """Connect, as an RLay does."""
    with meet(address) as foreign_peer:
        send(CREDIT + PLENTY)(foreign_peer)
        yield foreign_peer


# Without ZMTP, or with one that is wrong


def after_greeting(*words: bytes) -> Opening:
    """Send a greeting as it should be, and then these bytes."""
    return say(greeting() + b"".join(words))


ZMTP: Openings = {
    "HTTP": say(b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody\r\n\r\n" + bytes(64)),
    "TLS": say(bytes.fromhex("16030102000100 01fc0303") + bytes(510)),
    "zeros": say(bytes(64)),
    "ones": say(b"\xff" * 64),
    "noise": say(NOISE[:4096]),
    "a flood of noise": say(NOISE),
    "Hello without ZeroMQ": say(struct.pack("<I", 73) + hello()),
    "ZMTP 1": say(b"\x01\0\x02\0x" + bytes(64)),
    "ZMTP 2": say(greeting(version=b"\1\5")),
    "ZMTP 0.0": say(greeting(version=b"\0\0")),
    "a signature with another end": say(greeting(signature=b"\xff" + bytes(9))),
    "an unknown mechanism": say(greeting(rest=b"GSSAPI")),
    "a mechanism of noise": say(greeting(rest=NOISE[:20])),
    "no mechanism": say(greeting(rest=b"")),
    "a mechanism of 20 letters": say(greeting(rest=b"A" * 20)),
    "a greeting, and HTTP": after_greeting(b"\4\x10GET / HTTP/1.1\r\n"),
    "a greeting, and a message": after_greeting(part(b"\1" + PLENTY)),
    "a greeting, and an empty message": after_greeting(part(b"")),
    "a greeting, and an empty command": after_greeting(part(b"", COMMAND)),
    "a greeting, and HELLO": after_greeting(ready(name=b"HELLO")),
    "a greeting, and ERROR": after_greeting(ready(name=b"ERROR")),
    "a greeting, and SUBSCRIBE": after_greeting(ready(name=b"SUBSCRIBE")),
    "a greeting twice": after_greeting(greeting()),
    "a command without a name": after_greeting(ready(DEALER, name=b"")),
    "a command whose name does not end": after_greeting(part(b"\xffREADY", COMMAND)),
    "READY without a type": after_greeting(ready()),
    "READY of an empty type": after_greeting(ready((b"Socket-Type", b""))),
    "READY of an unknown type": after_greeting(ready((b"Socket-Type", b"ROBOT"))),
    "READY of a type that is no UTF-8": after_greeting(ready((b"Socket-Type", b"\xff\xfe"))),
    **{
        f"READY of {kind}": after_greeting(ready((b"Socket-Type", kind.encode())))
        for kind in ("PUB", "SUB", "REP", "PULL")
    },
    "READY with a name that is no UTF-8": after_greeting(ready(DEALER, (b"\xff", b""))),
    "READY that ends in a name": after_greeting(part(b"\5READY\x0bSocket", COMMAND)),
    "READY that ends before a value": after_greeting(part(b"\5READY\x0bSocket-Type\0\0", COMMAND)),
    "READY with a value of 4 GiB": after_greeting(part(b"\5READY\x0bSocket-Type\xff\xff\xff\xffDEALER", COMMAND)),
    "READY with an identity of 256 bytes": after_greeting(ready(DEALER, (b"Identity", b"x" * 256))),
    "READY with an identity of 60 KiB": after_greeting(ready(DEALER, (b"Identity", NOISE[:60000]))),
}
"""The host ends these at once."""

ZMTP_LEFT: Openings = {
    name: then(opening, linger)
    for name, opening in {
        "nothing": say(b""),
        "a byte": say(b"\xff"),
        "a signature": say(greeting()[:10]),
        "all of a greeting but a byte": say(greeting()[:-1]),
        "a greeting": say(greeting()),
        "a greeting of ZMTP 255": say(greeting(version=b"\xff\xff")),
        "a greeting with PLAIN": say(greeting(rest=b"PLAIN")),
        "a greeting with CURVE, as server": say(greeting(rest=b"CURVE".ljust(20, b"\0") + b"\1")),
        "half of READY": after_greeting(ready(DEALER)[:9]),
        "a READY of reserved flags": after_greeting(b"\xfc" + ready(DEALER)[1:]),
        "READY of REQ": after_greeting(ready((b"Socket-Type", b"REQ"))),
        "READY of ROUTER": after_greeting(ready((b"Socket-Type", b"ROUTER"))),
        "READY with an empty identity": after_greeting(ready(DEALER, (b"Identity", b""))),
        "READY with an identity of 255 bytes": after_greeting(ready(DEALER, (b"Identity", NOISE[:255]))),
        "READY with everybody's identity": after_greeting(ready(DEALER, (b"Identity", b"me"))),
        "READY and credit with everybody's identity": after_greeting(
            ready(DEALER, (b"Identity", b"me")), part(CREDIT + PLENTY)
        ),
        "READY with two identities": after_greeting(ready(DEALER, (b"Identity", b"one"), (b"Identity", b"two"))),
        "READY of 60 KiB, with an identity": after_greeting(
            ready(DEALER, (b"Junk", NOISE[:60000]), (b"Identity", b"junk"))
        ),
        "READY twice": after_greeting(ready(DEALER) * 2),
        "READY, and nothing": after_greeting(ready(DEALER)),
    }.items()
}
"""The crate would wait for the rest of these for ever, so they leave."""


# With ZMTP as it should be, and messages that are not


def send(*messages: bytes) -> Opening:
    """Send whole messages."""
    return say(b"".join(map(part, messages)))


def parts(*words: bytes) -> Opening:
    """Send one message of many parts."""
    return say(b"".join(part(each, MORE) for each in words[:-1]) + part(words[-1]))


def ping(foreign_peer: RawPeer) -> None:
    """Ask whether the host is there, for longer than a handshake may take."""
    end = time.monotonic() + HANDSHAKE + 3
    while time.monotonic() < end:
        send(PING)(foreign_peer)
        time.sleep(0.1)


STRANGE = {
    "no part": parts(b""),
    "two parts": parts(DATA, DATA),
    "two parts, the first of them credit": parts(CREDIT + PLENTY, b""),
    "a thousand parts": parts(*[b"x"] * 1000),
    "kind 7": send(b"\x07"),
    "kind 255": send(b"\xff" * 9),
    "credit without a number": send(CREDIT),
    "credit of seven bytes": send(CREDIT + bytes(7)),
    "credit of nine bytes": send(CREDIT + bytes(9)),
    "a ping with something in it": send(PING + b"?"),
    "a bye with something in it": send(BYE + b"?"),
    "HTTP in a message": send(b"GET / HTTP/1.1\r\n\r\n"),
    "noise in a message": send(NOISE[:5000]),
    "noise in a thousand messages": send(*(NOISE[n : n + 40] for n in range(1000))),
}
"""No messages at all; the host answers with abort."""

MEETING: Openings = {
    **{f"{name}, first": opening for name, opening in STRANGE.items()},
    "data first": send(DATA + hello()),
    "a ping first": send(PING),
    "a bye first": send(BYE),
    "a pong first": then(send(PONG), leave),
    "a bye-ack first": then(send(BYE_ACK), leave),
    "an abort first": then(send(ABORT), leave),
    "ten thousand pings, and no answer is read": then(send(*[PING] * 10_000), leave),
    "READY again": then(say(ready(DEALER)), leave),
    "an unknown command": say(ready(name=b"PING")),
    "a command of noise": say(part(NOISE[:200], COMMAND)),
    "half a message": then(say(part(CREDIT + PLENTY)[:5]), leave),
    "half a message, and a crash": then(say(part(CREDIT + PLENTY)[:5]), crash),
    "half of a long message": then(say(part(NOISE[:60_000])[:30_000]), leave),
    "half of many parts": then(say(part(b"x", MORE) * 100), leave),
    "a short message in a long header": then(say(part(CREDIT + PLENTY, LONG)), leave),
    "no credit, then Hello": then(send(CREDIT + bytes(8), DATA + hello()), linger),
    "a debt, then Hello": then(send(CREDIT + struct.pack("<q", -1 << 40), DATA + hello()), linger),
    "credit without end": then(send(*[CREDIT + b"\xff" * 8] * 1000, DATA + hello()), linger),
}
"""Sent instead of credit, or as credit."""

MET: Openings = {
    **{f"{name}, after credit": opening for name, opening in STRANGE.items()},
    "an empty frame": send(DATA),
    "a bye": send(BYE),
    "a bye, and then Hello": send(BYE, DATA + hello()),
    "a bye, and then credit": send(BYE, CREDIT + PLENTY),
    "an abort": then(send(ABORT), leave),
    "an abort, and then Hello": then(send(ABORT, DATA + hello()), leave),
    "a bye-ack for no bye": then(send(BYE_ACK), leave),
    "a thousand byes": send(*[BYE] * 1000),
    "credit a thousand times": then(send(*[CREDIT + PLENTY] * 1000), leave),
    "a frame beyond the limit": send(DATA + NOISE[:65537]),
    "frames beyond the credit": send(*[DATA + NOISE] * 10),
    "ten thousand pings after credit, and no answer is read": then(send(*[PING] * 10_000), leave),
    "gone after credit": leave,
    "a crash after credit": crash,
}

MET_SILENT: Openings = {
    "credit, then silence": say(b""),
    "credit, then pings": ping,
    "credit, then pongs": send(*[PONG] * 100),
    "half of Hello's message": say(part(DATA + hello())[:50]),
}
MEETING_SILENT: Openings = {
    "Hello, and no credit for the answer": send(CREDIT + bytes(8), DATA + hello()),
}


# One that needs more than a crowd does of each


def never_read(foreign_peer: RawPeer) -> None:
    """Ask whether the host is there as long as it listens, read no answer, and stay for a while."""
    foreign_peer.socket.settimeout(1.0)
    with contextlib.suppress(TimeoutError):
        for _ in range(400):
            foreign_peer.socket.sendall(part(PING) * 10_000)
    time.sleep(HANDSHAKE + 1)
    leave(foreign_peer)

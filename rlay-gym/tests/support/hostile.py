"""Hostile openings, as data: what hostile peers send, half send or never send to a listener that expects RLay.

An opening is called with a `RawPeer`, on a connection of any transport, and returns when it has sent all its bytes; its
caller then waits for the host to end the connection. An opening that the host has no reason to end closes the
connection itself. All is made of bytes: nothing in this module imports rlay.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from raw_peer import HELLO, MAKE, RESET, RawPeer
from wire_reference import RESUMABLE, RESUMING, encode
from wire_values import KINDS

Opening = Callable[[RawPeer], None]
Openings = dict[str, Opening]
Dial = Callable[[str], contextlib.AbstractContextManager[RawPeer]]
Attack = tuple[str, Callable[[str], None]]
"""A name, and what is done to the host at an address."""

HANDSHAKE = 5.0
"""How long a host lets a handshake take, if it is not told otherwise."""

PATIENCE = HANDSHAKE + 10.0
"""How long a hostile peer waits for the end. Over ZeroMQ some learn of the end only when they send a ping."""

FRAME = 65536
"""The longest frame of a handshake."""

NOISE = random.Random(7).randbytes(1 << 20)
CODES = {name: code for code, name in KINDS.items()}


def hello(**changes: Any) -> bytes:
    """The frame of Hello, with other fields."""
    return encode("frame", {"kind": "Hello", "seq": 0, "ack": 0, "re": 0, "body": HELLO | changes})


def altered(at: int, new: bytes) -> bytes:
    """The frame of Hello, with other bytes."""
    frame = hello()
    return frame[:at] + new + frame[at + len(new) :]


def framed(frame: bytes, length: int | None = None) -> bytes:
    """A frame behind its length, or behind a wrong one."""
    return struct.pack("<I", len(frame) if length is None else length) + frame


def head(kind: int, seq: int = 0, ack: int = 0, re: int = 0) -> bytes:
    """A header."""
    return struct.pack("<B7xQQQ", kind, seq, ack, re)


def text(raw: bytes, length: int | None = None) -> bytes:
    """A string, whatever is in it, or behind a wrong length."""
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def over(dial: Dial, *lists: Openings) -> list[Attack]:
    """These openings on connections that ``dial`` makes: all that another transport needs."""
    return [(name, partial(attack, dial, opening)) for openings in lists for name, opening in openings.items()]


def attack(dial: Dial, opening: Opening, address: str) -> None:
    """Connect, do it, and wait until the host ends the connection, if the opening has not."""
    with dial(address) as foreign_peer:
        foreign_peer.socket.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        try:
            opening(foreign_peer)
            while foreign_peer.receive_bytes() is not None:
                assert time.monotonic() < end, "the host talks on and on"
        except TimeoutError:
            raise AssertionError("the host neither reads on nor ends the connection") from None
        except OSError:
            pass  # The host has ended the connection amid the opening, or the opening has closed it.


# What openings do


def say(words: bytes) -> Opening:
    """Send bytes as they are."""
    return lambda foreign_peer: foreign_peer.socket.sendall(words)


def frames(*these: bytes) -> Opening:
    """Send frames, as the transport carries them."""

    def play(foreign_peer: RawPeer) -> None:
        for frame in these:
            foreign_peer.send_bytes(frame)

    return play


def then(*these: Opening) -> Opening:
    """One after another."""

    def play(foreign_peer: RawPeer) -> None:
        for opening in these:
            opening(foreign_peer)

    return play


def leave(foreign_peer: RawPeer) -> None:
    """Close the connection."""
    foreign_peer.socket.close()


def crash(foreign_peer: RawPeer) -> None:
    """Close it as a kill does: what was not read is thrown away, and so says the kernel."""
    foreign_peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    foreign_peer.socket.close()


def half_close(foreign_peer: RawPeer) -> None:
    """Say that nothing follows, and stay."""
    foreign_peer.socket.shutdown(socket.SHUT_WR)


def linger(foreign_peer: RawPeer) -> None:
    """Stay for a moment without sending or reading, then close."""
    time.sleep(0.2)
    leave(foreign_peer)


def drip(words: bytes, pause: float) -> Opening:
    """Send byte after byte."""

    def play(foreign_peer: RawPeer) -> None:
        for i in range(len(words)):
            foreign_peer.socket.sendall(words[i : i + 1])
            time.sleep(pause)

    return play


def enter(foreign_peer: RawPeer) -> None:
    """Be admitted, as an honest agent is."""
    foreign_peer.send("Hello", HELLO)
    answer = foreign_peer.receive()
    assert answer is not None and answer["kind"] == "Welcome", answer


def make(foreign_peer: RawPeer) -> None:
    """Have an environment made."""
    foreign_peer.send("Make", MAKE)
    answer = foreign_peer.receive()
    assert answer is not None and answer["kind"] == "Spec", answer


def deaf(*these: bytes) -> Opening:
    """Send frames as long as there is room for them, read nothing, and go."""

    def play(foreign_peer: RawPeer) -> None:
        foreign_peer.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            frames(*these)(foreign_peer)
        leave(foreign_peer)

    return play


# Lists for streams of bytes, where lengths and ends can be wrong

STREAM: Openings = {
    "HTTP": say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "HTTP, posting a lot": say(b"POST / HTTP/1.1\r\nContent-Length: 65536\r\n\r\n" + b"x" * FRAME),
    "HTTP/2": say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": say(bytes.fromhex("16030102000100 01fc0303") + bytes(510)),
    "a TLS alert": say(bytes.fromhex("15030300020228")),
    "SSH": say(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "SMTP": say(b"EHLO localhost\r\n"),
    "SOCKS": say(bytes.fromhex("05ff") + bytes(range(255))),
    "a proxy": say(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"),
    "text": say("ÄÖÜ, wer da?\n".encode() * 9),
    "zeros": say(bytes(64)),
    "ones": say(b"\xff" * 64),
    "noise": say(NOISE[:4096]),
    "a flood of zeros": say(bytes(1 << 20)),
    "a flood of noise": say(NOISE),
    "a flood of empty frames": say(bytes(4) * (1 << 16)),
    "an empty frame": say(framed(b"")),
    "the longest length": say(framed(b"", 0xFFFFFFFE)),
    "a length of 2 GiB": say(framed(b"", 1 << 31)),
    "a length beyond the limit of sessions": say(framed(b"", (64 << 20) + 1)),
    "a length beyond the limit of handshakes": say(framed(b"", FRAME + 1)),
    "a length beyond it, and as many bytes": say(framed(NOISE[: FRAME + 1])),
    "a length in the wrong order of bytes": say(struct.pack(">I", len(hello())) + hello()),
    "a frame without a length": say(hello()),
    "the end": say(b"\xff" * 4),
    "the end, and then Hello": say(b"\xff" * 4 + framed(hello())),
    "nothing": leave,
    "nothing, and a crash": crash,
    "nothing, and half a close": half_close,
    "half a length, and the end": then(say(b"\x49\0"), leave),
    "half a frame, and the end": then(say(framed(hello())[:40]), leave),
    "half a frame, and half a close": then(say(framed(hello())[:40]), half_close),
    "half a frame, and a crash": then(say(framed(hello())[:40]), crash),
    "half a frame, and the word of the end": say(framed(hello())[:40] + b"\xff" * 40),
    "Hello, and the end": then(say(framed(hello())), leave),
    "Hello, and a crash": then(say(framed(hello())), crash),
    "Hello, and half a close": then(say(framed(hello())), half_close),
    "Hello, and a flood": say(framed(hello()) + NOISE),
    "Hello, and a flood of Hellos": say(framed(hello()) * (1 << 14)),
    "Hello, and a length beyond every limit": say(framed(hello()) + framed(b"", 0xFFFFFFFE)),
    "Hello, byte after byte": then(drip(framed(hello()), 0.001), leave),
}
"""The host ends these at once, or they leave."""

STREAM_SILENT: Openings = {
    "silence": say(b""),
    "ZeroMQ's greeting, then silence": say(b"\xff" + bytes(8) + b"\x7f\x03\0NULL" + bytes(48)),
    "a byte, then silence": say(b"\x49"),
    "a length, then silence": say(framed(b"", 73)),
    "a length of 64 KiB, then silence": say(framed(b"", FRAME)),
    "half a header, then silence": say(framed(hello())[:20]),
    "a header, then silence": say(framed(hello())[:36]),
    "all of Hello but a byte, then silence": say(framed(hello())[:-1]),
    "all of 64 KiB but a byte, then silence": say(framed(NOISE[: FRAME - 1], FRAME)),
    "a frame that never ends, byte after byte": drip(framed(NOISE[:400], FRAME), 0.05),
    "a frame that never ends, in a hurry": drip(framed(NOISE[:8000], FRAME), 0.001),
}
"""The host waits for more, until the time for handshakes is over."""


# Lists of frames, for every transport

FIRST: Openings = {
    **{f"{kind} first": frames(head(code)) for kind, code in CODES.items()},
    **{f"{kind} first, and noise in it": frames(head(code) + NOISE[:200]) for kind, code in CODES.items()},
    "a well-formed Make first": lambda foreign_peer: foreign_peer.send("Make", MAKE),
    "a well-formed Reset first": lambda foreign_peer: foreign_peer.send("Reset", RESET),
    "a well-formed Welcome first": frames(encode("frame", {
        "kind": "Welcome", "seq": 0, "ack": 0, "re": 0,
        "body": {
            "wire": 0, "features": 0, "max_frame": 1 << 26, "peer": "me", "proof": None, "ticket": None,
            "received": None,
        },
    })),
    "a well-formed Reject first": frames(head(5) + struct.pack("<IHH", 5, 0, 0) + text(b"no")),
    "a well-formed Challenge first": frames(head(2) + NOISE[:32]),
    "a well-formed Proof first": frames(head(3) + NOISE[:32]),
    "a well-formed Goodbye first": frames(head(9) + struct.pack("<I", 0) + text(b"bye")),
    **{f"kind {code:#x}": frames(head(code)) for code in (0x00, 0x06, 0x24, 0x7F, 0xFF)},
    "a frame of one byte": frames(b"\x01"),
    "a frame of 31 bytes": frames(hello()[:31]),
    "a frame of 64 KiB of zeros": frames(bytes(FRAME)),
    "a frame of 64 KiB of ones": frames(b"\xff" * FRAME),
    "a frame of 64 KiB of noise": frames(NOISE[:FRAME]),
    "Hello with 64 KiB behind it": frames(hello() + bytes(FRAME - len(hello()))),
    **{f"a reserved byte, number {at}": frames(altered(at, b"\x01")) for at in (1, 2, 3, 4, 7)},
    "Hello with a number": frames(altered(8, struct.pack("<Q", 1))),
    "Hello that has heard something": frames(altered(16, struct.pack("<Q", 1))),
    "Hello that answers something": frames(altered(24, struct.pack("<Q", 1))),
    "Hello with the last of all numbers": frames(altered(8, b"\xff" * 24)),
    "another magic word": frames(altered(32, b"YALR")),
    "no magic word": frames(altered(32, bytes(4))),
    **{f"Hello that ends after {n} bytes": frames(hello()[:n]) for n in (32, 35, 40, 41, 42, 50, 58, 65, 66, 72)},
    "Hello and a byte more": frames(hello() + b"\0"),
    "Hello twice in a frame": frames(hello() * 2),
    "role 2": frames(altered(40, b"\x02")),
    "role 7": frames(altered(40, b"\x07")),
    "role 255": frames(altered(40, b"\xff")),
    "the host's own role": frames(hello(role="Env")),
    "authentication 2": frames(hello(auth=2)),
    "authentication 255": frames(hello(auth=255)),
    "a token without a nonce": frames(hello(auth=1)),
    "a token with half a nonce": frames(hello(auth=1, nonce=[7] * 16)),
    "a nonce without a token": frames(hello() + bytes(32)),
    "a wire number to come": frames(hello(wire_min=1, wire_max=9)),
    "the last of all wire numbers": frames(hello(wire_min=65535, wire_max=65535)),
    "wire numbers the wrong way round": frames(hello(wire_min=9, wire_max=0)),
    "a name of 2^62 bytes": frames(altered(58, struct.pack("<Q", 1 << 62))),
    "a name of 2^64-1 bytes": frames(altered(58, b"\xff" * 8)),
    "a name a byte longer than the frame": frames(altered(58, struct.pack("<Q", 8))),
    "a name a byte shorter than the frame": frames(altered(58, struct.pack("<Q", 6))),
    "a name of 257 bytes": frames(hello(peer="x" * 257)),
    "a name of 60 KiB": frames(hello(peer="x" * 60_000)),
    **{
        f"a name that is no UTF-8, {raw.hex()}": frames(hello()[:58] + text(raw))
        for raw in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"caf\xc3")
    },
}  # fmt: skip
"""None of these is admitted, with or without a token."""

INSIDE: Openings = {
    "no frame at all": then(frames(hello(max_frame=0)), linger),
    "frames without a limit": then(frames(hello(max_frame=(1 << 64) - 1)), linger),
    "features of all kinds": then(frames(hello(features=(1 << 64) - 1 ^ RESUMING)), linger),
    "a session that may last, and gone": then(frames(hello(features=RESUMABLE)), crash),
    "a session of nobody": then(frames(hello(features=RESUMING, resume={"ticket": [7] * 32, "received": 0})), linger),
    "a session of nobody, of the last number": frames(
        hello(features=RESUMABLE | RESUMING, resume={"ticket": [0] * 32, "received": (1 << 64) - 1})
    ),
    "a session that is not named": frames(hello(features=RESUMING)),
    "every wire number": then(frames(hello(wire_min=0, wire_max=65535)), linger),
    "a name that writes over the log": then(frames(hello(peer="\x1b[2J\r\nINFO: all is well\0")), linger),
    "no name": then(frames(hello(peer="")), linger),
    "the longest name": then(frames(hello(peer="ä" * 128)), linger),
    "Hello twice": frames(hello(), hello()),
    "Hello, then Proof": frames(hello(), head(3) + NOISE[:32]),
    "Hello, then Welcome": frames(hello(), head(4) + NOISE[:32]),
    "Hello, then an empty frame": frames(hello(), b""),
    "Hello, then noise": frames(hello(), NOISE[:FRAME]),
    "Hello and Make at once, and gone": then(frames(hello(), head(0x20, 1) + b"\0\x09" + bytes(12)), leave),
    "Hello and a hundred Makes at once": deaf(hello(), *(head(0x20, n) + b"\0\x09" + bytes(12) for n in range(1, 101))),
    "Hello and many requests, none of them read": deaf(hello(), *(head(0x25, n) + bytes(8) for n in range(1, 3000))),
    "a reset of a megabyte": then(enter, frames(head(0x21, 1) + bytes(1 << 20))),
    "Make with a number left out": then(enter, lambda foreign_peer: foreign_peer.send("Make", MAKE, seq=2)),
    "Make with number 0": then(enter, lambda foreign_peer: foreign_peer.send("Make", MAKE, seq=0)),
    "Make that has heard what was never said": then(enter, frames(head(0x20, 1, 9) + b"\0\x09" + bytes(12))),
    "Make that answers what was never asked": then(enter, frames(head(0x20, 1, 0, 9) + b"\0\x09" + bytes(12))),
    "Make with a name of 2^62 bytes": then(enter, frames(head(0x20, 1) + b"\x01" + text(b"x", 1 << 62))),
    "Make, nested without end": then(enter, frames(head(0x20, 1) + b"\0" + struct.pack("<IQ", 7, 1) * 9999)),
    "Make with 2^60 values": then(enter, frames(head(0x20, 1) + b"\0" + struct.pack("<IQ", 7, 1 << 60))),
    "Make twice at once": then(enter, frames(*(head(0x20, n) + b"\0\x09" + bytes(12) for n in (1, 2))), leave),
    "Make of what nobody offers": then(enter, lambda s: s.send("Make", MAKE | {"env_id": "Nothing-v0"}), leave),
    "Make, and a crash": then(enter, lambda foreign_peer: foreign_peer.send("Make", MAKE), crash),
    "a step before there is anything": then(enter, frames(head(0x22, 1) + bytes(24)), leave),
    "a step with noise in it": then(enter, make, frames(head(0x22, 2, 1) + NOISE[:99])),
    "a reset of 2^60 rows": then(enter, make, frames(head(0x21, 2, 1) + struct.pack("<Q", 1 << 60))),
    "a reset of slots that nobody has": then(
        enter,
        make,
        lambda foreign_peer: foreign_peer.send("Reset", {"rows": [[9, None]] * 99, "options": "None"}),
        leave,
    ),
    "an answer": then(enter, make, lambda foreign_peer: foreign_peer.send("Closed", [], re=1)),
    "an error that is fatal": then(enter, make, frames(head(0x0A, 2, 1) + struct.pack("<IBQ", 8, 1, 0) + bytes(24))),
    "an unknown kind, inside": then(enter, make, frames(head(0x77, 2, 1))),
    "Goodbye, and then more": then(enter, frames(head(9, 1) + bytes(12), NOISE[:999]), leave),
    "let in, and gone": then(enter, leave),
    "let in, and a crash": then(enter, crash),
    "let in, and silent": then(enter, linger),
}
"""A host without a token admits these, or begins to."""

"""Hostile openings over shared memory (docs/wire.md, section 18): at the rendezvous, and with the rings in hand."""

from __future__ import annotations

import array
import contextlib
import fcntl
import mmap
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from hostile import (
    HANDSHAKE,
    NOISE,
    Openings,
    crash,
    enter,
    framed,
    half_close,
    hello,
    leave,
    linger,
    make,
    say,
    then,
)
from processes import WAIT
from raw_peer import RawPeer, plug

SIZE = 528384
RING = 262144
LISTENER, DIALER = 0, 1024
"""Where the words of a side start."""
WRITTEN, READ, ASLEEP, GONE = 0, 64, 128, 192
DATA = {LISTENER: 4096, DIALER: 266240}
"""Where the ring of a side starts."""


class Ring:
    """The dialer's end of a connection, with the methods of a socket that openings use.

    It asks for room and for data again and again instead of sleeping, and it rings the bell after every write.
    """

    def __init__(self, bell: socket.socket) -> None:
        self.bell = bell
        greeting, ancillary, _, _ = bell.recvmsg(8, socket.CMSG_SPACE(4))
        bell.setblocking(False)
        assert greeting == b"RLAYSHM0", greeting
        [(_, _, packed)] = ancillary
        [self.memory] = array.array("i", packed)
        self.map = mmap.mmap(self.memory, SIZE)
        self.timeout = WAIT
        self.written = self.read = 0

    def word(self, side: int, which: int) -> int:
        """Return a word of the connection."""
        return int(struct.unpack_from("=Q" if which in (WRITTEN, READ) else "=I", self.map, side + which)[0])

    def set_word(self, side: int, which: int, value: int) -> None:
        """Set it, whoever's it is."""
        struct.pack_into("=Q" if which in (WRITTEN, READ) else "=I", self.map, side + which, value)

    def ring(self) -> None:
        """Ring the bell."""
        with contextlib.suppress(BlockingIOError):
            self.bell.send(b"\1")

    def has_ended(self) -> bool:
        """Whether the host has closed its end. Takes the bells that have rung."""
        with contextlib.suppress(BlockingIOError):
            return not self.bell.recv(64)
        return False

    def wait(self, ready: Callable[[], bool]) -> bool:
        """Wait for what is needed; whether it has come before the end."""
        end = time.monotonic() + self.timeout
        while not ready():
            if self.has_ended():
                return ready()
            if time.monotonic() > end:
                raise TimeoutError("the host neither reads, writes nor ends")
            time.sleep(0.001)
        return True

    def settimeout(self, timeout: float) -> None:
        self.timeout = timeout

    def sendall(self, words: bytes) -> None:
        at = 0
        while at < len(words):
            if not self.wait(lambda: self.word(LISTENER, READ) + RING > self.written):
                raise BrokenPipeError("the host has ended the connection")
            start = self.written % RING
            room = min(self.word(LISTENER, READ) + RING - self.written, RING - start)
            piece = words[at : at + room]
            self.map[DATA[DIALER] + start : DATA[DIALER] + start + len(piece)] = piece
            at += len(piece)
            self.written += len(piece)
            self.set_word(DIALER, WRITTEN, self.written)
            self.ring()

    def recv(self, most: int) -> bytes:
        if not self.wait(lambda: self.word(LISTENER, WRITTEN) > self.read):
            return b""
        start = self.read % RING
        n = min(most, self.word(LISTENER, WRITTEN) - self.read, RING - start)
        self.read += n
        piece = self.map[DATA[LISTENER] + start : DATA[LISTENER] + start + n]
        self.set_word(DIALER, READ, self.read)
        with contextlib.suppress(BrokenPipeError):  # The host's last words are read when it is gone.
            self.ring()
        return piece

    def setsockopt(self, *arguments: Any) -> None:
        self.bell.setsockopt(*arguments)

    def shutdown(self, how: int) -> None:
        self.bell.shutdown(how)

    def close(self) -> None:
        if self.bell.fileno() >= 0:
            self.bell.close()
            os.close(self.memory)


@contextlib.contextmanager
def dial(address: str) -> Iterator[RawPeer]:
    """Connect to a shm address and take the memory."""
    with plug(address) as bell, contextlib.closing(Ring(bell)) as ring:
        yield RawPeer(ring)  # type: ignore[arg-type]


# At the rendezvous: nothing is taken, and whatever is said is a bell that rings.


def hand(*descriptors: int) -> Callable[[RawPeer], None]:
    """Send descriptors, as only the listener should."""

    def play(stranger: RawPeer) -> None:
        socket.send_fds(stranger.socket, [b"RLAYSHM0"], list(descriptors))

    return play


def hand_memory(size: int) -> Callable[[RawPeer], None]:
    """Send memory of this size."""

    def play(stranger: RawPeer) -> None:
        memory = os.memfd_create("hostile")
        os.ftruncate(memory, size)
        hand(memory)(stranger)
        os.close(memory)

    return play


def hand_back(stranger: RawPeer) -> None:
    """Take the memory and send it back."""
    _, [memory], _, _ = socket.recv_fds(stranger.socket, 8, 1)
    hand(memory)(stranger)
    os.close(memory)


def hand_pipe(stranger: RawPeer) -> None:
    """Send both ends of a pipe."""
    ends = os.pipe()
    hand(*ends)(stranger)
    for end in ends:
        os.close(end)


def hand_itself(stranger: RawPeer) -> None:
    """Send the connection over itself, and the standard streams."""
    hand(stranger.socket.fileno(), 0, 1, 2)(stranger)


def hand_many(stranger: RawPeer) -> None:
    """Send as many descriptors as the kernel lets pass at once, again and again."""
    for _ in range(8):
        hand(*[stranger.socket.fileno()] * 253)(stranger)


def storm(stranger: RawPeer) -> None:
    """Ring without end."""
    end = time.monotonic() + HANDSHAKE + 3
    while True:
        # Before the look at the clock: who stood still until then finds out that the host has left.
        stranger.socket.sendall(b"\1" * 4096)
        if time.monotonic() >= end:
            raise TimeoutError("the host listens to the bell for longer than a handshake may take")


RENDEZVOUS: Openings = {
    "gone before the memory has come": leave,
    "a crash before the memory has come": crash,
    "half a close before the memory has come": half_close,
    "HTTP on the bell": then(say(b"GET / HTTP/1.1\r\n\r\n"), leave),
    "Hello on the bell": then(say(framed(hello())), leave),
    "the listener's own greeting": then(say(b"RLAYSHM0"), leave),
    "noise on the bell": then(say(NOISE[:65536]), leave),
    "noise on the bell, and half a close": then(say(NOISE[:65536]), half_close),
    "memory of no bytes": then(hand_memory(0), leave),
    "memory of a byte too few": then(hand_memory(SIZE - 1), leave),
    "memory of a byte too many": then(hand_memory(SIZE + 1), leave),
    "memory of a TiB": then(hand_memory(1 << 40), leave),
    "the memory sent back": then(hand_back, leave),
    "a pipe": then(hand_pipe, leave),
    "the connection over itself": then(hand_itself, leave),
    "two thousand descriptors": then(hand_many, leave),
    "two thousand descriptors, and a crash": then(hand_many, crash),
}

RENDEZVOUS_SILENT: Openings = {
    "the memory is never taken": say(b""),
    "HTTP on the bell, then silence": say(b"GET / HTTP/1.1\r\n\r\n"),
    "descriptors, then silence": hand_many,
    "a storm of bells": storm,
}


# With the memory in hand


def put(side: int, which: int, *values: int) -> Callable[[RawPeer], None]:
    """Set a word to one value after another, and ring."""

    def play(stranger: RawPeer) -> None:
        ring: Any = stranger.socket
        for value in values:
            ring.set_word(side, which, value)
            ring.ring()

    return play


def paint(start: int, end: int, words: bytes) -> Callable[[RawPeer], None]:
    """Write over a part of the memory, and ring."""

    def play(stranger: RawPeer) -> None:
        ring: Any = stranger.socket
        ring.map[start:end] = words[: end - start]
        ring.ring()

    return play


def take_back(stranger: RawPeer) -> None:
    """Unwrite what the host has read."""
    ring: Any = stranger.socket
    ring.sendall(framed(hello())[:40])
    ring.wait(lambda: ring.word(LISTENER, READ) == 40)
    put(DIALER, WRITTEN, 3)(stranger)


def flicker(stranger: RawPeer) -> None:
    """Change the bytes of a frame while the host reads them."""
    ring: Any = stranger.socket
    ring.sendall(framed(NOISE[:RING], RING))
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        paint(DATA[DIALER], DATA[DIALER] + RING, NOISE[time.monotonic_ns() % 1000 :])(stranger)


def resize(size: int) -> Callable[[RawPeer], None]:
    """Try to make the memory shorter or longer, or to unseal it. The kernel should refuse."""

    def play(stranger: RawPeer) -> None:
        ring: Any = stranger.socket
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(ring.memory, fcntl.F_ADD_SEALS, 0)
        with contextlib.suppress(PermissionError):
            os.ftruncate(ring.memory, size)

    return play


def heard_out(stranger: RawPeer) -> None:
    """Wait for the end without a look into the memory, which is no longer to be believed."""
    ring: Any = stranger.socket
    ring.wait(lambda: False)
    leave(stranger)


HELLO = say(framed(hello()))

RINGS: Openings = {
    **{f"{n} bytes written at once": put(DIALER, WRITTEN, n) for n in (RING + 1, 1 << 32, 1 << 63, (1 << 64) - 1)},
    "bytes taken back": take_back,
    "a ring full of zeros": put(DIALER, WRITTEN, RING),
    "a ring full of noise": then(paint(DATA[DIALER], SIZE, NOISE), put(DIALER, WRITTEN, RING)),
    "noise all over": then(paint(0, SIZE, NOISE), heard_out),
    "ones all over": then(paint(0, SIZE, b"\xff" * SIZE), heard_out),
    "gone before Hello": then(put(DIALER, GONE, 1), HELLO),
    "gone, back and gone again": then(put(DIALER, GONE, 1, 0, 1 << 31), HELLO),
    "bytes read that nobody wrote": then(put(DIALER, READ, 1), HELLO, linger),
    "all bytes read that there will ever be": then(put(DIALER, READ, (1 << 64) - 1), HELLO, linger),
    "asleep for what nobody knows": then(put(DIALER, ASLEEP, 3, 99, (1 << 32) - 1), HELLO, linger),
    "asleep for data and room in turn": then(put(DIALER, ASLEEP, *[1, 2] * 500), HELLO, linger),
    "the listener's positions moved": then(
        put(LISTENER, WRITTEN, 1 << 40), put(LISTENER, READ, 1 << 40), HELLO, linger
    ),
    "the listener put to sleep": then(put(LISTENER, ASLEEP, *[1, 2, 99] * 300), HELLO, linger),
    "the listener said to be gone": then(put(LISTENER, GONE, 1), HELLO, linger),
    "the listener's ring written over": then(HELLO, paint(DATA[LISTENER], DATA[DIALER], NOISE), linger),
    "the memory cut off": then(resize(0), HELLO, linger),
    "the memory made longer": then(resize(1 << 30), HELLO, linger),
    "noise all over, once let in": then(enter, paint(0, SIZE, NOISE), heard_out),
    "zeros all over, once let in": then(enter, paint(0, SIZE, bytes(SIZE)), heard_out),
    "positions moved, once there is an environment": then(enter, make, put(DIALER, WRITTEN, 1 << 50), heard_out),
    "a frame that changes while it is read": then(enter, flicker, heard_out),
}

RINGS_SILENT: Openings = {
    "the listener's words full of noise, then silence": then(paint(LISTENER, GONE + 4, NOISE), heard_out),
}

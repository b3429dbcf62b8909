"""Hostile openings over shared memory (docs/wire.md, section 18): at the rendezvous, and with the rings in hand."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import mmap
import os
import platform
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

SIZE = 16781312
RING = 8388608
LISTENER, DIALER = 0, 1024
"""Where the words of a side start."""
WRITTEN, START, READ, SLEEP, CLOSED = 0, 8, 64, 128, 192
LONG = (WRITTEN, START, READ)
"""Those of 64 bits."""
DATA = {LISTENER: 4096, DIALER: 8392704}
"""Where the ring of a side starts."""
REWIND = 65536
"""How much of the ring is used before a frame begins at its start."""
FUTEX, WAKE = {"x86_64": 202, "aarch64": 98}[platform.machine()], 1
"""The numbers of the system call and its operation."""
SYSCALL = ctypes.CDLL(None).syscall
ALL_NOISE = NOISE * (SIZE // len(NOISE) + 1)
"""As much as all of the memory."""


class Ring:
    """The dialer's end of a connection, with the methods of a socket that openings use.

    It asks for room and for data again and again instead of sleeping.
    """

    def __init__(self, bell: socket.socket) -> None:
        self.bell = bell
        greeting, ancillary, _, _ = bell.recvmsg(8, socket.CMSG_SPACE(4))
        bell.setblocking(False)
        assert greeting == b"RLAYSHM1", greeting
        [(_, _, packed)] = ancillary
        [self.memory] = array.array("i", packed)
        self.map = mmap.mmap(self.memory, SIZE)
        self.futex = ctypes.c_uint32.from_buffer(self.map, LISTENER + SLEEP)
        self.timeout = WAIT
        self.written = self.read = self.start = 0

    def word(self, side: int, which: int) -> int:
        """Return a word of the connection."""
        return int(struct.unpack_from("=Q" if which in LONG else "=I", self.map, side + which)[0])

    def set_word(self, side: int, which: int, value: int) -> None:
        """Set a word of the connection, of either side."""
        struct.pack_into("=Q" if which in LONG else "=I", self.map, side + which, value)

    def wake(self) -> None:
        """Wake the host if it sleeps, whatever for, in the way that its sleep word says."""
        asleep, self.futex.value = self.futex.value, 0
        if asleep & 4:
            self.wake_futex()
        elif asleep:
            self.wake_socket()

    def rouse(self) -> None:
        """Wake the host although its sleep word may say anything by now."""
        self.wake_futex()
        self.wake_socket()

    def wake_futex(self) -> None:
        assert SYSCALL(FUTEX, ctypes.byref(self.futex), WAKE, 1, None, None, 0) >= 0

    def wake_socket(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.bell.send(b"\1")

    def has_ended(self) -> bool:
        """Whether the host has closed its end. Takes the wake-ups that have come."""
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
        if self.written - self.start >= REWIND and self.word(LISTENER, READ) == self.written:
            self.start = self.written
            self.set_word(DIALER, START, self.start)
        while at < len(words):
            if not self.wait(lambda: self.word(LISTENER, READ) + RING > self.written):
                raise BrokenPipeError("the host has ended the connection")
            start = (self.written - self.start) % RING
            room = min(self.word(LISTENER, READ) + RING - self.written, RING - start)
            piece = words[at : at + room]
            self.map[DATA[DIALER] + start : DATA[DIALER] + start + len(piece)] = piece
            at += len(piece)
            self.written += len(piece)
            self.set_word(DIALER, WRITTEN, self.written)
            self.wake()

    def recv(self, most: int) -> bytes:
        if self.bell.fileno() < 0:
            raise BrokenPipeError("the opening has closed the connection")
        if not self.wait(lambda: self.word(LISTENER, WRITTEN) > self.read):
            return b""
        # As it is: some openings write over it.
        start = (self.read - self.word(LISTENER, START)) % RING
        n = min(most, self.word(LISTENER, WRITTEN) - self.read, RING - start)
        self.read += n
        piece = self.map[DATA[LISTENER] + start : DATA[LISTENER] + start + n]
        self.set_word(DIALER, READ, self.read)
        with contextlib.suppress(BrokenPipeError):  # The host's last frames are read when it is gone.
            self.wake()
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


# At the rendezvous: the host takes nothing, and any byte it receives is a wake-up.


def hand(*descriptors: int) -> Callable[[RawPeer], None]:
    """Send descriptors, as only the listener should."""

    def play(foreign_peer: RawPeer) -> None:
        socket.send_fds(foreign_peer.socket, [b"RLAYSHM1"], list(descriptors))

    return play


def hand_memory(size: int) -> Callable[[RawPeer], None]:
    """Send memory of this size."""

    def play(foreign_peer: RawPeer) -> None:
        memory = os.memfd_create("hostile")
        os.ftruncate(memory, size)
        hand(memory)(foreign_peer)
        os.close(memory)

    return play


def hand_back(foreign_peer: RawPeer) -> None:
    """Take the memory and send it back."""
    _, [memory], _, _ = socket.recv_fds(foreign_peer.socket, 8, 1)
    hand(memory)(foreign_peer)
    os.close(memory)


def hand_pipe(foreign_peer: RawPeer) -> None:
    """Send both ends of a pipe."""
    ends = os.pipe()
    hand(*ends)(foreign_peer)
    for end in ends:
        os.close(end)


def hand_itself(foreign_peer: RawPeer) -> None:
    """Send the connection over itself, and the standard streams."""
    hand(foreign_peer.socket.fileno(), 0, 1, 2)(foreign_peer)


def hand_many(foreign_peer: RawPeer) -> None:
    """Send as many descriptors as the kernel lets pass at once, again and again."""
    for _ in range(8):
        hand(*[foreign_peer.socket.fileno()] * 253)(foreign_peer)


def storm(foreign_peer: RawPeer) -> None:
    """Send wake-ups without end."""
    end = time.monotonic() + HANDSHAKE + 3
    while True:
        # Before the clock is read: a process that stood still until then finds out that the host has left.
        foreign_peer.socket.sendall(b"\1" * 4096)
        if time.monotonic() >= end:
            raise TimeoutError("the host listens to the bell for longer than a handshake may take")


RENDEZVOUS: Openings = {
    "gone before the memory has come": leave,
    "a crash before the memory has come": crash,
    "half a close before the memory has come": half_close,
    "HTTP on the bell": then(say(b"GET / HTTP/1.1\r\n\r\n"), leave),
    "Hello on the bell": then(say(framed(hello())), leave),
    "the listener's own greeting": then(say(b"RLAYSHM1"), leave),
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
    """Set a word to one value after another, waking the host each time."""

    def play(foreign_peer: RawPeer) -> None:
        ring: Any = foreign_peer.socket
        for value in values:
            ring.set_word(side, which, value)
            ring.rouse()

    return play


def paint(start: int, end: int, words: bytes) -> Callable[[RawPeer], None]:
    """Write over a part of the memory, and wake the host."""

    def play(foreign_peer: RawPeer) -> None:
        ring: Any = foreign_peer.socket
        ring.map[start:end] = words[: end - start]
        ring.rouse()

    return play


def take_back(foreign_peer: RawPeer) -> None:
    """Unwrite what the host has read."""
    ring: Any = foreign_peer.socket
    ring.sendall(framed(hello())[:40])
    ring.wait(lambda: ring.word(LISTENER, READ) == 40)
    put(DIALER, WRITTEN, 3)(foreign_peer)


def jump(foreign_peer: RawPeer) -> None:
    """Once the host has read what there is, begin the ring anew, but not with the next byte."""
    ring: Any = foreign_peer.socket
    ring.wait(lambda: ring.word(LISTENER, READ) == ring.written)
    put(DIALER, START, ring.written - 1)(foreign_peer)


def flicker(foreign_peer: RawPeer) -> None:
    """Change the bytes of a frame while the host reads them.

    Not its length: a host that has not read it yet would rightly wait for as many bytes as it says then.
    """
    ring: Any = foreign_peer.socket
    length = 1 << 18
    ring.sendall(framed(NOISE[:length], length))
    end_of_frame = DATA[DIALER] + ring.written - ring.start
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        paint(end_of_frame - length, end_of_frame, NOISE[time.monotonic_ns() % 1000 :])(foreign_peer)


def resize(size: int) -> Callable[[RawPeer], None]:
    """Try to make the memory shorter or longer, or to unseal it. The kernel should refuse."""

    def play(foreign_peer: RawPeer) -> None:
        ring: Any = foreign_peer.socket
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(ring.memory, fcntl.F_ADD_SEALS, 0)
        with contextlib.suppress(PermissionError):
            os.ftruncate(ring.memory, size)

    return play


def heard_out(foreign_peer: RawPeer) -> None:
    """Wait for the end without reading the memory, which is no longer trusted."""
    ring: Any = foreign_peer.socket
    ring.wait(lambda: False)
    leave(foreign_peer)


HELLO = say(framed(hello()))

RINGS: Openings = {
    **{f"{n} bytes written at once": put(DIALER, WRITTEN, n) for n in (RING + 1, 1 << 32, 1 << 63, (1 << 64) - 1)},
    "bytes taken back": take_back,
    "a ring full of zeros": put(DIALER, WRITTEN, RING),
    "a ring full of noise": then(paint(DATA[DIALER], SIZE, ALL_NOISE), put(DIALER, WRITTEN, RING)),
    "noise all over": then(paint(0, SIZE, ALL_NOISE), heard_out),
    "ones all over": then(paint(0, SIZE, b"\xff" * SIZE), heard_out),
    "gone before Hello": then(put(DIALER, CLOSED, 1), HELLO),
    "gone, back and gone again": then(put(DIALER, CLOSED, 1, 0, 1 << 31), HELLO),
    "bytes read that nobody wrote": then(put(DIALER, READ, 1), HELLO, linger),
    "all bytes read that there will ever be": then(put(DIALER, READ, (1 << 64) - 1), HELLO, linger),
    "asleep for what is no need": then(put(DIALER, SLEEP, 3, 4, 7, 99, (1 << 32) - 1), HELLO, linger),
    "asleep for data and room in turn": then(put(DIALER, SLEEP, *[1, 5, 2, 6] * 250), HELLO, linger),
    "a start beyond what was written": then(put(DIALER, START, 1), HELLO, linger),
    "a start that goes backwards": then(put(DIALER, START, (1 << 64) - 1), HELLO, linger),
    "a start amid a frame": then(say(framed(hello())[:40]), jump, linger),
    "the listener's positions moved": then(
        put(LISTENER, WRITTEN, 1 << 40), put(LISTENER, READ, 1 << 40), HELLO, linger
    ),
    "the listener's start moved": then(put(LISTENER, START, 1 << 40), HELLO, linger),
    "the listener put to sleep": then(put(LISTENER, SLEEP, *[1, 2, 5, 6, 99] * 200), HELLO, linger),
    "the listener said to be gone": then(put(LISTENER, CLOSED, 1), HELLO, linger),
    "the listener's ring written over": then(HELLO, paint(DATA[LISTENER], DATA[DIALER], ALL_NOISE), linger),
    "the memory cut off": then(resize(0), HELLO, linger),
    "the memory made longer": then(resize(1 << 30), HELLO, linger),
    "noise all over, once let in": then(enter, paint(0, SIZE, ALL_NOISE), heard_out),
    "zeros all over, once let in": then(enter, paint(0, SIZE, bytes(SIZE)), heard_out),
    "positions moved, once there is an environment": then(enter, make, put(DIALER, WRITTEN, 1 << 50), heard_out),
    "a frame that changes while it is read": then(enter, flicker, heard_out),
}

RINGS_SILENT: Openings = {
    "the listener's words full of noise, then silence": then(paint(LISTENER, CLOSED + 4, NOISE), heard_out),
}

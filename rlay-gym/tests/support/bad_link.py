"""A program that forwards the traffic of two hosts as a bad link does: late, with losses, or not at all.

Its standard input takes commands: ``lost`` asks how many pieces were lost, ``cut`` stops all forwarding, ``mend``
restarts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Place = tuple[str, int]

PIECE = 1 << 16
"""Most bytes to take at once; no datagram is larger."""


@dataclass
class Quality:
    """How bad the link is."""

    delay: float
    loss: float
    random: random.Random
    lost: int = 0
    is_cut: bool = False


class Lane:
    """One direction of one connection: each piece comes out later, in order, or is lost."""

    def __init__(self, quality: Quality, out: Callable[[bytes], Any]) -> None:
        self._quality, self._out, self._last = quality, out, 0.0

    def put(self, piece: bytes) -> None:
        if self._quality.random.random() < self._quality.loss:
            self._quality.lost += 1
            return
        loop = asyncio.get_running_loop()
        # The loop promises no order for calls that are due at the same time.
        self._last = max(loop.time() + self._quality.delay, self._last + 1e-6)
        loop.call_at(self._last, self._take_out, piece)

    def _take_out(self, piece: bytes) -> None:
        if not self._quality.is_cut:
            # The target is gone: its own end notices that, or the piece is lost as any other.
            with contextlib.suppress(OSError):
                self._out(piece)


def datagrams() -> socket.socket:
    """Open a socket that never blocks."""
    opened = socket.socket(type=socket.SOCK_DGRAM)
    opened.setblocking(False)
    return opened


async def pass_datagrams_on(quality: Quality, host: str, port: int) -> Place:
    """Listen for dialers; each has a socket of its own towards the listener."""
    loop = asyncio.get_running_loop()
    here = datagrams()
    here.bind(("127.0.0.1", 0))
    lanes: dict[Any, Lane] = {}

    def meet(dialer: Any) -> Lane:
        there = datagrams()
        there.connect((host, port))
        back = Lane(quality, lambda piece: here.sendto(piece, dialer))

        def take() -> None:
            with contextlib.suppress(OSError):
                back.put(there.recv(PIECE))

        loop.add_reader(there, take)
        return Lane(quality, there.send)

    def take() -> None:
        with contextlib.suppress(OSError):
            piece, dialer = here.recvfrom(PIECE)
            if dialer not in lanes:
                lanes[dialer] = meet(dialer)
            lanes[dialer].put(piece)

    loop.add_reader(here, take)
    return here.getsockname()


async def pass_streams_on(quality: Quality, host: str, port: int) -> Place:
    """Listen for dialers; each has a connection of its own to the listener."""
    assert quality.loss == 0, "TCP mends losses below the streams, and a stream with a hole is none"

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lane = Lane(quality, lambda piece: writer.write(piece) if piece else writer.close())
        try:
            while piece := await reader.read(PIECE):
                lane.put(piece)
        finally:
            lane.put(b"")

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        further_reader, further_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, further_writer), pump(further_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    return server.sockets[0].getsockname()


PASSING = {"datagrams": pass_datagrams_on, "streams": pass_streams_on}


def main() -> None:
    """Print where to dial, and obey until the standard input ends."""
    kind, target, delay, loss = sys.argv[1:]
    host, port = target.split(":")
    quality = Quality(float(delay), float(loss), random.Random(0))

    async def run() -> None:
        place = await PASSING[kind](quality, host, int(port))
        print("at", ":".join(map(str, place)))
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    for line in sys.stdin:
        match line.strip():
            case "cut":
                quality.is_cut = True
            case "mend":
                quality.is_cut = False
        print("lost", quality.lost)

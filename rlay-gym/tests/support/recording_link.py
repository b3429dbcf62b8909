"""A TCP proxy that keeps what both sides say."""

from __future__ import annotations

import contextlib
import socket
import struct

from cutting_link import CuttingLink


class RecordingLink(CuttingLink):
    """Forwards to one address; as a context manager it ends with the block."""

    def __init__(self, target: str) -> None:
        self._said = {"dialer": bytearray(), "listener": bytearray()}
        super().__init__(target)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            is_dialer = source.getsockname() == self._listener.getsockname()
            said = self._said["dialer" if is_dialer else "listener"]
            while piece := source.recv(1 << 16):
                said += piece
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def frames(self, side: str) -> list[bytes]:
        """Return the frames that the ``dialer`` or the ``listener`` has sent so far."""
        data, frames, at = bytes(self._said[side]), [], 0
        while at + 4 <= len(data):
            (length,) = struct.unpack_from("<I", data, at)
            at += 4
            if length != 0xFFFFFFFF:
                frames.append(data[at : at + length])
                at += length
        return frames

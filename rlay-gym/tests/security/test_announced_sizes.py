"""An announced size takes no memory: memory grows with received bytes, and is released when the session is over."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from typing import Any

import pytest

import hostile
import hostile_shm
import raw_peer
import rlay
from host_process import HostProcess
from processes import own_memory, until
from raw_peer import HELLO, MAKE, RESET, RawPeer

LONGEST = 64 << 20
"""Bytes of the longest frame that hosts and agents take."""

SESSIONS = 56

LITTLE = 32 << 10
"""KiB that a host may hold for all peers: half a frame."""

DIALS: dict[str, hostile.Dial] = {
    "tcp": raw_peer.dial,
    "tls": raw_peer.dial_tls,
    "unix": raw_peer.dial,
    "shm": hostile_shm.dial,
}


@pytest.mark.parametrize("scheme", DIALS)
@pytest.mark.parametrize("length", [LONGEST, 8 << 20])
def test_sessions_that_announce_much_and_send_little(
    spawn_host: Callable[..., HostProcess], fresh: Callable[[str], str], scheme: str, length: int
) -> None:
    host = spawn_host(fresh=True)
    number, address = host.serve("CartPole-v1", address=fresh(scheme))
    with rlay.ClientEnv(address) as env, contextlib.ExitStack() as stack:
        env.reset()
        before = own_memory(host.pid)
        for _ in range(SESSIONS):
            foreign_peer = stack.enter_context(DIALS[scheme](address))
            foreign_peer.send("Hello", HELLO)
            assert foreign_peer.receive()["kind"] == "Welcome"
            foreign_peer.socket.sendall(struct.pack("<I", length) + bytes(77))
        for _ in range(100):
            env.step(0)
            env.reset()
        assert own_memory(host.pid) < before + LITTLE
    host.stop(number)


@pytest.mark.parametrize("scheme", ["tcp", "unix", "shm"])
def test_what_large_frames_took_is_given_back(
    spawn_host: Callable[..., HostProcess], fresh: Callable[[str], str], scheme: str
) -> None:
    host = spawn_host(fresh=True)
    number, address = host.serve("scripted_env:Patient", address=fresh(scheme))
    before = own_memory(host.pid)
    large = b"a" * (LONGEST - 1024)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            foreign_peer = stack.enter_context(DIALS[scheme](address))
            foreign_peer.send("Hello", HELLO)
            assert foreign_peer.receive()["kind"] == "Welcome"
            for kind, body in (("Make", MAKE), ("Reset", RESET)):
                foreign_peer.send(kind, body)
                foreign_peer.receive()
            head = foreign_peer.head(hostile.CODES["Step"])
            # One slot, and an action in values form: a text.
            foreign_peer.send_bytes(head + struct.pack("<QIIIQ", 1, 0, 1, 5, len(large)) + large)
            assert foreign_peer.receive()["kind"] == "Result"
    until(lambda: own_memory(host.pid) < before + LITTLE, "the memory to be given back")
    host.stop(number)


def test_an_agent_takes_no_memory_for_what_a_host_announces() -> None:
    def play(foreign_peer: RawPeer) -> None:
        raw_peer.host(foreign_peer)
        foreign_peer.receive()
        foreign_peer.socket.sendall(struct.pack("<I", LONGEST) + bytes(77))
        foreign_peer.socket.recv(1)

    with contextlib.ExitStack() as stack:
        before = own_memory(os.getpid())
        for _ in range(4):
            env: Any = rlay.ClientEnv(stack.enter_context(raw_peer.listen(play)), timeout=0.5)
            stack.callback(env.close)
            with pytest.raises(rlay.Timeout):
                env.reset()
        assert own_memory(os.getpid()) < before + LITTLE

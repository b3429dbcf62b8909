"""An agent that asks and never reads an answer loses its place in a game to another agent."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import hostile
import raw_peer
import rlay
from processes import Program
from sdk_clients import CLIENTS, Client

LONGEST = 600.0
"""How long the other agent waits, in seconds; the clients wait for a minute."""

KNOWN = {
    "rust": "keeps the place for as long as the agent lives: one that stands still, as in a debugger, is not gone",
}
"""The clients that do not let go of such an agent by design; they are not tested."""

TESTED = [client for client in CLIENTS if client.name not in KNOWN]


def ask_until_stuck(peer: raw_peer.RawPeer) -> None:
    """Ask for resets, whose answers repeat their options, and read none until the system takes no more requests in."""
    peer.socket.settimeout(3.0)
    with pytest.raises(OSError):
        while True:
            peer.send("Reset", raw_peer.RESET | {"options": {"Str": "x" * 60_000}})


def receive_little(connection: socket.socket) -> None:
    """Have the system take in few answers, for it takes megabytes else, which a slow game writes for minutes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def listener_serves_another(client: Client) -> bool:
    """Return whether a game that listens lets another agent in while the first stays and does not read."""
    with Program(*client.game, "--listen", "tcp://127.0.0.1:0") as program:
        address = program.find("listening at ").split()[-1]
        with raw_peer.dial_and_shake(address) as peer:
            receive_little(peer.socket)
            hostile.make(peer)
            ask_until_stuck(peer)
            try:
                rlay.ClientEnv(address, connect_timeout=LONGEST, timeout=LONGEST).close()
            except rlay.Error:
                return False
            return program.process.poll() is None


def dialer_dials_again(client: Client) -> bool:
    """Return whether a game that dials, for one session, dials again while its agent stays and does not read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receive_little(listener)
        listener.settimeout(LONGEST)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with Program(*client.game, "--dial", address) as program, listener.accept()[0] as first:
            peer = raw_peer.RawPeer(first)
            raw_peer.ask(peer)
            ask_until_stuck(peer)
            try:
                with listener.accept()[0] as second:
                    raw_peer.ask(raw_peer.RawPeer(second))
            except (OSError, AssertionError):
                return False
            return program.process.poll() is None


@pytest.mark.begins_first
@pytest.mark.timeout(2 * LONGEST)
def test_another_agent_is_served() -> None:
    """All clients at a time, for each takes a minute."""
    tried: list[tuple[Callable[[Client], bool], Client]] = [
        (attempt, client) for attempt in (listener_serves_another, dialer_dials_again) for client in TESTED
    ]
    with ThreadPoolExecutor(len(tried)) as pool:
        served = list(pool.map(lambda case: case[0](case[1]), tried))
    failed = [(attempt.__name__, client.name) for (attempt, client), was in zip(tried, served, strict=True) if not was]
    assert not failed

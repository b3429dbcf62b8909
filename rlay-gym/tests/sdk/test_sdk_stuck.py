"""An agent that asks and never reads an answer loses its place in a game to another agent."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

import hostile
import raw_peer
import rlay
from processes import Program
from sdk_clients import CLIENTS, Client

LONGEST = 600.0
"""How long the other agent dials, in seconds; the clients wait for a minute."""

KNOWN = {
    "rust": "keeps the place for as long as the agent lives: one that stands still, as in a debugger, is not gone",
    "matlab": "takes minutes, for its system takes megabytes of answers in before the minute begins; by hand",
}
"""The clients that do not let go of such an agent, by design or because it is not mended yet; they are not tested."""

TESTED = [client for client in CLIENTS if client.name not in KNOWN]


def is_served(client: Client) -> bool:
    """Return whether another agent is let in while the first stays and does not read."""
    with Program(*client.game, "--listen", "tcp://127.0.0.1:0") as program:
        address = program.find("listening at ").split()[-1]
        with raw_peer.dial_and_shake(address) as peer:
            hostile.make(peer)
            peer.socket.settimeout(3.0)
            with pytest.raises(OSError):
                while True:
                    render = (hostile.framed(peer.head(0x23) + struct.pack("<QI", 1, 0)) for _ in range(1 << 12))
                    peer.socket.sendall(b"".join(render))
            try:
                rlay.ClientEnv(address, connect_timeout=LONGEST, timeout=LONGEST).close()
            except rlay.Error:
                return False
            return program.process.poll() is None


@pytest.mark.begins_first
@pytest.mark.timeout(2 * LONGEST)
def test_another_agent_is_served() -> None:
    """All clients at a time, for each takes a minute."""
    with ThreadPoolExecutor() as pool:
        served = list(pool.map(is_served, TESTED))
    assert all(served), [client.name for client, was in zip(TESTED, served, strict=True) if not was]

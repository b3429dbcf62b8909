"""Hostile peers in crowds, over every transport: the host stays up and small, and good sessions continue.

Their openings are in ``hostile.py`` and beside it: lists, made of bytes alone. Where a host can end the connection of
a hostile peer, the test waits after each opening until the host has ended it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

import hostile
import hostile_quic
import hostile_shm
import hostile_tokens
import hostile_ws
import hostile_zmq
import raw_peer
import rlay
from host_process import SCHEMES, HostProcess
from hostile import HANDSHAKE, Attack, over
from processes import held, own_memory, thread, until

LONG = 3 * HANDSHAKE
"""An honest step that takes longer had to wait for hostile peers, in seconds."""

AT_LEAST = 50
"""Openings for each transport."""

ROUNDS = 6
"""How often a crowd tries each opening, but for the silent ones: each of those takes as long as a handshake may."""

CROWD = 48
"""Hostile peers at a time. Fewer than a host's handshakes at a time, or the host would end the silent ones early."""

GROWTH = 4096
"""KiB that a second crowd may leave behind. It is a thousand openings or more; what is freed and not given back to
the system comes and goes by a third of this."""


@dataclass
class Crowd:
    """What hostile peers do: what is over at once, and what lasts as long as a handshake may."""

    quick: list[Attack]
    silent: list[Attack]


def first_datagrams(n: int) -> list[bytes]:
    """Return the first datagrams of real dialers over QUIC, one for each dialer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        address = f"quic://127.0.0.1:{listener.getsockname()[1]}?insecure_skip_verification=yes"

        def dial() -> None:
            with pytest.raises(rlay.Error):
                rlay.ClientEnv(address, connect_timeout=1)

        found: dict[bytes, bytes] = {}
        with contextlib.ExitStack() as stack:
            for _ in range(n):
                stack.enter_context(thread(dial))
            while len(found) < n:
                datagram = listener.recv(1 << 16)
                if len(datagram) >= hostile_quic.FULL:
                    # A dialer that receives nothing begins again, with the same connection id.
                    found.setdefault(datagram[6 : 6 + datagram[5]], datagram)
        return list(found.values())


def stream(dial: hostile.Dial) -> Crowd:
    """Return what can be done to a stream of bytes."""
    return Crowd(over(dial, hostile.STREAM, hostile.FIRST, hostile.INSIDE), over(dial, hostile.STREAM_SILENT))


def shm() -> Crowd:
    crowd = stream(hostile_shm.dial)
    crowd.quick += over(hostile_shm.dial, hostile_shm.RINGS) + over(raw_peer.dial, hostile_shm.RENDEZVOUS)
    crowd.silent += over(hostile_shm.dial, hostile_shm.RINGS_SILENT)
    crowd.silent += over(raw_peer.dial, hostile_shm.RENDEZVOUS_SILENT)
    return crowd


def tls() -> Crowd:
    """Return what can be done inside TLS, and to a listener that expects TLS."""
    crowd = stream(raw_peer.dial_tls)
    crowd.quick += over(raw_peer.dial, hostile.STREAM, hostile.FIRST)
    crowd.silent += over(raw_peer.dial, hostile.STREAM_SILENT)
    return crowd


def zmq() -> Crowd:
    return Crowd(
        over(raw_peer.dial, hostile_zmq.ZMTP, hostile_zmq.ZMTP_LEFT)
        + over(hostile_zmq.meet, hostile_zmq.MEETING)
        + over(hostile_zmq.dial, hostile_zmq.MET, hostile.FIRST, hostile.INSIDE),
        over(hostile_zmq.meet, hostile_zmq.MEETING_SILENT) + over(hostile_zmq.dial, hostile_zmq.MET_SILENT),
    )


def quic() -> Crowd:
    return Crowd(*hostile_quic.attacks(first_datagrams(6)))


def ws() -> Crowd:
    """Return what can be done to an upgrade, and inside a WebSocket."""
    return Crowd(
        over(hostile_ws.dial_bare, hostile_ws.UPGRADES, hostile.STREAM)
        + over(hostile_ws.dial, hostile_ws.MESSAGES, hostile.FIRST, hostile.INSIDE),
        over(hostile_ws.dial_bare, hostile_ws.UPGRADES_SILENT) + over(hostile_ws.dial, hostile_ws.MESSAGES_SILENT),
    )


CROWDS: dict[str, Callable[[], Crowd]] = {
    "tcp": lambda: stream(raw_peer.dial),
    "tls": tls,
    "unix": lambda: stream(raw_peer.dial),
    "zmq": zmq,
    "zmq+ipc": zmq,
    "quic": quic,
    "shm": shm,
    "ws": ws,
}


def with_token(dial: hostile.Dial) -> Crowd:
    """Return what can be done to a stream of bytes where a token is asked for."""
    return Crowd(
        over(dial, hostile.STREAM, hostile.FIRST, hostile_tokens.TOKEN),
        over(dial, hostile.STREAM_SILENT, hostile_tokens.TOKEN_SILENT),
    )


class Walk:
    """A good session that steps all the time, and how long the longest step took."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self.steps = 0
        self.longest = 0.0
        self.is_over = threading.Event()
        self.error: rlay.Error | None = None

    def run(self) -> None:
        try:
            self.env.reset()
            while not self.is_over.is_set():
                start = time.monotonic()
                _, _, terminated, truncated, _ = self.env.step(self.steps % 2)
                self.longest = max(self.longest, time.monotonic() - start)
                self.steps += 1
                if terminated or truncated:
                    self.env.reset()
        except rlay.Error as error:
            self.error = error

    def went_well(self) -> None:
        """Fail if a step has failed or taken too long."""
        assert self.error is None, f"the good session failed after {self.steps} steps: {self.error!r}"
        assert self.longest < LONG


class Siege:
    """A host of its own, with a good session on it while hostile peers connect and leave."""

    def __init__(self, host: HostProcess, address: str, token: str | None) -> None:
        self.host = host
        self.token = token
        # More sessions than hostile peers can have, for some of a crowd leave without a goodbye.
        _, self.address = host.serve("CartPole-v1", address=address, token=token, max_sessions=1000)
        self.walk = Walk(self.agent())

    def agent(self) -> rlay.ClientEnv:
        """Dial as an honest agent. A call that takes too long fails."""
        return rlay.ClientEnv(self.address, token=self.token, connect_timeout=LONG, timeout=LONG)

    def suffer(self, crowd: Crowd) -> int:
        """Run every hostile peer; return how much memory the host has for itself once all are gone."""
        descriptors, threads, _ = held(self.host.pid)
        steps = self.walk.steps
        wrong: dict[str, Exception] = {}

        def attempt(attack: Attack) -> None:
            name, play = attack
            try:
                # Once the good session has failed, there is nothing more to learn.
                if self.walk.error is None:
                    play(self.address)
            except Exception as error:
                wrong[name] = error

        with ThreadPoolExecutor(CROWD) as pool:
            list(pool.map(attempt, crowd.silent + crowd.quick * ROUNDS))
        self.walk.went_well()
        assert not wrong, wrong
        assert self.walk.steps > steps

        def has_settled() -> bool:
            self.walk.went_well()
            now = held(self.host.pid)
            return now[0] <= descriptors and now[1] <= threads

        until(has_settled, f"the host to hold no more than {descriptors} descriptors and {threads} threads")
        self.host.take_log()
        return own_memory(self.host.pid)


@pytest.fixture
def besiege(
    monkeypatch: pytest.MonkeyPatch, spawn_host: Callable[..., HostProcess], fresh: Callable[[str], str]
) -> Callable[..., contextlib.AbstractContextManager[Siege]]:
    """A function that begins a siege, and makes sure at its end that the host is still a good one."""
    # What the allocator keeps for each of many threads would look like growth.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")

    @contextlib.contextmanager
    def besiege(scheme: str, token: str | None = None) -> Iterator[Siege]:
        siege = Siege(spawn_host(fresh=True), fresh(scheme), token)
        with thread(siege.walk.run):
            try:
                yield siege
            finally:
                siege.walk.is_over.set()
        siege.walk.went_well()
        newcomer = siege.agent()
        newcomer.reset()
        newcomer.step(0)
        newcomer.close()
        siege.walk.env.close()

    return besiege


def stand(siege: Siege, make: Callable[[], Crowd]) -> None:
    """Run two such crowds: the host holds no more memory after the second than after the first."""
    crowd = make()
    assert len(crowd.quick) + len(crowd.silent) >= AT_LEAST
    held = [siege.suffer(crowd), siege.suffer(make())]
    # What leaks does so each time, what the allocator keeps does not.
    while (growth := held[-1] - held[-2]) >= GROWTH and len(held) < 4:
        held.append(siege.suffer(make()))
    assert growth < GROWTH, f"{held} KiB"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_crowd_of_hostile_foreign_peers(besiege: Any, scheme: str) -> None:
    with besiege(scheme) as siege:
        stand(siege, CROWDS[scheme])


@pytest.mark.parametrize(("scheme", "dial"), [("tcp", raw_peer.dial), ("shm", hostile_shm.dial)])
def test_a_crowd_without_the_token(besiege: Any, scheme: str, dial: hostile.Dial) -> None:
    with besiege(scheme, hostile_tokens.SECRET) as siege:
        stand(siege, lambda: with_token(dial))


ZMQ = ("zmq", "zmq+ipc")


@pytest.mark.parametrize("scheme", ZMQ)
def test_answers_that_nobody_reads_keep_nobody_waiting(besiege: Any, scheme: str) -> None:
    with besiege(scheme) as siege:
        siege.suffer(Crowd([], over(hostile_zmq.meet, {"pings": hostile_zmq.never_read})))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_crowd_of_honest_foreign_peers(besiege: Any, scheme: str) -> None:
    """Many connect and leave at a time."""
    with besiege(scheme) as siege:

        def visit(address: str) -> None:
            with siege.agent() as env:
                env.reset()
                for _ in range(9):
                    env.step(0)

        siege.suffer(Crowd([("a visit", visit)] * 50, []))

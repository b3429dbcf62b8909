"""Injects each fault of ``fault_table.py`` that a foreign peer causes.

Context managers like those of ``inject_process_faults.py``: one side listens, and admits the right peer afterwards.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import hostile_quic
import hostile_shm
import hostile_ws
import hostile_zmq
import raw_peer
from processes import WAIT
from scenario import Scenario, Seen, see


def seen_by(side: str, what: Any, after: float) -> Seen:
    """Return the outcome where only one side saw something."""
    seen = Seen(after=after)
    setattr(seen, side, what)
    return seen


@contextlib.contextmanager
def take_the_address(scenario: Scenario) -> Iterator[Seen]:
    with scenario.door_elsewhere() as address:
        error, after = see(lambda: scenario.listen_at(address))
        yield seen_by(scenario.listens, error, after)


@contextlib.contextmanager
def two_of_a_kind(scenario: Scenario) -> Iterator[Seen]:
    with scenario.door() as address:
        error, after = see(lambda: scenario.dial_wrongly(address))
        yield seen_by(scenario.listens, error, after)


BY_HAND = {
    "tcp": raw_peer.dial,
    "tls": raw_peer.dial_tls,
    "unix": raw_peer.dial,
    "zmq": hostile_zmq.dial,
    "zmq+ipc": hostile_zmq.dial,
    "shm": hostile_shm.dial,
    "ws": hostile_ws.dial,
}
"""How to speak RLay by hand. QUIC is not spoken by hand here."""


@contextlib.contextmanager
def another_version(scenario: Scenario) -> Iterator[Seen]:
    with scenario.door() as address:
        answers = []
        with BY_HAND[scenario.scheme](address) as foreign_peer:
            foreign_peer.send("Hello", scenario.hello | {"wire_min": 7, "wire_max": 9})
            error, after = see(lambda: answers.append(foreign_peer.receive()))
        assert error is None and answers[0]["kind"] == "Reject"
        yield seen_by(scenario.dials, answers[0]["body"]["message"], after)


@contextlib.contextmanager
def browse(scenario: Scenario) -> Iterator[Seen]:
    browser = http.client.HTTPConnection("localhost")

    def get() -> None:
        with contextlib.closing(browser):
            browser.request("GET", "/")
            browser.getresponse()

    with scenario.door() as address:
        browser.sock = raw_peer.plug(address)
        greets = scenario.scheme.startswith("zmq")  # and then waits like the browser.
        browser.sock.settimeout(1.0 if greets else WAIT)
        error, after = see(get)
        assert isinstance(error, OSError | http.client.HTTPException)
        assert isinstance(error, TimeoutError) <= greets, "the connection was not closed"
        yield Seen(after=after)


@contextlib.contextmanager
def browse_safely(scenario: Scenario) -> Iterator[Seen]:
    """Over TLS the fault is found later: by the bytes inside TLS."""
    with scenario.door() as address:

        def get() -> None:
            with raw_peer.dial_tls(address) as foreign_peer:
                foreign_peer.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert foreign_peer.socket.recv(1) == b""

        error, after = see(get)
        assert isinstance(error, OSError) == (scenario.scheme != "tls")
        yield Seen(after=after)


@contextlib.contextmanager
def talk_nonsense(scenario: Scenario) -> Iterator[Seen]:
    garbage = b"\xde\xad\xbe\xef" * 16
    with scenario.door() as address:
        if scenario.scheme == "quic":
            hostile_quic.send([garbage], address)
            yield Seen()
            return
        with (hostile_shm.dial if scenario.scheme == "shm" else raw_peer.dial)(address) as foreign_peer:

            def until_the_end() -> None:
                with contextlib.suppress(ConnectionError):
                    foreign_peer.socket.sendall(garbage)
                    while foreign_peer.socket.recv(1 << 10):
                        pass

            error, after = see(until_the_end)
        assert error is None
        yield Seen(after=after)

"""Frames of a handshake with a number other than 0 are refused: by a game that dials, and by one that listens."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest

import raw_peer
import rlay
from equal import difference
from processes import WAIT, until
from raw_peer import HELLO, MAKE, WELCOME, RawPeer
from sdk_game import Drift
from wire_reference import encode

TOKEN = "a token of the tests"

NUMBERS = {"seq": 8, "ack": 16, "re": 24}
"""Where each number is in a frame."""

ANSWERS = {
    "Welcome": WELCOME,
    "Challenge": {"nonce": [7] * 32},
    "Reject": {"code": 13, "wire_min": 0, "wire_max": 0, "message": "a reason"},
}
"""What a listener may answer to Hello."""


def numbered(kind: str, body: Any, at: int) -> bytes:
    """Return a frame of the handshake with a number at this place."""
    frame = encode("frame", {"kind": kind, "seq": 0, "ack": 0, "re": 0, "body": body})
    return frame[:at] + struct.pack("<Q", 1) + frame[at + 8 :]


def ends(peer: RawPeer) -> None:
    """Wait for the end of the connection, before which nothing may arrive."""
    with contextlib.suppress(ConnectionError):
        assert (frame := peer.receive_bytes()) is None, frame


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_game_that_dials(games: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "Challenge":
        monkeypatch.setenv("RLAY_TOKEN", TOKEN)

    def answering(at: int) -> Any:
        def play(peer: RawPeer) -> None:
            assert peer.receive()["kind"] == "Hello"
            peer.send_bytes(numbered(kind, ANSWERS[kind], at))
            if kind == "Welcome":
                # A game that has taken it answers with Spec.
                with contextlib.suppress(ConnectionError):
                    peer.send("Make", MAKE)
            ends(peer)

        return raw_peer.listen(play)

    with contextlib.ExitStack() as stack:
        programs = [games.start("--dial", stack.enter_context(answering(at))) for at in NUMBERS.values()]
    if kind == "Reject":
        # It ends the connection in any case; a game that has read it says why it was refused.
        with contextlib.suppress(AssertionError):
            until(lambda: all(program.process.poll() is not None for program in programs), "the ends", timeout=3.0)
        assert not [line for program in programs for line in program.errors if "a reason" in line]


def test_a_game_that_listens(games: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAY_TOKEN", TOKEN)
    _, address = games.listen()
    hello = encode(
        "frame",
        {"kind": "Hello", "seq": 0, "ack": 0, "re": 0, "body": HELLO | {"auth": 1, "nonce": [9] * 32}},
    )
    for at in NUMBERS.values():
        with raw_peer.dial(address) as peer:
            peer.send_bytes(hello)
            challenge = peer.receive_bytes()
            assert challenge is not None and challenge[0] == 2
            proof = raw_peer.proof(TOKEN, b"rlay dialer", hello, challenge)
            peer.send_bytes(numbered("Proof", {"proof": list(proof)}, at))
            ends(peer)
    with rlay.ClientEnv(address, token=TOKEN, connect_timeout=WAIT, timeout=WAIT) as env:
        assert (found := difference(Drift().reset(seed=4), env.reset(seed=4), "reset")) is None, found

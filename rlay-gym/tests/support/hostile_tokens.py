"""Hostile openings for a host that has a token: proofs that are wrong, missing, cut, late or another peer's."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Callable

from hostile import FRAME, NOISE, Opening, Openings, drip, framed, frames, head, hello, leave, linger, say, then
from raw_peer import HELLO, MAKE, RawPeer, proof
from wire_reference import decode

SECRET = "only for those who are invited"

Prover = Callable[[bytes, bytes], bytes]
"""Makes a proof of the frames of Hello and Challenge."""

seen: set[bytes] = set()
"""Every challenge that was ever received: none may come twice, or an old proof would answer it."""


def knock(foreign_peer: RawPeer) -> tuple[bytes, bytes]:
    """Say Hello and return its frame and that of Challenge."""
    frame = hello(auth=1, nonce=list(os.urandom(32)))
    foreign_peer.send_bytes(frame)
    challenge = foreign_peer.receive_bytes()
    assert challenge is not None and decode("frame", challenge)["kind"] == "Challenge", challenge
    assert challenge not in seen
    seen.add(challenge)
    return frame, challenge


def prove(prover: Prover, *more: Opening) -> Opening:
    """Answer the challenge with this proof, and continue."""

    def play(foreign_peer: RawPeer) -> None:
        foreign_peer.send_bytes(head(3) + prover(*knock(foreign_peer)))
        then(*more)(foreign_peer)

    return play


def answer(*these: Opening) -> Opening:
    """Answer the challenge with something else."""

    def play(foreign_peer: RawPeer) -> None:
        knock(foreign_peer)
        then(*these)(foreign_peer)

    return play


def right(hello: bytes, challenge: bytes) -> bytes:
    """The proof that is asked for."""
    return proof(SECRET, b"rlay dialer", hello, challenge)


def hashed(hello: bytes, challenge: bytes) -> bytes:
    """A plain SHA-256 of the token and the same frames, without HMAC."""
    return hashlib.sha256(SECRET.encode() + b"rlay dialer" + hello + challenge).digest()


def unhashed(hello: bytes, challenge: bytes) -> bytes:
    """The proof with the token itself as key."""
    return hmac.new(SECRET.encode(), b"rlay dialer" + hello + challenge, hashlib.sha256).digest()


def enter(foreign_peer: RawPeer) -> None:
    """Prove the token, and be admitted."""
    prove(right)(foreign_peer)
    welcome = foreign_peer.receive()
    assert welcome is not None and welcome["kind"] == "Welcome", welcome


TOKEN: Openings = {
    "Hello without a token": frames(hello()),
    "Hello without a token, then a proof": frames(hello(), head(3) + NOISE[:32]),
    "a proof without a challenge": frames(hello(auth=1, nonce=[7] * 32), head(3) + NOISE[:32]),
    "a proof of zeros": prove(lambda *_: bytes(32)),
    "a proof of ones": prove(lambda *_: b"\xff" * 32),
    "a proof of noise": prove(lambda *_: NOISE[:32]),
    "a proof of another token": prove(lambda *words: proof("not invited", b"rlay dialer", *words)),
    "a proof of an empty token": prove(lambda *words: proof("", b"rlay dialer", *words)),
    "a proof of the token and a space": prove(lambda *words: proof(SECRET + " ", b"rlay dialer", *words)),
    "a proof of the token and a zero": prove(lambda *words: proof(SECRET + "\0", b"rlay dialer", *words)),
    "a proof with the token as key": prove(unhashed),
    "a proof for the listener": prove(lambda *words: proof(SECRET, b"rlay listener", *words)),
    "a proof for nobody": prove(lambda *words: proof(SECRET, b"", *words)),
    "a proof without HMAC": prove(hashed),
    "a proof for another Hello": prove(lambda _, challenge: right(hello(auth=1, nonce=[7] * 32), challenge)),
    "a proof for an older challenge": prove(lambda hello, _: right(hello, head(2) + NOISE[:32])),
    "a proof for Hello alone": prove(lambda hello, _: right(hello, b"")),
    "a proof for the challenge alone": prove(lambda _, challenge: right(b"", challenge)),
    "a proof the wrong way round": prove(lambda hello, challenge: right(challenge, hello)),
    "a proof with a bit wrong": prove(lambda *words: right(*words)[:31] + bytes([right(*words)[31] ^ 1])),
    "half a proof and zeros": prove(lambda *words: right(*words)[:16] + bytes(16)),
    "the challenge as proof": prove(lambda _, challenge: challenge[32:]),
    "no proof": prove(lambda *_: b""),
    "a proof of 31 bytes": prove(lambda *words: right(*words)[:31]),
    "a proof of 33 bytes": prove(lambda *words: right(*words) + b"\0"),
    "a proof of 64 KiB": prove(lambda *words: right(*words) + bytes(FRAME - 64)),
    "a proof in a frame of a wrong number": answer(frames(head(3, 1) + NOISE[:32])),
    "a proof in a frame with a reserved byte": answer(frames(b"\3\1" + bytes(30) + NOISE[:32])),
    "a wrong proof twice": prove(lambda *_: bytes(32), frames(head(3) + bytes(32))),
    "Hello instead of a proof": answer(lambda foreign_peer: foreign_peer.send("Hello", HELLO)),
    "Make instead of a proof": answer(lambda foreign_peer: foreign_peer.send("Make", MAKE)),
    "Challenge instead of a proof": answer(frames(head(2) + NOISE[:32])),
    "Welcome instead of a proof": answer(frames(head(4) + NOISE[:32])),
    "Reject instead of a proof": answer(frames(head(5) + struct.pack("<IHHQ", 13, 0, 0, 0))),
    "Goodbye instead of a proof": answer(frames(head(9) + bytes(12))),
    "an empty frame instead of a proof": answer(frames(b"")),
    "noise instead of a proof": answer(frames(NOISE[:FRAME])),
    "the end instead of a proof": answer(say(b"\xff" * 4)),
    "a length beyond the limit instead of a proof": answer(say(framed(b"", FRAME + 1))),
    "a flood instead of a proof": answer(say(NOISE)),
    "gone instead of a proof": answer(leave),
    "half of a proof's frame, and gone": answer(say(framed(head(3), 64)), leave),
    "the right proof, and gone": prove(right, leave),
    "the right proof, and noise": then(enter, frames(NOISE[:999])),
    "the right proof, again once let in": then(enter, frames(head(3) + NOISE[:32])),
    "the right proof, and silent": then(enter, linger),
}
"""Peers that prove the token are admitted, and the host then ends their sessions."""

TOKEN_SILENT: Openings = {
    "Hello, and never a proof": answer(),
    "half of a proof's frame": answer(say(framed(head(3), 64))),
    "a proof, byte after byte": answer(drip(framed(head(3) + NOISE[:32]), 0.12)),
}

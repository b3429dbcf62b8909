"""A small client of its own, after docs/wire.md section 15: one slot, a token, tickets; and faults that it may have.

``python faulty_client.py --fault NAME`` listens at a free port, which it prints, and has that fault. The judge of
``rlay check`` must find each of them, and nothing in the client without any.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import os
import random
import socket
import struct
import sys
import threading
from typing import Any

FAULTS: dict[str, str] = {
    "accepts-a-number-beyond": "resilience",
    "accepts-any-ack": "conversation",
    "accepts-any-re": "conversation",
    "accepts-any-seq": "conversation",
    "accepts-any-wire-number": "handshake",
    "accepts-array-bools-of-any-value": "conversation",
    "accepts-bad-utf8": "conversation",
    "accepts-big-endian-bytes": "conversation",
    "accepts-bools-of-any-value": "conversation",
    "accepts-bytes-behind-the-body": "conversation",
    "accepts-call-kwargs-that-are-no-dict": "conversation",
    "accepts-its-own-role": "handshake",
    "accepts-keywords-of-any-type": "conversation",
    "accepts-kwargs-that-are-no-dict": "conversation",
    "accepts-long-keys": "conversation",
    "accepts-long-names": "conversation",
    "accepts-many-dimensions": "conversation",
    "accepts-many-keys": "conversation",
    "accepts-many-rows": "conversation",
    "accepts-many-values": "conversation",
    "accepts-reserved-bytes": "conversation",
    "accepts-scalar-bools-of-any-value": "conversation",
    "accepts-seeds-of-any-form": "conversation",
    "accepts-unknown-kwargs": "conversation",
    "accepts-unknown-marks-of-dtypes": "conversation",
    "ack-missing": "conversation",
    "answers-strangers": "handshake",
    "answers-twice": "conversation",
    "asks-for-no-token": "handshake",
    "attribute-is-opaque": "conversation",
    "believes-any-proof": "handshake",
    "bound-in-the-long-form": "spaces",
    "busy-where-a-session-is-resumed": "resilience",
    "closes-without-a-word-at-violations": "conversation",
    "closes-without-mark": "conversation",
    "crashes-at-a-large-length": "handshake",
    "crashes-at-deep-values": "conversation",
    "details-of-its-own": "spaces",
    "dies-with-a-connection": "resilience",
    "discrete-mark-wrong": "spaces",
    "end-said-at-reset": "contract",
    "ends-at-a-malformed-payload": "spaces",
    "ends-at-an-overtaken-number": "resilience",
    "ends-at-an-unknown-id": "conversation",
    "ends-at-reserved-kinds": "conversation",
    "error-texts-uncut": "conversation",
    "first-in-steps": "contract",
    "first-missing": "contract",
    "forgets-that-it-is-closed": "conversation",
    "generator-shared-by-sessions": "determinism",
    "hangs-at-a-malformed-frame": "conversation",
    "ignores-seeds": "determinism",
    "info-is-a-list": "contract",
    "keeps-silent-dialers": "resilience",
    "key-twice-in-an-info": "spaces",
    "lists-an-attribute-and-refuses-it": "conversation",
    "lists-no-attribute-and-has-it": "conversation",
    "loses-answers-with-the-connection": "resilience",
    "makes-twice": "conversation",
    "observation-outside": "spaces",
    "offset-wrong": "spaces",
    "opaque-in-an-observation": "spaces",
    "padding-not-zero": "spaces",
    "re-missing": "conversation",
    "reads-frames-in-one-piece": "resilience",
    "render-mode-ignored": "contract",
    "rendered-frame-wrong": "contract",
    "resumes-sessions-that-have-ended": "resilience",
    "reward-is-nan": "contract",
    "sends-answers-of-any-length": "conversation",
    "seq-wrong": "conversation",
    "serves-one-at-a-time-without-end": "resilience",
    "slot-wrong": "contract",
    "slots-unchecked": "conversation",
    "stays-after-goodbye": "conversation",
    "steps-before-reset": "conversation",
    "values-in-place-of-packed": "spaces",
    "values-read-otherwise": "spaces",
    "violation-not-fatal": "conversation",
    "zero-is-no-seed": "determinism",
}
"""Every fault, and the level of the check that finds it."""

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
EMPTY = U32.pack(9) + U64.pack(0)
OPAQUE = U32.pack(13) + (U64.pack(5) + b"Thing") + (U64.pack(9) + b"<a thing>")
MAX_FRAME = 8 << 20
USAGE, RESET_NEEDED, INVALID_ACTION, CLOSED, INCOMPATIBLE, PROTOCOL, ENV = 1, 2, 3, 4, 7, 8, 9


class Malformed(Exception):
    """The peer broke the protocol."""


class Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Gone(Exception):
    """The connection has ended."""


class Lost(Gone):
    """It has ended without the close mark."""


def text(words: str) -> bytes:
    data = words.encode()
    return U64.pack(len(data)) + data


class Body:
    """Reads the body of a frame; every count is checked against what is left."""

    def __init__(self, data: bytes, fault: str) -> None:
        self.data, self.at, self.fault = data, 0, fault
        self.values = self.chosen_keys = 0

    def take(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            raise Malformed(f"{n} bytes announced, {len(self.data) - self.at} left")
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return U32.unpack(self.take(4))[0]

    def u64(self) -> int:
        return U64.unpack(self.take(8))[0]

    def i64(self) -> int:
        return struct.unpack("<q", self.take(8))[0]

    def bool(self) -> bool:
        byte = self.u8()
        if byte > 1 and self.fault != "accepts-bools-of-any-value":
            raise Malformed("a bool that is neither 0 nor 1")
        return byte == 1

    def bytes(self) -> bytes:
        return self.take(self.u64())

    def str(self, most: int | None = None) -> str:
        data = self.bytes()
        if most is not None and len(data) > most and self.fault != "accepts-long-names":
            raise Malformed("a text that is too long")
        if self.fault == "accepts-bad-utf8":
            return data.decode(errors="replace")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Malformed("text that is no UTF-8") from None

    def tag(self) -> int:
        """Look at the tag of the next value."""
        return U32.unpack(self.data[self.at : self.at + 4].ljust(4, b"\xff"))[0]

    def items(self, least: int, fault: str) -> int:
        """Read how many values or rows follow, each of so many bytes at least."""
        count = self.count(least)
        if self.values + count > 1 << 20 and self.fault != fault:
            raise Malformed("too many values and rows")
        return count

    def count(self, least: int) -> int:
        count = self.u64()
        if count > (len(self.data) - self.at) // least:
            raise Malformed(f"{count} items announced")
        return count

    def slots(self) -> list[int]:
        return [self.u32() for _ in range(self.count(4))]

    def dtype(self) -> int:
        code = self.u32()
        marks = 0x300 if self.fault == "accepts-unknown-marks-of-dtypes" else 0x100
        if code & ~marks > 11:
            raise Malformed("no such dtype")
        if code & 0x100 and code & 0xFF in (0, 1, 5) and self.fault != "accepts-big-endian-bytes":
            raise Malformed("one byte has no order")
        return (1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8)[code & 0xFF]

    def value(self, depth: int = 32) -> Any:
        """Read a value; what this client has no use for becomes a text."""
        self.values += 1
        if self.values > 1 << 20 and self.fault != "accepts-many-values":
            raise Malformed("too many values")
        if self.fault != "crashes-at-deep-values" and depth == 0:
            raise Malformed("values nested too deep")
        tag = self.u32()
        if tag == 0:
            return None
        if tag == 1:
            return self.bool()
        if tag == 2:
            return self.i64()
        if tag == 3:
            data = self.bytes()
            if len(data) <= 8 or (data[-1] in (0, 255) and (data[-1] == 255) == (data[-2] > 127)):
                raise Malformed("a BigInt that is too short, or too long")
            return int.from_bytes(data, "little", signed=True)
        if tag == 4:
            return struct.unpack("<d", self.take(8))[0]
        if tag == 5:
            return self.str()
        if tag == 6:
            return self.bytes()
        if tag in (7, 8):
            return [self.value(depth - 1) for _ in range(self.items(4, "accepts-many-values"))]
        if tag == 9:
            return [(self.key(depth - 1), self.value(depth - 1)) for _ in range(self.items(8, "accepts-many-values"))]
        if tag == 10:
            is_bool = self.tag() == 0 and self.fault != "accepts-array-bools-of-any-value"
            size = self.dtype()
            shape = [self.u64() for _ in range(self.count(8))]
            full = size
            for n in shape:
                full *= n or 1
            data = self.bytes()
            if len(shape) > 64 and self.fault != "accepts-many-dimensions":
                raise Malformed("too many dimensions")
            if full >= 1 << 63 or len(data) != (0 if 0 in shape else full):
                raise Malformed("an array of another size")
            if is_bool and any(byte > 1 for byte in data):
                raise Malformed("a bool that is neither 0 nor 1")
            return f"array {shape}"
        if tag == 11:
            code = self.tag()
            data = self.take(self.dtype())
            if code == 0 and data[0] > 1 and self.fault != "accepts-scalar-bools-of-any-value":
                raise Malformed("a bool that is neither 0 nor 1")
            return int.from_bytes(data, "little", signed=code in (1, 2, 3, 4)) if code < 9 else "float"
        if tag == 12:
            return [self.value(depth - 1) for _ in range(3)]
        if tag == 13:
            return self.str() + self.str()
        raise Malformed(f"no such value: {tag}")

    def key(self, depth: int) -> Any:
        start, tag = self.at, self.tag()
        if tag in (7, 9, 10, 12):
            raise Malformed("no key")
        found = self.value(depth)
        if tag not in (2, 5, 13) and self.at - start > 256 and self.fault != "accepts-long-keys":
            raise Malformed("a key that is too long")
        self.chosen_keys += tag != 5 and not (tag == 2 and 0 <= found < 16384)
        if self.chosen_keys > 4096 and self.fault != "accepts-many-keys":
            raise Malformed("too many keys that can be chosen")
        return found

    def end(self) -> None:
        if self.at != len(self.data) and self.fault != "accepts-bytes-behind-the-body":
            raise Malformed(f"{len(self.data) - self.at} bytes behind the body")


class Game:
    """A counter that drifts; it ends beyond 6."""

    shared = random.Random(0)

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.random = Game.shared if fault == "generator-shared-by-sessions" else random.Random(0)
        self.count, self.lamps, self.steps = 0, [0, 0, 0], 0

    def reset(self, seed: int | None) -> None:
        ignored = self.fault in ("ignores-seeds", "generator-shared-by-sessions")
        ignored = ignored or (self.fault == "zero-is-no-seed" and not seed)
        if seed is not None and not ignored:
            self.random = random.Random(seed)
        self.count, self.steps = self.random.randrange(3), 0
        self._light()

    def step(self, action: int) -> float:
        self.count = max(0, self.count + action - 1 + self.random.randrange(2))
        self.steps += 1
        self._light()
        return self.count / 2

    def _light(self) -> None:
        self.lamps = [self.random.randrange(2) for _ in range(3)]


class Session:
    """One connection, and the session that it carries."""

    resumable: dict[bytes, Session] = {}
    """By ticket, until a session has ended."""
    state = ("sent", "received", "acknowledged", "kept", "ticket", "game", "is_closed", "was_reset", "mode", "limit")
    """What goes on over another connection."""
    playing = 0
    """How many connections carry a session."""

    def __init__(self, connection: socket.socket, fault: str, token: str) -> None:
        self.socket, self.fault, self.token = connection, fault, token
        self.sent = self.received = self.acknowledged = 0
        self.kept: list[bytes] = []
        self.ticket = b""
        self.ended = threading.Event()
        self.violation = ""
        self.game: Game | None = None
        self.is_closed = self.was_reset = False
        self.mode: str | None = None
        self.limit = 65536

    # Bytes

    def _read(self, n: int) -> bytes:
        if self.fault == "reads-frames-in-one-piece" and n:
            data = self.socket.recv(n)
            if len(data) < n:
                raise Lost
            return data
        data = bytearray()
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise Lost
            data += piece
        return bytes(data)

    def _frame(self) -> bytes:
        length = self._read(4)
        if length == b"\xff" * 4:
            raise Gone
        (n,) = U32.unpack(length)
        if n > self.limit:
            if self.fault == "crashes-at-a-large-length":
                os._exit(1)
            raise Malformed("a frame that is too long")
        return self._read(n)

    def _send(self, kind: int, body: bytes, re: int = 0, seq: int | None = None) -> None:
        if seq is None:
            self.sent += 2 if self.fault == "seq-wrong" and self.sent == 2 else 1
            seq = self.sent
        ack = 0 if seq == 0 or self.fault == "ack-missing" else self.received
        frame = struct.pack("<B7xQQQ", kind, seq, ack, 0 if self.fault == "re-missing" else re) + body
        if self.ticket and seq:
            self.kept.append(frame)
        self.socket.sendall(U32.pack(len(frame)) + frame)

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            if self.fault != "closes-without-mark":
                self.socket.sendall(b"\xff" * 4)
            self.socket.shutdown(socket.SHUT_WR)

    # The handshake

    def _shake(self) -> bool:
        frame = self._frame()
        if len(frame) < 42 or frame[0] != 1 or any(frame[1:32]) or frame[32:36] != b"RLAY":
            if self.fault == "answers-strangers":
                self._reject(PROTOCOL, "a stranger")
            raise Gone
        low, high, role, auth = struct.unpack("<HHBB", frame[36:42])
        if role > 1:
            raise Gone
        if (low > 0 or high < low) and self.fault != "accepts-any-wire-number":
            return self._reject(INCOMPATIBLE, "this side speaks wire 0")
        if role == 1 and self.fault != "accepts-its-own-role":
            return self._reject(INCOMPATIBLE, "this side hosts an environment, too")
        if auth > 1:
            return self._reject(INCOMPATIBLE, "an unknown kind of authentication")
        if auth != bool(self.token) and self.fault != "asks-for-no-token":
            return self._reject(13, "a token is needed here, or there is none")
        try:
            body = Body(frame[42:], self.fault)
            features, longest = body.u64(), body.u64()
            body.str(256)
            if auth:
                body.take(32)
            ticket, received = (body.take(32), body.u64()) if features & 2 else (b"", 0)
            body.end()
        except Malformed:
            raise Gone from None
        proof = b"\0"
        if auth and self.token:
            challenge = struct.pack("<B31x", 2) + os.urandom(32)
            self.socket.sendall(U32.pack(len(challenge)) + challenge)
            answer = self._frame()
            if len(answer) != 64 or answer[0] != 3 or any(answer[1:32]):
                raise Gone
            known = self._proof(b"rlay dialer", frame, challenge)
            if not hmac.compare_digest(known, answer[32:]) and self.fault != "believes-any-proof":
                return self._reject(13, "the token is wrong")
            proof = b"\1" + self._proof(b"rlay listener", frame, challenge)
        if features & 2:
            return self._resume(ticket, received, proof)
        self.ticket = os.urandom(32) if features & 1 else b""
        self._welcome(features & 1, proof + self.ticket)
        self.limit = max(65536, min(MAX_FRAME, longest))
        if self.ticket:
            Session.resumable[self.ticket] = self
        return True

    def _welcome(self, features: int, rest: bytes) -> None:
        self._send(4, struct.pack("<HQQ", 0, features, MAX_FRAME) + text("by hand 1.0") + rest, seq=0)

    def _resume(self, ticket: bytes, received: int, proof: bytes) -> bool:
        if self.fault == "busy-where-a-session-is-resumed" and Session.playing:
            return self._reject(5, "another session is played")
        if old := Session.resumable.get(ticket):
            with contextlib.suppress(OSError):
                old.socket.shutdown(socket.SHUT_RDWR)
            old.ended.wait(1.0)
        if Session.resumable.get(ticket) is not old or old is None:
            return self._reject(10, "the session has ended")
        is_overtaken = received < old.acknowledged
        if is_overtaken and self.fault != "ends-at-an-overtaken-number":
            return False
        for name in Session.state:
            setattr(self, name, getattr(old, name))
        Session.resumable[ticket] = self
        self._welcome(2, proof + U64.pack(self.received))
        if is_overtaken or (received > self.sent and self.fault != "accepts-a-number-beyond"):
            self.violation = f"{received} frames were received, of {self.sent}"
        elif self.fault != "loses-answers-with-the-connection":
            for frame in self.kept:
                if U64.unpack(frame[8:16])[0] > received:
                    self.socket.sendall(U32.pack(len(frame)) + frame)
        return True

    def _proof(self, role: bytes, hello: bytes, challenge: bytes) -> bytes:
        secret = self.token.encode()
        key = hashlib.sha256(U64.pack(len(secret)) + secret).digest()
        return hmac.new(key, role + hello + challenge, hashlib.sha256).digest()

    def _reject(self, code: int, message: str) -> bool:
        self._send(5, struct.pack("<IHH", code, 0, 0) + text(message), seq=0)
        return False

    # The session

    def play(self) -> None:
        """Serve the connection to its end."""
        try:
            self._play()
        finally:
            self.ended.set()

    def _play(self) -> None:
        if self.fault != "keeps-silent-dialers":
            self.socket.settimeout(5.0)
        try:
            if not self._shake():
                return self._close()
        except (Gone, Malformed, OSError):
            return self._close()
        self.socket.settimeout(None)
        Session.playing += 1
        has_ended = True
        try:
            if self.violation:
                raise Malformed(self.violation)
            while self._turn():
                pass
            if self.fault == "stays-after-goodbye":
                self.socket.recv(1)
        except Malformed as why:
            if self.fault == "hangs-at-a-malformed-frame":
                threading.Event().wait()
            if self.fault != "closes-without-a-word-at-violations":
                with contextlib.suppress(OSError):
                    self._error(PROTOCOL, str(why), fatal=self.fault != "violation-not-fatal")
        except (Gone, OSError) as why:
            if self.fault == "dies-with-a-connection":
                os._exit(1)
            has_ended = not isinstance(why, (Lost, OSError))
        Session.playing -= 1
        if has_ended and self.fault != "resumes-sessions-that-have-ended":
            Session.resumable.pop(self.ticket, None)
        self._close()

    def _error(self, code: int, message: str, re: int = 0, fatal: bool = False) -> None:
        kind = text("ValueError" if code == ENV else "")
        if len(message.encode()) > 16384 and self.fault != "error-texts-uncut":
            message = message.encode()[:16380].decode(errors="ignore") + "\N{HORIZONTAL ELLIPSIS}"
        self._send(0x0A, struct.pack("<I?Q", code, fatal, 0) + kind + text(message) + text(""), re)

    def _turn(self) -> bool:
        frame = self._frame()
        if len(frame) < 32:
            raise Malformed("a frame that is shorter than a header")
        kind, seq, ack, re = struct.unpack("<B7xQQQ", frame[:32])
        if any(frame[1:8]) and self.fault != "accepts-reserved-bytes":
            raise Malformed("reserved bytes that are not 0")
        if seq != self.received + 1 and self.fault != "accepts-any-seq":
            raise Malformed(f"seq {seq} after {self.received}")
        if ack > self.sent and self.fault != "accepts-any-ack":
            raise Malformed(f"ack {ack}, and {self.sent} were sent")
        if re > self.sent and self.fault != "accepts-any-re":
            raise Malformed(f"re {re}, and {self.sent} were sent")
        self.received = seq
        self.acknowledged = max(self.acknowledged, ack)
        self.kept = [frame for frame in self.kept if U64.unpack(frame[8:16])[0] > ack]
        body = Body(frame[32:], self.fault)
        if kind == 0x09:
            return False
        if kind == 0x0A:
            body.u32()
            if not body.bool():
                raise Malformed("an Error that is not fatal, from an agent")
            return False
        if kind in (0x30, 0x50):
            if self.fault == "ends-at-reserved-kinds":
                raise Malformed("a reserved kind")
            self._error(USAGE, "a reserved kind", seq)
            return True
        answer = {0x20: self._make, 0x21: self._reset, 0x22: self._step, 0x23: self._render}
        answer |= {0x24: self._attribute, 0x25: self._end}
        if kind not in answer:
            raise Malformed(f"kind {kind:#x} from an agent")
        try:
            kind, reply = answer[kind](body)
        except Refused as why:
            self._error(why.code, str(why), seq)
        else:
            if 32 + len(reply) > self.limit and self.fault != "sends-answers-of-any-length":
                self._error(USAGE, f"an answer of {32 + len(reply)} bytes is above the frame limit", seq)
                return True
            self.was_reset |= kind == 0x41
            self._send(kind, reply, seq)
            if kind == 0x41 and self.fault == "answers-twice":
                self._send(kind, reply, seq)
        return True

    def _make(self, body: Body) -> tuple[int, bytes]:
        env_id = body.str(1024) if body.bool() else None
        is_dict = body.tag() == 9
        kwargs = body.value()
        mode = body.str(256) if body.bool() else None
        body.u32()
        if body.u8() > 2:
            raise Malformed("no such autoreset mode")
        body.end()
        if (self.game or self.is_closed) and self.fault != "makes-twice":
            raise Refused(USAGE, "there is an environment already")
        if env_id is not None:
            if self.fault == "ends-at-an-unknown-id":
                raise Malformed("an unknown id")
            raise Refused(ENV, f"there is no {env_id}")
        if not is_dict and self.fault != "accepts-kwargs-that-are-no-dict":
            raise Refused(USAGE, "keyword arguments are a Dict")
        if is_dict and kwargs and self.fault != "accepts-unknown-kwargs":
            raise Refused(USAGE, f"it takes no argument {kwargs[0][0]}")
        if mode not in (None, "ansi"):
            raise Refused(ENV, f"there is no mode {mode}")
        self.game, self.mode = Game(self.fault), mode
        return 0x40, self._spec()

    def _spec(self) -> bytes:
        discrete = lambda n: U32.pack(1) + struct.pack("<IQq", 4, n, 0)  # noqa: E731
        key = lambda words: U32.pack(5) + text(words)  # noqa: E731
        level = U32.pack(0) + U32.pack(10) + U64.pack(1) + U64.pack(2)
        for bound in (0.0, 100.0):
            if self.fault == "bound-in-the-long-form":
                level += U32.pack(1) + struct.pack("<ff", bound, bound) + b"\1\1"
            else:
                level += U32.pack(0) + struct.pack("<f", bound) + b"\1"
        lamps = U32.pack(2) + U64.pack(1) + U64.pack(3) + b"\1"
        members = key("count") + discrete(16) + key("lamps") + lamps + key("level") + level
        observations = U32.pack(6) + U64.pack(3) + members
        modes = U32.pack(7) + U64.pack(1) + key("ansi")
        metadata = U32.pack(9) + U64.pack(1) + key("render_modes") + modes
        details = EMPTY
        if self.fault == "details-of-its-own":
            details = U32.pack(9) + U64.pack(1) + key("author") + key("me")
        mode = b"\0" if self.mode is None or self.fault == "render-mode-ignored" else b"\1" + text(self.mode)
        head = text("Counter") + observations + discrete(3)
        return head + struct.pack("<IB", 1, 0) + mode + metadata + details + U64.pack(1) + text("count")

    def _slot(self, slots: list[int], needs_reset: bool = False) -> Game:
        if self.is_closed and self.fault != "forgets-that-it-is-closed":
            raise Refused(CLOSED, "the environment was closed")
        if self.game is None:
            raise Refused(USAGE, "there is no environment yet")
        if slots != [0] and self.fault != "slots-unchecked":
            raise Refused(USAGE, "there is slot 0 alone")
        if needs_reset and not self.was_reset:
            raise Refused(RESET_NEEDED, "reset comes first")
        return self.game

    def _reset(self, body: Body) -> tuple[int, bytes]:
        rows = []
        for _ in range(body.items(5, "accepts-many-rows")):
            body.values += self.fault != "accepts-many-rows"
            slot, seed = body.u32(), body.bytes() if body.bool() else None
            is_checked = seed is not None and self.fault != "accepts-seeds-of-any-form"
            if is_checked and (len(seed) > 4096 or seed.endswith(b"\0")):
                raise Malformed("no seed")
            rows.append((slot, seed))
        start = body.at
        body.value()
        options = body.data[start : body.at]
        body.end()
        game = self._slot([slot for slot, _ in rows])
        seed = rows[0][1] if rows else None
        game.reset(None if seed is None else int.from_bytes(seed, "little"))
        flags = 0 if self.fault == "first-missing" else 1
        if self.fault == "end-said-at-reset":
            flags |= 2
        name = U32.pack(5) + text("options")
        entries = 2 if self.fault == "key-twice-in-an-info" else 1
        return 0x41, self._result(flags, 0.0, U32.pack(9) + U64.pack(entries) + entries * (name + options))

    def _step(self, body: Body) -> tuple[int, bytes]:
        slots = body.slots()
        form = body.u32()
        if form == 0:
            n, pad = body.u64(), body.u32()
            if pad > 63 or (32 + body.at + pad) % 64 or any(body.take(pad)) or n != len(body.data) - body.at:
                raise Malformed("wrong padding")
        elif form != 1:
            raise Malformed("no such form")
        game = self._slot(slots, needs_reset=self.fault != "steps-before-reset")
        try:
            if form == 0:
                number, mark = body.i64(), body.u8()
                if mark > 1 or any(body.take(7)):
                    raise Malformed("no Discrete")
            else:
                number = body.value()
                if self.fault == "values-read-otherwise" and isinstance(number, int):
                    number = 2 - number
            body.end()
        except Malformed as why:
            if self.fault == "ends-at-a-malformed-payload":
                raise
            raise Refused(PROTOCOL, str(why)) from None
        if not isinstance(number, int):
            raise Refused(INVALID_ACTION, "an action is an integer")
        reward = game.step(number)
        flags = 2 if game.count > 6 else 4 if game.steps >= 60 else 0
        return 0x41, self._result(flags | (self.fault == "first-in-steps"), reward)

    def _result(self, flags: int, reward: float, info: bytes = EMPTY) -> bytes:
        game = self.game
        assert game is not None
        if self.fault == "reward-is-nan" and not flags & 1:
            reward = float("nan")
        if self.fault == "info-is-a-list":
            info = U32.pack(7) + U64.pack(0)
        slot = 1 if self.fault == "slot-wrong" else 0
        body = U64.pack(1) + struct.pack("<IBd", slot, flags, reward) + info
        count = 99 if self.fault == "observation-outside" else min(game.count, 15)
        lamps, level = bytes(game.lamps), struct.pack("<ff", float(game.count), float(game.steps))
        if self.fault == "opaque-in-an-observation":
            return body + U32.pack(1) + OPAQUE
        if self.fault == "values-in-place-of-packed":
            key = lambda words: U32.pack(5) + text(words)  # noqa: E731
            array = lambda code, n, data: U32.pack(10) + struct.pack("<IQQQ", code, 1, n, len(data)) + data  # noqa: E731
            value = U32.pack(9) + U64.pack(3) + key("count") + U32.pack(2) + U64.pack(count)
            return body + U32.pack(1) + value + key("lamps") + array(1, 3, lamps) + key("level") + array(10, 2, level)
        mark = 7 if self.fault == "discrete-mark-wrong" else 0
        zeros = b"\1\0\0\0\0" if self.fault == "padding-not-zero" else bytes(5)
        packed = struct.pack("<qB7x", count, mark) + lamps + zeros + level
        start = 32 + len(body) + 16
        pad = -start % 64 - (4 if self.fault == "offset-wrong" else 0)
        return body + struct.pack("<IQI", 0, len(packed), pad) + bytes(pad) + packed

    def _render(self, body: Body) -> tuple[int, bytes]:
        slots = body.slots()
        body.end()
        game = self._slot(slots)
        if self.mode is None:
            raise Refused(USAGE, "no render mode was asked for")
        frame = U32.pack(0) if self.fault == "rendered-frame-wrong" else U32.pack(5) + text(f"{game.count}")
        return 0x42, U64.pack(1) + U32.pack(0) + frame

    def _attribute(self, body: Body) -> tuple[int, bytes]:
        slots = body.slots()
        name = body.str(256)
        access = body.u8()
        if access > 2:
            raise Malformed("no such access")
        if access:
            count = body.count(4)
            if access == 1 and count != len(slots):
                raise Malformed("another number of values")
            for _ in range(count):
                body.value()
            if access == 2:
                self._keywords(body)
        body.end()
        game = self._slot(slots)
        is_listed = name == "count" and self.fault != "lists-an-attribute-and-refuses-it"
        if not is_listed and self.fault != "lists-no-attribute-and-has-it":
            raise Refused(USAGE, f"the attribute {name} is not listed")
        if access == 1:
            raise Refused(ENV, f"{name} cannot be set")
        value = OPAQUE if self.fault == "attribute-is-opaque" else U32.pack(2) + U64.pack(game.count)
        return 0x43, U64.pack(1) + U32.pack(0) + b"\1" + value

    def _keywords(self, body: Body) -> None:
        is_dict = body.tag() == 9
        kwargs = body.value()
        if not is_dict and self.fault != "accepts-call-kwargs-that-are-no-dict":
            raise Malformed("keyword arguments that are no Dict")
        is_checked = is_dict and self.fault != "accepts-keywords-of-any-type"
        if is_checked and not all(isinstance(name, str) for name, _ in kwargs):
            raise Malformed("a keyword that is no Str")

    def _end(self, body: Body) -> tuple[int, bytes]:
        body.slots()
        body.end()
        if self.is_closed:
            raise Refused(CLOSED, "the environment was closed")
        if self.game is None:
            raise Refused(USAGE, "there is no environment yet")
        self.is_closed = True
        return 0x44, U64.pack(0)


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fault", default="", choices=["", *FAULTS])
    parser.add_argument("--token", default="")
    arguments = parser.parse_args()
    threading.excepthook = lambda what: print(what.exc_type.__name__, what.exc_value, file=sys.stderr)

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Session(connection, arguments.fault, arguments.token).play()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(f"listening at tcp://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            if arguments.fault == "serves-one-at-a-time-without-end":
                connection.settimeout(None)
                serve_without_bound(connection, arguments)
            else:
                threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve_without_bound(connection: socket.socket, arguments: argparse.Namespace) -> None:
    """Serve one connection, however long its peer says nothing."""
    with connection:
        session = Session(connection, "keeps-silent-dialers", arguments.token)
        session.play()


if __name__ == "__main__":
    main()

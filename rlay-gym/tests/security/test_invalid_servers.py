"""Invalid servers, and hosts that lie: an agent reports what was wrong, in readable words."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest

import raw_peer
import rlay
from raw_peer import DISCRETE, HELLO, RESET, SPEC, WELCOME, RawPeer, host, result

ANSWERS = {
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP peer on an RLay port"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n" + bytes(64), "not an RLay peer"),
    "garbage": (b"\xde\xad\xbe\xef" * 16, "not an RLay peer"),
    "an empty frame": (bytes(4), "frame"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_server_that_speaks_something_else(name: str) -> None:
    answer, text = ANSWERS[name]

    def play(foreign_peer: RawPeer) -> None:
        assert foreign_peer.receive()["kind"] == "Hello"
        foreign_peer.socket.sendall(answer)
        foreign_peer.socket.recv(1)

    with raw_peer.listen(play) as address, pytest.raises(rlay.ProtocolError, match=text):
        rlay.ClientEnv(address)


HANDSHAKES: dict[str, tuple[str, Any, type[Exception], str]] = {
    "another wire": ("Welcome", WELCOME | {"wire": 9}, rlay.ProtocolError, "wire 9, which was not offered"),
    "hello": ("Hello", HELLO, rlay.ProtocolError, "both sides dialed"),
    "incompatible": (
        "Reject",
        {"code": 7, "wire_min": 8, "wire_max": 9, "message": "too old"},
        rlay.Incompatible,
        "refused.*too old",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_server_that_does_not_fit(name: str) -> None:
    kind, body, error, text = HANDSHAKES[name]

    def play(foreign_peer: RawPeer) -> None:
        foreign_peer.receive()
        foreign_peer.send(kind, body)
        foreign_peer.socket.recv(1)

    with raw_peer.listen(play) as address, pytest.raises(error, match=text):
        rlay.ClientEnv(address)


def test_a_host_by_hand() -> None:
    def play(foreign_peer: RawPeer) -> None:
        host(foreign_peer)
        reset = foreign_peer.receive()
        foreign_peer.send("Result", re=reset["seq"], **result(True, bytes(16)))
        step = foreign_peer.receive()
        assert step["payload"] == {"Packed": "01" + "00" * 15}, "a Python int"
        foreign_peer.send(
            "Result", re=step["seq"], **result(False, bytes([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]))
        )
        close = foreign_peer.receive()
        foreign_peer.send("Closed", [], re=close["seq"])
        assert foreign_peer.receive()["kind"] == "Goodbye"
        assert foreign_peer.receive() is None

    with raw_peer.listen(play) as address:
        env = rlay.ClientEnv(address)
        assert env.reset() == (0, {})
        observation, *rest = env.step(1)
        assert (observation, type(observation).__name__, rest) == (1, "int64", [0.0, False, False, {}])
        env.close()


LIES: dict[str, tuple[Callable[[RawPeer, int], None], str]] = {
    "another size": (lambda s, re: s.send("Result", re=re, **result(True, bytes(8))), "does not fit the space"),
    "a mark that is none": (lambda s, re: s.send("Result", re=re, **result(True, bytes(8) + b"\2" + bytes(7))), "mark"),
    "not the first row": (lambda s, re: s.send("Result", re=re, **result(False, bytes(16))), "flags do not fit"),
    "another request": (lambda s, re: s.send("Result", re=re - 1, **result(True, bytes(16))), "did not ask for it"),
    "a frame to come": (lambda s, re: s.send("Result", re=re + 9, **result(True, bytes(16))), "never sent"),
    "frames": (lambda s, re: s.send("Frames", [[0, "None"]], re=re), "out of turn"),
    "a request": (lambda s, re: s.send("Reset", RESET), "out of turn"),
    "a large frame": (lambda s, re: s.socket.sendall(struct.pack("<I", (64 << 20) + 1)), "larger than the limit"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_host_that_lies(name: str) -> None:
    lie, text = LIES[name]

    def play(foreign_peer: RawPeer) -> None:
        host(foreign_peer)
        lie(foreign_peer, foreign_peer.receive()["seq"])
        answer = foreign_peer.receive()
        if name in ("another size", "a mark that is none"):
            assert answer["kind"] == "Close", "a bad payload is the end of a request, not of the session"
        else:
            assert (answer["kind"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 8, True)

    with raw_peer.listen(play) as address:
        env = rlay.ClientEnv(address)
        with pytest.raises(rlay.ProtocolError, match=text):
            env.reset()
        env.close()


def test_a_space_that_this_gymnasium_cannot_make() -> None:
    spec = SPEC | {"observation_space": {"Discrete": DISCRETE["Discrete"] | {"n": (1 << 64) - 1}}}
    with raw_peer.listen(lambda foreign_peer: host(foreign_peer, spec)) as address:
        with pytest.raises(rlay.Error, match=f"Discrete space that Gymnasium {gym.__version__} cannot make"):
            rlay.ClientEnv(address)


def test_a_space_that_nobody_could_hold() -> None:
    """The space takes a hundred bytes on the wire, and Gymnasium would write out its bounds."""
    box = {"dtype": "u8", "big_endian": False, "shape": [1 << 20, 1 << 20]}
    bounds = {name: {"Uniform": {"value": value, "bounded": True}} for name, value in (("low", "00"), ("high", "ff"))}
    for space in ({"Box": box | bounds}, {"Sequence": {"stack": False, "space": {"Box": box | bounds}}}):
        for whose in ("observation", "action"):
            spec = SPEC | {f"{whose}_space": space}
            with raw_peer.listen(lambda foreign_peer, spec=spec: host(foreign_peer, spec)) as address:
                with pytest.raises(rlay.Incompatible, match=f"the {whose} space of 1099511627776 bytes is larger"):
                    rlay.ClientEnv(address)


def test_a_spec_that_is_none() -> None:
    def play(foreign_peer: RawPeer) -> None:
        host(foreign_peer, SPEC | {"action_space": {"Discrete": DISCRETE["Discrete"] | {"n": 0}}})
        assert foreign_peer.receive()["body"]["code"] == 8

    with raw_peer.listen(play) as address, pytest.raises(rlay.ProtocolError, match="Discrete"):
        rlay.ClientEnv(address)

"""Strangers on the port of a host, rogues in its sessions, servers that are none: the host stays up and says why."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import pytest

import rlay
import strangers
from conftest import HostProcess
from moods import Moods, moods_of
from strangers import DISCRETE, HELLO, MAKE, RESET, SPEC, WELCOME, Stranger, result

GREETINGS = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "an HTTP peer on an RLay port"),
    "TLS": (bytes.fromhex("16030102000100 01fc0303".replace(" ", "")) + bytes(64), "a TLS client on an RLay port"),
    "garbage": (b"\xde\xad\xbe\xef" * 16, "not an RLay peer"),
    "zeros": (bytes(64), "handshake"),
    "a short frame": (struct.pack("<I", 10) + bytes(10), "handshake"),
    "an empty frame": (bytes(4), "handshake"),
    "a frame that is none": (struct.pack("<I", 64) + b"\xff" * 64, "handshake"),
    "half a frame": (struct.pack("<I", 64) + b"\x01", "handshake failed"),
}


@pytest.fixture
def moods(host_process: HostProcess) -> Iterator[Moods]:
    with moods_of(host_process) as moods:
        yield moods


@pytest.fixture
def good(moods: Moods) -> Iterator[Any]:
    """A good session, which goes on while strangers come and go."""
    env = moods.env()
    env.reset()
    env.step(0)
    yield env
    assert env.step(0)[0] == [2]
    rlay.ClientEnv(env.address).close()


@pytest.mark.parametrize("name", GREETINGS)
def test_a_stranger_gets_no_answer_and_the_host_tells(moods: Moods, good: Any, name: str) -> None:
    greeting, notice = GREETINGS[name]
    with strangers.dial(good.address) as stranger:
        stranger.socket.sendall(greeting)
        if name == "half a frame":
            stranger.socket.close()
        else:
            assert stranger.socket.recv(1) == b""
    assert "tcp://127.0.0.1:" in moods.log(notice)


def test_a_first_frame_that_is_not_hello(moods: Moods, good: Any) -> None:
    with strangers.dial(good.address) as stranger:
        stranger.send("Make", MAKE)
        assert stranger.socket.recv(1) == b""
    moods.log("before the handshake was over")


REJECTED = {
    "a newer wire": ({"wire_min": 7, "wire_max": 9}, "this side speaks wire 0, the dialer speaks 7 to 9"),
    "the same role": ({"role": "Env"}, "connect with ClientEnv, not ClientBackend"),
    "authentication": ({"auth": 1}, "authentication"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_peer_that_does_not_fit_is_told_why(moods: Moods, good: Any, name: str) -> None:
    changes, text = REJECTED[name]
    with strangers.dial(good.address) as stranger:
        stranger.send("Hello", HELLO | changes)
        answer = stranger.receive()
        assert (answer["kind"], answer["body"]["code"]) == ("Reject", 7)
        assert text in answer["body"]["message"]
        assert stranger.receive() is None
    moods.log(text)


def bomb(stranger: Stranger, options: bytes) -> None:
    """Send a Reset with these options."""
    stranger.send_bytes(stranger.head(0x21) + struct.pack("<QIB", 1, 0, 0) + options)


VIOLATIONS: dict[str, tuple[Callable[[Stranger], None], str]] = {
    "an oversized frame": (lambda s: s.socket.sendall(struct.pack("<I", (64 << 20) + 1)), "larger than the limit"),
    "a nesting bomb": (lambda s: bomb(s, struct.pack("<IQ", 7, 1) * 100_000), "nested"),
    "a count bomb": (lambda s: bomb(s, struct.pack("<IQ", 7, 1 << 60)), "items"),
    "too many values": (
        lambda s: bomb(s, struct.pack("<IQ", 7, (1 << 20) + 1) + bytes(4 << 20) + bytes(4)),
        "too many values",
    ),
    "a long string": (lambda s: bomb(s, struct.pack("<IQ", 5, 1 << 62) + b"a"), "bytes"),
    "a frame out of order": (lambda s: s.send("Reset", RESET, seq=9), "frame 9 arrived where frame 2 was due"),
    "a reply": (lambda s: s.send("Closed", [], re=0), "out of turn"),
    "bytes too many": (lambda s: s.send_bytes(s.head(0x25) + struct.pack("<Q", 0) + b"\0"), "byte"),
    "an unknown kind": (lambda s: s.send_bytes(s.head(0x77)), "kind"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_its_session_alone(moods: Moods, good: Any, name: str) -> None:
    violate, text = VIOLATIONS[name]
    with strangers.dial_and_shake(good.address) as stranger:
        stranger.send("Make", MAKE)
        assert stranger.receive()["kind"] == "Spec"
        violate(stranger)
        answer = stranger.receive()
        assert (answer["kind"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 8, True)
        message = answer["body"]["failure"]["message"]
        assert text in message
        assert stranger.receive() is None
    moods.log(message)
    moods.wait_for("close")


def test_a_request_that_makes_no_sense_is_answered_and_the_session_goes_on(moods: Moods, good: Any) -> None:
    with strangers.dial_and_shake(good.address) as stranger:
        stranger.send("Reset", RESET)
        answer = stranger.receive()
        assert (answer["kind"], answer["re"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 1, 1, False)
        stranger.send("Make", MAKE)
        assert stranger.receive()["kind"] == "Spec"
        stranger.send("Step", [0], payload={"Values": [{"Int": 0}]})
        assert stranger.receive()["body"]["code"] == 2
        stranger.send("Reset", RESET)
        assert stranger.receive()["kind"] == "Result"
        stranger.send("Step", [0], payload={"Packed": "00" * 8})
        answer = stranger.receive()
        assert (answer["body"]["code"], answer["body"]["fatal"]) == (8, False)
        stranger.send("Step", [0], payload={"Values": [{"Int": 0}]})
        assert stranger.receive()["kind"] == "Result"
        stranger.send("Goodbye", {"code": 0, "message": "done"})
        assert stranger.receive() is None


def test_an_agent_that_listens_is_not_disturbed_either(moods: Moods, caplog: pytest.LogCaptureFixture) -> None:
    env = moods.server()
    with strangers.dial(env.address) as stranger:
        stranger.socket.sendall(GREETINGS["HTTP"][0])
        assert stranger.socket.recv(1) == b""
    moods.dial(env.address)
    assert env.reset()[0] == [0]
    assert "an HTTP peer on an RLay port" in caplog.text


# -- servers that are none ------------------------------------------------------------------------

ANSWERS = {
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "an HTTP peer on an RLay port"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n" + bytes(64), "not an RLay peer"),
    "garbage": (b"\xde\xad\xbe\xef" * 16, "not an RLay peer"),
    "an empty frame": (bytes(4), "frame"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_server_that_speaks_something_else(name: str) -> None:
    answer, text = ANSWERS[name]

    def play(stranger: Stranger) -> None:
        assert stranger.receive()["kind"] == "Hello"
        stranger.socket.sendall(answer)
        stranger.socket.recv(1)

    with strangers.listen(play) as address, pytest.raises(rlay.ProtocolError, match=text):
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

    def play(stranger: Stranger) -> None:
        stranger.receive()
        stranger.send(kind, body)
        stranger.socket.recv(1)

    with strangers.listen(play) as address, pytest.raises(error, match=text):
        rlay.ClientEnv(address)


def host(stranger: Stranger, spec: Any = SPEC) -> None:
    """Play an honest host up to and including Spec."""
    stranger.receive()
    stranger.send("Welcome", WELCOME)
    make = stranger.receive()
    stranger.send("Spec", spec, re=make["seq"])


def test_a_host_by_hand() -> None:
    def play(stranger: Stranger) -> None:
        host(stranger)
        reset = stranger.receive()
        stranger.send("Result", re=reset["seq"], **result(True, bytes(16)))
        step = stranger.receive()
        assert step["payload"] == {"Packed": "01" + "00" * 15}, "a Python int"
        stranger.send(
            "Result", re=step["seq"], **result(False, bytes([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]))
        )
        close = stranger.receive()
        stranger.send("Closed", [], re=close["seq"])
        assert stranger.receive()["kind"] == "Goodbye"
        assert stranger.receive() is None

    with strangers.listen(play) as address:
        env = rlay.ClientEnv(address)
        assert env.reset() == (0, {})
        observation, *rest = env.step(1)
        assert (observation, type(observation).__name__, rest) == (1, "int64", [0.0, False, False, {}])
        env.close()


LIES: dict[str, tuple[Callable[[Stranger, int], None], str]] = {
    "another size": (lambda s, re: s.send("Result", re=re, **result(True, bytes(8))), "does not fit the space"),
    "a mark that is none": (lambda s, re: s.send("Result", re=re, **result(True, b"\2" * 16)), "mark"),
    "not the first row": (lambda s, re: s.send("Result", re=re, **result(False, bytes(16))), "out of turn"),
    "another request": (lambda s, re: s.send("Result", re=re - 1, **result(True, bytes(16))), "did not ask for it"),
    "a frame to come": (lambda s, re: s.send("Result", re=re + 9, **result(True, bytes(16))), "never sent"),
    "frames": (lambda s, re: s.send("Frames", [[0, "None"]], re=re), "out of turn"),
    "a request": (lambda s, re: s.send("Reset", RESET), "out of turn"),
    "a large frame": (lambda s, re: s.socket.sendall(struct.pack("<I", (64 << 20) + 1)), "larger than the limit"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_host_that_lies(name: str) -> None:
    lie, text = LIES[name]

    def play(stranger: Stranger) -> None:
        host(stranger)
        lie(stranger, stranger.receive()["seq"])
        answer = stranger.receive()
        if name in ("another size", "a mark that is none"):
            assert answer["kind"] == "Close", "a bad payload is the end of a request, not of the session"
        else:
            assert (answer["kind"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 8, True)

    with strangers.listen(play) as address:
        env = rlay.ClientEnv(address)
        with pytest.raises(rlay.ProtocolError, match=text):
            env.reset()
        env.close()


def test_a_space_that_this_gymnasium_cannot_make() -> None:
    spec = SPEC | {"observation_space": {"Discrete": DISCRETE["Discrete"] | {"n": (1 << 64) - 1}}}
    with strangers.listen(lambda stranger: host(stranger, spec)) as address:
        with pytest.raises(rlay.Error, match=f"Discrete space that Gymnasium {gym.__version__} cannot make"):
            rlay.ClientEnv(address)


def test_a_spec_that_is_none() -> None:
    def play(stranger: Stranger) -> None:
        host(stranger, SPEC | {"action_space": {"Discrete": DISCRETE["Discrete"] | {"n": 0}}})
        assert stranger.receive()["body"]["code"] == 8

    with strangers.listen(play) as address, pytest.raises(rlay.ProtocolError, match="Discrete"):
        rlay.ClientEnv(address)

"""Attributes between ends of which one is hostile: names not offered, answers to no request or that no value holds."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import raw_peer
import rlay
from attribute_envs import NAMES, Attributed
from raw_peer import MAKE, RESET, SPEC, RawPeer, dial_and_shake
from wire_writer import value

Json = Any
GRAVITY = {"Float": struct.pack(">d", 9.8).hex()}


@pytest.fixture
def address() -> Iterator[str]:
    with rlay.ServerBackend(Attributed, attributes=NAMES) as host:
        yield host.address
        with rlay.ClientEnv(host.address) as env:
            assert env.gravity == 9.8, "the host serves the next agent"


def ask(agent: RawPeer, name: str = "gravity", access: Json = "Get", slots: tuple[int, ...] = (0,)) -> Json:
    """Send an Attribute and return the answer."""
    agent.send("Attribute", {"slots": list(slots), "name": name, "access": access})
    return agent.receive()


def make(agent: RawPeer, slots: int = 1) -> None:
    agent.send("Make", {**MAKE, "slots": slots})
    assert agent.receive()["body"]["attributes"] == NAMES


def test_a_host_refuses_what_it_does_not_offer(address: str) -> None:
    with dial_and_shake(address) as agent:
        agent.send("Make", MAKE)
        agent.receive()
        for name in ("secret", "__class__", "reset", "close", "_level", "", "gravity ", "x" * 256):
            for access in ("Get", {"Set": [{"Int": 1}]}, {"Call": [[], []]}):
                answer = ask(agent, name, access)
                assert answer["kind"] == "Error" and answer["body"]["code"] == 1 and not answer["body"]["fatal"]
                assert "offers no attribute" in answer["body"]["failure"]["message"]
        assert ask(agent)["body"] == [[0, GRAVITY]]
        assert ask(agent, "action_masks")["body"] == [[0, None]]
        assert ask(agent, "gravity", {"Call": [[{"Int": 1}], []]})["body"] == [[0, GRAVITY]]
        assert ask(agent, "gravity", {"Set": ["None"]})["body"] == [[0, "None"]]
        agent.send("Reset", RESET)
        assert agent.receive()["kind"] == "Result"


def test_requests_that_fit_no_table(address: str) -> None:
    with dial_and_shake(address) as agent:
        assert ask(agent)["body"]["code"] == 1, "nothing is made yet"
        make(agent, 2)
        for slots, code in (((), 1), ((2,), 1), ((0, 0), 1), ((1, 7), 1)):
            assert ask(agent, slots=slots)["body"]["code"] == code, slots
        assert [slot for slot, _ in ask(agent, slots=(1, 0))["body"]] == [1, 0]
        assert ask(agent, "gravity", {"Set": [{"Int": 1}, {"Int": 2}]}, (1, 0))["kind"] == "Returned"
        assert ask(agent, slots=(0, 1))["body"] == [[0, {"Int": 2}], [1, {"Int": 1}]]


def body(access: int, rest: bytes, name: bytes = b"gravity", slots: int = 1) -> bytes:
    return struct.pack("<Q", slots) + bytes(4) * slots + struct.pack("<Q", len(name)) + name + bytes([access]) + rest


DEEP = struct.pack("<IQ", 7, 1) * 40 + bytes(4)
MALFORMED: dict[str, bytes] = {
    "an unknown access": body(3, b""),
    "a name that is too long": body(0, b"", b"x" * 257),
    "a name that never ends": struct.pack("<QIQ", 1, 0, 1 << 62),
    "a name that is no text": body(0, b"", b"\xff\xfe"),
    "more values than slots": body(1, struct.pack("<QII", 2, 0, 0)),
    "fewer values than slots": body(1, struct.pack("<Q", 0)),
    "a count of values that no frame holds": body(2, struct.pack("<Q", 1 << 60)),
    "values that are nested too deep": body(1, struct.pack("<Q", 1) + DEEP),
    "arguments that are nested too deep": body(2, struct.pack("<Q", 1) + DEEP + value({"Dict": []})),
    "keywords that are no dict": body(2, struct.pack("<Q", 0) + value({"List": []})),
    "a keyword that is no text": body(2, struct.pack("<Q", 0) + value({"Dict": [[{"Int": 1}, "None"]]})),
    "something at the end": body(0, b"\0"),
    "slots without end": struct.pack("<Q", 1 << 61),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_requests_end_the_session(address: str, what: str) -> None:
    with dial_and_shake(address) as agent:
        make(agent)
        agent.send_bytes(agent.head(0x24) + MALFORMED[what])
        answer = agent.receive()
        assert answer["kind"] == "Error" and answer["body"]["fatal"] and answer["body"]["code"] == 8


def test_values_that_python_cannot_hold_are_refused(address: str) -> None:
    """A list is the key of no dict; the wire says so, and the session ends."""
    with dial_and_shake(address) as agent:
        make(agent)
        ask_for = {"Set": [{"Array": {"dtype": "bool", "big_endian": False, "shape": [1], "data": "01"}}]}
        assert ask(agent, "gravity", ask_for)["kind"] == "Returned"
        huge = {"Array": {"dtype": "u8", "big_endian": False, "shape": [1] * 64, "data": "01"}}
        assert ask(agent, "gravity", {"Set": [huge]})["kind"] in ("Returned", "Error")
        assert ask(agent)["kind"] in ("Returned", "Error")


def answering(answer: Callable[[RawPeer, Json], None], names: tuple[str, ...] = ("gravity",)) -> Any:
    """Return a context that yields the address of a host which answers the next request in this way."""

    def play(host: RawPeer) -> None:
        raw_peer.host(host, SPEC | {"attributes": list(names)})
        request = host.receive()
        if request is not None:
            answer(host, request)
            host.receive()

    return raw_peer.listen(play)


def returned(*rows: Json) -> Callable[[RawPeer, Json], None]:
    return lambda host, request: host.send("Returned", list(rows), re=request["seq"])


WRONG: dict[str, Callable[[RawPeer, Json], None]] = {
    "no row": returned(),
    "two rows": returned([0, "None"], [0, "None"]),
    "another slot": returned([1, "None"]),
    "a slot too many": returned([0, "None"], [1, "None"]),
    "another request": lambda host, request: host.send("Returned", [[0, "None"]], re=request["seq"] - 1),
    "frames": lambda host, request: host.send("Frames", [[0, "None"]], re=request["seq"]),
    "a result": lambda host, request: host.send("Result", re=request["seq"], **raw_peer.result(False, bytes(16))),
    "values that are nested too deep": lambda host, request: host.send_bytes(
        head(host, request) + struct.pack("<QIB", 1, 0, 1) + DEEP
    ),
    "rows without end": lambda host, request: host.send_bytes(head(host, request) + struct.pack("<Q", 1 << 61)),
}


def head(host: RawPeer, request: Json) -> bytes:
    host.sent += 1
    return struct.pack("<B7xQQQ", 0x43, host.sent, host.received, request["seq"])


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("kind", ["one", "vector"])
def test_wrong_answers_end_the_session(what: str, kind: str) -> None:
    with answering(WRONG[what]) as address:
        env: Any = rlay.ClientEnv(address) if kind == "one" else rlay.ClientVectorEnv(address, 1)
        with env, pytest.raises(rlay.ProtocolError):
            _ = env.gravity if kind == "one" else env.call("gravity")


def test_names_that_a_host_offers_hide_nothing_of_the_agents() -> None:
    own = ("timeout", "_raw", "step", "spec", "__class__", "observation_space", "gravity", "")
    with answering(returned([0, {"Int": 3}]), own) as address, rlay.ClientEnv(address) as env:
        assert type(env) is rlay.ClientEnv and callable(env.step) and env.timeout is None
        env.timeout = 20.0
        assert env.timeout == 20.0 and str(env.observation_space) == "Discrete(2)"
        assert env.gravity == 3


def test_a_function_that_a_call_returns_is_none() -> None:
    """A row without a value means nothing else there."""
    with answering(returned([0, None])) as address, rlay.ClientVectorEnv(address, 1) as envs:
        assert envs.call("gravity") == (None,)
    with answering(returned([0, None])) as address, rlay.ClientEnv(address) as env:
        assert callable(env.gravity)


@pytest.mark.parametrize(
    "names",
    [[str(i) for i in range(257)], ["x" * 257]],
    ids=["too many names", "a name that is too long"],
)
def test_a_spec_with_absurd_names_is_refused(names: list[str]) -> None:
    def play(host: RawPeer) -> None:
        raw_peer.host(host, SPEC | {"attributes": names})
        host.receive()

    with raw_peer.listen(play) as address, pytest.raises(rlay.ProtocolError):
        rlay.ClientEnv(address)

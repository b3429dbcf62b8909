"""Well-formed frames that are made costly: time in the interpreter, memory for spaces, a turn without end."""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import signal
import struct
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import raw_peer
import rlay
from processes import ROOT, WAIT, until
from raw_peer import DISCRETE, MAKE, RESET, SPEC, WELCOME, RawPeer, ask, host, result
from wire_reference import encode

Json = Any

GAP = 2.0
"""Seconds for which no other thread may stand still; an interpreter that is shared lets it run every few ms."""

PRIME = (1 << 61) - 1
"""Python's ints have the same hash if they differ by a multiple of it."""


def big(x: int) -> Json:
    return {"BigInt": x.to_bytes(x.bit_length() // 8 + 1, "little", signed=True).hex()}


def colliding(n: int) -> Json:
    """A dict of ``n`` keys with the same hash."""
    return {"Dict": [[big((i + 9) * PRIME + 1), "None"] for i in range(n)]}


def telling(info: Json, then: Callable[[RawPeer], None] = lambda foreign_peer: None) -> Callable[[RawPeer], None]:
    """A host that answers resets with ``info``, and what it does after the first."""

    def play(foreign_peer: RawPeer) -> None:
        host(foreign_peer)
        reset = foreign_peer.receive()
        answer = result(True, bytes(16))
        answer["body"][0]["info"] = info
        foreign_peer.send("Result", re=reset["seq"], **answer)
        then(foreign_peer)
        while (message := foreign_peer.receive()) is not None and message["kind"] != "Goodbye":
            foreign_peer.send("Closed", [], re=message["seq"])

    return play


@contextlib.contextmanager
def watched() -> Iterator[list[float]]:
    """Yield a list of one item: the longest time for which a thread that only sleeps stood still."""
    gaps, over = [0.0], threading.Event()

    def run() -> None:
        last = time.monotonic()
        while not over.is_set():
            time.sleep(0.001)
            now = time.monotonic()
            gaps[0] = max(gaps[0], now - last)
            last = now

    beside = threading.Thread(target=run)
    beside.start()
    try:
        yield gaps
    finally:
        over.set()
        beside.join()


@pytest.fixture
def cart_pole() -> Iterator[str]:
    backend = rlay.ServerBackend("CartPole-v1")
    backend.start()
    yield backend.address
    backend.close()


def refused(foreign_peer: RawPeer, kind: str, body: Json) -> None:
    """The host ends the session of a peer that sends this."""
    foreign_peer.send(kind, body)
    answer = foreign_peer.receive()
    assert (answer["kind"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 8, True), answer


@contextlib.contextmanager
def inside(address: str) -> Iterator[RawPeer]:
    """Be an agent with an environment that is made."""
    with raw_peer.dial_and_shake(address) as foreign_peer:
        foreign_peer.send("Make", MAKE)
        assert foreign_peer.receive()["kind"] == "Spec"
        yield foreign_peer


# Seeds


def test_a_seed_has_at_most_4096_bytes(cart_pole: str) -> None:
    with inside(cart_pole) as foreign_peer:
        foreign_peer.send("Reset", RESET | {"rows": [[0, "ff" * 4096]]})
        assert foreign_peer.receive()["kind"] == "Result"
        refused(foreign_peer, "Reset", RESET | {"rows": [[0, "ff" * 4097]]})


def test_an_agent_is_told_before_it_sends_a_longer_one(cart_pole: str) -> None:
    with rlay.ClientEnv(cart_pole) as env:
        env.reset(seed=(1 << 8 * 4096) - 1)
        with pytest.raises(rlay.Error, match="a seed of more than 4096 bytes; choose a smaller one"):
            env.reset(seed=1 << 8 * 4096)
        env.reset(seed=3)


# Keys of dicts


@pytest.mark.parametrize("where", ["options", "env_kwargs"])
def test_keys_that_collide_are_few_at_a_host(cart_pole: str, where: str) -> None:
    with raw_peer.dial_and_shake(cart_pole) as foreign_peer:
        if where == "env_kwargs":
            refused(foreign_peer, "Make", MAKE | {"kwargs": colliding(4097)})
            return
        foreign_peer.send("Make", MAKE)
        foreign_peer.receive()
        with watched() as gaps:
            foreign_peer.send("Reset", RESET | {"options": colliding(4096)})
            assert foreign_peer.receive()["kind"] == "Result"
        assert gaps[0] < GAP
        refused(foreign_peer, "Reset", RESET | {"options": colliding(4097)})


def test_keys_that_collide_are_few_at_an_agent() -> None:
    with raw_peer.listen(telling(colliding(4097))) as address, rlay.ClientEnv(address) as env:
        with pytest.raises(rlay.ProtocolError, match="more than 4096 keys of dicts that are neither str nor an int"):
            env.reset()


@pytest.mark.parametrize("start", [-5000, 16384, 1 << 40])
def test_ints_that_may_be_chosen_are_few(start: int) -> None:
    """An int of 64 bits can be chosen so that its probes hit the slots of all others; the first ints have their own."""

    def play(n: int) -> Callable[[RawPeer], None]:
        return telling({"Dict": [[{"Int": i}, "None"] for i in [*range(9999), *range(start, start + n)]]})

    with raw_peer.listen(play(4096)) as address, rlay.ClientEnv(address) as env:
        env.reset()
    with raw_peer.listen(play(5001)) as address, rlay.ClientEnv(address) as env:
        with pytest.raises(rlay.ProtocolError, match="more than 4096 keys"):
            env.reset()


def test_others_run_while_keys_collide() -> None:
    with raw_peer.listen(telling(colliding(4096))) as address, rlay.ClientEnv(address) as env:
        with watched() as gaps:
            _, info = env.reset()
        assert len(info) == 4096
        assert gaps[0] < GAP


def test_an_agent_is_told_before_it_sends_too_many(cart_pole: str) -> None:
    with rlay.ClientEnv(cart_pole) as env:
        env.reset(options={"cells": {(i, -i): None for i in range(2048)}, "names": {str(i): i for i in range(9999)}})
        with pytest.raises(rlay.Error, match=r"options\[\"cells\"\].*more than 2048 keys .* neither str nor an int"):
            env.reset(options={"cells": {(i, -i): None for i in range(2049)}})
        with pytest.raises(rlay.Error, match="a key of .* bytes that is neither str nor int"):
            env.reset(options={tuple(range(99)): 1})
        env.reset()


class Cells(gym.Env[Any, Any]):
    """The environment's info has a dict with more keys than the wire allows."""

    observation_space = action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        return 0, {"cells": {(i, -i): i for i in range(5000)}, "lives": 3}


@pytest.mark.gymnasium
def test_a_space_with_too_many_is_refused_where_it_is_described() -> None:
    class Grid(Cells):
        observation_space = spaces.Dict([((i, -i), spaces.Discrete(2)) for i in range(2049)])

    backend = rlay.ServerBackend(Grid)
    with contextlib.closing(backend.start()), pytest.raises(rlay.EnvError, match=r"a Dict space: more than 2048 keys"):
        rlay.ClientEnv(backend.address)


def test_an_info_with_too_many_is_named() -> None:
    backend = rlay.ServerBackend(Cells)
    with contextlib.closing(backend.start()), rlay.ClientEnv(backend.address) as env:
        _, info = env.reset()
        assert (info["cells"].type, info["lives"]) == ("dict", 3)


def test_keys_of_a_peer_are_not_interned() -> None:
    """Interned strings are never freed from Python 3.12 on."""
    name = "a key that nobody else has"
    with raw_peer.listen(telling({"Dict": [[{"Str": name}, "None"]]})) as address, rlay.ClientEnv(address) as env:
        _, info = env.reset()
    (key,) = info
    other = "".join(name)[:5] + name[5:]
    assert key == other and sys.intern(other) is not key
    box = {"Dict": [[{"Str": name + "!"}, DISCRETE]]}
    spec = SPEC | {"observation_space": box}
    with raw_peer.listen(lambda foreign_peer: host(foreign_peer, spec)) as address:
        (key,) = rlay.ClientEnv(address).observation_space.spaces  # type: ignore[attr-defined]
    other = name[:5] + name[5:] + "!"
    assert key == other and sys.intern(other) is not key


# Large values

MANY = 1_000_000
"""Objects that take Python much longer to build than their bytes take to arrive: nearly as many as a frame may have."""


def payload(at: int, packed: bytes) -> bytes:
    """A payload in the packed form, with a head that starts at byte ``at`` of its frame."""
    pad = -(at + 16) % 64
    return struct.pack("<IQI", 0, len(packed), pad) + bytes(pad) + packed


def first_result(foreign_peer: RawPeer, re: int, info: bytes, packed: bytes) -> None:
    """Send the Result of a reset, made of bytes."""
    frame = bytearray(foreign_peer.head(0x41))
    frame[24:32] = struct.pack("<Q", re)
    frame += struct.pack("<QIBd", 1, 0, 1, 0.0) + info
    foreign_peer.send_bytes(bytes(frame) + payload(len(frame), packed))


def telling_much(foreign_peer: RawPeer) -> None:
    """Be a host that answers a reset with a list of big-endian scalars, which NumPy takes time for."""
    scalars = struct.pack("<III", 11, 0x100 | 10, 0) * MANY
    info = struct.pack("<IQIQ1sIQ", 9, 1, 5, 1, b"x", 7, MANY) + scalars
    host(foreign_peer)
    first_result(foreign_peer, foreign_peer.receive()["seq"], info, bytes(16))
    foreign_peer.send("Closed", [], re=foreign_peer.receive()["seq"])


def test_a_deadline_counts_while_objects_are_built() -> None:
    with raw_peer.listen(telling_much) as address, rlay.ClientEnv(address) as env:
        env.timeout = 0.3
        began = time.monotonic()
        with watched() as gaps, pytest.raises(rlay.Timeout, match=r"late\(\) fetches it"):
            env.reset()
        assert time.monotonic() - began < 0.3 + GAP
        assert gaps[0] < GAP
        with pytest.raises(rlay.Busy, match=r"late\(\) fetches it"):
            env.step(0)
        _, info = env.late(WAIT)
        assert len(info["x"]) == MANY
        with pytest.raises(rlay.Error, match="no answer is late"):
            env.late()


class Alarm(Exception):
    """The exception of a signal handler."""


def test_signals_count_while_objects_are_built() -> None:
    def ring(*_: Any) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with raw_peer.listen(telling_much) as address, rlay.ClientEnv(address) as env:
            began = time.monotonic()
            with pytest.raises(Alarm):
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                env.reset()
            assert time.monotonic() - began < 0.3 + GAP
            _, info = env.late(WAIT)
            assert len(info["x"]) == MANY
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Spaces


def bits(*shape: int) -> Json:
    return {"MultiBinary": {"shape": list(shape), "n_is_int": len(shape) == 1}}


def stacked(space: Json) -> Json:
    return {"Sequence": {"stack": True, "space": space}}


def box(n: int, dtype: str = "f32") -> Json:
    size = {"u8": 1, "f32": 4, "f64": 8}[dtype]
    bounds = {name: {"Uniform": {"value": bytes(size).hex(), "bounded": True}} for name in ("low", "high")}
    return {"Box": {"dtype": dtype, "big_endian": False, "shape": [n], **bounds}}


def levels(n: int, around: Callable[[Json], Json]) -> Json:
    space: Json = DISCRETE
    for _ in range(n):
        space = around(space)
    return space


LARGE: dict[str, Json] = {
    "many bits": bits(1 << 30),
    "a stacked Sequence of many bits": stacked(bits(1 << 30)),
    "a Graph of many bits": {"Graph": {"node": bits(1 << 30), "edge": None}},
    "a Graph with edges of many bits": {"Graph": {"node": DISCRETE, "edge": bits(1 << 30)}},
    "a stacked Sequence of a large Box": stacked(box(15 << 20)),
    "a Graph of a Sequence of a large Box": {
        "Graph": {"node": {"Sequence": {"stack": False, "space": box(15 << 20)}}, "edge": None}
    },
    "a stacked Sequence of many large Boxes": stacked({"Tuple": [box(1 << 20)] * 9}),
    "stacked Sequences of each other": levels(28, stacked),
    "Graphs of each other": levels(28, lambda space: {"Graph": {"node": space, "edge": None}}),
    "spaces without number": {"Tuple": [DISCRETE] * 70_000},
    "64 dimensions, many times": {"Tuple": [{"MultiBinary": {"shape": [1] * 64, "n_is_int": False}}] * 9000},
    "a text that is never short": {"Text": {"min_length": 1 << 30, "max_length": 1 << 30, "charset": "a"}},
    "a charset without end": {"Text": {"min_length": 0, "max_length": 9, "charset": "ab" * (1 << 19)}},
}


@pytest.mark.gymnasium
@pytest.mark.parametrize("whose", ["observation", "action"])
@pytest.mark.parametrize("name", LARGE)
def test_a_space_that_takes_more_than_it_says(name: str, whose: str) -> None:
    spec = SPEC | {f"{whose}_space": LARGE[name]}
    gc.collect()
    frame = encode("frame", {"kind": "Spec", "seq": 1, "ack": 1, "re": 1, "body": spec})

    def play(foreign_peer: RawPeer) -> None:
        foreign_peer.receive()
        foreign_peer.send("Welcome", WELCOME)
        foreign_peer.receive()
        foreign_peer.send_bytes(frame)

    with raw_peer.listen(play) as address:
        tracemalloc.start()
        try:
            with pytest.raises(rlay.Incompatible, match=r"raise the frame limit|use smaller spaces"):
                rlay.ClientEnv(address, connect_timeout=WAIT)
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()


@pytest.mark.gymnasium
def test_bounds_that_are_alike_cost_one() -> None:
    """A Box of 16 MB comes in a hundred bytes, and its bounds are the same for every element."""
    spec = SPEC | {"observation_space": box(4_000_000)}
    with raw_peer.listen(lambda foreign_peer: host(foreign_peer, spec)) as address:
        tracemalloc.start()
        try:
            space = rlay.ClientEnv(address).observation_space
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
    assert space == spaces.Box(0, 0, (4_000_000,), np.float32)
    assert space.sample().shape == (4_000_000,)
    assert repr(space) == repr(spaces.Box(0, 0, (4_000_000,), np.float32))


# The poll form


class World:
    """An engine with two spaces."""

    observation_space = action_space = spaces.Discrete(2)


BAD_OPTIONS: dict[str, Json] = {
    "a list as a key": {"Dict": [[{"List": []}, "None"]]},
    "an array as a key": {
        "Dict": [[{"Array": {"dtype": "u8", "big_endian": False, "shape": [], "data": "00"}}, "None"]]
    },
    "a shape that NumPy has not": {
        "Array": {"dtype": "u8", "big_endian": False, "shape": [0, (1 << 64) - 1], "data": ""}
    },
    "keys that collide": colliding(4097),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_a_poll_loop_outlasts_a_reset(name: str) -> None:
    """The agent that sent an invalid request receives an error, and the next agent plays."""

    def nonsense(foreign_peer: RawPeer) -> None:
        ask(foreign_peer)
        refused(foreign_peer, "Reset", RESET | {"options": BAD_OPTIONS[name]})

    with raw_peer.listen(nonsense) as address:
        backend = rlay.ClientBackend(World(), address)
        turn = until(backend.turn, "a turn")
        assert isinstance(turn, rlay.Close), turn
    assert backend.turn() is None
    backend.close()


# False claims


def lied_to(play: Callable[[RawPeer], None], error: type[Exception], text: str) -> None:
    with raw_peer.listen(play) as address, pytest.raises(error, match=text) as raised:
        with rlay.ClientEnv(address) as env:
            env.reset()
    assert type(raised.value) is error


@pytest.mark.parametrize("info", ["None", {"Int": 1}, {"List": []}])
def test_an_info_is_a_dict(info: Json) -> None:
    lied_to(telling(info), rlay.ProtocolError, "an info that is a .* and no Dict")


@pytest.mark.parametrize("field", ["metadata", "details"])
def test_metadata_are_a_dict(field: str) -> None:
    lied_to(
        lambda foreign_peer: host(foreign_peer, SPEC | {field: {"List": []}}),
        rlay.ProtocolError,
        f"{field} that is a list",
    )


@pytest.mark.gymnasium
def test_an_array_of_a_shape_that_numpy_has_not() -> None:
    array = {"Array": {"dtype": "f64", "big_endian": False, "shape": [0, (1 << 64) - 1], "data": ""}}
    lied_to(
        telling({"Dict": [[{"Str": "x"}, array]]}), rlay.ProtocolError, "an array whose shape does not hold its data"
    )


@pytest.mark.parametrize("code", [6, 10, 11, 12, 77])
@pytest.mark.parametrize("fatal", [False, True])
def test_a_code_that_is_never_sent_is_not_believed(code: int, fatal: bool) -> None:
    failure = {"error_type": "", "message": "enough", "traceback": ""}

    def play(foreign_peer: RawPeer) -> None:
        host(foreign_peer)
        re = foreign_peer.receive()["seq"]
        foreign_peer.send(
            "Error", {"code": code, "fatal": fatal, "slots": [], "failure": failure}, re=0 if fatal else re
        )
        if not fatal:
            foreign_peer.send("Closed", [], re=foreign_peer.receive()["seq"])

    lied_to(play, rlay.ProtocolError, "enough")


# Packed payloads

VECTORS = json.loads((ROOT / "docs" / "vectors" / "negative.json").read_text("utf-8"))
HAS_DTYPES = "dtype" in inspect.signature(spaces.Discrete).parameters
"""Whether this Gymnasium has Discrete spaces of more than one dtype."""
PAYLOADS = [
    vector
    for vector in VECTORS
    if vector["what"] == "payload"
    and vector["rows"] == 1
    and (HAS_DTYPES or vector["space"].get("Discrete", DISCRETE["Discrete"])["dtype"] == "i64")
]


def name_of(vector: Json) -> str:
    return str(vector["name"])


class Listening(gym.Env[Any, Any]):
    """Takes actions of any space."""

    observation_space = spaces.Discrete(2)

    def __init__(self, action_space: gym.Space[Any]) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> Any:
        return 0, 0.0, False, False, {"action": action}


@pytest.mark.parametrize("vector", PAYLOADS, ids=name_of)
def test_an_agent_refuses_what_the_specification_calls_malformed(vector: Json) -> None:
    assert len(PAYLOADS) >= 10

    def play(foreign_peer: RawPeer) -> None:
        host(foreign_peer, SPEC | {"observation_space": vector["space"]})
        seq = foreign_peer.receive()["seq"]
        first_result(foreign_peer, seq, struct.pack("<IQ", 9, 0), bytes.fromhex(vector["hex"]))
        foreign_peer.send("Closed", [], re=foreign_peer.receive()["seq"])

    lied_to(play, rlay.ProtocolError, " ")


@pytest.mark.parametrize("vector", PAYLOADS, ids=name_of)
def test_a_host_refuses_what_the_specification_calls_malformed(vector: Json) -> None:
    with raw_peer.listen(
        lambda foreign_peer: host(foreign_peer, SPEC | {"observation_space": vector["space"]})
    ) as address:
        space = rlay.ClientEnv(address).observation_space
    backend = rlay.ServerBackend(lambda: Listening(space))
    with contextlib.closing(backend.start()), inside(backend.address) as foreign_peer:
        foreign_peer.send("Reset", RESET)
        assert foreign_peer.receive()["kind"] == "Result"
        frame = foreign_peer.head(0x22) + struct.pack("<QI", 1, 0)
        foreign_peer.send_bytes(frame + payload(len(frame), bytes.fromhex(vector["hex"])))
        answer = foreign_peer.receive()
        assert (answer["kind"], answer["body"]["code"], answer["body"]["fatal"]) == ("Error", 8, False)
        foreign_peer.send("Reset", RESET)
        assert foreign_peer.receive()["kind"] == "Result", "a bad payload is the end of a request, not of the session"


def flood(reads: bool, played: threading.Event) -> Callable[[RawPeer], None]:
    """Be an agent that sends steps without an action, for as long as the host reads them."""

    def play(foreign_peer: RawPeer) -> None:
        ask(foreign_peer)
        foreign_peer.send("Reset", RESET)
        foreign_peer.receive()
        played.set()
        foreign_peer.socket.settimeout(3)
        end = time.monotonic() + 3
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                frames = b""
                for _ in range(100):
                    frame = foreign_peer.head(0x22) + struct.pack("<QI", 1, 0)
                    frame += payload(len(frame), bytes(8))
                    frames += struct.pack("<I", len(frame)) + frame
                foreign_peer.socket.sendall(frames)
                if reads:
                    for _ in range(100):
                        foreign_peer.receive()

    return play


@pytest.mark.parametrize("reads", [True, False])
def test_a_poll_loop_outlasts_a_flood(reads: bool) -> None:
    """A turn that does not wait returns, whether the agent reads the answers to its invalid requests or not."""
    played = threading.Event()
    with raw_peer.listen(flood(reads, played)) as address:
        backend = rlay.ClientBackend(World(), address)
        turn = until(backend.turn, "a turn")
        assert isinstance(turn, rlay.Reset)
        backend.reply(0, 0.0, False, False, {})
        assert played.wait(WAIT)
        longest, end = 0.0, time.monotonic() + 2
        while time.monotonic() < end:
            began = time.monotonic()
            backend.turn()
            longest = max(longest, time.monotonic() - began)
        assert longest < 1
        backend.close()

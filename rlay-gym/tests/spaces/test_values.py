"""Values of every kind in ``info`` and ``options``: each arrives as it was sent, or with a warning that it does not."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rlay
from equal import difference
from host_process import Hosted, HostProcess
from rlay import _rlay, _values
from rlay.errors import InvalidAction
from value_envs import DTYPES, LAID_OUT, NO_ARRAY, ODD, OFFERED, OPAQUE, SAME, SUBCLASSES

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def env(hosted: Hosted, paradigm: str) -> Any:
    """An environment that sends and compares values."""
    return hosted("value_envs:Values", paradigm)


def arrived(env: Any, table: str, name: str) -> Any:
    """Return what the environment has sent in its info."""
    return env.reset(options={"send": (table, name)})[1]["value"]


def difference_there(env: Any, table: str, name: str, value: Any) -> str | None:
    """Return how the value, sent in the options, differs from what the environment expects."""
    return env.reset(options={"compare": (table, name), "value": value})[1]["difference"]


@pytest.fixture
def words(host_process: HostProcess, caplog: pytest.LogCaptureFixture) -> Iterator[tuple[Any, Any]]:
    """The log lines of both ends since the last call: functions for this end and for the other."""
    caplog.set_level(logging.WARNING, "rlay")

    def here() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name == "rlay"]
        caplog.clear()
        _values.forget_warnings()
        return found

    def there() -> list[str]:
        return [line.removeprefix("WARNING: ") for line in host_process.take_log()]

    here(), there()
    yield here, there


@pytest.mark.parametrize("name", SAME)
def test_same(env: Any, words: Any, name: str) -> None:
    value = SAME[name]()
    assert difference(value, _rlay.roundtrip_value(value)) is None
    assert difference(value, arrived(env, "same", name)) is None
    assert difference_there(env, "same", name, value) is None
    assert [say() for say in words] == [[], []]


@pytest.mark.parametrize("name", LAID_OUT)
def test_arrays_arrive_plain(env: Any, words: Any, name: str) -> None:
    """Writeable and in C order, whatever they were in the other process."""
    sent, arrives = LAID_OUT[name]
    found = arrived(env, "laid out", name)
    assert difference(arrives(), found) is None
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.flags.aligned
    assert difference_there(env, "laid out, arrived", name, sent()) is None
    assert [say() for say in words] == [[], []]


@pytest.mark.parametrize("name", SUBCLASSES)
def test_subclasses_arrive_as_their_base(env: Any, words: Any, name: str) -> None:
    """One warning where they are sent, however often."""
    here, there = words
    sent, arrives, warning = SUBCLASSES[name]
    text = f"{warning}; the wire does not know the subclass"
    for _ in range(3):
        assert difference(arrives, arrived(env, "subclasses", name)) is None
    assert (here(), there()) == ([], [text])
    for _ in range(3):
        assert difference_there(env, "subclasses, arrived", name, sent()) is None
    assert (here(), there()) == ([text], [])


@pytest.mark.parametrize("name", OPAQUE)
def test_what_no_value_holds_arrives_by_name(env: Any, words: Any, name: str) -> None:
    """One warning where it is sent, however often."""
    here, there = words
    _, arrives, type_name = OPAQUE[name]
    text = [f"{type_name} cannot be sent; it arrives as rlay.Opaque(type, repr)"] if type_name else []
    for _ in range(3):
        assert difference(arrives(), arrived(env, "opaque", name)) is None
    assert (here(), there()) == ([], text)


REFUSED = {name: sent for name, (sent, _, _) in OPAQUE.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_value_holds_is_refused_towards_the_environment(env: Any, words: Any, name: str) -> None:
    """Nothing is replaced on the way to the environment, nothing is sent, and the session continues."""
    env.reset()
    value = REFUSED[name]()
    for options in (value, {"level": [value]}, {"level": ({"x": value},)}):
        with pytest.raises(rlay.Error, match=r"^options.*; give numbers, text, bytes, arrays, or ") as caught:
            env.reset(options=options)
        assert type(caught.value) is rlay.Error
    assert str(caught.value).startswith('options["level"][0]["x"]')
    for action in (value, [value], {"move": value}):
        with pytest.raises(InvalidAction) as caught:
            env.step(action)
    assert str(caught.value).startswith('action["move"]')
    assert env.step(1)[4] == {"type": "int", "action": 1}
    assert [say() for say in words] == [[], []]


@pytest.mark.parametrize("name", ODD)
def test_odd_containers(env: Any, name: str) -> None:
    """In ``info`` they arrive as far as they can, and quickly; towards the environment they are refused."""
    make, why = ODD[name]
    assert "Opaque" in repr(arrived(env, "odd", name))
    with pytest.raises(rlay.Error, match=re.escape(f'options["level"]{why}')):
        env.reset(options={"level": make()})


def test_what_contains_itself(env: Any) -> None:
    """The value arrives up to its first repetition, and quickly, however often it contains itself."""
    ((back,), found) = arrived(env, "odd", "within itself")
    assert type(back) is rlay.Opaque
    assert back.type == "tuple"
    assert type(found["self"]) is rlay.Opaque
    assert found["loop"][0] == 1
    assert [type(x) for x in found["loop"][1:]] == [rlay.Opaque] * 50
    # An object that occurs twice, but not within itself, is no such case.
    twice = ["x"]
    assert env.reset(options={"twice": [twice, twice]})[1]["options"] == {"twice": [["x"], ["x"]]}


def test_what_is_too_deep(env: Any) -> None:
    """The value arrives down to the depth that the wire allows."""
    found, depth = _rlay.roundtrip_value(ODD["too deep"][0]()), 0
    while isinstance(found, list):
        (found,), depth = found, depth + 1
    assert depth == 31
    assert type(found) is rlay.Opaque
    assert found.type == "list"
    assert "value" in env.reset(options={"send": ("odd", "too deep")})[1]


@pytest.mark.parametrize("name", OFFERED)
def test_arrays_of_other_libraries_count_as_arrays(env: Any, words: Any, name: str) -> None:
    """Both ways, with one warning where they are sent, since a local peer would receive another type."""
    here, there = words
    sent, arrives = OFFERED[name]
    text = f"value_envs.{type(sent()).__name__} arrives as numpy.ndarray; the wire knows no other arrays"
    for _ in range(3):
        assert difference(arrives, arrived(env, "offered", name)) is None
    assert (here(), there()) == ([], [text])
    for _ in range(3):
        assert difference({"options": {"a": [arrives]}}, env.reset(options={"a": [sent()]})[1]) is None
        assert difference({"type": "ndarray", "action": arrives}, env.step(sent())[4]) is None
    assert (here(), there()) == ([text], [])


@pytest.mark.parametrize("name", NO_ARRAY)
def test_what_gives_no_array_is_refused(env: Any, name: str) -> None:
    env.reset()
    make, why = NO_ARRAY[name]
    with pytest.raises(rlay.Error, match=re.escape(why)) as caught:
        env.reset(options={"level": make()})
    assert str(caught.value).startswith('options["level"]: ')
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        env.step({"goal": [0, make()]})
    assert str(caught.value).startswith('action["goal"][1]: ')
    assert env.step(1)[4] == {"type": "int", "action": 1}


def test_keyword_arguments_for_the_environment(hosted: Hosted, paradigm: str) -> None:
    """Such arguments are refused where they are given, before anything is dialed."""
    address = "tcp://127.0.0.1:1" if paradigm == "client" else "tcp://127.0.0.1:0"
    make: Any = rlay.ClientEnv if paradigm == "client" else rlay.ServerEnv
    with pytest.raises(rlay.Error, match=re.escape('env_kwargs["size"]: a set cannot be sent; give numbers')):
        make(address, env_kwargs={"size": {1, 2}}, connect_timeout=0)


@pytest.mark.parametrize("name", SAME)
def test_values_print_in_rust_as_here(name: str) -> None:
    """As the library in Rust shows them, on one line and with long arrays shortened."""
    value = SAME[name]()
    if any(word in name for word in ("long", "large", "beyond 64", "below 64", "payload", "array", "deep", "scalar f")):
        return
    assert _rlay.show_value(value) == " ".join(repr(value).split())


ARRAYS: list[Any] = [
    *([1, 2, 3], [-1.0, 20.5, 3.0], [1e-5, 1.0], [1e10, 1.0], [0.1, 1e-9, 1e9], [np.nan, -np.inf, 1.0], [True, False]),
    *([[1.5, 2.0], [3.0, -4.25]], [1 / 3, 2 / 3], [0.0, -0.0], [1e8, 1.0], [99999999.0], [123456789.123456789], 2.5, 7),
    *([1e300, 5e-324], [[[1, 2], [3, 4]]], [0.00012345678901, 0.5], np.zeros((2, 0)), np.zeros(0), [1e16, 1.0, 3e-5]),
    *(np.float32([0.1, 1 / 3]), np.float16([0.1, 6e-8]), np.float32(1e10), np.arange(2000), np.array(["x"]) == 1),
    *(np.arange(3, dtype=">i4"), np.float32([1e-45, 3.4e38]), np.uint64([2**64 - 1]), np.int8([-128, 127])),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: repr(array)[:30])
def test_arrays_print_in_rust_as_in_numpy(array: Any) -> None:
    array = np.asarray(array)
    # But for the blanks with which NumPy breaks lines.
    assert _squeezed(_rlay.show_value(array)) == _squeezed(repr(array))


def _squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("options", [None, {}, {"a": None}, {1: 2}, [], "text", 0])
def test_options(env: Any, options: Any) -> None:
    """None is None and {} is {}; other options than a dict are for the environment to judge."""
    assert difference({"options": options}, env.reset(options=options)[1]) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_scalars_as_actions(env: Any, dtype: str) -> None:
    action = np.dtype(dtype).type(1)
    env.reset()
    info = env.step(action)[4]
    assert difference({"type": type(action).__name__, "action": action}, info) is None


class Nest:
    """Draws nested values."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)

    def value(self, depth: int) -> Any:
        """Return a value of at most ``depth`` levels."""
        kinds = [self.number, self.text, self.array, self.scalar, self.constant]
        if depth:
            kinds += [self.list, self.tuple, self.dict] * 2
        kind = self.random.choice(kinds)
        return kind(depth - 1) if kind in (self.list, self.tuple, self.dict) else kind()

    def constant(self) -> Any:
        return self.random.choice([None, True, False])

    def number(self) -> Any:
        bits = self.random.randrange(200)
        return self.random.choice(
            [self.random.getrandbits(bits + 1), -self.random.getrandbits(bits + 1), self.random.gauss()]
        )

    def text(self) -> Any:
        text = "".join(self.random.choices("aé漢🎲\x00", k=self.random.randrange(6)))
        return self.random.choice([text, text.encode()])

    def array(self) -> Any:
        shape = tuple(self.random.choices([0, 1, 2, 5], k=self.random.randrange(4)))
        dtype = np.dtype(self.random.choice(DTYPES)).newbyteorder(self.random.choice("=>"))
        array = self.numpy.integers(0, 2, shape).astype(dtype)
        return array.T if self.random.random() < 0.3 else array

    def scalar(self) -> Any:
        return np.dtype(self.random.choice(DTYPES)).type(self.random.randrange(2))

    def list(self, depth: int) -> Any:
        return [self.value(depth) for _ in range(self.random.randrange(5))]

    def tuple(self, depth: int) -> Any:
        return tuple(self.list(depth))

    def dict(self, depth: int) -> Any:
        keys = (self.random.choice([self.constant, self.number, self.text])() for _ in range(self.random.randrange(5)))
        return {key: self.value(depth) for key in keys}


def test_random_nesting(env: Any, words: Any) -> None:
    """Every combination of all these arrives unchanged, both ways."""
    for seed in range(150):
        options = {"value": Nest(seed).value(5)}
        assert difference({"options": options}, env.reset(options=options)[1]) is None, f"seed {seed}"
    assert [say() for say in words] == [[], []]

"""Every space arrives as it was sent, and so does every value of it, as an observation and as an action."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlay
from equal import difference
from host_process import Hosted, HostProcess
from processes import python
from rlay import _rlay, _spaces
from space_corpus import DEEPEST, LETTERS, NEWER, REFUSED, SPACES, UNORDERED, values

pytestmark = pytest.mark.usefixtures("one_core")

VERSION = tuple(int(part) for part in gymnasium.__version__.split(".")[:2])
"""From 1.4 on Gymnasium has the spaces in ``NEWER``; the tests run on 1.0 and on the latest."""


def same_space(a: spaces.Space[Any], b: spaces.Space[Any]) -> None:
    """Assert that the spaces are equal, also in what Gymnasium's ``==`` leaves out."""
    assert type(a) is type(b)
    assert a == b
    assert b == a
    assert repr(a) == repr(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    match a, b:
        case spaces.Box(), spaces.Box():
            for name in ("low", "high", "bounded_below", "bounded_above"):
                # Over shape () Gymnasium's flags are sometimes a scalar.
                assert difference(np.asarray(getattr(a, name)), np.asarray(getattr(b, name)), name) is None
        case spaces.Discrete(), spaces.Discrete():
            assert difference((a.n, a.start), (b.n, b.start)) is None
        case spaces.MultiDiscrete(), spaces.MultiDiscrete():
            assert difference((a.nvec, a.start), (b.nvec, b.start)) is None
        case spaces.MultiBinary(), spaces.MultiBinary():
            assert difference(a.n, b.n) is None
        case spaces.Text(), spaces.Text():
            assert difference(a.character_list, b.character_list) is None
        case (spaces.Tuple(), spaces.Tuple()) | (spaces.OneOf(), spaces.OneOf()):
            for x, y in zip(a.spaces, b.spaces, strict=True):
                same_space(x, y)
        case spaces.Dict(), spaces.Dict():
            assert difference(list(a.spaces), list(b.spaces), "keys") is None
            for key in a.spaces:
                same_space(a.spaces[key], b.spaces[key])
        case spaces.Sequence(), spaces.Sequence():
            assert a.stack is b.stack
            same_space(a.feature_space, b.feature_space)
        case spaces.Graph(), spaces.Graph():
            same_space(a.node_space, b.node_space)
            assert (a.edge_space is None) == (b.edge_space is None)
            if a.edge_space is not None and b.edge_space is not None:
                same_space(a.edge_space, b.edge_space)


def test_the_corpus_has_every_class() -> None:
    names = [name for name in SPACES if VERSION >= (1, 4) or name not in NEWER]
    count = Counter(type(SPACES[name]()).__name__ for name in names if name.split(":")[0] != "nested")
    assert set(count) == {name for name in spaces.__all__ if name not in ("Space", "GraphInstance")} - _HELPERS
    assert len(count) == 10
    assert min(count.values()) >= 4
    assert sum(count.values()) >= 60


_HELPERS = {"flatdim", "flatten_space", "flatten", "unflatten"}


def unavailable(name: str) -> bool:
    """Assert, on a Gymnasium that cannot make this space, that the error says so; else return False."""
    if name not in NEWER or VERSION >= (1, 4):
        return False
    with pytest.raises((TypeError, AssertionError)):
        SPACES[name]()
    with pytest.raises(rlay.Error, match=re.escape(f"Gymnasium {gymnasium.__version__} cannot make")):
        _spaces.build(_rlay.roundtrip(NEWER[name]))
    return True


@pytest.mark.parametrize("name", SPACES)
def test_description(name: str) -> None:
    """A description crosses the wire's codec and builds an equal space."""
    if unavailable(name):
        return
    space = SPACES[name]()
    description = _spaces.describe(space)
    if name in NEWER:
        assert description == NEWER[name]
    built = _spaces.build(_rlay.roundtrip(description))
    same_space(space, built)
    assert difference(values(space), values(built)) is None
    # Again: the description of the built space is that of the original.
    assert _spaces.describe(built) == description


@pytest.mark.parametrize("name", SPACES)
def test_spaces_print_in_rust_as_in_gymnasium(name: str) -> None:
    """Except the blanks and line breaks with which NumPy formats arrays."""
    if unavailable(name):
        return
    space = SPACES[name]()
    shown = _rlay.show_space(_spaces.describe(space))
    assert "".join(shown.split()) == "".join(repr(space).split())
    assert "\n" not in shown or "charset" in shown


@pytest.mark.parametrize("name", SPACES)
def test_live(hosted: Hosted, host_process: HostProcess, paradigm: str, name: str) -> None:
    """The same in a session; and every value is unchanged after a round trip, as observation and as action."""
    if unavailable(name):
        return
    host_process.take_log()
    env = hosted(f"space_corpus:echo:{name}", paradigm, chosen=True)
    space = SPACES[name]()
    if name in UNORDERED:
        assert isinstance(space, spaces.Text)
        charset = "".join(host_process.tell("call", "space_corpus:ordered", name))
        space = spaces.Text(space.max_length, min_length=space.min_length, charset=charset)
    same_space(space, env.observation_space)
    same_space(space, env.action_space)
    all_values = values(space)
    assert difference(all_values, values(env.observation_space)) is None
    assert difference(all_values, values(env.action_space)) is None
    for value in all_values:
        observation, info = env.reset(options={"observation": value})
        assert difference(value, observation) is None
        assert difference({"options": {"observation": value}}, info) is None
        observation, _, _, _, info = env.step(value)
        assert difference(value, observation) is None
        assert difference({"action": value}, info) is None
    assert host_process.take_log() == []


@pytest.mark.parametrize("name", DEEPEST)
def test_the_deepest(hosted: Hosted, paradigm: str, name: str) -> None:
    env = hosted(f"space_corpus:echo:{name}", paradigm, chosen=True)
    space = DEEPEST[name]()
    same_space(space, env.observation_space)
    env.reset()
    for value in values(space):
        assert difference(value, env.step(value)[0]) is None


@pytest.mark.parametrize("name", REFUSED)
def test_refused(hosted: Hosted, paradigm: str, name: str) -> None:
    """A space that cannot be sent is refused when the environment is made, with a text that says what and where."""
    make, text = REFUSED[name]
    with pytest.raises(rlay.Error, match=text):
        _spaces.describe(make(), "observation_space")
    with pytest.raises(rlay.EnvError, match=text) as caught:
        hosted(f"space_corpus:echo:{name}", paradigm, chosen=True).reset()
    assert caught.value.remote_type == "rlay.errors.Error"


def test_big_endian_discrete_is_refused() -> None:
    """Gymnasium 1.0 knows no dtype of a Discrete, so there is nothing to refuse; its own error says so."""
    if VERSION < (1, 4):
        with pytest.raises(TypeError, match="dtype"):
            spaces.Discrete(3, dtype=">i4")
    else:
        with pytest.raises(rlay.Error, match="Discrete has dtype >i4, which cannot be sent; use int32"):
            _spaces.describe(spaces.Discrete(3, dtype=">i4"))


def test_a_registered_class(hosted: Hosted, paradigm: str) -> None:
    """The agent sees the space that the class was registered with."""
    env = hosted("space_corpus:echo:custom: registered", paradigm, chosen=True)
    text = spaces.Text(10, charset=LETTERS)
    base = spaces.Tuple([text, text])
    same_space(env.observation_space, spaces.Dict({"image": spaces.Box(0, 1, (2,)), "mission": base}))
    value = {"image": np.zeros(2, np.float32), "mission": ("0A", "xyz")}
    assert difference(value, env.reset(options={"observation": value})[0]) is None
    assert difference(value, env.step(value)[0]) is None


REGISTERED = """
    import rlay
    from gymnasium.spaces import Box, Discrete, Text
    from rlay import _spaces
    from space_corpus import Mission, ShortMission

    class Limb(Box):
        "A subclass of one of Gymnasium's own."

    class LimbOfTwo(Limb):
        "A subclass of that."

    class Choice(Discrete):
        "A subclass of another one of Gymnasium's own."

    assert _spaces.describe(ShortMission(1)) == _spaces.describe(Mission(1))
    try:
        _spaces.describe(Limb(0, 1))
    except rlay.Error as error:
        assert "Limb is not one of Gymnasium's own" in str(error)
    else:
        raise AssertionError("Limb is described")
    rlay.register_space(Limb, lambda space: Box(space.low, space.high, dtype=space.dtype))
    rlay.register_space(Discrete, lambda space: Discrete(int(space.n) + 1))
    assert _spaces.describe(Limb(0, 1)) == _spaces.describe(LimbOfTwo(0, 1)) == _spaces.describe(Box(0, 1))
    assert _spaces.describe(Choice(2)) == _spaces.describe(Discrete(3))
    assert _spaces.describe(Discrete(2)) == ("Discrete", "int64", 2, 0)
    rlay.register_space(ShortMission, lambda space: Text(3, charset="ab"))
    assert _spaces.describe(ShortMission(1)) == ("Text", 1, 3, "ab")
    """


def test_one_registration_covers_subclasses() -> None:
    """The nearest registered class decides; Gymnasium's own classes are sent as they are whatever is registered.

    In a process of its own, for a registration cannot be undone.
    """
    with python(REGISTERED) as program:
        assert program.wait() == 0, program.errors


@pytest.mark.parametrize("name", [name for name in SPACES if name not in NEWER and not name.startswith("nested")])
def test_the_advice_about_an_unregistered_subclass_is_right(name: str) -> None:
    """The call that the message advises registers the class, as the space that it is a subclass of."""
    space = SPACES[name]()
    expected = _spaces.describe(space)
    special = type("Special", (type(space),), {})
    space.__class__ = special
    with pytest.raises(rlay.Error, match="is not one of Gymnasium's own; say how to send it with ") as caught:
        _spaces.describe(space)
    advice = str(caught.value).split(" with ")[1]
    exec(advice, {"rlay": rlay, "gymnasium": gymnasium, "Special": special})
    found = _spaces.describe(space)
    assert found[0] == expected[0]
    assert repr(_spaces.build(found)) == repr(_spaces.build(expected))


def test_only_spaces_are_registered() -> None:
    with pytest.raises(TypeError, match="takes a subclass of gymnasium.spaces.Space, not <class 'int'>"):
        rlay.register_space(int, lambda space: space)  # type: ignore[arg-type]


def test_contract_of_odd_spaces(hosted: Hosted, caplog: pytest.LogCaptureFixture, paradigm: str) -> None:
    """No warning for an observation in the space, however Gymnasium checks it."""
    caplog.set_level(logging.WARNING, "rlay")
    env = hosted("space_corpus:echo:Sequence: of Dict", paradigm, chosen=True)
    env.contract = "strict"
    with np.errstate(all="raise"):
        value = ({"a": np.int64(1), "b": np.float32(0.5)}, {"a": 0, "b": np.array(1.0, np.float32)})
        assert difference(value, env.reset(options={"observation": value})[0]) is None
        with pytest.raises(rlay.Error, match="broke its contract"):
            env.step(({"a": 7, "b": np.float32(0.5)},))
    assert caplog.records == []

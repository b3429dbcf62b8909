"""A corpus of spaces, with every known special case, and an environment that returns what it receives."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import Box, Dict, Discrete, Graph, GraphInstance, MultiBinary, MultiDiscrete, OneOf, Text, Tuple
from gymnasium.vector.utils import concatenate, create_empty_array

import rlay

INF = np.inf
LETTERS = "0123456789ABCDEFxyz"
I64, U64 = np.iinfo(np.int64), np.iinfo(np.uint64)

SPACES: dict[str, Callable[[], spaces.Space[Any]]] = {
    # Box
    "Box: float32": lambda: Box(-1, 1, (3,)),
    "Box: float16": lambda: Box(-2, 2, (3,), np.float16),
    "Box: float64, scalar bounds without shape": lambda: Box(-1.5, 2.5, dtype=np.float64),
    "Box: bounds of each element": lambda: Box(np.array([-1, -2, 0], "f4"), np.array([1, 2, 0], "f4")),
    "Box: unbounded float": lambda: Box(-INF, INF, (2, 2)),
    "Box: unbounded float in part": lambda: Box(np.array([-INF, 0.0]), np.array([1.0, INF]), dtype=np.float64),
    "Box: shape ()": lambda: Box(-1, 1, ()),
    "Box: shape () unbounded": lambda: Box(np.array(-INF), np.array(5.0), (), np.float64),
    "Box: shape (0,)": lambda: Box(-1, 1, (0,)),
    "Box: shape (2, 0, 3)": lambda: Box(0, 1, (2, 0, 3), np.int16),
    "Box: low equals high": lambda: Box(3, 3, (2,)),
    "Box: image": lambda: Box(0, 255, (64, 48, 3), np.uint8),
    "Box: bool": lambda: Box(0, 1, (5,), np.bool_),
    "Box: int8": lambda: Box(-128, 127, (3,), np.int8),
    "Box: int16": lambda: Box(-5, 5, (3,), np.int16),
    "Box: int32": lambda: Box(-(2**31), 2**31 - 1, (3,), np.int32),
    "Box: int64": lambda: Box(-(2**40), 2**40, (3,), np.int64),
    "Box: all of int64, bounded": lambda: Box(I64.min, I64.max, (2,), np.int64),
    "Box: all of uint64": lambda: Box(0, U64.max, (2,), np.uint64),
    "Box: uint16": lambda: Box(7, 2**16 - 1, (3,), np.uint16),
    "Box: uint32": lambda: Box(0, 2**32 - 1, (3,), np.uint32),
    "Box: signed integers unbounded": lambda: Box(-INF, INF, (4,), np.int8),
    "Box: signed integers unbounded below": lambda: Box(-INF, 0, (4,), np.int64),
    "Box: signed integers unbounded above": lambda: Box(0, INF, (4,), np.int32),
    "Box: signed integers unbounded in part": lambda: Box(np.array([-INF, 0.0]), np.array([5.0, INF]), dtype=np.int32),
    "Box: big-endian >f4": lambda: Box(-1, 1, (3,), ">f4"),
    "Box: big-endian >i2 unbounded": lambda: Box(-INF, INF, (3,), ">i2"),
    "Box: big-endian >f8 of shape ()": lambda: Box(-1, 1, (), ">f8"),
    # Discrete
    "Discrete: plain": lambda: Discrete(5),
    "Discrete: one element": lambda: Discrete(1),
    "Discrete: negative start": lambda: Discrete(3, start=-1),
    "Discrete: n is a NumPy scalar": lambda: Discrete(np.int32(4), start=np.int8(2)),
    "Discrete: larger than 32 bits": lambda: Discrete(2**40, start=-(2**50)),
    "Discrete: start at the lowest": lambda: Discrete(2, start=I64.min),
    "Discrete: dtype int32": lambda: Discrete(3, dtype=np.int32),
    "Discrete: dtype uint8": lambda: Discrete(200, start=50, dtype=np.uint8),
    "Discrete: dtype uint64 beyond int64": lambda: Discrete(9, start=2**63 + 5, dtype=np.uint64),
    # MultiDiscrete
    "MultiDiscrete: plain": lambda: MultiDiscrete([3, 2, 5]),
    "MultiDiscrete: with start": lambda: MultiDiscrete([3, 2], start=[-1, 10]),
    "MultiDiscrete: two axes": lambda: MultiDiscrete(np.array([[1, 2, 3], [4, 5, 6]])),
    "MultiDiscrete: two axes with start": lambda: MultiDiscrete(np.array([[1, 2]]), start=np.array([[-7, 7]])),
    "MultiDiscrete: dtype uint8": lambda: MultiDiscrete([3, 2], dtype=np.uint8),
    "MultiDiscrete: dtype int32": lambda: MultiDiscrete([[3], [2]], dtype=np.int32),
    "MultiDiscrete: big-endian": lambda: MultiDiscrete([3, 400], dtype=">i4"),
    "MultiDiscrete: uint64 start beyond int64": lambda: MultiDiscrete([2], dtype=np.uint64, start=[2**63 + 7]),
    "MultiDiscrete: empty": lambda: MultiDiscrete([]),
    # MultiBinary
    "MultiBinary: n is int": lambda: MultiBinary(5),
    "MultiBinary: n is a tuple of one": lambda: MultiBinary((5,)),
    "MultiBinary: n is a list": lambda: MultiBinary([2, 3]),
    "MultiBinary: n is an array": lambda: MultiBinary(np.array([2, 1, 2])),
    "MultiBinary: one": lambda: MultiBinary(1),
    # Text
    "Text: plain": lambda: Text(8, charset=LETTERS),
    "Text: default charset": lambda: Text(8),
    "Text: may be empty": lambda: Text(4, min_length=0, charset=LETTERS),
    "Text: always empty": lambda: Text(0, min_length=0, charset=LETTERS),
    "Text: fixed length of one character": lambda: Text(3, min_length=3, charset="x"),
    "Text: order of the charset": lambda: Text(6, charset="zyxabc"),
    "Text: charset is a set": lambda: Text(6, charset=frozenset("zyxabc")),
    "Text: unicode": lambda: Text(6, charset="é漢🎲\x00\n 'ß"),
    # Tuple
    "Tuple: plain": lambda: Tuple([Discrete(2), Box(-1, 1, (2,))]),
    "Tuple: empty": lambda: Tuple([]),
    "Tuple: one": lambda: Tuple((MultiBinary(3),)),
    "Tuple: with variable members": lambda: Tuple(
        [Text(3, charset=LETTERS), Discrete(2), spaces.Sequence(Discrete(2))]
    ),
    "Tuple: nested": lambda: Tuple([Tuple([Tuple([Discrete(2)]), Box(0, 1, (2,))]), Tuple([])]),
    # Dict
    "Dict: a mapping is sorted": lambda: Dict({"b": Discrete(2), "a": Box(-1, 1, (2,))}),
    "Dict: pairs keep their order": lambda: Dict([("b", Discrete(2)), ("a", Box(-1, 1, (2,)))]),
    "Dict: an OrderedDict": lambda: Dict(OrderedDict([("z", MultiBinary(2)), ("a", Discrete(3))])),
    "Dict: keywords": lambda: Dict(b=Discrete(2), a=Discrete(3)),
    "Dict: empty": lambda: Dict({}),
    "Dict: keys that are no str": lambda: Dict([(2, Discrete(2)), (None, Discrete(3)), ((1, "a"), MultiBinary(2))]),
    "Dict: more keys that are no str": lambda: Dict([(b"\xff", Discrete(2)), (True, Discrete(3)), (0.5, Discrete(4))]),
    "Dict: odd names": lambda: Dict([("", Discrete(2)), ("é 漢", Discrete(2)), ("a.b[0]", Discrete(2))]),
    "Dict: nested": lambda: Dict({"a": Dict({"b": Dict({"c": Discrete(2)})}), "d": Tuple([MultiDiscrete([2, 3])])}),
    "Dict: with big-endian member": lambda: Dict({"a": Box(-1, 1, (2,), ">f4"), "b": Box(-1, 1, (2,))}),
    # Sequence
    "Sequence: of Box": lambda: spaces.Sequence(Box(0, 1, (2,))),
    "Sequence: of Discrete": lambda: spaces.Sequence(Discrete(3, start=-1)),
    "Sequence: of Text": lambda: spaces.Sequence(Text(3, charset=LETTERS)),
    "Sequence: of Sequence": lambda: spaces.Sequence(spaces.Sequence(Discrete(3))),
    "Sequence: of Dict": lambda: spaces.Sequence(Dict({"a": Discrete(2), "b": Box(0, 1, ())})),
    "Sequence: stacked Box": lambda: spaces.Sequence(Box(0, 1, (2,)), stack=True),
    "Sequence: stacked Discrete": lambda: spaces.Sequence(Discrete(3), stack=True),
    "Sequence: stacked Text": lambda: spaces.Sequence(Text(3, charset=LETTERS), stack=True),
    "Sequence: stacked Dict": lambda: spaces.Sequence(Dict({"a": Discrete(2), "b": Box(0, 1, (2,))}), stack=True),
    # Graph
    "Graph: no edge space": lambda: Graph(Box(-1, 1, (2,)), None),
    "Graph: Discrete nodes and edges": lambda: Graph(Discrete(3), Discrete(4, start=-2)),
    "Graph: Box nodes and edges": lambda: Graph(Box(-1, 1, (2, 2)), Box(0, 1, (3,))),
    "Graph: Discrete nodes, Box edges": lambda: Graph(Discrete(3), Box(0, 255, (2,), np.uint8)),
    "Graph: Text nodes": lambda: Graph(Text(3, charset=LETTERS), None),
    "Graph: Tuple nodes, Dict edges": lambda: Graph(
        Tuple([Discrete(2), Text(2, charset=LETTERS)]), Dict({"a": MultiBinary(2)})
    ),
    # OneOf
    "OneOf: plain": lambda: OneOf([Discrete(2), Box(-1, 1, (2,))]),
    "OneOf: one": lambda: OneOf([Text(4, charset=LETTERS)]),
    "OneOf: the same twice": lambda: OneOf([Discrete(2), Discrete(2)]),
    "OneOf: nested": lambda: OneOf([OneOf([Discrete(2), Text(2, charset=LETTERS)]), Tuple([OneOf([MultiBinary(2)])])]),
    # All of them
    "nested: all classes": lambda: Dict(
        [
            ("image", Box(0, 255, (60, 60, 3), np.uint8)),
            ("rest", Tuple([MultiDiscrete([2, 3], start=[-1, 1]), MultiBinary((2, 2)), Discrete(3, start=-3)])),
            ("words", spaces.Sequence(Text(3, charset="ab"))),
            ("map", Graph(Box(-1, 1, (2,), ">f8"), Discrete(2))),
            ("choice", OneOf([Discrete(2), Dict({"deep": Tuple([Box(-INF, INF, (2,), np.int16)])})])),
        ]
    ),
    # As deep as its values may be inside of two dicts: Echo has them there.
    "nested: 30 levels": lambda: _deep(30),
}

DEEPEST: dict[str, Callable[[], spaces.Space[Any]]] = {"nested: 32 levels": lambda: _deep(32)}
"""As deep as a space may be."""

UNORDERED = ("Text: default charset", "Text: charset is a set")
"""Spaces with an order of characters that Gymnasium 1.0 leaves to chance, process by process."""


def ordered(name: str) -> tuple[str, ...]:
    """Return the characters of a Text space in the order they have in this process."""
    return SPACES[name]().character_list


NEWER: dict[str, tuple[Any, ...]] = {
    "Discrete: dtype int32": ("Discrete", "int32", 3, 0),
    "Discrete: dtype uint8": ("Discrete", "uint8", 200, 50),
    "Discrete: dtype uint64 beyond int64": ("Discrete", "uint64", 9, 5 - 2**63),
    "Graph: Text nodes": (
        "Graph",
        ("Text", 1, 3, LETTERS),
        None,
    ),
    "Graph: Tuple nodes, Dict edges": (
        "Graph",
        (
            "Tuple",
            (
                ("Discrete", "int64", 2, 0),
                ("Text", 1, 2, LETTERS),
            ),
        ),
        ("Dict", (("a", ("MultiBinary", [2], True)),)),
    ),
}
"""What Gymnasium 1.0 cannot make yet, as it is described by versions that can."""


def _deep(levels: int) -> spaces.Space[Any]:
    space: spaces.Space[Any] = Text(2, charset=LETTERS)
    for level in range(levels - 1):
        space = Tuple([space]) if level % 2 else Dict({"in": space})
    return space


class Mission(spaces.Space[str]):
    """A class of one's own, as MiniGrid has one; `rlay.register_space` says how it is sent."""

    def __init__(self, words: int) -> None:
        super().__init__(dtype=str)
        self.words = words


class ShortMission(Mission):
    """A subclass of a registered class."""


class Warehouse(spaces.Space[Any]):
    """A class of one's own that is not registered."""


class Camera(Box):
    """A subclass that is not registered."""


rlay.register_space(Mission, lambda space: Tuple([Text(10, charset=LETTERS)] * space.words))

REGISTERED: dict[str, Callable[[], spaces.Space[Any]]] = {
    "custom: registered": lambda: Dict({"mission": Mission(2), "image": Box(0, 1, (2,))}),
}

REFUSED: dict[str, tuple[Callable[[], spaces.Space[Any]], str]] = {
    "custom": (
        lambda: Dict({"agent": Tuple([Discrete(2), Warehouse()])}),
        r"observation_space\[\"agent\"\]\[1\]: a space of class space_corpus.Warehouse is not one of Gymnasium's own; "
        r"say how to send it with rlay.register_space\(Warehouse, ",
    ),
    "custom: subclass": (
        lambda: spaces.Sequence(Camera(0, 1)),
        r"observation_space\[\*\]: .*space_corpus.Camera is not one",
    ),
    "Box: float128": (
        lambda: Dict({"far": Box(-1, 1, (2,), np.longdouble)}),
        r"observation_space\[\"far\"\]: .*Box has dtype float128, which cannot be sent; use float64 or smaller",
    ),
    "MultiDiscrete: nvec beyond int64": (
        lambda: MultiDiscrete(np.array([2**63 + 5], np.uint64), dtype=np.uint64),
        r"observation_space: .*MultiDiscrete has an nvec beyond int64",
    ),
    "Text: lone surrogate": (
        lambda: _text("a\ud800"),
        r"observation_space: .*Text has a lone surrogate in its charset",
    ),
    "Dict: key of another class": (
        lambda: Dict([(frozenset([1]), Discrete(2))]),
        r"observation_space: .*Dict has the key frozenset\(\{1\}\) of type frozenset, which cannot be sent",
    ),
    "nested: 33 levels": (lambda: _deep(33), r"observation_space.*nested deeper than 32 levels"),
}
"""What is refused, and the words for it."""


def _text(charset: str) -> Text:
    # Text itself refuses to show such a charset, but takes it.
    return Text(4, charset=charset)


def values(space: spaces.Space[Any]) -> list[Any]:
    """Return samples of ``space``, the same in every process, and the values at its bounds."""
    space.seed(17)
    with warnings.catch_warnings():
        # Drawing from all of uint64, Gymnasium casts a float64 that is too large.
        warnings.simplefilter("ignore", RuntimeWarning)
        samples = [space.sample() for _ in range(5)]
    return samples + list(borders(space))


def borders(space: spaces.Space[Any]) -> Iterator[Any]:
    """Yield lowest, highest, empty and otherwise extreme values."""
    match space:
        case Box():
            yield space.low
            yield space.high
            if space.dtype.kind == "f":
                yield np.full(space.shape, np.nan, space.dtype)
                yield np.full(space.shape, -0.0, space.dtype)
        case Discrete():
            for x in (int(space.start), int(space.start) + int(space.n) - 1):
                yield np.dtype(space.dtype).type(x)
                yield x
        case MultiDiscrete():
            yield space.start.copy()
            yield (space.start + (space.nvec - 1)).astype(space.dtype)
        case MultiBinary():
            yield np.zeros(space.shape, np.int8)
            yield np.ones(space.shape, np.int8)
        case Text():
            yield (space.character_list[0] if space.min_length else "") * space.min_length
            yield space.character_list[-1] * space.max_length
        case Tuple():
            for each in _together([borders(member) for member in space.spaces]):
                yield tuple(each)
        case Dict():
            for each in _together([borders(member) for member in space.spaces.values()]):
                yield dict(zip(space.spaces, each, strict=True))
        case spaces.Sequence():
            items = list(borders(space.feature_space))
            for chosen in ([], items):
                yield _batch(space.feature_space, chosen) if space.stack else tuple(chosen)
        case Graph():
            nodes = list(borders(space.node_space))
            yield GraphInstance(_batch(space.node_space, nodes[:1]), None, None)
            if space.edge_space is not None:
                edges = list(borders(space.edge_space))
                links = np.zeros((len(edges), 2), np.int32)
                yield GraphInstance(_batch(space.node_space, nodes), _batch(space.edge_space, edges), links)
                yield GraphInstance(_batch(space.node_space, nodes), _batch(space.edge_space, []), links[:0])
        case OneOf():
            for index, member in enumerate(space.spaces):
                for value in borders(member):
                    yield np.int64(index), value
                    yield index, value


def _together(columns: list[Iterator[Any]]) -> Iterator[list[Any]]:
    """Yield rows of one value from each column; a short column repeats its last value."""
    lists = [list(column) for column in columns]
    for row in range(max(map(len, lists), default=1)):
        yield [values[min(row, len(values) - 1)] for values in lists]


def _batch(space: spaces.Space[Any], items: list[Any]) -> Any:
    empty = create_empty_array(space, len(items))
    return concatenate(space, tuple(items), empty) if items else empty


class Echo(gym.Env[Any, Any]):
    """Gives back what it is given: the observation is that in the options, or the action."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space = self.action_space = space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return (options or {}).get("observation"), {"options": options}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return action, 0.0, False, False, {"action": action}


def echo(name: str) -> Callable[..., Echo]:
    """Return the function that makes the echo over the space called ``name``."""
    refused = {name: make for name, (make, _) in REFUSED.items()}
    return lambda render_mode: Echo({**SPACES, **DEEPEST, **refused, **REGISTERED}[name]())

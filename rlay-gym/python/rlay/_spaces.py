"""Gymnasium's spaces as plain tuples for the native module, and back, special cases included."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlay import _rlay, _values
from rlay.errors import Error

_Space = spaces.Space[Any]
_registered: dict[type, Callable[[Any], _Space]] = {}

DEPTH = 32
"""Deepest nesting of a space that the wire carries."""


def register_space(cls: type[_Space], to_base: Callable[[Any], _Space]) -> None:
    """Declare how a custom space class is sent: as the Gymnasium space that ``to_base(space)`` returns.

    The values of the space must be values of that base space. The agent sees the base space. Subclasses of ``cls`` are
    sent in the same way, unless a class between them is registered, too. Gymnasium's own classes are always sent
    unchanged; registering one of them declares how its subclasses are sent.

    A ``Text`` has letters and digits only, unless ``charset`` names other characters:

    >>> import string, gymnasium, rlay
    >>> class Mission(gymnasium.spaces.Space):
    ...     pass
    >>> rlay.register_space(Mission, lambda space: gymnasium.spaces.Text(100, charset=string.printable))
    >>> gymnasium.spaces.Text(100, charset=string.printable).contains("go to the red ball, then open the box")
    True
    """
    if not (isinstance(cls, type) and issubclass(cls, spaces.Space)):
        raise TypeError(f"register_space takes a subclass of gymnasium.spaces.Space, not {cls!r}")
    _registered[cls] = to_base


def _dtype(dtype: np.dtype[Any]) -> tuple[str, bool]:
    return dtype.newbyteorder("=").name, dtype.byteorder == ">"


def _little(array: Any) -> bytes:
    return np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("<"), copy=False).tobytes()


_KEYS = str | bytes | bool | int | float | np.bool_ | np.number | None
"""The types of a Dict space's keys, alone or in a tuple."""

_NAMES = {np.dtype(name).name for name in ("bool", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")}

_OWN: dict[type, str] = {
    spaces.Box: "space.low, space.high, dtype=space.dtype",
    spaces.Discrete: "space.n, start=space.start",
    spaces.MultiBinary: "space.n",
    spaces.MultiDiscrete: "space.nvec, dtype=space.dtype, start=space.start",
    spaces.Text: "space.max_length, min_length=space.min_length, charset=space.characters",
    spaces.Tuple: "space.spaces",
    spaces.Dict: "list(space.spaces.items())",
    spaces.Sequence: "space.feature_space, stack=space.stack",
    spaces.Graph: "space.node_space, space.edge_space",
    spaces.OneOf: "space.spaces",
}
"""Gymnasium's own classes, and the arguments that convert a subclass's space to one of them."""


def _refuse(path: str, space: object, why: str) -> Error:
    return Error(f"{path}: a space of class {type(space).__module__}.{type(space).__qualname__} {why}")


def _is_key(key: object) -> bool:
    return all(map(_is_key, key)) if isinstance(key, tuple) else isinstance(key, _KEYS)


def describe(space: object, path: str = "space", depth: int = DEPTH) -> tuple[Any, ...]:
    """Return the plain tuple for ``space``; ``path`` names the place in messages."""
    if depth == 0:
        raise Error(f"{path}: spaces are nested deeper than {DEPTH} levels, which the wire does not carry")
    cls = type(space)
    if cls not in _OWN:
        to_base = next((_registered[base] for base in cls.__mro__ if base in _registered), None)
        if to_base is not None:
            return describe(to_base(space), path, depth - 1)

    def nested(sub: object, part: str) -> tuple[Any, ...]:
        return describe(sub, f"{path}{part}", depth - 1)

    if cls is spaces.Box:
        assert isinstance(space, spaces.Box)
        name, big_endian = _dtype(space.dtype)
        if name not in _NAMES:
            raise _refuse(path, space, f"has dtype {space.dtype}, which cannot be sent; use float64 or smaller")
        below, above = (np.asarray(b, dtype=bool).tobytes() for b in (space.bounded_below, space.bounded_above))
        return ("Box", name, big_endian, list(space.shape), _little(space.low), below, _little(space.high), above)
    if cls is spaces.Discrete:
        assert isinstance(space, spaces.Discrete)
        name, big_endian = _dtype(np.dtype(space.dtype))
        if big_endian:
            raise _refuse(path, space, f"has dtype {space.dtype}, which cannot be sent; use {name}")
        # A start of dtype uint64 travels as the bits of the number.
        return ("Discrete", name, int(space.n), int(np.uint64(int(space.start) % 2**64).astype(np.int64)))
    if cls is spaces.MultiBinary:
        assert isinstance(space, spaces.MultiBinary)
        return ("MultiBinary", list(space.shape), isinstance(space.n, int | np.integer))
    if cls is spaces.MultiDiscrete:
        assert isinstance(space, spaces.MultiDiscrete)
        name, big_endian = _dtype(np.dtype(space.dtype))
        nvec, start = (np.asarray(a).astype("<i8").ravel() for a in (space.nvec, space.start))
        if (nvec < 0).any():
            raise _refuse(path, space, "has an nvec beyond int64, which cannot be sent; use fewer values")
        return ("MultiDiscrete", name, big_endian, list(space.shape), nvec.tobytes(), start.tobytes())
    if cls is spaces.Text:
        assert isinstance(space, spaces.Text)
        charset = "".join(space.character_list)
        if any("\ud800" <= character <= "\udfff" for character in charset):
            raise _refuse(path, space, "has a lone surrogate in its charset, which cannot be sent")
        return ("Text", space.min_length, space.max_length, charset)
    if cls is spaces.Tuple:
        assert isinstance(space, spaces.Tuple)
        return ("Tuple", tuple(nested(sub, f"[{i}]") for i, sub in enumerate(space.spaces)))
    if cls is spaces.OneOf:
        assert isinstance(space, spaces.OneOf)
        return ("OneOf", tuple(nested(sub, f"[{i}]") for i, sub in enumerate(space.spaces)))
    if cls is spaces.Dict:
        assert isinstance(space, spaces.Dict)
        for key in space.spaces:
            if not _is_key(key):
                kind = type(key).__qualname__
                raise _refuse(path, space, f"has the key {key!r} of type {kind}, which cannot be sent; use a str")
        return ("Dict", tuple((key, nested(sub, _values.part(key))) for key, sub in space.spaces.items()))
    if cls is spaces.Sequence:
        assert isinstance(space, spaces.Sequence)
        return ("Sequence", nested(space.feature_space, "[*]"), bool(space.stack))
    if cls is spaces.Graph:
        assert isinstance(space, spaces.Graph)
        edge = None if space.edge_space is None else nested(space.edge_space, ".edge_space")
        return ("Graph", nested(space.node_space, ".node_space"), edge)
    # A subclass may hold other values than its base class, so its author has to register it.
    base = next((own for own in _OWN if isinstance(space, own)), None)
    made = f"gymnasium.spaces.{base.__name__}({_OWN[base]})" if base else "<a Gymnasium space with the same values>"
    raise _refuse(
        path,
        space,
        "is not one of Gymnasium's own; say how to send it with rlay.register_space("
        f"{cls.__qualname__}, lambda space: {made})",
    )


def build(description: tuple[Any, ...]) -> _Space:
    """Return the Gymnasium space that a plain tuple describes."""
    kind, *fields = description
    try:
        return _BUILDERS[kind](*fields)
    except Error:
        raise
    except Exception as error:
        raise Error(
            f"the remote environment has a {kind} space that Gymnasium {gymnasium.__version__} cannot make "
            f"({error}); install the version of Gymnasium that the environment's side has"
        ) from error


def _box(
    name: str,
    big_endian: bool,
    shape: list[int],
    low: bytes,
    below: bytes,
    high: bytes,
    above: bytes,
    is_shared: bool = False,
) -> _Space:
    """Make a Box of its bounds; where those of all elements are alike, each is one element and one mark.

    A Box that ``is_shared`` is large, and its bounds are read-only arrays of which every element is the same memory.
    """
    dtype = np.dtype(name).newbyteorder(">") if big_endian else np.dtype(name)

    def whole(data: bytes, of: np.dtype[Any]) -> Any:
        found = np.frombuffer(data, dtype=of.newbyteorder("<")).astype(of)
        if len(found) != 1:
            return found.reshape(shape)
        spread = np.broadcast_to(found.reshape(()), shape)
        return spread if is_shared else spread.copy()

    lowest, highest = whole(low, dtype), whole(high, dtype)
    if is_shared:
        # Gymnasium writes bounds out in full, so it makes a Box of one element, which prints the same bounds.
        first = (0,) * len(shape)
        space = spaces.Box(low=lowest[first], high=highest[first], shape=(), dtype=dtype)
        space._shape = tuple(shape)
    else:
        space = spaces.Box(low=lowest, high=highest, shape=tuple(shape), dtype=dtype)
    # An integer Box made with -inf stores its dtype's smallest value and is unbounded all the same.
    space.low, space.high = lowest, highest
    space.bounded_below, space.bounded_above = (whole(marks, np.dtype(bool)) for marks in (below, above))
    return space


def _discrete(name: str, n: int, start: int) -> _Space:
    if name == "uint64":
        start %= 2**64
    if name == "int64":
        return spaces.Discrete(n, start=start)
    return spaces.Discrete(n, start=start, dtype=np.dtype(name).type)


def _multi_discrete(name: str, big_endian: bool, shape: list[int], nvec: bytes, start: bytes) -> _Space:
    dtype = np.dtype(name).newbyteorder(">") if big_endian else np.dtype(name)
    counts, first = (np.frombuffer(a, dtype="<i8").astype(dtype).reshape(shape) for a in (nvec, start))
    return spaces.MultiDiscrete(counts, dtype=dtype, start=first)


def _dict(entries: list[tuple[Any, tuple[Any, ...]]]) -> _Space:
    # From a list of pairs: Gymnasium sorts the keys of a dict.
    return spaces.Dict([(key, build(sub)) for key, sub in entries])


_BUILDERS: dict[str, Callable[..., _Space]] = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiBinary": lambda shape, n_is_int: spaces.MultiBinary(shape[0] if n_is_int else shape),
    "MultiDiscrete": _multi_discrete,
    "Text": lambda low, high, charset: spaces.Text(high, min_length=low, charset=charset),
    "Tuple": lambda members: spaces.Tuple([build(sub) for sub in members]),
    "OneOf": lambda members: spaces.OneOf([build(sub) for sub in members]),
    "Dict": _dict,
    "Sequence": lambda sub, stack: spaces.Sequence(build(sub), stack=stack),
    "Graph": lambda node, edge: spaces.Graph(build(node), None if edge is None else build(edge)),
}


def contains(space: _Space, value: Any) -> bool:
    """Return ``space.contains(value)``, without the warning that Gymnasium gives when it has to make an array first."""
    try:
        return bool(space.contains(_with_arrays(space, value)))
    except Exception:
        # Gymnasium itself raises for some values that are far from the space.
        return False


def violation(space: _Space, value: Any, agent: _rlay.RawEnv) -> str:
    """Return which leaf of an observation of ``agent`` is not in its space, and why."""
    with contextlib.suppress(Exception):
        # Gymnasium accepts a list for an array, so a list is wrong only if no array can be made of it.
        value = _with_arrays(space, value)
    return agent.violation(value) or f"observation is not in {_values.cut(' '.join(repr(space).split()), 200)}"


def _with_arrays(space: _Space, value: Any) -> Any:
    match space, value:
        case spaces.Box(), _ if not isinstance(value, np.ndarray):
            return np.asarray(value, dtype=space.dtype)
        case (spaces.Tuple(spaces=members), tuple() | list()) if len(members) == len(value):
            return tuple(_with_arrays(member, item) for member, item in zip(members, value, strict=True))
        case spaces.Dict(spaces=named), dict():
            return {key: _with_arrays(named[key], item) if key in named else item for key, item in value.items()}
        case spaces.Sequence(feature_space=feature, stack=False), tuple():
            return tuple(_with_arrays(feature, item) for item in value)
        case spaces.OneOf(spaces=members), (int() | np.integer() as index, item) if index < len(members):
            return index, _with_arrays(members[int(index)], item)
        case _:
            return value

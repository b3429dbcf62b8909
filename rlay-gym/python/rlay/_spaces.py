"""Gymnasium's spaces as plain tuples for the native module, and back, with every trap on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlay.errors import Error

_Space = spaces.Space[Any]
_registered: dict[type, Callable[[Any], _Space]] = {}

DEPTH = 32
"""Deepest nesting of a space that the wire carries."""


def register_space(cls: type[_Space], to_base: Callable[[Any], _Space]) -> None:
    """Say how a custom space class is sent: as the Gymnasium space that ``to_base(space)`` returns.

    The values of the space must be values of that base space. The agent sees the base space.

    >>> import gymnasium, rlay
    >>> class Mission(gymnasium.spaces.Space):
    ...     pass
    >>> rlay.register_space(Mission, lambda space: gymnasium.spaces.Text(100))
    """
    if not (isinstance(cls, type) and issubclass(cls, spaces.Space)):
        raise TypeError(f"register_space takes a subclass of gymnasium.spaces.Space, not {cls!r}")
    _registered[cls] = to_base


def _dtype(dtype: np.dtype[Any]) -> tuple[str, bool]:
    return dtype.newbyteorder("=").name, dtype.byteorder == ">"


def _little(array: Any) -> bytes:
    return np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("<"), copy=False).tobytes()


_NAMES = {np.dtype(name).name for name in ("bool", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")}


def _refuse(path: str, space: object, why: str) -> Error:
    return Error(f"{path}: a space of class {type(space).__module__}.{type(space).__qualname__} {why}")


def describe(space: object, path: str = "space", depth: int = DEPTH) -> tuple[Any, ...]:
    """Return the plain tuple for ``space``; ``path`` names the place in messages."""
    if depth == 0:
        raise Error(f"{path}: spaces are nested deeper than {DEPTH} levels, which the wire does not carry")
    cls = type(space)
    if cls in _registered:
        return describe(_registered[cls](space), path, depth - 1)

    def nested(sub: object, part: str) -> tuple[Any, ...]:
        return describe(sub, f"{path}{part}", depth - 1)

    if cls is spaces.Box:
        assert isinstance(space, spaces.Box)
        name, big_endian = _dtype(space.dtype)
        if name not in _NAMES:
            raise _refuse(path, space, f"has dtype {space.dtype}, which cannot be sent; use float64 or smaller")
        below, above = (np.asarray(b).ravel().tolist() for b in (space.bounded_below, space.bounded_above))
        return ("Box", name, big_endian, list(space.shape), _little(space.low), below, _little(space.high), above)
    if cls is spaces.Discrete:
        assert isinstance(space, spaces.Discrete)
        name, _ = _dtype(np.dtype(space.dtype))
        return ("Discrete", name, int(space.n), int(np.int64(np.uint64(int(space.start) % 2**64))))
    if cls is spaces.MultiBinary:
        assert isinstance(space, spaces.MultiBinary)
        return ("MultiBinary", list(space.shape), isinstance(space.n, int | np.integer))
    if cls is spaces.MultiDiscrete:
        assert isinstance(space, spaces.MultiDiscrete)
        name, big_endian = _dtype(np.dtype(space.dtype))
        nvec, start = (np.asarray(a).astype(np.int64).ravel().tolist() for a in (space.nvec, space.start))
        return ("MultiDiscrete", name, big_endian, list(space.shape), nvec, start)
    if cls is spaces.Text:
        assert isinstance(space, spaces.Text)
        return ("Text", space.min_length, space.max_length, "".join(space.character_list))
    if cls is spaces.Tuple:
        assert isinstance(space, spaces.Tuple)
        return ("Tuple", tuple(nested(sub, f"[{i}]") for i, sub in enumerate(space.spaces)))
    if cls is spaces.OneOf:
        assert isinstance(space, spaces.OneOf)
        return ("OneOf", tuple(nested(sub, f"[{i}]") for i, sub in enumerate(space.spaces)))
    if cls is spaces.Dict:
        assert isinstance(space, spaces.Dict)
        return ("Dict", tuple((key, nested(sub, f"[{key!r}]")) for key, sub in space.spaces.items()))
    if cls is spaces.Sequence:
        assert isinstance(space, spaces.Sequence)
        return ("Sequence", nested(space.feature_space, "[*]"), bool(space.stack))
    if cls is spaces.Graph:
        assert isinstance(space, spaces.Graph)
        edge = None if space.edge_space is None else nested(space.edge_space, ".edge_space")
        return ("Graph", nested(space.node_space, ".node_space"), edge)
    raise _refuse(
        path,
        space,
        "is not one of Gymnasium's own; say how to send it with rlay.register_space("
        f"{cls.__qualname__}, lambda space: <a Gymnasium space with the same values>)",
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
    below: list[bool],
    high: bytes,
    above: list[bool],
) -> _Space:
    dtype = np.dtype(name).newbyteorder(">") if big_endian else np.dtype(name)
    little = dtype.newbyteorder("<")

    def bound(data: bytes) -> Any:
        return np.frombuffer(data, dtype=little).reshape(shape).astype(dtype)

    space = spaces.Box(low=bound(low), high=bound(high), shape=tuple(shape), dtype=dtype)  # type: ignore[arg-type]
    # An integer Box made with -inf stores its dtype's smallest value and is unbounded all the same.
    space.low, space.high = bound(low), bound(high)
    space.bounded_below = np.array(below, dtype=bool).reshape(shape)
    space.bounded_above = np.array(above, dtype=bool).reshape(shape)
    return space


def _discrete(name: str, n: int, start: int) -> _Space:
    if name == "uint64":
        start %= 2**64
    if name == "int64":
        return spaces.Discrete(n, start=start)
    return spaces.Discrete(n, start=start, dtype=np.dtype(name).type)


def _multi_discrete(name: str, big_endian: bool, shape: list[int], nvec: list[int], start: list[int]) -> _Space:
    dtype = np.dtype(name).newbyteorder(">") if big_endian else np.dtype(name)
    counts, first = (np.array(a, dtype=np.int64).astype(dtype).reshape(shape) for a in (nvec, start))
    return spaces.MultiDiscrete(counts, dtype=dtype, start=first)  # type: ignore[arg-type]


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

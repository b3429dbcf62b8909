"""The test that two objects are the same to the bit: type, dtype, bytes, order of keys, at every level."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from gymnasium.spaces import GraphInstance


def difference(a: Any, b: Any, path: str = "") -> str | None:
    """Return where and how ``b`` first differs from ``a``, or None."""
    if type(a) is not type(b):
        return f"{path or 'it'} is {type(b).__name__} {b!r} instead of {type(a).__name__} {a!r}"
    if isinstance(a, np.ndarray):
        return _of_arrays(a, b, path)
    if isinstance(a, np.generic):
        if a.dtype.str != b.dtype.str or a.tobytes() != b.tobytes():
            return f"{path or 'it'} is {b.dtype.str} {b!r} instead of {a.dtype.str} {a!r}"
        return None
    if isinstance(a, GraphInstance):
        parts = ((name, getattr(a, name), getattr(b, name)) for name in a._fields)
        return _first(difference(x, y, f"{path}.{name}") for name, x, y in parts)
    if isinstance(a, dict):
        by_key = _first(difference(x, y, f"{path}.keys()") for x, y in zip(a, b, strict=False))
        if by_key or len(a) != len(b):
            return by_key or f"{path or 'it'} has the keys {list(b)} instead of {list(a)}"
        return _first(difference(x, y, f"{path}[{key!r}]") for (key, x), y in zip(a.items(), b.values(), strict=True))
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return f"{path or 'it'} has {len(b)} items instead of {len(a)}"
        return _first(difference(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
    same = struct.pack("<d", a) == struct.pack("<d", b) if isinstance(a, float) else a == b
    return None if same else f"{path or 'it'} is {b!r} instead of {a!r}"


def assert_same(found: Any, wanted: Any, what: str) -> None:
    """Fail unless ``found`` is just as ``wanted``."""
    how = difference(wanted, found)
    assert how is None, f"{what}: {how}"


def _of_arrays(a: np.ndarray, b: np.ndarray, path: str) -> str | None:
    if a.dtype.str != b.dtype.str:
        return f"{path or 'it'} has dtype {b.dtype.str} instead of {a.dtype.str}"
    if a.shape != b.shape:
        return f"{path or 'it'} has shape {b.shape} instead of {a.shape}"
    if a.dtype == object:
        # Their bytes are addresses.
        return _first(difference(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a.flat, b.flat, strict=True)))
    if a.tobytes() != b.tobytes():
        return f"{path or 'it'} is {b!r} instead of {a!r}"
    return None


def _first(found: Any) -> str | None:
    return next((text for text in found if text is not None), None)


def as_float(reward: Any) -> float:
    """Return the declared form of a reward on arrival; some environments make a reward an array of one element."""
    return float(np.asarray(reward).item() if hasattr(reward, "__array__") else reward)


def same_reward(local: Any, remote: Any) -> bool:
    """Whether the remote reward is a Python float of equal value."""
    local = as_float(local)
    return type(remote) is float and (remote == local or (math.isnan(remote) and math.isnan(local)))

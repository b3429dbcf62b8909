"""What the native module needs of Python to carry values: big integers, byte orders, and names for the rest."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

logger = logging.getLogger("rlay")

_warned: set[str] = set()


@dataclass(frozen=True)
class Opaque:
    """Stands for an object that could not cross the wire.

    Attributes:
        type: Qualified name of the object's type.
        repr: Its ``repr``, cut at 256 characters.
    """

    type: str
    repr: str


def warn_once(key: str, message: str) -> None:
    """Log a warning, the first time it is given for ``key``."""
    if key not in _warned:
        _warned.add(key)
        logger.warning(message)


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def describe_opaque(value: object) -> tuple[str, str]:
    """Return type name and repr of an object that no value can hold, and warn once for its type."""
    if isinstance(value, Opaque):
        return value.type, value.repr
    cls = type(value)
    name = f"{_name(cls)} of dtype {value.dtype}" if isinstance(value, np.ndarray | np.generic) else _name(cls)
    warn_once(name, f"{name} cannot be sent; it arrives as rlay.Opaque(type, repr)")
    try:
        text = repr(value)
    except Exception as error:  # a broken __repr__ must not break the step
        text = f"<repr raised {type(error).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode()
    return name, text[:256]


def note_subclass(cls: type, base: str) -> None:
    """Warn once that values of ``cls`` arrive as their base class."""
    warn_once(f"{_name(cls)} as {base}", f"{_name(cls)} arrives as {base}; the wire does not know the subclass")


def int_to_bytes(value: int) -> bytes:
    """Return a large int as the shortest little-endian two's complement bytes."""
    return int(value).to_bytes((value + (value < 0)).bit_length() // 8 + 1, "little", signed=True)


def int_from_bytes(data: bytes) -> int:
    """Return the int that little-endian two's complement bytes hold."""
    return int.from_bytes(data, "little", signed=True)


def seed_to_bytes(seed: int) -> bytes:
    """Return a non-negative int as the shortest little-endian bytes."""
    if seed < 0:
        from gymnasium.error import Error

        raise Error(f"Seed must be greater or equal to zero, actual value: {seed}")
    return seed.to_bytes((seed.bit_length() + 7) // 8, "little")


def seed_from_bytes(data: bytes) -> int:
    """Return the int that :func:`seed_to_bytes` wrote."""
    return int.from_bytes(data, "little")


def little_endian_bytes(value: Any) -> bytes:
    """Return the elements of an array or scalar in C order, little-endian."""
    array = np.asarray(value)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="C")

"""Value conversions that the native module calls in Python: big integers, byte orders, and names for the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlay._log import logger

_warned: set[str] = set()


@dataclass(frozen=True)
class Opaque:
    """Stands for an object in ``info`` or ``metadata`` that could not cross the wire.

    Attributes:
        type: Qualified name of the object's type.
        repr: Its ``repr``, cut at 256 characters. Control characters but newlines and tabs are shown as ``repr`` does.
    """

    type: str
    repr: str


def warn_once(key: str, message: str) -> None:
    """Log a warning, the first time it is given for ``key``."""
    if key not in _warned:
        _warned.add(key)
        logger.warning(message)


def forget_warnings() -> None:
    """Let `warn_once` log each warning once more, for tests that read the log."""
    _warned.clear()


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


_SHOWN = 100
"""Most characters of a name or key in a message."""

_CPU = frozenset({1, 3, 11})
"""DLPack's numbers of devices with memory that the CPU reads: its own, and what CUDA and ROCm pin there."""


def cut(text: str, most: int = _SHOWN) -> str:
    """Return ``text`` cut to ``most`` characters, with only what UTF-8 can encode."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else f"{text[:most]}…"


def part(key: object) -> str:
    """Return the part of a path that leads to the item under ``key``, such as ``["goal"]`` or ``[3]``."""
    try:
        text = json.dumps(key, ensure_ascii=False) if isinstance(key, str) else repr(key)
    except Exception as error:
        text = f"<repr raised {type(error).__name__}>"
    return f"[{cut(text)}]"


def kind(value: object) -> str:
    """Return a description of an object for messages: its type, and the size of arrays and containers."""
    if value is None:
        return "None"
    if isinstance(value, Opaque):
        return f"a stand-in (rlay.Opaque) for an object of type {cut(value.type)}"
    cls = type(value)
    name = cut("array" if cls is np.ndarray else _name(cls))
    text = f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"
    if isinstance(value, np.ndarray):
        return f"{text} of shape {value.shape} and dtype {cut(str(value.dtype))}"
    return f"{text} of {len(value)}" if isinstance(value, list | tuple | dict) else text


def offered_array(value: Any) -> tuple[NDArray[Any] | None, str]:
    """Return the array that an object of another library offers, or why there is none."""
    cls = type(value)
    try:
        if hasattr(cls, "__array__"):
            array = np.asarray(value)
        elif value.__dlpack_device__()[0] not in _CPU:
            return None, "does not lie in the memory of the CPU; copy it there first"
        else:
            array = np.from_dlpack(value)
    except Exception as error:
        return None, f"gives no array ({type(error).__name__}: {cut(str(error), 300)})"
    if array.dtype.kind in "biuf":
        text = f"{_name(cls)} arrives as numpy.ndarray; the wire knows no other arrays"
        warn_once(f"{_name(cls)} as array", text)
    return array, ""


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

"""Part of wire_reference: numbers, text, lists, values and spaces (docs/wire.md, sections 3 to 6)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

Json = Any

DTYPES = ["bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "f32", "f64"]
SIZES = dict(zip(DTYPES, [1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8], strict=True))
INTEGERS = DTYPES[1:9]
KINDS = {
    0x01: "Hello", 0x02: "Challenge", 0x03: "Proof", 0x04: "Welcome", 0x05: "Reject", 0x09: "Goodbye", 0x0A: "Error",
    0x20: "Make", 0x21: "Reset", 0x22: "Step", 0x23: "Render", 0x24: "Attribute", 0x25: "Close", 0x30: "StepAgents",
    0x40: "Spec", 0x41: "Result", 0x42: "Frames", 0x43: "Returned", 0x44: "Closed", 0x50: "ResultAgents",
}  # fmt: skip


class WireError(ValueError):
    """Bytes that the specification does not allow."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise WireError(what)


class Reader:
    """A place in the bytes of a frame, and what may still be nested and counted."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.depth, self.count, self.keys = data, 0, 32, 1 << 20, 4096

    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, n: int) -> bytes:
        require(n <= self.left(), f"{n} bytes announced, {self.left()} left")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, form: str) -> int:
        value: int = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]
        return value

    def u8(self) -> int:
        return self.number("B")

    def u16(self) -> int:
        return self.number("H")

    def u32(self) -> int:
        return self.number("I")

    def u64(self) -> int:
        return self.number("Q")

    def i64(self) -> int:
        return self.number("q")

    def flag(self) -> bool:
        byte = self.u8()
        require(byte <= 1, "a bool is 0 or 1")
        return byte == 1

    def f64(self) -> str:
        return f"{self.u64():016x}"

    def blob(self) -> bytes:
        return self.take(self.u64())

    def text(self, most: int | None = None) -> str:
        raw = self.blob()
        require(most is None or len(raw) <= most, "too long a name")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(str(error)) from None

    def items(self, size: int, item: Callable[[], Json]) -> list[Json]:
        n = self.u64()
        require(n <= self.left() // size, f"{n} items announced, {self.left()} bytes left")
        return [item() for _ in range(n)]

    def option(self, item: Callable[[], Json]) -> Json:
        return item() if self.flag() else None

    def nested(self, item: Callable[[], Json]) -> Json:
        require(self.depth > 0, "nested too deep")
        require(self.count > 0, "too many values")
        self.depth, self.count = self.depth - 1, self.count - 1
        result = item()
        self.depth += 1
        return result

    def zeros(self, n: int) -> None:
        require(not any(self.take(n)), "padding that is not zero")

    def end(self) -> None:
        require(self.left() == 0, f"{self.left()} bytes too many")

    # Section 4 and 5

    def dtype(self) -> tuple[str, bool]:
        code = self.u32()
        require(code & ~0x100 < len(DTYPES), f"unknown dtype {code}")
        dtype, big = DTYPES[code & 0xFF], code & 0x100 != 0
        require(not big or SIZES[dtype] > 1, "one byte has no order")
        return dtype, big

    def shape(self) -> list[int]:
        shape = self.items(8, self.u64)
        require(len(shape) <= 64, "more than 64 dimensions")
        return shape

    def elements(self, dtype: str, n: int) -> bytes:
        raw = self.take(n)
        require(dtype != "bool" or all(byte <= 1 for byte in raw), "a bool is 0 or 1")
        return raw

    def value(self) -> Json:
        return self.nested(self._value)

    def key(self) -> Json:
        start = self.at
        key = self.value()
        require(is_hashable(key), "a key that cannot be one")
        if key == "None" or not ("Str" in key or ("Int" in key and 0 <= key["Int"] < 16384)):
            require("Opaque" in key or self.at - start <= 256, "too long a key")
            self.keys -= 1
            require(self.keys >= 0, "too many keys that can be made to collide")
        return key

    def mapping(self) -> Json:
        value = self.value()
        require("Dict" in value, "a value that is no Dict")
        return value

    def _value(self) -> Json:
        tag = self.u32()
        require(tag <= 13, f"unknown value tag {tag}")
        if tag == 0:
            return "None"
        if tag == 1:
            return {"Bool": self.flag()}
        if tag == 2:
            return {"Int": self.i64()}
        if tag == 3:
            raw = self.blob()
            shorter = raw[-1:] == b"\0" and raw[-2] < 0x80 or raw[-1:] == b"\xff" and raw[-2] >= 0x80
            require(len(raw) > 8 and not shorter, "a large integer that is not in its shortest form")
            return {"BigInt": raw.hex()}
        if tag == 4:
            return {"Float": self.f64()}
        if tag == 5:
            return {"Str": self.text()}
        if tag == 6:
            return {"Bytes": self.blob().hex()}
        if tag in (7, 8):
            return {"List" if tag == 7 else "Tuple": self.items(4, self.value)}
        if tag == 9:
            return {"Dict": self.items(8, lambda: [self.key(), self.value()])}
        if tag == 10:
            dtype, big = self.dtype()
            shape = self.shape()
            size, length = product(shape, SIZES[dtype]), self.u64()
            require(size == length, "an array whose shape does not hold its data")
            return {"Array": array(dtype, big, shape, self.elements(dtype, length))}
        if tag == 11:
            dtype, big = self.dtype()
            return {"Scalar": array(dtype, big, [], self.elements(dtype, SIZES[dtype]))}
        if tag == 12:
            return {"Graph": {"nodes": self.value(), "edges": self.value(), "edge_links": self.value()}}
        return {"Opaque": {"type_name": self.text(), "repr": self.text()}}

    # Section 6

    def space(self) -> Json:
        return self.nested(self._space)

    def _space(self) -> Json:
        tag = self.u32()
        require(tag <= 9, f"unknown space tag {tag}")
        if tag == 0:
            dtype, big = self.dtype()
            shape = self.shape()
            n = believable(shape, SIZES[dtype])
            low, high = self.bound(dtype, n), self.bound(dtype, n)
            return {"Box": {"dtype": dtype, "big_endian": big, "shape": shape, "low": low, "high": high}}
        if tag == 1:
            dtype, big = self.dtype()
            n, start = self.u64(), self.i64()
            require(n > 0 and not big and dtype in INTEGERS, "a Discrete space of no integers")
            return {"Discrete": {"dtype": dtype, "n": n, "start": start}}
        if tag == 2:
            shape = self.shape()
            believable(shape, 1)
            return {"MultiBinary": {"shape": shape, "n_is_int": self.flag()}}
        if tag == 3:
            dtype, big = self.dtype()
            shape = self.shape()
            n = believable(shape, 8)
            nvec, starts = self.items(8, self.i64), self.items(8, self.i64)
            require(len(nvec) == len(starts) == n, "fields that do not fit the shape")
            require(dtype in INTEGERS and all(n > 0 for n in nvec), "a MultiDiscrete space of no integers")
            fields = {"dtype": dtype, "big_endian": big, "shape": shape, "nvec": nvec, "start": starts}
            return {"MultiDiscrete": fields}
        if tag == 4:
            least, most = self.u64(), self.u64()
            require(least <= most, "min_length above max_length")
            return {"Text": {"min_length": least, "max_length": most, "charset": self.text()}}
        if tag == 5:
            return {"Tuple": self.items(4, self.space)}
        if tag == 6:
            return {"Dict": self.items(8, lambda: [self.key(), self.space()])}
        if tag == 7:
            stack = self.flag()
            return {"Sequence": {"space": self.space(), "stack": stack}}
        if tag == 8:
            return {"Graph": {"node": self.space(), "edge": self.option(self.space)}}
        spaces = self.items(4, self.space)
        require(len(spaces) > 0, "a OneOf of no spaces")
        return {"OneOf": spaces}

    def bound(self, dtype: str, n: int) -> Json:
        tag = self.u32()
        require(tag <= 1, f"unknown bound tag {tag}")
        if tag == 0:
            return {"Uniform": {"value": self.elements(dtype, SIZES[dtype]).hex(), "bounded": self.flag()}}
        values = self.elements(dtype, n * SIZES[dtype]).hex()
        return {"Each": {"values": values, "bounded": [byte == 1 for byte in self.elements("bool", n)]}}


def array(dtype: str, big: bool, shape: list[int], data: bytes) -> Json:
    return {"dtype": dtype, "big_endian": big, "shape": shape, "data": data.hex()}


def is_hashable(key: Json) -> bool:
    if "Tuple" in key:
        return all(map(is_hashable, key["Tuple"]))
    return not any(kind in key for kind in ("List", "Dict", "Array", "Graph"))


def product(shape: list[int], size: int) -> int:
    require(size * math.prod(n for n in shape if n > 0) < 1 << 63, "a shape of too many elements")
    return size * math.prod(shape)


def believable(shape: list[int], size: int) -> int:
    require(product(shape, size) <= 1 << 40, "a space too large to be believed")
    return math.prod(shape)


def members(space: Json) -> list[Json] | None:
    """The spaces in a Tuple or Dict space."""
    if "Tuple" in space:
        tuples: list[Json] = space["Tuple"]
        return tuples
    return [member for _, member in space["Dict"]] if "Dict" in space else None

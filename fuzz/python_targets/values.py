"""Values made up from bytes: Python builds a value that is read in little time, and raises only RLay's own errors.

Arbitrary bytes would mostly be refused at once, and the library in Rust reports no coverage; so the bytes decide the
content of a value that is well-formed but for the changes that they make at its end.
"""

from __future__ import annotations

import struct
import time

import atheris

with atheris.instrument_imports(include=["rlay"]):
    from rlay import _rlay

import common

from rlay.errors import ProtocolError

MOST = 1.0
"""Processor seconds for a value of a few kilobytes; keys that are made to collide take longest."""

PRIME = (1 << 61) - 1
"""Python's ints have the same hash if they differ by a multiple of this prime."""


def blob(raw: bytes) -> bytes:
    """Return bytes behind their length."""
    return struct.pack("<Q", len(raw)) + raw


def big(x: int) -> bytes:
    """Return a large int in its shortest form."""
    return struct.pack("<I", 3) + blob(x.to_bytes(x.bit_length() // 8 + 1, "little", signed=True))


@atheris.instrument_func
def array(source: atheris.FuzzedDataProvider, tag: int) -> bytes:
    """Return an array or scalar of any dtype, with zeros in it."""
    code = source.ConsumeIntInRange(0, 11)
    size = (1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8)[code]
    head = struct.pack("<II", tag, code | (0x100 if size > 1 and source.ConsumeBool() else 0))
    if tag == 11:
        return head + bytes(size)
    shape = [source.ConsumeIntInRange(0, 3) for _ in range(source.ConsumeIntInRange(0, 8))]
    n = size
    for dimension in shape:
        n *= dimension
    return head + struct.pack(f"<Q{len(shape)}Q", len(shape), *shape) + blob(bytes(n))


@atheris.instrument_func
def value(source: atheris.FuzzedDataProvider, depth: int = 0) -> bytes:
    """Return a value as it is written."""
    tag = source.ConsumeIntInRange(0, 13 if depth < 6 else 6)
    head = struct.pack("<I", tag)
    match tag:
        case 1:
            return head + bytes([source.ConsumeBool()])
        case 2:
            return head + struct.pack("<q", source.ConsumeInt(8))
        case 3:
            return big(source.ConsumeIntInRange(5, 1 << 20) * PRIME)
        case 4:
            return head + struct.pack("<d", source.ConsumeFloat())
        case 5:
            return head + blob(source.ConsumeUnicodeNoSurrogates(9).encode())
        case 6:
            return head + blob(source.ConsumeBytes(9))
        case 7 | 8 | 9:
            n = source.ConsumeIntInRange(0, 6)
            items = b"".join(value(source, depth + 1) for _ in range(n * (2 if tag == 9 else 1)))
            if tag == 9 and source.ConsumeBool():
                more = source.ConsumeIntInRange(0, 5000)
                items += b"".join(big((i + 9) * PRIME) + bytes(4) for i in range(more))
                n += more
            return head + struct.pack("<Q", n) + items
        case 10 | 11:
            return array(source, tag)
        case 12:
            return head + b"".join(value(source, depth + 1) for _ in range(3))
        case 13:
            return head + blob(source.ConsumeBytes(3).hex().encode()) + blob(b"")
    return head


@atheris.instrument_func
def target(data: bytes) -> None:
    """Read a value as the peer of its sender does, and build it."""
    source = atheris.FuzzedDataProvider(data)
    written = value(source) + source.ConsumeBytes(2)
    began = time.process_time()
    try:
        _rlay.read_value(written)
    except ProtocolError:
        return
    finally:
        took = time.process_time() - began
        assert took <= MOST + len(written) / 1e5, f"{took:.1f} s for a value of {len(written)} bytes"


if __name__ == "__main__":
    common.run(target, "value")

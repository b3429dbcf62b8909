"""The wire format a second time, in plain Python, written from docs/wire.md alone: bytes to the vectors' JSON and back.

This module shares no code with rlay, so where both agree, the specification determines the bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from wire_values import KINDS, SIZES, Json, Reader, WireError, array, members, product, require
from wire_writer import encode

__all__ = ["WireError", "decode", "encode"]

RESERVED = {"StepAgents", "ResultAgents"}
STREAM_LIMIT = 65536


# Section 7


def leaf(space: Json) -> tuple[str, list[int]]:
    """Dtype and shape of the arrays of a leaf that has a packed form."""
    if "MultiBinary" in space:
        return "i8", space["MultiBinary"]["shape"]
    fields = space.get("Box") or space.get("MultiDiscrete")
    require(fields is not None and not fields["big_endian"], "a space that has no packed form")
    return fields["dtype"], fields["shape"]


def unpack(space: Json, reader: Reader, rows: int) -> list[Json]:
    """The elements of all rows."""
    inner = members(space)
    if inner is not None:
        columns = [unpack(member, reader, rows) for member in inner]
        each = [[column[row] for column in columns] for row in range(rows)]
        if "Tuple" in space:
            return [{"Tuple": row} for row in each]
        keys = [key for key, _ in space["Dict"]]
        return [{"Dict": [[key, x] for key, x in zip(keys, row, strict=True)]} for row in each]
    if "Discrete" in space:
        dtype = space["Discrete"]["dtype"]
        numbers = [reader.i64() for _ in range(rows)]
        marks = [reader.flag() for _ in range(rows)]
        reader.zeros(-rows % 8)
        return [scalar(dtype, x) if mark else {"Int": x} for x, mark in zip(numbers, marks, strict=True)]
    dtype, shape = leaf(space)
    size = product(shape, SIZES[dtype])
    each_array = [array(dtype, False, shape, reader.elements(dtype, size)) for _ in range(rows)]
    reader.zeros(-(rows * size) % 8)
    return [{"Array": x} for x in each_array]


def scalar(dtype: str, x: int) -> Json:
    bits = 8 * SIZES[dtype]
    low, high = (0, 1 << bits) if dtype[0] == "u" else (-1 << bits - 1, 1 << bits - 1)
    x = x % (1 << 64) if dtype == "u64" else x
    require(low <= x < high, f"{dtype} has no {x}")
    return {"Scalar": array(dtype, False, [], (x % (1 << bits)).to_bytes(SIZES[dtype], "little"))}


def payload(reader: Reader, rows: int) -> Json:
    form = reader.u32()
    require(form <= 1, f"unknown payload form {form}")
    if form == 1:
        values = [reader.value() for _ in range(rows)]
        reader.end()
        return {"Values": values}
    length, pad = reader.u64(), reader.u32()
    require(pad < 64 and (reader.at + pad) % 64 == 0, "wrong padding")
    reader.zeros(pad)
    require(length == reader.left(), f"{length} payload bytes announced, {reader.left()} left")
    return {"Packed": reader.take(length).hex()}


# Sections 2 and 8


def frame(reader: Reader) -> Json:
    """A whole frame."""
    code, reserved = reader.u8(), reader.take(7)
    require(not any(reserved), "reserved header bytes")
    require(code in KINDS, f"unknown kind {code}")
    kind = KINDS[code]
    json: dict[str, Json] = {"kind": kind, "seq": reader.u64(), "ack": reader.u64(), "re": reader.u64()}
    if kind in RESERVED:
        return json | {"body": None}
    json["body"] = BODIES[kind](reader)
    if kind in ("Step", "Result"):
        json["payload"] = payload(reader, len(json["body"]))
    reader.end()
    return json


RESUMABLE, RESUMING = 1, 2  # feature bits


def hello(r: Reader) -> Json:
    require(r.take(4) == b"RLAY", "no magic word")
    json: dict[str, Json] = {"wire_min": r.u16(), "wire_max": r.u16()}
    role = r.u8()
    require(role <= 1, "unknown role")
    json |= {"role": ["Agent", "Env"][role], "auth": r.u8(), "features": r.u64(), "max_frame": r.u64()}
    json |= {"peer": r.text(256)}
    json["nonce"] = list(r.take(32)) if json["auth"] == 1 else None
    resumes = json["features"] & RESUMING
    return json | {"resume": {"ticket": list(r.take(32)), "received": r.u64()} if resumes else None}


def welcome(r: Reader) -> Json:
    json: dict[str, Json] = {"wire": r.u16(), "features": r.u64(), "max_frame": r.u64(), "peer": r.text(256)}
    json["proof"] = r.option(lambda: list(r.take(32)))
    json["ticket"] = list(r.take(32)) if json["features"] & RESUMABLE else None
    return json | {"received": r.u64() if json["features"] & RESUMING else None}


def error(r: Reader) -> Json:
    json: dict[str, Json] = {"code": r.u32(), "fatal": r.flag(), "slots": r.items(4, r.u32)}
    return json | {"failure": {"error_type": r.text(), "message": r.text(), "traceback": r.text()}}


def seed(r: Reader) -> Json:
    raw = r.blob()
    require(len(raw) <= 4096, "too long a seed")
    require(raw[-1:] != b"\0", "a seed with zeros at its end")
    return raw.hex()


def row(r: Reader) -> Json:
    slot, flags = r.u32(), r.u8()
    require(flags < 16, "unknown row flags")
    names = ("first", "terminated", "truncated", "last")
    return {"slot": slot, **{name: flags & (1 << bit) != 0 for bit, name in enumerate(names)}, "reward": r.f64()}


def result(r: Reader) -> Json:
    rows = r.items(13, lambda: r.nested(lambda: row(r)))
    return [json | {"info": r.mapping()} for json in rows]


AUTORESET_MODES = ("Disabled", "NextStep", "SameStep")


def autoreset_mode(r: Reader) -> str:
    mode = r.u8()
    require(mode < len(AUTORESET_MODES), "unknown autoreset mode")
    return AUTORESET_MODES[mode]


def attribute(r: Reader) -> Json:
    json: dict[str, Json] = {"slots": r.items(4, r.u32), "name": r.text(256)}
    kind = r.u8()
    require(kind < 3, "unknown access")
    if kind == 0:
        return json | {"access": "Get"}
    values = r.items(4, r.value)
    if kind == 1:
        require(len(values) == len(json["slots"]), "a value for each slot")
        return json | {"access": {"Set": values}}
    kwargs = r.mapping()["Dict"]
    require(all(isinstance(key, dict) and "Str" in key for key, _ in kwargs), "a keyword that is no text")
    return json | {"access": {"Call": [values, kwargs]}}


def names(r: Reader) -> Json:
    found = r.items(8, lambda: r.text(256))
    require(len(found) <= 256, "more than 256 names")
    return found


BODIES: dict[str, Callable[[Reader], Json]] = {
    "Hello": hello,
    "Welcome": welcome,
    "Challenge": lambda r: {"nonce": list(r.take(32))},
    "Proof": lambda r: {"proof": list(r.take(32))},
    "Reject": lambda r: {
        "code": r.u32(), "wire_min": r.u16(), "wire_max": r.u16(), "message": r.text(),
    },
    "Goodbye": lambda r: {"code": r.u32(), "message": r.text()},
    "Error": error,
    "Make": lambda r: {
        "env_id": r.option(lambda: r.text(1024)), "kwargs": r.value(), "render_mode": r.option(lambda: r.text(256)),
        "slots": r.u32(), "autoreset_mode": autoreset_mode(r),
    },
    "Spec": lambda r: {
        "env_id": r.text(1024), "observation_space": r.space(), "action_space": r.space(), "slots": r.u32(),
        "autoreset_mode": autoreset_mode(r), "render_mode": r.option(lambda: r.text(256)),
        "metadata": r.mapping(), "details": r.mapping(), "attributes": names(r),
    },
    "Reset": lambda r: {
        "rows": r.items(5, lambda: r.nested(lambda: [r.u32(), r.option(lambda: seed(r))])), "options": r.value(),
    },
    "Step": lambda r: r.items(4, r.u32),
    "Render": lambda r: r.items(4, r.u32),
    "Attribute": attribute,
    "Close": lambda r: r.items(4, r.u32),
    "Closed": lambda r: r.items(4, r.u32),
    "Result": result,
    "Frames": lambda r: r.items(8, lambda: [r.u32(), r.value()]),
    "Returned": lambda r: r.items(5, lambda: [r.u32(), r.option(r.value)]),
}  # fmt: skip


# Section 1


def stream(data: bytes) -> Json:
    """Frames on a stream that stops between two of them."""
    frames: list[str] = []
    reader = Reader(data)
    while reader.left():
        length = reader.u32()
        if length == 0xFFFFFFFF:
            return {"frames": frames, "closed": True}
        require(length <= STREAM_LIMIT, f"a frame of {length} bytes")
        frames.append(reader.take(length).hex())
    return {"frames": frames, "closed": False}


def decode(what: str, data: bytes, space: Json = None, rows: int = 1) -> Json:
    """The JSON of `data`, which holds a `what`."""
    if what == "stream":
        return stream(data)
    reader = Reader(data)
    if what == "frame":
        return frame(reader)
    readers: dict[str, Callable[[], Json]] = {
        "value": reader.value,
        "space": reader.space,
        "payload": lambda: unpack(space, reader, rows),
    }
    json = readers[what]()
    reader.end()
    return json

"""Part of wire_reference: the vectors' JSON back to bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from wire_values import DTYPES, KINDS, Json, members

CODES = {name: code for code, name in KINDS.items()}


def u8(x: int) -> bytes:
    return struct.pack("<B", x)


def u16(x: int) -> bytes:
    return struct.pack("<H", x)


def u32(x: int) -> bytes:
    return struct.pack("<I", x)


def u64(x: int) -> bytes:
    return struct.pack("<Q", x)


def i64(x: int) -> bytes:
    return struct.pack("<q", x)


def f64(bits: str) -> bytes:
    return u64(int(bits, 16))


def blob(raw: bytes) -> bytes:
    return u64(len(raw)) + raw


def text(x: str) -> bytes:
    return blob(x.encode("utf-8"))


def listed(items: list[Json], item: Callable[[Json], bytes]) -> bytes:
    return u64(len(items)) + b"".join(map(item, items))


def option(x: Json, item: Callable[[Json], bytes]) -> bytes:
    return u8(0) if x is None else u8(1) + item(x)


def slots(x: Json) -> bytes:
    return listed(x, u32)


def dtype(fields: Json) -> bytes:
    return u32(DTYPES.index(fields["dtype"]) + (0x100 if fields.get("big_endian") else 0))


def value(json: Json) -> bytes:
    if json == "None":
        return u32(0)
    ((tag, x),) = json.items()
    tags: dict[str, tuple[int, Callable[[Json], bytes]]] = {
        "Bool": (1, u8),
        "Int": (2, i64),
        "BigInt": (3, lambda x: blob(bytes.fromhex(x))),
        "Float": (4, f64),
        "Str": (5, text),
        "Bytes": (6, lambda x: blob(bytes.fromhex(x))),
        "List": (7, lambda x: listed(x, value)),
        "Tuple": (8, lambda x: listed(x, value)),
        "Dict": (9, lambda x: listed(x, lambda pair: value(pair[0]) + value(pair[1]))),
        "Array": (10, lambda x: dtype(x) + listed(x["shape"], u64) + blob(bytes.fromhex(x["data"]))),
        "Scalar": (11, lambda x: dtype(x) + bytes.fromhex(x["data"])),
        "Graph": (12, lambda x: value(x["nodes"]) + value(x["edges"]) + value(x["edge_links"])),
        "Opaque": (13, lambda x: text(x["type_name"]) + text(x["repr"])),
    }
    code, write = tags[tag]
    return u32(code) + write(x)


def bound(json: Json) -> bytes:
    if "Uniform" in json:
        return u32(0) + bytes.fromhex(json["Uniform"]["value"]) + u8(json["Uniform"]["bounded"])
    return u32(1) + bytes.fromhex(json["Each"]["values"]) + bytes(json["Each"]["bounded"])


def space(json: Json) -> bytes:
    ((tag, x),) = json.items()
    tags: dict[str, tuple[int, Callable[[Json], bytes]]] = {
        "Box": (0, lambda x: dtype(x) + listed(x["shape"], u64) + bound(x["low"]) + bound(x["high"])),
        "Discrete": (1, lambda x: dtype(x) + u64(x["n"]) + i64(x["start"])),
        "MultiBinary": (2, lambda x: listed(x["shape"], u64) + u8(x["n_is_int"])),
        "MultiDiscrete": (
            3,
            lambda x: dtype(x) + listed(x["shape"], u64) + listed(x["nvec"], i64) + listed(x["start"], i64),
        ),
        "Text": (4, lambda x: u64(x["min_length"]) + u64(x["max_length"]) + text(x["charset"])),
        "Tuple": (5, lambda x: listed(x, space)),
        "Dict": (6, lambda x: listed(x, lambda pair: value(pair[0]) + space(pair[1]))),
        "Sequence": (7, lambda x: u8(x["stack"]) + space(x["space"])),
        "Graph": (8, lambda x: space(x["node"]) + option(x["edge"], space)),
        "OneOf": (9, lambda x: listed(x, space)),
    }
    code, write = tags[tag]
    return u32(code) + write(x)


def row(x: Json) -> bytes:
    flags = x["first"] + 2 * x["terminated"] + 4 * x["truncated"] + 8 * x["last"]
    return u32(x["slot"]) + u8(flags) + f64(x["reward"])


def seed(x: str) -> bytes:
    return blob(bytes.fromhex(x))


def failure(x: Json) -> bytes:
    return text(x["error_type"]) + text(x["message"]) + text(x["traceback"])


def autoreset_mode(x: Json) -> bytes:
    return u8(["Disabled", "NextStep", "SameStep"].index(x))


def access(x: Json) -> bytes:
    if x == "Get":
        return u8(0)
    if "Set" in x:
        return u8(1) + listed(x["Set"], value)
    args, kwargs = x["Call"]
    return u8(2) + listed(args, value) + value({"Dict": kwargs})


def numbers(x: Json, names: Iterable[str], write: Callable[[int], bytes]) -> bytes:
    return b"".join(write(x[name]) for name in names)


BODIES: dict[str, Callable[[Json], bytes]] = {
    "Hello": lambda x: (
        b"RLAY"
        + numbers(x, ["wire_min", "wire_max"], u16)
        + u8(["Agent", "Env"].index(x["role"]))
        + u8(x["auth"])
        + numbers(x, ["features", "max_frame"], u64)
        + text(x["peer"])
        + bytes(x["nonce"] or ())
        + (bytes(x["resume"]["ticket"]) + u64(x["resume"]["received"]) if x["resume"] else b"")
    ),
    "Challenge": lambda x: bytes(x["nonce"]),
    "Proof": lambda x: bytes(x["proof"]),
    "Welcome": lambda x: (
        u16(x["wire"])
        + numbers(x, ["features", "max_frame"], u64)
        + text(x["peer"])
        + option(x["proof"], bytes)
        + bytes(x["ticket"] or ())
        + (b"" if x["received"] is None else u64(x["received"]))
    ),
    "Reject": lambda x: u32(x["code"]) + numbers(x, ["wire_min", "wire_max"], u16) + text(x["message"]),
    "Goodbye": lambda x: u32(x["code"]) + text(x["message"]),
    "Error": lambda x: u32(x["code"]) + u8(x["fatal"]) + slots(x["slots"]) + failure(x["failure"]),
    "Make": lambda x: (
        option(x["env_id"], text)
        + value(x["kwargs"])
        + option(x["render_mode"], text)
        + u32(x["slots"])
        + autoreset_mode(x["autoreset_mode"])
    ),
    "Spec": lambda x: (
        text(x["env_id"])
        + space(x["observation_space"])
        + space(x["action_space"])
        + u32(x["slots"])
        + autoreset_mode(x["autoreset_mode"])
        + option(x["render_mode"], text)
        + value(x["metadata"])
        + value(x["details"])
        + listed(x["attributes"], text)
    ),
    "Reset": lambda x: listed(x["rows"], lambda r: u32(r[0]) + option(r[1], seed)) + value(x["options"]),
    "Result": lambda x: listed(x, row) + b"".join(value(r["info"]) for r in x),
    "Frames": lambda x: listed(x, lambda pair: u32(pair[0]) + value(pair[1])),
    "Attribute": lambda x: slots(x["slots"]) + text(x["name"]) + access(x["access"]),
    "Returned": lambda x: listed(x, lambda pair: u32(pair[0]) + option(pair[1], value)),
}


def pack(space: Json, values: list[Json]) -> bytes:
    """The packed form of all rows; their elements are known to have one."""
    inner = members(space)
    if inner is not None:
        rows = [v["Tuple"] if "Tuple" in v else [x for _, x in v["Dict"]] for v in values]
        return b"".join(pack(member, [row[i] for row in rows]) for i, member in enumerate(inner))
    if "Discrete" not in space:
        return padded(b"".join(bytes.fromhex(v["Array"]["data"]) for v in values))
    numbers, marks = b"", b""
    for v in values:
        if "Int" in v:
            x = v["Int"]
        else:
            signed = v["Scalar"]["dtype"][0] == "i"
            x = int.from_bytes(bytes.fromhex(v["Scalar"]["data"]), "little", signed=signed)
        numbers += (x % (1 << 64)).to_bytes(8, "little")
        marks += bytes(["Scalar" in v])
    return numbers + padded(marks)


def padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 8)


def frame(json: Json) -> bytes:
    """A whole frame."""
    out = u8(CODES[json["kind"]]) + bytes(7) + numbers(json, ["seq", "ack", "re"], u64)
    if json["body"] is None:
        return out
    out += BODIES.get(json["kind"], slots)(json["body"])
    if "payload" not in json:
        return out
    if "Values" in json["payload"]:
        return out + u32(1) + b"".join(map(value, json["payload"]["Values"]))
    packed = bytes.fromhex(json["payload"]["Packed"])
    out += u32(0) + u64(len(packed))
    pad = -(len(out) + 4) % 64
    return out + u32(pad) + bytes(pad) + packed


def stream(json: Json) -> bytes:
    """Frames, each behind its length."""
    frames = b"".join(u32(len(x) // 2) + bytes.fromhex(x) for x in json["frames"])
    return frames + (b"\xff\xff\xff\xff" if json["closed"] else b"")


def encode(what: str, json: Json, of_space: Json = None) -> bytes:
    """The bytes of `json`, which is the JSON of a `what`."""
    if what == "payload":
        return pack(of_space, json)
    writers: dict[str, Callable[[Json], bytes]] = {"value": value, "space": space, "frame": frame, "stream": stream}
    return writers[what](json)

"""Values of every kind, and an environment that sends and receives them in ``info`` and ``options``."""

from __future__ import annotations

import enum
import struct
from collections import Counter, OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable
from types import MappingProxyType, SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import GraphInstance

from equal import difference

DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
BIG = tuple(f">{dtype}" for dtype in DTYPES if dtype[-1] in "248")


def _nan(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def _array(dtype: str) -> np.ndarray:
    bits = np.random.default_rng(7).integers(0, 256, (2, 3, np.dtype(dtype).itemsize), np.uint8)
    return (bits % 2).view("?")[..., 0] if dtype == "?" else bits.view(dtype)[..., 0]


def _readonly() -> np.ndarray:
    array = np.arange(5)
    array.flags.writeable = False
    return array


SAME: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    **{f"int {x}": lambda x=x: x for x in (0, 1, -1, 2**31, 2**53 + 1, 2**62)},
    **{f"int 2**63{d:+}": lambda d=d: 2**63 + d for d in (-1, 0, 1)},
    **{f"int -2**63{d:+}": lambda d=d: -(2**63) + d for d in (-1, 0, 1)},
    **{f"int 2**64{d:+}": lambda d=d: 2**64 + d for d in (-1, 0, 1)},
    "int beyond 64 bits": lambda: 3**200,
    "int below 64 bits": lambda: -(3**200),
    "int of shortest bytes": lambda: [-(2**71), -(2**71) - 1, 2**71 - 1, 2**71, 255 << 64, 128 << 64, -(128 << 64)],
    "float": lambda: [0.1, 1e308, 5e-324, -0.0, 0.0],
    "float infinite": lambda: [float("inf"), float("-inf")],
    "float NaN": lambda: float("nan"),
    "float NaN with payload": lambda: [_nan(0x7FF8000000000123), _nan(0xFFF8DEADBEEF0001)],
    "str": lambda: "text",
    "str empty": lambda: "",
    "str not ASCII": lambda: "é漢🎲\x00\n\u200d\U0010ffff",
    "str long": lambda: "x" * 100_000,
    "bytes": lambda: bytes(range(256)),
    "bytes empty": lambda: b"",
    "list": lambda: [1, 1.0, True, None, "1", b"1", [], [[]]],
    "tuple": lambda: (1, (2, (3, ())), [4, (5,)]),
    "dict": lambda: {"b": 1, "a": {"z": {}, "y": [{}]}, "": None},
    "dict with keys of any type": lambda: {
        1: "int",
        "1": "str",
        b"1": "bytes",
        None: 0,
        0.5: 0,
        (1, ("a",)): 0,
        2**70: 0,
    },
    "dict with NumPy keys": lambda: {np.int64(3): 1, np.float32(0.5): 2, np.bool_(True): 3},
    "dict with the key False": lambda: {False: "not 0"},
    **{f"array {dtype}": lambda dtype=dtype: _array(dtype) for dtype in DTYPES + BIG},
    "array 0-d": lambda: [np.array(3), np.array(3, ">i8"), np.array(True), np.array(2.5, np.float16)],
    "array empty": lambda: [np.zeros((0,)), np.zeros((3, 0, 2), np.int8), np.zeros((0, 2**40), np.uint8)],
    "array of many dimensions": lambda: np.arange(4096, dtype=np.int32).reshape((2,) * 12),
    "array large": lambda: np.arange(300_000, dtype=np.float64).reshape(3, -1),
    **{f"scalar {dtype}": lambda dtype=dtype: list(_array(dtype).ravel()) for dtype in DTYPES},
    "scalar of a big-endian array": lambda: _array(">f4")[0, 0],
    "scalar NaN with payload": lambda: np.array([0x7FC00123], np.uint32).view(np.float32)[0],
    "GraphInstance": lambda: GraphInstance(np.zeros((2, 3)), np.array([1]), np.array([[0, 1]], np.int32)),
    "GraphInstance without edges": lambda: GraphInstance(("a", "b"), None, None),
    "nested 29 deep": lambda: _deep(29),
    "all together": lambda: {"a": [(np.float32(0.1), 1, {"b": np.array([True])}), b"", None], 2: (np.int8(1), 2**99)},
}
"""Values that arrive as they are."""

LAID_OUT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "array not contiguous": (
        lambda: np.arange(24).reshape(4, 6)[::2, 1::2],
        lambda: np.array([[1, 3, 5], [13, 15, 17]]),
    ),
    "array backwards": (lambda: np.arange(3)[::-1], lambda: np.array([2, 1, 0])),
    "array in Fortran order": (lambda: np.asfortranarray([[1, 2], [3, 4]]), lambda: np.array([[1, 2], [3, 4]])),
    "array broadcast": (lambda: np.broadcast_to(np.float32(2), (2, 2)), lambda: np.full((2, 2), 2, np.float32)),
    "array readonly": (_readonly, lambda: np.arange(5)),
    "array not aligned": (
        lambda: np.frombuffer(b"\x00\x01\x00\x00\x00\x02\x00\x00\x00", np.int32, offset=1),
        lambda: np.array([1, 2], np.int32),
    ),
    "array big-endian, not contiguous": (lambda: np.arange(6, dtype=">i4")[::2], lambda: np.array([0, 2, 4], ">i4")),
}
"""Arrays that arrive as plain ones: what is sent, what arrives."""


def _deep(levels: int) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"in": value}
    return value


class Level(enum.IntEnum):
    """An int with a name."""

    HIGH = 3


class Colour(str, enum.Enum):
    """A str with a name."""

    RED = "red"


class Meters(float):
    """A float with a unit."""


class Blob(bytes):
    """Bytes of some kind."""


class Items(list[Any]):
    """A list of some kind."""


class Pixels(np.ndarray):
    """An array of some kind."""


Point = namedtuple("Point", "x y")


def _moved() -> OrderedDict[str, int]:
    moved = OrderedDict([("a", 1), ("b", 2), ("c", 3)])
    moved.move_to_end("a")
    return moved


SUBCLASSES: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "IntEnum": (lambda: Level.HIGH, 3, "value_envs.Level arrives as int"),
    "str Enum": (lambda: Colour.RED, "red", "value_envs.Colour arrives as str"),
    "float": (lambda: Meters(2.5), 2.5, "value_envs.Meters arrives as float"),
    "bytes": (lambda: Blob(b"x"), b"x", "value_envs.Blob arrives as bytes"),
    "list": (lambda: Items([1, (2,)]), [1, (2,)], "value_envs.Items arrives as list"),
    "namedtuple": (lambda: Point(1, 2.0), (1, 2.0), "value_envs.Point arrives as tuple"),
    "OrderedDict": (_moved, {"b": 2, "c": 3, "a": 1}, "collections.OrderedDict arrives as dict"),
    "defaultdict": (lambda: defaultdict(int, a=1), {"a": 1}, "collections.defaultdict arrives as dict"),
    "Counter": (lambda: Counter("aab"), {"a": 2, "b": 1}, "collections.Counter arrives as dict"),
    "np.str_": (lambda: np.str_("text"), "text", "numpy.str_ arrives as str"),
    "np.bytes_": (lambda: np.bytes_(b"x"), b"x", "numpy.bytes_ arrives as bytes"),
    "array": (lambda: np.array([1, 2]).view(Pixels), np.array([1, 2]), "value_envs.Pixels arrives as numpy.ndarray"),
    "masked array": (
        lambda: np.ma.masked_array([1, 2], [False, True]),
        np.array([1, 2]),
        "numpy.ma.MaskedArray arrives as numpy.ndarray",
    ),
    "key": (lambda: {Level.HIGH: 1}, {3: 1}, "value_envs.Level arrives as int"),
}
"""Values of subclasses: what is sent, what arrives, and the warning."""


class Engine:
    """An object that means nothing elsewhere."""

    def __repr__(self) -> str:
        return "<Engine é\ud800>"


class Broken:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Offers:
    """An array of another library: it offers what it holds by ``__array__``, as those of JAX and torch do."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array.astype(dtype) if dtype else self.array


class Capsule:
    """An array that offers itself by DLPack alone."""

    def __init__(self, array: Any, device: int = 1) -> None:
        self.array, self.device = np.asarray(array), device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.array.__dlpack__(**kwargs)


class Learning(Offers):
    """What a torch tensor does that requires grad."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")


class Elsewhere(Offers):
    """What a torch tensor does that lives on a GPU."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")


OFFERED: dict[str, tuple[Callable[[], Any], Any]] = {
    "__array__": (lambda: Offers([[1.5, 2.5]]), np.array([[1.5, 2.5]])),
    "__array__ of float32": (lambda: Offers(np.float32([1, 2])), np.float32([1, 2])),
    "__array__ of no dimension": (lambda: Offers(np.int32(3)), np.array(3, np.int32)),
    "__dlpack__": (lambda: Capsule(np.arange(3)), np.arange(3)),
    "__dlpack__ in pinned memory": (lambda: Capsule(np.arange(3), device=3), np.arange(3)),
}
"""Arrays of other libraries: what is sent, what arrives."""

NO_ARRAY: dict[str, tuple[Callable[[], Any], str]] = {
    "requires grad": (
        lambda: Learning([1.0]),
        "a value_envs.Learning gives no array (RuntimeError: Can't call numpy() on Tensor that requires grad. "
        "Use tensor.detach().numpy() instead.)",
    ),
    "on a GPU": (lambda: Elsewhere([1.0]), "a value_envs.Elsewhere gives no array (TypeError: can't convert cuda:0"),
    "__dlpack__ on a GPU": (lambda: Capsule([1.0], device=2), "does not lie in the memory of the CPU; copy it there"),
    "array of objects": (lambda: Offers([None]), "an array of shape (1,) and dtype object cannot be sent"),
    "bfloat16": (lambda: np.zeros(2, "V2"), "an array of shape (2,) and dtype |V2 cannot be sent"),
    "the class itself": (lambda: Offers, "a type cannot be sent"),
    "numpy.ndarray": (lambda: np.ndarray, "a type cannot be sent"),
}
"""Objects that look like arrays but cannot be sent as such, and how they are refused in data."""


class Frozen(dict[str, int]):
    """A dict that can be a key, here."""

    def __hash__(self) -> int:  # type: ignore[override]
        return 7


def _engine_room() -> Any:
    return {"engine": Engine(), "more": [Engine(), 1]}


def _opaque(type_name: str, text: str) -> Any:
    from rlay import Opaque

    return Opaque(type_name, text)


OPAQUE: dict[str, tuple[Callable[[], Any], Callable[[], Any], str]] = {
    "object": (
        _engine_room,
        lambda: {"engine": (x := _opaque("value_envs.Engine", "<Engine é\\ud800>")), "more": [x, 1]},
        "value_envs.Engine",
    ),
    "object without repr": (
        Broken,
        lambda: _opaque("value_envs.Broken", "<repr raised RuntimeError>"),
        "value_envs.Broken",
    ),
    "set": (lambda: {1}, lambda: _opaque("set", "{1}"), "set"),
    "complex": (lambda: 1j, lambda: _opaque("complex", "1j"), "complex"),
    "bytearray": (lambda: bytearray(b"x"), lambda: _opaque("bytearray", "bytearray(b'x')"), "bytearray"),
    "range": (lambda: range(3), lambda: _opaque("range", "range(0, 3)"), "range"),
    "class": (lambda: int, lambda: _opaque("type", "<class 'int'>"), "type"),
    "Ellipsis": (lambda: ..., lambda: _opaque("ellipsis", "Ellipsis"), "ellipsis"),
    "namespace": (
        lambda: SimpleNamespace(a=1),
        lambda: _opaque("types.SimpleNamespace", "namespace(a=1)"),
        "types.SimpleNamespace",
    ),
    "mapping proxy": (
        lambda: MappingProxyType({}),
        lambda: _opaque("mappingproxy", "mappingproxy({})"),
        "mappingproxy",
    ),
    "UserDict": (lambda: UserDict(a=1), lambda: _opaque("collections.UserDict", "{'a': 1}"), "collections.UserDict"),
    "long repr": (lambda: set(range(1000)), lambda: _opaque("set", repr(set(range(1000)))[:256]), "set"),
    "lone surrogate": (lambda: ["a\ud800"], lambda: [_opaque("str", "'a\\ud800'")], "str"),
    "np.str_ with lone surrogate": (
        lambda: np.str_("a\ud800"),
        lambda: _opaque("numpy.str_ of dtype <U2", "np.str_('a\\ud800')"),
        "numpy.str_ of dtype <U2",
    ),
    "array of str": (
        lambda: np.array(["ab"]),
        lambda: _opaque("numpy.ndarray of dtype <U2", "array(['ab'], dtype='<U2')"),
        "numpy.ndarray of dtype <U2",
    ),
    "array of objects": (
        lambda: np.array([None]),
        lambda: _opaque("numpy.ndarray of dtype object", "array([None], dtype=object)"),
        "numpy.ndarray of dtype object",
    ),
    "array of records": (
        lambda: np.zeros(1, [("a", "i4")]),
        lambda: _opaque("numpy.ndarray of dtype [('a', '<i4')]", "array([(0,)], dtype=[('a', '<i4')])"),
        "numpy.ndarray of dtype [('a', '<i4')]",
    ),
    "array of longdouble": (
        lambda: np.zeros(1, np.longdouble),
        lambda: _opaque("numpy.ndarray of dtype float128", "array([0.], dtype=float128)"),
        "numpy.ndarray of dtype float128",
    ),
    "datetime64": (
        lambda: np.datetime64("2024-01-01"),
        lambda: _opaque("numpy.datetime64 of dtype datetime64[D]", "np.datetime64('2024-01-01')"),
        "numpy.datetime64 of dtype datetime64[D]",
    ),
    "np.complex64": (
        lambda: np.complex64(1j),
        lambda: _opaque("numpy.complex64 of dtype complex64", "np.complex64(1j)"),
        "numpy.complex64 of dtype complex64",
    ),
    "key": (
        lambda: {frozenset([1]): 1, "a": 2},
        lambda: {_opaque("frozenset", "frozenset({1})"): 1, "a": 2},
        "frozenset",
    ),
    "what was opaque before": (lambda: _opaque("Engine", "x"), lambda: _opaque("Engine", "x"), ""),
}
"""Values that nothing else can hold: what is sent, what arrives, and the type that is warned about."""


def _too_deep() -> Any:
    value: Any = "bottom"
    for _ in range(40):
        value = [value]
    return value


def _within_itself() -> Any:
    loop: list[Any] = [1]
    loop += [loop] * 50
    mapping: dict[str, Any] = {"loop": loop}
    mapping["self"] = mapping
    pair = ([], mapping)
    pair[0].append(pair)
    return pair


ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "a key that is none elsewhere": (
        lambda: {Frozen(a=1): 1},
        ": of its keys, a value_envs.Frozen of 1 cannot be sent as a key",
    ),
    "a key with such a member": (
        lambda: {(1, Frozen(a=1)): 1},
        ": of its keys, a tuple of 2 cannot be sent as a key",
    ),
    "too deep": (_too_deep, "[0]" * 30 + ": a list of 1 lies deeper than 31 containers"),
    "within itself": (_within_itself, "[0][0]: a tuple of 2 contains itself"),
}
"""Values of which a part cannot be sent, and how it is refused in data."""


class Values(gym.Env[Any, Any]):
    """Sends the values of this module in ``info``, and says how those in ``options`` differ from them."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        match options:
            case {"send": (table, name)}:
                return 0, {"value": TABLES[table][name]()}
            case {"compare": (table, name), "value": value}:
                return 0, {"difference": difference(TABLES[table][name](), value)}
        return 0, {"options": options}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return 0, 0.0, False, False, {"type": type(action).__name__, "action": action}


TABLES: dict[str, dict[str, Callable[[], Any]]] = {
    "same": SAME,
    "laid out": {name: sent for name, (sent, _) in LAID_OUT.items()},
    "laid out, arrived": {name: arrives for name, (_, arrives) in LAID_OUT.items()},
    "subclasses": {name: sent for name, (sent, _, _) in SUBCLASSES.items()},
    "subclasses, arrived": {name: lambda x=arrives: x for name, (_, arrives, _) in SUBCLASSES.items()},
    "odd": {name: sent for name, (sent, _) in ODD.items()},
    "no array": {name: sent for name, (sent, _) in NO_ARRAY.items()},
    "offered": {name: sent for name, (sent, _) in OFFERED.items()},
    "opaque": {name: sent for name, (sent, _, _) in OPAQUE.items()},
}

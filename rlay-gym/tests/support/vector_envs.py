"""Environments for tests of vectors: of every space, with infos of every kind, and with results that are wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from hosted_envs import FLAWS, Sampled
from scripted_env import note
from space_corpus import SPACES

Factory = Callable[..., gym.Env[Any, Any]]


class Brief(Sampled):
    """Draws everything, and has short episodes."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        result = super().reset(seed=seed, options=options)
        self.left = int(self.np_random.integers(1, 6))
        return result


def sampled(name: str) -> Factory:
    """Return the function that makes an environment with the space of this name for observations and for actions."""
    return lambda render_mode=None: Brief(lambda: (SPACES[name](), SPACES[name]()), render_mode)


class Numbered(gym.Env[Any, Any]):
    """Knows its slot by the seed of its last `reset` that had one, and counts its steps and resets."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10, "limits": (1, np.float32(0.5))}
    observation_space: spaces.Space[Any] = spaces.Box(-1000, 1000, (2,), np.int64)
    action_space: spaces.Space[Any] = spaces.Discrete(5)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.slot = self.steps = self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        note("reset")
        if seed is not None:
            # All that was before is forgotten.
            self.slot, self.resets = seed, 0
        self.steps, self.resets = 0, self.resets + 1
        return self.observation(), self.info(options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        note("step")
        self.steps += 1
        return self.observation(), self.steps / 3, *self.flags(action), self.info(action)

    def observation(self) -> Any:
        return np.array([self.slot, self.steps])

    def flags(self, action: Any) -> tuple[bool, bool]:
        return False, False

    def info(self, given: Any) -> dict[str, Any]:
        return {"given": repr(given), "resets": self.resets}

    def render(self) -> Any:
        if self.render_mode == "ansi":
            return f"slot {self.slot}, step {self.steps}"
        return np.full((2, 3, 3), 10 * self.slot + self.steps, np.uint8)


class Ending(Numbered):
    """Ends as its action says: 0 goes on, 1 terminates, 2 truncates, 3 does both, and 4 raises."""

    def flags(self, action: Any) -> tuple[bool, bool]:
        if action == 4:
            raise ValueError(f"slot {self.slot} fails in step {self.steps}")
        return bool(action & 1), bool(action & 2)


class Failing(Ending):
    """Raises in the call that the options of `reset` name, if its slot is 3."""

    fails_in: str | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.fails_in = (options or {}).get("fails_in")
        result = super().reset(seed=seed, options=options)
        self.fail("reset")
        return result

    def fail(self, call: str) -> None:
        if self.fails_in == call and self.slot == 3:
            raise KeyError(f"slot 3 fails in {call}")

    def render(self) -> Any:
        self.fail("render")
        return super().render()

    def close(self) -> None:
        note("close")
        self.fail("close")


instance = Ending("rgb_array")
"""An environment that is made already."""


def sized(render_mode: str | None = None, size: int = 2) -> gym.Env[Any, Any]:
    """Make an environment with observations of a size that the agent may choose."""
    env = Ending(render_mode)
    env.observation_space = spaces.Box(-1000, 1000, (size,), np.int64)
    env.observation = lambda: np.arange(size)  # type: ignore[method-assign]
    return env


class Image(gym.Env[Any, Any]):
    """Observes a picture and a pose, and takes a Dict of actions. Its episodes are of different lengths."""

    metadata = {"render_modes": []}

    def __init__(self, render_mode: str | None = None) -> None:
        camera = spaces.Box(0, 255, (12, 16, 3), np.uint8)
        pose = spaces.Tuple([spaces.Box(-np.inf, np.inf, (3,), np.float64), spaces.Discrete(4, start=-1)])
        self.observation_space = spaces.Dict({"camera": camera, "pose": pose, "lamps": spaces.MultiBinary(5)})
        self.action_space = spaces.Dict({"go": spaces.Discrete(3), "turn": spaces.Box(-1, 1, (2,))})
        self.left = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(2, 9))
        return self.look(), {"left": self.left}

    def look(self) -> Any:
        camera = self.np_random.integers(0, 256, (12, 16, 3), np.uint8)
        pose = self.np_random.normal(size=3), self.np_random.integers(-1, 3)
        # In the order of the space, which sorts its keys.
        return {"camera": camera, "lamps": self.np_random.integers(0, 2, 5, np.int8), "pose": pose}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        info = {"turned": action["turn"] * 2, "went": action["go"]}
        return self.look(), float(action["turn"].sum()), self.left == 0, self.left == 3, info


class Informing(Numbered):
    """Returns infos in turn: step ``t`` in slot ``i`` that of number ``i + t``; none in a `reset` with a seed."""

    def __init__(self, infos: list[dict[Any, Any]], render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.infos = infos

    def info(self, given: Any) -> dict[Any, Any]:
        if not self.steps and self.resets == 1:
            return {}
        return copy.deepcopy(self.infos[(self.slot + self.steps + self.resets) % len(self.infos)])

    def flags(self, action: Any) -> tuple[bool, bool]:
        return action == 1, action == 2


def _of(*values: Any) -> list[dict[Any, Any]]:
    """Return an info with the one key for each value."""
    return [{"x": value} for value in values]


INFOS: dict[str, list[dict[Any, Any]]] = {
    "none": [{}],
    "some": [{}, {"x": 1}, {}],
    "int, then float": _of(1, 1.5),
    "float, then int": _of(1.5, 2, 3),
    "bool, then int": _of(True, 3, False),
    "int, then bool": _of(3, True),
    "None, then int": _of(None, 3),
    "None alone": _of(None),
    "int, then None": [{"x": 3}, {"x": 4}, {"x": 5}, {"x": None}],
    "int, then str": _of(1, 2, "x"),
    "str": _of("a", "bc", ""),
    "int beyond 64 bits": _of(1, 2**70),
    "int beyond 64 bits alone": _of(2**70),
    "int of 64 bits": _of(2**63 - 1, -(2**63)),
    "NaN and infinity": _of(float("nan"), float("inf"), -0.0),
    "np.float32": _of(np.float32(0.1), 0.1, np.float32(3)),
    "np.float64, then np.float32": _of(np.float64(0.1), np.float32(0.1)),
    "np.float16": _of(np.float16(0.1), np.float16(7)),
    "np.int8, then more than it holds": _of(np.int8(1), np.int8(-2), 300),
    "np.uint64": _of(np.uint64(2**63 + 7), np.uint64(1)),
    "np.bool_": _of(np.bool_(True), np.bool_(False)),
    "bool, then np.bool_": _of(True, np.bool_(False)),
    "np.bool_, then int": _of(np.bool_(True), 7),
    "bytes": _of(b"", b"ab"),
    "lists": _of([1, 2], [], [[3]]),
    "tuples": _of((1, 2), (), ((3,),)),
    "a list, then an int": _of([1], 2),
    "an int, then a list": _of(1, 2, 3, [1]),
    "arrays": _of(np.arange(3), np.arange(3, 6)),
    "arrays of two dtypes": _of(np.arange(3), np.array([0.5, 1.5, 2.5])),
    "arrays of two shapes": _of(np.arange(3), np.arange(3), np.arange(4)),
    "arrays that broadcast": _of(np.arange(3), np.array([7]), np.array(5)),
    "array and number": _of(np.arange(3), 7),
    "number and array": _of(7, 8, np.array(9)),
    "number and longer array": _of(7, 8, np.arange(2)),
    "array of shape ()": _of(np.array(1.5), np.array(2)),
    "array of none": _of(np.zeros((0, 2))),
    "arrays of bools": _of(np.array([True, False]), np.array([False, False])),
    "big-endian arrays": _of(np.arange(3, dtype=">i4"), np.arange(3, dtype=">f8")),
    "arrays in Fortran order": _of(np.asfortranarray(np.arange(6).reshape(2, 3))),
    "images": _of(np.full((9, 8, 3), 7, np.uint8)),
    "dicts": _of({"a": 1, "b": {"c": 0.5}}, {"b": {"c": 2, "d": "e"}}, {}),
    "empty dicts": _of({}),
    "int, then dict": _of(3, 4, {"b": 1}),
    "dict, then int": _of({"b": 1}, 3),
    "dict, then None": _of({"b": 1}, None),
    "dicts in lists": _of([{"a": 1}], [{}]),
    "keys that are no str": [{1: "one", None: 2, (1, "a"): 0.5, b"x": [1], 0.5: {2: 3}, False: 1}, {2: np.arange(2)}],
    "keys like masks": [{"_x": 1, "x": 2}, {"x": 1, "_x": 5}],
    "a mask before its key": [{"_x": True}, {"x": 1}, {"_x": False, "x": 3}],
    "other order of keys": [{"a": 1, "b": 2, "c": 3}, {"c": 1, "b": 2}, {"b": 3, "a": 7}],
    "odd names": [{"": 1, "é 漢": 2, "a.b[0]": 3}],
    "final_obs of its own": [{"final_obs": 3, "final_info": {"a": 1}}, {"final_obs": None}, {}],
    "final_info of its own, no dict": [{"final_info": 3}, {}],
    "episode": [{"episode": {"r": 1.5, "l": 7, "t": 0.25}}, {}, {"episode": {"r": np.float32(2), "l": 3, "t": 1}}],
}
"""Infos in turn, of which Gymnasium makes one for the vector."""


def informing(name: str) -> Factory:
    """Return the function that makes an environment with these of `INFOS`."""
    return lambda render_mode=None: Informing(INFOS[name], render_mode)


class Wrong(Numbered):
    """Returns an observation that breaks its space in one slot and step of three; the others are samples."""

    def __init__(self, name: str, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space, self.wrong = {**FLAWS, **OTHER_FLAWS}[name]()

    def observation(self) -> Any:
        if (self.slot + self.steps + self.resets) % 3 == 0:
            return copy.deepcopy(self.wrong)
        self.observation_space.seed(self.slot + 100 * self.steps)
        return self.observation_space.sample()

    def flags(self, action: Any) -> tuple[bool, bool]:
        return action == 1, action == 2

    def info(self, given: Any) -> dict[str, Any]:
        return {}


def _big() -> tuple[Any, Any]:
    return spaces.Box(-1, 1, (3,), ">f4"), np.array([0.5, -0.5, 1], "f4")


OTHER_FLAWS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "native for big-endian": _big,
    "float64 for uint8": lambda: (spaces.Box(0, 255, (2,), np.uint8), np.array([1.0, 2.0])),
    "int64 for uint8": lambda: (spaces.Box(0, 255, (2,), np.uint8), np.array([1, 2])),
    "uint8 for int64": lambda: (spaces.Box(0, 255, (2,), np.int64), np.array([1, 2], np.uint8)),
    "bool for float32": lambda: (spaces.Box(0, 1, (2,)), np.array([True, False])),
    "float32 for bool": lambda: (spaces.Box(0, 1, (2,), np.bool_), np.array([1, 0], np.float32)),
    "float64 for float16": lambda: (spaces.Box(-1, 1, (2,), np.float16), np.array([0.1, 1e9])),
    "number for array of shape ()": lambda: (spaces.Box(-1, 1, ()), 0.5),
    "np.float32 for array of shape ()": lambda: (spaces.Box(-1, 1, ()), np.float32(0.25)),
    "number for array": lambda: (spaces.Box(-1, 1, (2,)), 0.5),
    "array that broadcasts": lambda: (spaces.Box(-1, 1, (2,)), np.array([0.5], np.float32)),
    "int for Box of ints": lambda: (spaces.Box(0, 9, (), np.int64), 3),
    "nested lists": lambda: (spaces.Box(-1, 1, (2, 2)), [[0.1, 0.2], [0.3, 0.4]]),
    "tuple for array": lambda: (spaces.Box(-1, 1, (3,)), (0.0, 0.5, 1.0)),
    "None for Discrete": lambda: (spaces.Discrete(3), None),
    "str for Discrete": lambda: (spaces.Discrete(3), "1"),
    "np.float64 for Discrete": lambda: (spaces.Discrete(3), np.float64(1)),
    "np.uint8 for Discrete": lambda: (spaces.Discrete(3), np.uint8(2)),
    "out of range for Discrete": lambda: (spaces.Discrete(3), np.int64(77)),
    "int for Discrete of start": lambda: (spaces.Discrete(3, start=-1), -1),
    "list for MultiDiscrete": lambda: (spaces.MultiDiscrete([3, 2]), [1, 1]),
    "float for MultiDiscrete": lambda: (spaces.MultiDiscrete([3, 2]), np.array([1.0, 1.0])),
    "bool for MultiBinary": lambda: (spaces.MultiBinary(2), np.array([True, False])),
    "int for Text": lambda: (spaces.Text(5), 3),
    "None for Text": lambda: (spaces.Text(5), None),
    "float64 in a Tuple": lambda: (spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Discrete(2)]), (np.ones(2), 1)),
    "tuple too short": lambda: (spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)]), (1,)),
    "None for tuple": lambda: (spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)]), None),
    "float64 in a Dict": lambda: (spaces.Dict({"a": spaces.Box(-1, 1, (2,))}), {"a": np.array([0.1, 0.2])}),
    "None for Dict": lambda: (spaces.Dict({"a": spaces.Discrete(2)}), None),
    "array for Sequence": lambda: (spaces.Sequence(spaces.Discrete(2)), np.array([0, 1])),
}


def wrong(name: str) -> Factory:
    """Return the function that makes an environment with this flaw."""
    return lambda render_mode=None: Wrong(name, render_mode)

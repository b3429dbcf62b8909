"""Environments the tests host: the built-in ones, and own ones with the spaces that those do not use."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

_MODULES = ("gymnasium.envs.classic_control", "gymnasium.envs.toy_text")


def builtin_ids() -> list[str]:
    """Return the ids of all classic-control and toy-text environments, each in its newest version."""
    newest: dict[str, gym.envs.registration.EnvSpec] = {}
    for spec in gym.registry.values():
        if isinstance(spec.entry_point, str) and spec.entry_point.startswith(_MODULES):
            known = newest.get(spec.name)
            if known is None or (spec.version or 0) > (known.version or 0):
                newest[spec.name] = spec
    return sorted(spec.id for spec in newest.values())


class Sampled(gym.Env[Any, Any]):
    """Draws everything from its own generator, and returns the received action in ``info``."""

    metadata = {"render_modes": ["rgb_array", "ansi", "depth"], "render_fps": 10, "limits": (1, np.float32(0.5))}

    def __init__(self, make: Callable[[], tuple[Any, Any]], render_mode: str | None = None) -> None:
        self.observation_space, self.action_space = make()
        self.render_mode = render_mode
        self.left = 0
        self.pool: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        # Sampling is slow, so the observations of an episode are some of a few.
        self.pool = [self.observation_space.sample() for _ in range(4)]
        self.left = int(self.np_random.integers(5, 80))
        return self._draw(), {"options": options, "left": np.int32(self.left)}

    def _draw(self) -> Any:
        return copy.deepcopy(self.pool[self.np_random.integers(len(self.pool))])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        reward = self.np_random.normal() * 10.0 ** self.np_random.integers(-300, 300)
        info = {"type": type(action).__name__, "action": action, "odds": self.np_random.random(3)}
        if self.left % 3 == 0:
            # Neither the same keys nor the same order in every step.
            info = {"left": self.left, **info, 7: ("seven", b"\x00", None, {"nested": [np.float16(0.1)]})}
        return self._draw(), float(reward), self.left <= 0, bool(self.left == 20), info

    def render(self) -> Any:
        if self.render_mode == "ansi":
            return f"left: {self.left} — é\n"
        if self.render_mode == "depth":
            return np.full((3, 4), self.left, dtype=">f4")
        return self.np_random.integers(0, 256, (30, 40, 3), dtype=np.uint8)


def _images() -> tuple[Any, Any]:
    camera = spaces.Box(0, 255, (64, 64, 3), np.uint8)
    observation = {
        "cameras": spaces.Tuple([camera, spaces.Box(0.0, 1.0, (50, 60))]),
        "arm": spaces.Dict(
            {"joints": spaces.Box(-np.inf, np.inf, (7,), np.float64), "grip": spaces.Discrete(3, start=-1)}
        ),
        "lamps": spaces.MultiBinary([2, 3]),
        "age": spaces.Box(0, 10**6, (), np.int64),
    }
    return spaces.Dict(observation), spaces.MultiDiscrete([3, 2, 5], start=[-1, 0, 10])


_SPACES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "images": _images,
    "tuple": lambda: (spaces.Tuple([spaces.Discrete(4), spaces.Box(-1, 1, (3,))]), spaces.MultiBinary(4)),
    "text": lambda: (spaces.Text(40, min_length=0, charset="aé漢🎲 \n"), spaces.Text(3)),
    "sequence": lambda: (spaces.Sequence(spaces.Box(0, 1, (2,))), spaces.Sequence(spaces.Discrete(5))),
    "stacked": lambda: (spaces.Sequence(spaces.Box(0, 1, (2,)), stack=True), spaces.Discrete(2, start=-1)),
    "graph": lambda: (
        spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Discrete(3)),
        spaces.Graph(spaces.Discrete(3), None),
    ),
    "one-of": lambda: (
        spaces.OneOf([spaces.Discrete(2), spaces.Box(0, 255, (100, 100), np.uint8)]),
        spaces.OneOf([spaces.Text(5), spaces.MultiBinary(3)]),
    ),
    "dict-action": lambda: (
        spaces.Box(-1, 1, (2, 2), np.float16),
        spaces.Dict({"go": spaces.Discrete(4), "look": spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.MultiBinary(2)])}),
    ),
}


def make_sampled(name: str, render_mode: str | None = None) -> Sampled:
    """Make the sampled environment called ``name``."""
    return Sampled(_SPACES[name], render_mode)


class Hoarder(gym.Env[Any, Any]):
    """Returns the same objects again and again, with other contents."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict(
        {"near": spaces.Box(0, 255, (64, 64), np.uint8), "far": spaces.Tuple([spaces.Box(0, 255, (2,), np.float64)])}
    )

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation = {"near": np.zeros((64, 64), np.uint8), "far": (np.zeros(2),)}
        self.info = {"rest": np.zeros(3), "more": {"of": "it"}}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._write(0), self.info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._write(int(self.observation["near"][0, 0]) + 1), 0.0, False, False, self.info

    def _write(self, number: int) -> Any:
        self.observation["near"][:] = self.observation["far"][0][:] = number
        return self.observation

    def render(self) -> Any:
        return np.zeros((2, 2, 3), dtype=np.uint8)


class Flawed(gym.Env[Any, Any]):
    """Breaks its contract in one way: what it returns is not what its spaces say."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = spaces.Discrete(2)

    def __init__(self, flaw: str, render_mode: str | None = None) -> None:
        self.observation_space, self.observation = FLAWS[flaw]()
        self.flaw = flaw
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return copy.deepcopy(self.observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return copy.deepcopy(self.observation), 1.0, False, False, {}

    def render(self) -> Any:
        return np.zeros((2, 2, 3), dtype=np.uint8)


def _box(observation: Any) -> Callable[[], tuple[Any, Any]]:
    return lambda: (spaces.Box(-1, 1, (3,)), observation)


FLAWS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "float64 for float32": _box(np.zeros(3)),
    "float16 for float32": _box(np.zeros(3, np.float16)),
    "int64 for float32": _box(np.zeros(3, np.int64)),
    "big-endian for native": _box(np.zeros(3, ">f4")),
    "wrong shape": _box(np.zeros((3, 1), np.float32)),
    "0-d for 1-d": _box(np.zeros((), np.float32)),
    "NaN": _box(np.array([0, np.nan, 0], np.float32)),
    "out of bounds": _box(np.array([0, 7, 0], np.float32)),
    "list for array": _box([0.0, 0.5, 1.0]),
    "None for array": _box(None),
    "str for array": _box("nothing"),
    "np.int32 for int64": lambda: (spaces.Discrete(3), np.int32(1)),
    "bool for Discrete": lambda: (spaces.Discrete(3), True),
    "float for Discrete": lambda: (spaces.Discrete(3), 1.0),
    "array for Discrete": lambda: (spaces.Discrete(3), np.array(1)),
    "int out of range": lambda: (spaces.Discrete(3), 2**70),
    "int64 for int8": lambda: (spaces.MultiBinary(2), np.array([0, 1])),
    "bytes for Text": lambda: (spaces.Text(5), b"abc"),
    "list for tuple": lambda: (spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]), [np.int64(1), 0]),
    "tuple too long": lambda: (spaces.Tuple([spaces.Discrete(2)]), (1, 1)),
    "other order of keys": lambda: (
        spaces.Dict([("b", spaces.Discrete(2)), ("a", spaces.Box(-1, 1, (2,)))]),
        {"a": np.zeros(2, np.float32), "b": 1},
    ),
    "key missing": lambda: (spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}), {"a": 1}),
    "key too many": lambda: (spaces.Dict({"a": spaces.Discrete(2)}), {"a": 1, "c": None}),
    "list in a Dict": lambda: (spaces.Dict({"a": spaces.Box(-1, 1, (2,))}), {"a": [0.0, 1.0]}),
    "list for Sequence": lambda: (spaces.Sequence(spaces.Discrete(2)), [0, 1]),
    "tuple for Graph": lambda: (spaces.Graph(spaces.Discrete(2), None), (np.array([1]), None, None)),
    "index out of range": lambda: (spaces.OneOf([spaces.Discrete(2)]), (5, 1)),
}


def make_flawed(flaw: str, render_mode: str | None = None) -> Flawed:
    """Make the environment that breaks its contract in the way ``flaw``."""
    return Flawed(flaw, render_mode)


def _id(word: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in word)


for _name in _SPACES:
    gym.register(f"Own/{_id(_name)}-v0", "hosted_envs:make_sampled", kwargs={"name": _name})
for _name in FLAWS:
    gym.register(f"Flawed/{_id(_name)}-v0", "hosted_envs:make_flawed", kwargs={"flaw": _name})

OWN = [f"hosted_envs:Own/{_id(name)}-v0" for name in _SPACES]
"""Ids of the sampled environments."""
FLAWED = [f"hosted_envs:Flawed/{_id(name)}-v0" for name in FLAWS]
"""Ids of the environments that break their contract."""


def sized(size: int = 3) -> gym.Env[Any, Any]:
    """Return an environment with observations below ``size``."""
    return gym.make("FrozenLake-v1", map_name=None, desc=["S" + "F" * (size - 2) + "G"])

"""The environments that the clients of ``sdk/`` host, in Python: the reference for ``sdk/tests/GAME.md``."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    GraphInstance,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)

MASK = (1 << 64) - 1
NAME = "drift – é漢🎲"


class Pcg32:
    """The generator."""

    def __init__(self) -> None:
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Begin with a seed, of which the low 64 bits count."""
        self.state = 0
        self.next()
        self.state = (self.state + (seed & MASK)) & MASK
        self.next()

    def next(self) -> int:
        """Return the next 32 bits."""
        old = self.state
        self.state = (old * 6364136223846793005 + 109) & MASK
        x, r = (((old >> 18) ^ old) >> 27) & 0xFFFFFFFF, old >> 59
        return ((x >> r) | (x << ((32 - r) & 31))) & 0xFFFFFFFF


class Drift(gym.Env[Any, Any]):
    """A thing that drifts, and is pushed."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 25}
    observation_space = Dict(
        OrderedDict(
            board=Box(0, 255, (8, 8), np.uint8),
            dials=MultiDiscrete([3, 5]),
            fuel=Discrete(32),
            lights=MultiBinary(4),
            position=Box(-np.inf, np.inf, (2,), np.float64),
        )
    )
    action_space = Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.random = Pcg32()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.random.seed(seed)
        self.t = 0
        self.x = self.random.next() / 2147483648 - 1
        self.v = 0.0
        self.fuel = 20 + self.random.next() % 12
        self.board = np.array([self.random.next() & 255 for _ in range(64)], np.uint8).reshape(8, 8)
        self._lamps()
        time.sleep((options or {}).get("sleep", 0.0))
        return self._observation(), {"seeded": seed is not None, "options": options}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not 0 <= action <= 2:
            raise ValueError(f"an action from 0 to 2, not {action}")
        push = int(action) - 1
        self.t += 1
        self.v = self.v * 0.9375 + push * 0.0625 + (self.random.next() / 4294967296 - 0.5) * 0.03125
        self.x = self.x + self.v
        if push and self.fuel > 0:
            self.fuel -= 1
        cell = self.random.next() % 64
        self.board[cell // 8, cell % 8] = self.random.next() & 255
        self._lamps()
        reward = 1 - self.x * self.x
        terminated = self.x > 2 or self.x < -2 or self.fuel == 0
        info = {"t": self.t, "speed": abs(self.v), "far": self.x > 1 or self.x < -1, "name": NAME}
        return self._observation(), reward, terminated, self.t >= 100, info

    def _lamps(self) -> None:
        self.dials = np.array([self.t % 3, self.random.next() % 5], np.int64)
        lights = self.random.next() & 15
        self.lights = np.array([lights >> i & 1 for i in range(4)], np.int8)

    def _observation(self) -> dict[str, Any]:
        position = np.array([self.x, self.v])
        named = {"board": self.board.copy(), "dials": self.dials, "fuel": self.fuel}
        return {**named, "lights": self.lights, "position": position}

    def render(self) -> Any:
        if self.render_mode == "ansi":
            return f"t={self.t}"
        return np.stack([self.board, 255 - self.board, np.full((8, 8), self.t & 255, np.uint8)], axis=-1)


CASES: list[gym.Space[Any]] = [
    Box(-1, 1, (2, 3), np.float32),
    Box(0, 255, (4, 5, 3), np.uint8),
    Box(-np.inf, np.inf, (), np.float64),
    Discrete(5, start=-2),
    MultiBinary([2, 3]),
    MultiDiscrete([3, 5, 2], start=[0, -1, 7]),
    Text(12, min_length=1, charset="aé漢🎲 b"),
    Tuple([Discrete(3), Box(0, 1, (2,), np.float64)]),
    Dict(OrderedDict(a=Discrete(2), b=Tuple([MultiBinary(3), Text(4)]))),
    Sequence(Box(0, 1, (2,), np.float32)),
    Sequence(Discrete(4), stack=True),
    Graph(Box(-1, 1, (3,), np.float32), Discrete(4)),
    OneOf([Discrete(3), Box(-1, 1, (2,), np.float32)]),
    Box(-1, 1, (3,), np.float16),
    Box(0, 1, (2,), np.bool_),
    Box(-(2**63), 2**63 - 1, (2,), np.int64),
    Box(np.array([-1, -np.inf], np.float32), np.array([1, 5], np.float32), dtype=np.float32),
    Graph(Box(-1, 1, (2,), np.float64), None),
]


def zero(space: gym.Space[Any]) -> Any:
    """Return what an Echo observes after a reset."""
    match space:
        case Discrete():
            return int(space.start)
        case MultiDiscrete():
            return np.array(space.start, space.dtype)
        case Text():
            return space.character_list[0] * space.min_length
        case Tuple():
            return tuple(zero(member) for member in space.spaces)
        case Dict():
            return {key: zero(member) for key, member in space.spaces.items()}
        case Sequence():
            return np.zeros(0, np.int64) if space.stack else ()
        case Graph():
            return GraphInstance(np.zeros((1, *space.node_space.shape), space.node_space.dtype), None, None)
        case OneOf():
            return np.int64(0), zero(space.spaces[0])
    return np.zeros(space.shape, space.dtype)


class Echo(gym.Env[Any, Any]):
    """Observes its actions."""

    def __init__(self, case: int, render_mode: str | None = None) -> None:
        self.observation_space = self.action_space = CASES[case]
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return zero(self.observation_space), {"seeded": seed is not None, "options": options}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return action, 0.5, False, False, {}

"""Environments with large observations, which reuse one buffer for all of them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

SHAPE = (60, 80, 3)


def picture(step: int, dtype: str = "u1") -> np.ndarray:
    """Return the picture that belongs to a step."""
    return np.random.default_rng(step).integers(0, 100, SHAPE).astype(dtype)


class Camera(gym.Env[Any, Any]):
    """Shows the picture of each step, in a buffer that it writes over and over. Keeps the actions."""

    observation_space: spaces.Space[Any] = spaces.Box(0, 255, SHAPE, np.uint8)
    action_space = spaces.Box(0, 255, SHAPE, np.uint8)

    def __init__(self) -> None:
        self.buffer = np.zeros(SHAPE, np.uint8)
        self.count = 0
        self.actions: list[Any] = []

    def observe(self) -> Any:
        self.buffer[:] = picture(self.count)
        return self.buffer

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        actions, self.actions = self.actions, []
        return self.observe(), {"actions": actions}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        self.actions.append(action)
        return self.observe(), 0.0, False, False, {}


class Cameras(Camera):
    """Shows the pictures as parts of larger observations."""

    observation_space = spaces.Dict(
        [
            ("first", spaces.Box(0, 255, SHAPE, np.int32)),
            ("mark", spaces.MultiBinary(3)),
            ("rest", spaces.Tuple([spaces.Box(0, 255, SHAPE), spaces.Box(0, 255, (), np.float64)])),
        ]
    )

    def observe(self) -> Any:
        return whole(self.count)


def whole(step: int) -> dict[str, Any]:
    """Return the larger observation that belongs to a step."""
    mark = np.array([step % 2, 1, 0], np.int8)
    return {"first": picture(step, "i4"), "mark": mark, "rest": (picture(step, "f4"), np.array(step, np.float64))}

"""An environment with attributes of every kind, for tests of what agents get, set and call."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

import scripted_env

NAMES = [
    "gravity", "table", "scale", "action_masks", "add", "fails", "engine", "level", "absent", "waits", "spell",
]  # fmt: skip
"""What hosts of it offer. It has no attribute ``absent``."""

VALUES: dict[str, Any] = {
    "None": None,
    "bool": True,
    "int": 7,
    "a large int": 1 << 80,
    "float": 0.1,
    "str": "größe 漢",
    "bytes": b"\x00\xff",
    "list": [1, [2.0, "x"]],
    "tuple": (1, (None,)),
    "dict": {"a": 1, 3: {"b": [np.float32(1)]}},
    "scalar": np.int8(-3),
    "bool scalar": np.bool_(True),
    "array": np.arange(6, dtype=np.uint16).reshape(2, 3),
    "array without axes": np.array(1.5),
}
"""A value of each type that crosses."""


class Engine:
    """What no value holds."""


class Attributed(gym.Env[Any, Any]):
    """Has attributes and methods, some of which fail."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012  Gymnasium's own way to declare them
    observation_space: gym.spaces.Space[Any] = gym.spaces.Discrete(10)
    action_space: gym.spaces.Space[Any] = gym.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.gravity: Any = 9.8
        self.table: Any = VALUES["dict"]
        self.engine = Engine()
        self.secret = "not for agents"
        self.steps = 0

    @property
    def scale(self) -> float:
        """Read-only."""
        return 2.0

    @property
    def level(self) -> int:
        """Has no level before the first episode."""
        return self._level  # type: ignore[attr-defined, no-any-return]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._level, self.steps = int(self.np_random.integers(100)), 0
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.steps, 0.0, self.steps == 9, False, {}

    def render(self) -> Any:
        return f"step {self.steps}"

    def action_masks(self) -> Any:
        """Return which actions are valid."""
        return np.array([True, self.steps % 2 == 0, False])

    def add(self, *numbers: int, twice: bool = False) -> int:
        """Add."""
        return sum(numbers) * (2 if twice else 1)

    def spell(self, name: str, how: str, self_: int = 0, **rest: Any) -> Any:
        """Return the arguments, whose names are those of RLay's own functions, too."""
        return [name, how, self_, rest]

    def fails(self) -> None:
        """Raise."""
        raise ValueError("no such lever")

    def waits(self) -> str:
        """Wait for ``scripted_env.release``."""
        scripted_env.note("waits")
        scripted_env.wait()
        return "released"

"""Environments the tests host that declare their render modes, and what ``spec`` is, in unusual ways."""

from __future__ import annotations

import types
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

_MODES = ["ansi", "rgb_array"]

DECLARED: dict[str, Any] = {
    "list": {"render_modes": _MODES},
    "tuple": {"render_modes": tuple(_MODES)},
    "set": {"render_modes": set(_MODES)},
    "frozenset": {"render_modes": frozenset(_MODES)},
    "dict": {"render_modes": dict.fromkeys(_MODES, 1)},
    "keys": {"render_modes": dict.fromkeys(_MODES).keys()},
    "str": {"render_modes": "ansi"},
    "array": {"render_modes": np.array(_MODES)},
    "mapping": types.MappingProxyType({"render_modes": _MODES}),
}
"""Metadata that declare render modes."""

UNDECLARED: dict[str, Any] = {
    "empty": {},
    "old": {"render.modes": _MODES},
    "modes are None": {"render_modes": None},
    "modes are a number": {"render_modes": 2},
    "None": None,
    "no dict": "rgb_array",
}
"""Metadata that do not."""

SPECS: dict[str, Any] = {
    "dict": {"id": 7, "max_episode_steps": 12, "reward_threshold": 3.5},
    "lacks": types.SimpleNamespace(name="Arena"),
    "odd": "Arena-v0",
}
"""Values of ``spec`` that are no EnvSpec."""


class Drawn(gym.Env[Any, Any]):
    """Says in which mode it draws."""

    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return 0, 0.0, False, False, {}

    def render(self) -> Any:
        return f"drawn in mode {self.render_mode}"


def make(name: str) -> type[Drawn]:
    """Return the class with the metadata called ``name``, which is a function that makes such an environment."""
    return _classes[name]


def made(name: str) -> Drawn:
    """Return such an environment, which renders in the mode ``ansi``."""
    return _classes[name]("ansi")


def specified(name: str) -> Drawn:
    """Return an environment with the ``spec`` called ``name``."""
    env = Drawn()
    env.spec = SPECS[name]
    return env


_classes = {name: type("Drawn", (Drawn,), {"metadata": x}) for name, x in {**DECLARED, **UNDECLARED}.items()}
for _name, _class in _classes.items():
    gym.register(f"Modes/{_name.replace(' ', '_')}-v0", _class)

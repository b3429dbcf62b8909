"""A scripted environment, for tests of what goes wrong: it waits, raises or ends its process when told to."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

WALK, WAIT, RAISE, DIE = range(4)
"""The actions. To wait is to wait for `release`."""

_released = threading.Event()
_journal: list[tuple[str, int]] = []


def release() -> None:
    """Let one waiting call continue."""
    _released.set()


def forget() -> None:
    """Reset the script."""
    _released.clear()
    _journal.clear()


def journal() -> list[tuple[str, int]]:
    """Return what was called, and by which thread; the main thread is 0."""
    return _journal[:]


def note(name: str) -> None:
    """Write down a call."""
    is_main = threading.current_thread() is threading.main_thread()
    _journal.append((name, 0 if is_main else threading.get_ident()))


def wait() -> None:
    """Wait for `release`; not for ever, so that a failed test leaves nothing behind."""
    _released.wait(90)
    _released.clear()


class OwnError(Exception):
    """A class that the agent does not know."""


ERRORS: dict[str, Callable[[str], BaseException]] = {
    "ValueError": ValueError,
    "KeyError": KeyError,
    "gymnasium.error.InvalidAction": gym.error.InvalidAction,
    "scripted_env.OwnError": OwnError,
}


class ScriptedEnv(gym.Env[Any, Any]):
    """Counts its steps. The options of ``reset`` script it: ``raise_in``, ``error``, ``wait_in``."""

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 30}
    observation_space: spaces.Space[Any] = spaces.Box(0, 1000, (1,), np.int64)
    action_space: spaces.Space[Any] = spaces.Discrete(4)

    def __init__(self, render_mode: str | None = None) -> None:
        note("make")
        self.render_mode = render_mode
        self.steps = 0
        self.script: dict[str, Any] = {}

    def _call(self, name: str) -> None:
        note(name)
        if self.script.get("wait_in") == name:
            wait()
        if self.script.get("raise_in") == name:
            raise ERRORS[self.script.get("error", "ValueError")](f"{name} went wrong")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.script = options or {}
        self._call("reset")
        self.steps = 0
        return np.array([self.steps]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._call("step")
        if isinstance(action, int | np.integer):
            if action == WAIT:
                wait()
            elif action == RAISE:
                raise ValueError("no such step")
            elif action == DIE:
                os._exit(7)
        self.steps += 1
        return np.array([self.steps]), float(self.steps), False, False, {"action": action}

    def render(self) -> Any:
        self._call("render")
        if self.render_mode == "ansi":
            return f"step {self.steps}"
        return np.full((4, 6, 3), self.steps, np.uint8) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self._call("close")


class TupleActions(ScriptedEnv):
    """Takes a number and a pair."""

    action_space = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)))


class DictActions(ScriptedEnv):
    """Takes a dict with something in it that has no packed form."""

    action_space = spaces.Dict({"move": spaces.Box(-1, 1, (2,), np.float32), "say": spaces.Text(8)})


class BoxActions(ScriptedEnv):
    """Takes an array."""

    action_space = spaces.Box(-1, 1, (2, 3), np.float32)


class Painter(ScriptedEnv):
    """Has every mode itself."""

    metadata = {"render_modes": ["human", "rgb_array", "rgb_array_list"], "render_fps": 30}

    def render(self) -> Any:
        return [np.zeros((2, 3, 3), np.uint8)] if self.render_mode == "rgb_array_list" else None


class Short(ScriptedEnv):
    """Has episodes of three steps."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, self.steps == 3, truncated, info


class Tired(ScriptedEnv):
    """Fails after two steps."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.steps == 2:
            raise RuntimeError("too tired")
        return super().step(action)


class Large(ScriptedEnv):
    """Returns more than any buffer holds."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:-1], {"much": bytes(48 << 20)}


class Stuck(ScriptedEnv):
    """Cannot be closed."""

    def close(self) -> None:
        raise RuntimeError("the door is stuck")


class Endless(ScriptedEnv):
    """Observes a short text, but a long one at its first step: 50 MB, or ``size`` in the options of ``reset``."""

    observation_space = spaces.Text(80 << 20)

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        return "a", super().reset(**how)[1]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        _, *rest = super().step(action)
        return "a" * (self.script.get("size", 50_000_000) if self.steps == 1 else 1), *rest


class Patient(ScriptedEnv):
    """Takes texts of any length."""

    action_space = spaces.Text(80 << 20)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:-1], {"heard": len(action)}


class Panorama(ScriptedEnv):
    """Would show pictures of 50 MB."""

    observation_space = spaces.Box(0, 255, (50_000_000,), np.uint8)


def without_mode() -> ScriptedEnv:
    """Make an environment; a function that knows of no render mode."""
    return ScriptedEnv()


def with_mode(render_mode: str | None = None) -> ScriptedEnv:
    """Make an environment; a function that is told the render mode."""
    return ScriptedEnv(render_mode)


def broken(render_mode: str | None = None) -> ScriptedEnv:
    """Fail to make an environment."""
    raise OSError(f"no display for {render_mode}")


def hesitant(render_mode: str | None = None) -> ScriptedEnv:
    """Make an environment once released."""
    note("hesitate")
    wait()
    return ScriptedEnv(render_mode)


def counted_cartpole(render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make a CartPole with steps that are counted, see `cartpole_steps`."""
    return _Counted(gym.make("CartPole-v1", render_mode=render_mode, disable_env_checker=True))


class _Counted(gym.Wrapper[Any, Any, Any, Any]):
    steps = 0

    def step(self, action: Any) -> Any:
        _Counted.steps += 1
        return super().step(action)


def cartpole_steps() -> int:
    """Return the steps of all counted CartPoles of this process."""
    return _Counted.steps

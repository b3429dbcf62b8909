"""An environment's results, as one fingerprint: the same text that ``tests/programs`` writes in Rust."""

from __future__ import annotations

import hashlib
from typing import Any

import gymnasium as gym
import numpy as np

STEPS, EPISODE = 150, 40


class Picture(gym.Env[Any, Any]):
    """A Dict of an image of 28 KB and two numbers, all of which depend on the step."""

    observation_space = gym.spaces.Dict(
        {
            "image": gym.spaces.Box(0, 255, (84, 84, 4), np.uint8),
            "position": gym.spaces.Box(-1e9, 1e9, (2,), np.float64),
        }
    )
    action_space = gym.spaces.Discrete(5)

    def _observation(self) -> dict[str, Any]:
        image = (np.arange(84 * 84 * 4) + 31 * self.taken + self.seeded) % 251
        return {
            "image": image.astype(np.uint8).reshape(84, 84, 4),
            "position": np.array([self.taken, self.seeded / 3.0]),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeded, self.taken = seed or 0, 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken += 1
        return self._observation(), action / 10, self.taken % 17 == 0, False, {"step": self.taken}


class Counting(gym.Env[Any, Any]):
    """Says how often it was reset and stepped, and with what; ``info`` has every type."""

    observation_space = gym.spaces.Box(-1.0, np.inf, (4,), np.float64)
    action_space = gym.spaces.Discrete(1000)

    def __init__(self) -> None:
        self.episode = 0

    def _observation(self, action: Any) -> Any:
        return np.array([self.seeded, self.episode, self.taken, action], np.float64)

    def _info(self) -> dict[str, Any]:
        n = self.taken
        return {
            "none": None,
            "int": n,
            "big": 2**70 + n,
            "negative": -(2**70) - n,
            "float": n / 3,
            "str": f"é{n}",
            "bytes": bytes([n % 256]),
            "list": [n, [None, True]],
            "tuple": (n, {"deep": (1.5,)}),
            "array": np.arange(n % 7, dtype=np.int16),
            "scalar": np.float32(n),
            7: np.bool_(n % 2),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeded, self.taken = seed if seed is not None else -1, 0
        self.episode += 1
        return self._observation(-1), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken += 1
        return self._observation(action), 100.0 * self.taken + action, self.taken == 30, False, self._info()


SOURCES = {
    "counting": "transcripts:Counting",
    "cartpole": "CartPole-v1",
    "taxi": next(known for known in ("Taxi-v4", "Taxi-v3") if known in gym.registry),
    "picture": "transcripts:Picture",
}
"""What a host process is told to host."""


def write(x: Any) -> str:
    """Write a value so that no two values of different type or content look the same."""
    match x:
        case None:
            return "n;"
        case bool():
            return f"b{int(x)};"
        case np.ndarray():
            return f"a{x.dtype.name}{list(x.shape)}:{x.tobytes().hex()};"
        case np.generic():
            return f"z{x.dtype.name}[]:{x.tobytes().hex()};"
        case int() if -(2**63) <= x < 2**63:
            return f"i{x};"
        case int():
            return f"I{x.to_bytes((x.bit_length() + 8) // 8, 'little', signed=True).hex()};"
        case float():
            return f"f{np.float64(x).view(np.uint64):016x};"
        case str():
            return f"s{x.encode().hex()};"
        case bytes():
            return f"y{x.hex()};"
        case list():
            return f"[{''.join(map(write, x))}]"
        case tuple():
            return f"({''.join(map(write, x))})"
        case dict():
            return f"{{{''.join(write(key) + write(item) for key, item in x.items())}}}"
    raise TypeError(type(x))


def play(env: gym.Env[Any, Any]) -> str:
    """Play and return the fingerprint."""
    assert isinstance(env.action_space, gym.spaces.Discrete)
    text = [*map(write, env.reset(seed=0))]
    for i in range(1, STEPS + 1):
        observation, reward, terminated, truncated, info = env.step((i * 7 + 3) % int(env.action_space.n))
        text += map(write, (observation, float(reward), terminated, truncated, info))
        if terminated or truncated or i % EPISODE == 0:
            text += map(write, env.reset(seed=i))
    whole = "".join(text).encode()
    return f"transcript {len(whole)} {hashlib.sha256(whole).hexdigest()}"

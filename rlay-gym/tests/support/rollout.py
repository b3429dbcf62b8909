"""A rollout of random actions, of one environment or of a vector, and its comparison with another."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 200


def play(env: Any, seed: Any, steps: int = STEPS) -> list[Any]:
    """Return the results of ``steps`` random actions, which depend on the seed alone."""
    rng = np.random.default_rng(5)
    size = getattr(env, "num_envs", None)
    results: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        action = rng.integers(2, size=size)
        results.append(env.step(action if size else int(action)))
        if size is None and (results[-1][2] or results[-1][3]):
            results.append(env.reset())
    env.close()
    return results


def same(left: Any, right: Any) -> bool:
    """Whether two results are alike to the last bit."""
    if isinstance(left, tuple | list):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, np.ndarray) and left.dtype != object:
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, np.ndarray):
        return same(left.tolist(), right.tolist())
    return type(left) is type(right) and left == right

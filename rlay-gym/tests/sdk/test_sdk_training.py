"""Four copies of a game in another language dial in, and a learner reaches the return at which CartPole is solved."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

import rlay
from processes import WAIT, Program
from sdk_clients import BUILT, of_each

GAMES = {"cpp": (f"{BUILT}/cpp/cartpole",), "csharp": ("mono", f"{BUILT}/csharp/cartpole.exe")}
COPIES = 4
SOLVED = 475.0
GENERATIONS = 40


def returns(envs: rlay.ServerVectorEnv, weights: np.ndarray, seed: int) -> np.ndarray:
    """Play one episode in each copy, with the linear policy of its row."""
    observations, _ = envs.reset(seed=seed)
    totals, is_over = np.zeros(COPIES), np.zeros(COPIES, dtype=np.bool_)
    while not is_over.all():
        actions = (np.einsum("ij,ij->i", weights, observations) > 0).astype(np.int64)
        observations, rewards, terminations, truncations, _ = envs.step(actions)
        totals[~is_over] += rewards[~is_over]
        is_over = is_over | terminations | truncations
    return totals


@pytest.mark.parametrize("name", of_each(GAMES))
def test_a_learner_solves_it(name: str) -> None:
    rng = np.random.default_rng(1)
    with rlay.ServerVectorEnv(num_envs=COPIES, connect_timeout=WAIT) as envs, contextlib.ExitStack() as games:
        for _ in range(COPIES):
            games.enter_context(Program(*GAMES[name], "--dial", envs.address))
        assert envs.single_observation_space.shape == (4,)
        mean, spread = np.zeros(4), np.ones(4)
        for generation in range(GENERATIONS):
            # The cross-entropy method: the best quarter of sixteen say where to look next.
            candidates = mean + spread * rng.standard_normal((16, 4))
            rounds = [returns(envs, candidates[i : i + COPIES], 100 * generation + i) for i in range(0, 16, COPIES)]
            best = candidates[np.argsort(np.concatenate(rounds))[-4:]]
            mean, spread = best.mean(axis=0), best.std(axis=0) + 0.1
            learned = returns(envs, np.tile(mean, (COPIES, 1)), 10_000)
            if learned.min() >= SOLVED:
                return
        raise AssertionError(f"the returns after {GENERATIONS} generations are {learned}")

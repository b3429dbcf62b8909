"""A vector of a host in Rust gives what as many single environments of that host give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rlay
from host_process import Start
from processes import WAIT
from twins import SLOTS

# The programs are built first, if they are not built yet.
pytestmark = pytest.mark.timeout(900)

STEPS = 400


class Singles:
    """Single environments that are reset as a vector resets its own."""

    def __init__(self, address: str, mode: str) -> None:
        self.envs = [rlay.ClientEnv(address, connect_timeout=WAIT) for _ in range(SLOTS)]
        self.mode = mode
        self.ended = [False] * SLOTS
        self.finals: list[Any] = [None] * SLOTS

    def reset(self, seed: int) -> Any:
        return np.stack([env.reset(seed=seed + slot)[0] for slot, env in enumerate(self.envs)])

    def step(self, actions: Any) -> Any:
        """Return observations, rewards and flags."""
        self.finals = [None] * SLOTS
        rows = [self.row(slot, actions[slot]) for slot in range(SLOTS)]
        self.ended = [terminated or truncated for _, _, terminated, truncated in rows]
        return tuple(np.array(column) for column in zip(*rows, strict=True))

    def row(self, slot: int, action: Any) -> tuple[Any, float, bool, bool]:
        env = self.envs[slot]
        if self.mode == "NextStep" and self.ended[slot]:
            return env.reset()[0], 0.0, False, False
        observation, reward, terminated, truncated, _ = env.step(action)
        if self.mode == "SameStep" and (terminated or truncated):
            self.finals[slot], observation = observation, env.reset()[0]
        return observation, reward, terminated, truncated

    def close(self) -> None:
        for env in self.envs:
            env.close()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize(
    ("program", "scheme"), [("cartpole_server", "tcp"), ("cartpole_server", "shm"), ("vector_server", "shm")]
)
def test_rows_are_those_of_single_environments(
    start: Start, fresh: Callable[[str], str], program: str, scheme: str, mode: str
) -> None:
    """``vector_server`` steps all of them at once."""
    with start(program, "--listen", fresh(scheme), "--until-stdin-closes") as server:
        address = server.find("listening at").split()[-1]
        singles = Singles(address, mode)
        with rlay.ClientVectorEnv(address, SLOTS, autoreset_mode=mode, connect_timeout=WAIT) as envs:
            assert envs.single_observation_space == singles.envs[0].observation_space
            assert envs.single_action_space == singles.envs[0].action_space
            assert np.array_equal(envs.reset(seed=5)[0], singles.reset(5))
            rng = np.random.default_rng(3)
            ends = 0
            for _ in range(STEPS):
                actions = rng.integers(2, size=SLOTS)
                *found, infos = envs.step(actions)
                expected = singles.step(actions)
                assert all(map(np.array_equal, found, expected))
                ended = found[2] | found[3]
                ends += int(ended.sum())
                if mode == "SameStep" and ended.any():
                    pairs = zip(infos["final_obs"], singles.finals, strict=True)
                    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs if theirs is not None)
                    assert infos["_final_obs"].tolist() == ended.tolist() == infos["_final_info"].tolist()
                if mode == "Disabled" and ended.any():
                    observations = envs.reset(options={"reset_mask": ended.copy()})[0]
                    for slot in np.flatnonzero(ended):
                        assert np.array_equal(observations[slot], singles.envs[slot].reset()[0])
            assert ends > SLOTS
        singles.close()
        server.end_input()

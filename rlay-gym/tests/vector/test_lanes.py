"""A `ServerVectorEnv` holds environments that dial in, each of which may be lost, be slow, or not fit."""

from __future__ import annotations

import contextlib
import itertools
import logging
import signal
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from processes import WAIT, Program, python, until

EPISODE = 20
"""Steps of an episode."""

GAME = """
    import sys

    import gymnasium as gym
    import numpy as np

    import rlay


    class Counter(gym.Env):
        observation_space = gym.spaces.Box(0, np.inf, (2,), np.float64)
        action_space = gym.spaces.Discrete(2)
        episode = 0

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.count, self.episode = 0, self.episode + 1
            return np.array([self.count, self.episode], np.float64), {"seed": seed}

        def step(self, action):
            self.count += 1
            return np.array([self.count, self.episode], np.float64), float(action), self.count >= 20, False, {}


    print("ready", flush=True)
    rlay.ClientBackend(Counter, sys.argv[1], max_sessions=1).run()
    """


@contextlib.contextmanager
def games(envs: rlay.ServerVectorEnv, number: int) -> Iterator[list[Program]]:
    """Start so many games in processes of their own."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(python(GAME, envs.address)) for _ in range(number)]
        yield started


class Learner:
    """Takes transitions as a learner does that knows next-step autoreset and nothing of lanes."""

    def __init__(self, envs: rlay.ServerVectorEnv) -> None:
        self.envs, self.transitions = envs, 0
        self.observations, _ = envs.reset(seed=1)
        self.ended = np.zeros(envs.num_envs, dtype=np.bool_)
        self.vacant = 0
        self.lost: list[str] = []

    def step(self) -> None:
        before, ended_before = self.observations, self.ended
        actions = np.ones(self.envs.num_envs, dtype=np.int64)
        self.observations, rewards, terminations, truncations, infos = self.envs.step(actions)
        self.ended = terminations | truncations
        self.vacant += int(np.sum(infos.get("vacant", 0)))
        self.lost += [why for why in infos.get("lost", ()) if why]
        for slot in np.flatnonzero(~ended_before & ~truncations):
            assert self.observations[slot, 0] == before[slot, 0] + 1, "each step counts one"
            assert self.observations[slot, 1] == before[slot, 1], "an episode is of one environment"
            assert rewards[slot] == 1.0 and terminations[slot] == (self.observations[slot, 0] == EPISODE)
            self.transitions += 1


def test_one_that_is_killed_and_one_that_hangs_are_replaced() -> None:
    with (
        contextlib.closing(
            rlay.ServerVectorEnv(num_envs=4, on_loss="truncate", timeout=2.0, reconnect_timeout=0.5)
        ) as envs,
        games(envs, 6) as started,
    ):
        learner = Learner(envs)
        for step in range(200):
            if step == 50:
                started[1].kill()
            if step == 120:
                started[2].process.send_signal(signal.SIGSTOP)
            learner.step()
        until(lambda: (learner.step(), not envs.vacant.any())[1], "every slot to have a game")
        assert learner.transitions > 4 * 150
        assert all("killed or crashed" in why or "before the timeout" in why for why in learner.lost)
        started[2].process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("on_loss", ["replace", "truncate"])
def test_rows_of_a_lost_game(mode: str, on_loss: str, caplog: pytest.LogCaptureFixture) -> None:
    envs = rlay.ServerVectorEnv(num_envs=2, on_loss=on_loss, autoreset_mode=mode, reconnect_timeout=0.0)
    with contextlib.closing(envs), games(envs, 2) as started:
        envs.reset(seed=1)
        for _ in range(3):
            before, *_ = envs.step(np.ones(2, dtype=np.int64))
        started[0].kill()
        rows = envs.step(np.ones(2, dtype=np.int64))
        # It may be either of them.
        lost = int(np.flatnonzero(rows[4]["vacant"])[0])
        other = 1 - lost
        for observations, rewards, terminations, truncations, infos in (rows, envs.step(np.ones(2, dtype=np.int64))):
            assert observations[lost].tolist() == before[lost].tolist() and rewards[lost] == 0.0
            assert not terminations[lost] and truncations[lost] == (on_loss == "truncate")
            assert infos["vacant"].tolist() == [lost == 0, lost == 1]
            assert not truncations[other] and rewards[other] == 1.0
            if on_loss == "truncate" and mode == "SameStep":
                assert infos["final_obs"][lost].tolist() == before[lost].tolist()
            else:
                assert "final_obs" not in infos
        assert "the process at the other end was killed or crashed" in rows[4]["lost"][lost]
        with games(envs, 1):
            until(lambda: not envs.step(np.ones(2, dtype=np.int64))[4].get("vacant", [False, False])[lost], "another")
            observations, rewards, *_ = envs.step(np.ones(2, dtype=np.int64))
            assert observations[lost, 1] == 1.0 and rewards[lost] == 1.0
        assert any("waiting for another to dial in" in record.getMessage() for record in caplog.records)


def test_a_loss_that_is_raised_stays() -> None:
    envs = rlay.ServerVectorEnv(num_envs=2, reconnect_timeout=0.0)
    with contextlib.closing(envs), games(envs, 2) as started:
        envs.reset(seed=1)
        started[0].kill()
        for _ in range(2):
            with pytest.raises(rlay.ConnectionLost, match=r"env slot [01]: .*killed or crashed"):
                envs.step(np.ones(2, dtype=np.int64))


def test_the_others_come_when_they_come() -> None:
    envs = rlay.ServerVectorEnv(num_envs=3, min_ready=1, connect_timeout=6.0, on_loss="truncate")
    with contextlib.closing(envs), games(envs, 1):
        observations, infos = envs.reset(seed=1)
        assert infos["vacant"].tolist() == [False, True, True] == envs.vacant.tolist()
        assert observations.tolist() == [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
        with games(envs, 2):
            until(lambda: not (envs.step(np.ones(3, dtype=np.int64)), envs.vacant.any())[1], "the others")
            before = envs.step(np.ones(3, dtype=np.int64))[0]
            assert (before[1:, 1] >= 1.0).all()


def test_too_few() -> None:
    with contextlib.closing(rlay.ServerVectorEnv(num_envs=2, connect_timeout=6.0)) as envs, games(envs, 1):
        with pytest.raises(rlay.Timeout, match="1 of 2 environments have dialed in: no environment dialed in"):
            envs.reset()


class Wide(gym.Env[Any, Any]):
    """Has another observation space than the games."""

    observation_space = gym.spaces.Box(0, np.inf, (3,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start."""
        return np.zeros(3), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Do nothing."""
        return np.zeros(3), 0.0, False, False, {}


def test_one_that_does_not_fit_is_refused_alone(caplog: pytest.LogCaptureFixture) -> None:
    envs = rlay.ServerVectorEnv(num_envs=2, connect_timeout=WAIT)
    with contextlib.closing(envs), games(envs, 1) as started, caplog.at_level(logging.INFO, "rlay"):
        started[0].find("ready")
        with rlay.ClientBackend(Wide, envs.address), contextlib.ExitStack() as stack:
            # The first that dials in says which spaces there are.
            until(lambda: bool(caplog.records), "the other to dial")
            with contextlib.suppress(rlay.Timeout):
                stack.enter_context(games(envs, 1))
            observations, _ = envs.reset(seed=1)
    width = observations.shape[1]
    said = [record.getMessage() for record in caplog.records]
    assert width in (2, 3) and (width == 3 or any("observation_space" in text for text in said))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_the_rows_are_those_of_a_local_vector(mode: str) -> None:
    """The games begin their next episodes by themselves."""
    with contextlib.ExitStack() as stack:
        envs = stack.enter_context(contextlib.closing(rlay.ServerVectorEnv(num_envs=3, autoreset_mode=mode)))
        for _ in range(3):
            stack.enter_context(rlay.ClientBackend("FrozenLake-v1", envs.address))
        make = [lambda: gym.make("FrozenLake-v1", disable_env_checker=True)] * 3
        local = gym.vector.SyncVectorEnv(make, autoreset_mode=gym.vector.AutoresetMode(mode))
        assert envs.observation_space == local.observation_space and envs.num_envs == 3
        ours, theirs = envs.reset(seed=5), local.reset(seed=5)
        local.action_space.seed(3)
        for step in itertools.count():
            np.testing.assert_equal(ours, theirs)
            if step == 300:
                break
            ended = (theirs[2] | theirs[3]) if step and len(theirs) == 5 else np.zeros(3, dtype=np.bool_)
            if mode == "Disabled" and ended.any():
                ours = envs.reset(options={"reset_mask": ended.copy()})
                theirs = local.reset(options={"reset_mask": ended.copy()})
            else:
                actions = local.action_space.sample()
                ours, theirs = envs.step(actions), local.step(actions)

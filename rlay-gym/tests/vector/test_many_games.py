"""Games in processes of their own feed one learner; some are killed, one hangs, and others take their places."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rlay
from host_process import Start
from processes import Program, held, own_memory, until

# The programs are built first, if they are not built yet.
pytestmark = pytest.mark.timeout(900)

GAMES = 10
EACH = 40
"""How many transitions each slot gives before any game is lost, and after all were replaced."""


class Games:
    """Starts games, each with a number of its own, which its observations tell."""

    def __init__(self, start: Start, address: str, stack: contextlib.ExitStack) -> None:
        self._start, self._address, self._stack = start, address, stack
        self._numbers = itertools.count()
        self._programs: list[Program] = []

    def start(self, *arguments: str) -> int:
        """Start one, and return its number."""
        number = next(self._numbers)
        program = self._start("counting_game", self._address, str(number), *arguments)
        self._programs.append(self._stack.enter_context(program))
        return number

    def kill(self, number: int) -> None:
        """End one with SIGKILL."""
        self._programs[number].kill()


class Learner:
    """Checks each transition that it takes: one game, one episode, its own action, one step.

    With ``on_loss="truncate"`` it knows Gymnasium's autoreset and nothing of games.
    """

    def __init__(self, envs: rlay.ServerVectorEnv) -> None:
        self.envs, self.mode = envs, envs.autoreset_mode.value
        self.rng = np.random.default_rng(1)
        self.observations, _ = envs.reset(seed=1)
        # Whether the next row of a slot begins an episode and has no transition.
        self.begins = np.zeros(envs.num_envs, dtype=np.bool_)
        self.transitions: Counter[int] = Counter()
        self.by_slot = np.zeros(envs.num_envs, dtype=np.int64)
        self.lost: list[str] = []

    def step(self) -> None:
        """Take an action in each slot."""
        actions = self.rng.integers(7, size=self.envs.num_envs)
        before, begins = self.observations, self.begins
        self.observations, rewards, terminations, truncations, infos = self.envs.step(actions)
        self.lost += [why for why in infos.get("lost", ()) if why]
        ended = terminations | truncations
        vacant = np.zeros_like(ended)
        if self.envs.on_loss == "replace":
            vacant = infos.get("vacant", vacant)
        after = list(self.observations)
        for slot in np.flatnonzero(ended) if self.mode == "SameStep" else ():
            after[slot] = infos["final_obs"][slot]
        for slot in np.flatnonzero(~begins & ~vacant):
            flags = bool(terminations[slot]), bool(truncations[slot])
            self.check(slot, before[slot], int(actions[slot]), float(rewards[slot]), after[slot], flags)
        self.begins = vacant | ended if self.mode == "NextStep" else vacant

    def check(self, slot: int, before: Any, action: int, reward: float, after: Any, flags: tuple[bool, bool]) -> None:
        """Compare a transition with what the game does."""
        assert before[:2].tolist() == after[:2].tolist(), "a transition is of one game and of one episode"
        number, episode, step, _ = map(int, before)
        if self.envs.on_loss == "truncate" and before.tolist() == after.tolist():
            assert (reward, flags) == (0.0, (False, True)), "no step was taken, for the game is lost"
            return
        ends = step + 1 >= 5 + (7 * number + 3 * episode) % 11
        assert after[2:].tolist() == [step + 1, action] and reward == 100 * (step + 1) + action
        assert flags == (ends and episode % 2 == 1, ends and episode % 2 == 0)
        self.transitions[number] += 1
        self.by_slot[slot] += 1

    def take(self, number: int) -> None:
        """Step until each slot has given so many transitions more."""
        goal = self.by_slot + number
        until(lambda: (self.step(), (self.by_slot >= goal).all())[1], f"{number} transitions of each slot")

    def until_within_an_episode(self, number: int) -> None:
        """Step until the last step of this game has neither begun nor ended an episode."""

        def within() -> bool:
            self.step()
            slot = np.flatnonzero(self.observations[:, 0] == number)
            return len(slot) == 1 and self.observations[slot[0], 2] > 0 and not self.begins[slot[0]]

        until(within, f"game {number} to be within an episode")


@pytest.mark.parametrize(
    ("scheme", "mode", "on_loss"),
    [
        ("tcp", "NextStep", "truncate"),
        ("tcp", "SameStep", "replace"),
        ("unix", "NextStep", "replace"),
        ("unix", "SameStep", "truncate"),
        ("shm", "NextStep", "truncate"),
        ("shm", "SameStep", "replace"),
    ],
)
def test_a_learner_of_games_that_are_lost_takes_only_steps_of_one_game(
    start: Start, fresh: Callable[[str], str], scheme: str, mode: str, on_loss: str
) -> None:
    with contextlib.ExitStack() as stack:
        envs = rlay.ServerVectorEnv(
            fresh(scheme), GAMES, autoreset_mode=mode, on_loss=on_loss, timeout=2.0, reconnect_timeout=0.0
        )
        stack.enter_context(contextlib.closing(envs))
        games = Games(start, envs.address, stack)
        numbers = [games.start() for _ in range(GAMES - 1)]
        hangs = games.start("--hang-after", str(3 * EACH))
        learner = Learner(envs)
        learner.take(EACH)
        assert set(learner.transitions) == {*numbers, hangs}
        killed = numbers[2], numbers[5]
        for number in killed:
            learner.until_within_an_episode(number)
            games.kill(number)
        until(lambda: (learner.step(), len(learner.lost) >= 3)[1], "three games to be lost")
        others = [games.start() for _ in learner.lost]
        until(lambda: (learner.step(), not envs.vacant.any())[1], "every slot to have a game")
        gave = learner.transitions.copy()
        learner.take(EACH)
        assert gave[hangs] == 3 * EACH
        assert all(learner.transitions[number] == gave[number] for number in (*killed, hangs))
        assert all(learner.transitions[number] >= EACH for number in others)
        assert len(learner.lost) == 3 and sum("before the timeout" in why for why in learner.lost) == 1


@pytest.mark.parametrize("scheme", ["unix", "shm"])
def test_a_lane_costs_one_descriptor_no_thread_and_little_memory(
    start: Start, fresh: Callable[[str], str], scheme: str
) -> None:
    lanes, processes = 256, 4
    with contextlib.ExitStack() as stack:
        envs = stack.enter_context(contextlib.closing(rlay.ServerVectorEnv(fresh(scheme), lanes)))
        games = Games(start, envs.address, stack)
        (descriptors, threads, _), memory = held(os.getpid()), own_memory(os.getpid())
        for _ in range(processes):
            games.start("--max-sessions", str(lanes // processes))
        learner = Learner(envs)
        learner.take(20)
        assert set(learner.transitions) == set(range(processes)) and envs.num_envs == lanes
        (descriptors_then, threads_then, _), memory_then = held(os.getpid()), own_memory(os.getpid())
        # Each program that was started has three pipes, two of which a thread reads.
        assert descriptors_then - descriptors < lanes + 3 * processes + 10
        assert threads_then - threads < 2 * processes + 10
        assert memory_then - memory < 100 * lanes


def test_games_that_hang_are_waited_for_together_when_they_are_closed(
    start: Start, fresh: Callable[[str], str]
) -> None:
    lanes = 24
    envs = rlay.ServerVectorEnv(fresh("unix"), lanes, timeout=1.0)
    with start("counting_game", envs.address, "0", "--hang-after", "1", "--max-sessions", str(lanes)):
        envs.reset(seed=1)
        envs.step(np.zeros(lanes, dtype=np.int64))
        with pytest.raises(rlay.Timeout):
            envs.step(np.zeros(lanes, dtype=np.int64))
        began = time.monotonic()
        envs.close()
        # Each by itself would take two seconds.
        assert time.monotonic() - began < lanes

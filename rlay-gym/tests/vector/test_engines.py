"""An engine of many environments that polls, slot by slot, gives a ServerVectorEnv what a SyncVectorEnv gives."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rlay
from processes import WAIT, until
from twins import MODES, SLOTS, Twins, local_env, sync_vector

SOURCES = (
    "CartPole-v1",
    "vector_envs:Image",
    "vector_envs:informing:some",
    "vector_envs:sampled:Text: plain",
)


def described(env: Any, number: int) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Return what an engine says of its environments, all of which are like ``env``."""
    engine: Any = gym.vector.VectorEnv()
    engine.num_envs, engine.metadata = number, env.metadata
    engine.single_observation_space, engine.single_action_space = env.observation_space, env.action_space
    return engine


def play(address: str, arenas: list[gym.Env[Any, Any]]) -> list[str]:
    """Reply to what an agent wants until it leaves, in another order each time; return the kinds of turns."""
    backend = rlay.ClientBackend(described(arenas[0], len(arenas)), address)
    order, kinds = random.Random(3), []
    staged: list[rlay.Reset | rlay.Step] = []
    while True:
        turn = None
        if len(staged) < len(arenas):
            turn = backend.turn(0.0 if staged else WAIT)
        if isinstance(turn, rlay.Close):
            backend.close()
            return kinds
        if turn is not None:
            assert not isinstance(turn, rlay.Render)
            kinds.append(type(turn).__name__)
            staged.append(turn)
            continue
        order.shuffle(staged)
        # Some of them are ready a tick later.
        later = staged[len(staged) // 2 + 1 :]
        for ready in staged[: len(staged) // 2 + 1]:
            arena = arenas[ready.slot]
            if isinstance(ready, rlay.Reset):
                observation, info = arena.reset(seed=ready.seed, options=ready.options)
                backend.reply(observation, info=info, slot=ready.slot)
            else:
                backend.reply(*arena.step(ready.action), slot=ready.slot)
        staged = later


@contextmanager
def playing(envs: rlay.ServerVectorEnv, source: str) -> Iterator[Any]:
    """An engine in a thread, whose result is at the end that of `play`."""
    arenas = [local_env(source) for _ in range(SLOTS)]
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(play, envs.address, arenas)
        finally:
            envs.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", SOURCES)
def test_rows_are_those_of_a_sync_vector(source: str, mode: str) -> None:
    remote = rlay.ServerVectorEnv(num_envs=SLOTS, autoreset_mode=mode, connect_timeout=WAIT)
    with playing(remote, source) as engine:
        twins = Twins(sync_vector(source, SLOTS, mode), remote)
        assert twins.play(60) == 0
        remote.close()
        assert {"Reset", "Step"} == set(engine.result(WAIT))


class Arenas(gym.vector.VectorEnv[Any, Any, Any]):
    """Two arenas of an engine."""

    num_envs = 2
    single_observation_space = spaces.Box(-10, 10, (2,), np.float32)
    single_action_space = spaces.Discrete(3)


def here(x: float) -> Any:
    return np.array([x, -x], np.float32)


def test_turns_and_replies_name_their_slots() -> None:
    with rlay.ServerVectorEnv(num_envs=2, connect_timeout=WAIT) as envs, ThreadPoolExecutor(1) as agent:
        backend = rlay.ClientBackend(Arenas(), envs.address)
        resetting = agent.submit(envs.reset, seed=4, options={"level": 3})
        turns = [until(backend.turn, "the agent to reset") for _ in range(2)]
        assert turns == [rlay.Reset(4, {"level": 3}, 0), rlay.Reset(5, {"level": 3}, 1)]
        with pytest.raises(rlay.Error, match=r"no turn of any slot is answered yet; call reply\(\) first"):
            backend.turn()
        backend.reply(here(1), info={"map": "cave"}, slot=1)
        with pytest.raises(rlay.Error, match="there is nothing to reply to in env slot 1"):
            backend.reply(here(1), slot=1)
        assert backend.turn() is None and not resetting.done(), "the other one has not answered"
        with pytest.raises(TypeError, match="the engine returned an info that is a list"):
            backend.reply(here(0), info=[1], slot=0)  # type: ignore[arg-type]
        backend.reply(here(0))
        observations, infos = resetting.result(WAIT)
        assert observations.tolist() == [[0, 0], [1, -1]]
        assert infos["map"].tolist() == [None, "cave"]

        stepping = agent.submit(envs.step, np.array([2, 1]))
        steps = [until(backend.turn, "the agent to step") for _ in range(2)]
        assert steps == [rlay.Step(2, 0), rlay.Step(1, 1)]
        backend.reply(here(2), 0.5, terminated=True, slot=1)
        backend.reply(here(3), 1.5, slot=0)
        observations, rewards, terminations, truncations, infos = stepping.result(WAIT)
        assert observations[:, 0].tolist() == [3, 2] and rewards.tolist() == [1.5, 0.5]
        assert terminations.tolist() == [False, True] and not truncations.any() and infos == {}

        # The next episode of one of them begins beside the step of the other.
        stepping = agent.submit(envs.step, np.array([0, 0]))
        turns = [until(backend.turn, "the agent to step") for _ in range(2)]
        assert turns == [rlay.Step(0, 0), rlay.Reset(None, None, 1)]
        backend.reply(here(4), slot=1)
        backend.reply(here(5), slot=0)
        assert stepping.result(WAIT)[0][:, 0].tolist() == [5, 4]

        closing = threading.Thread(target=envs.close)
        closing.start()
        assert isinstance(until(backend.turn, "the agent to leave"), rlay.Close)
        closing.join(WAIT)
        backend.close()

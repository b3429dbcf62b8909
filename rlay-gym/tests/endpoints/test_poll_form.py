"""The poll form: an engine with a loop of its own polls for the agent's requests, and never blocks."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import rlay
import scripted_env
from processes import WAIT, free_address, python, until
from value_envs import Offers

AGENT = """
    import sys, rlay
    env = rlay.ServerEnv(render_mode=sys.argv[1] or None)
    print(env.address)
    observation, info = env.reset(seed=7, options={"level": 3})
    print("reset", observation.tolist(), info)
    if sys.argv[1]:
        print("frame", env.render().shape)
    for action in range(2):
        observation, *rest = env.step(action)
        print("step", observation.tolist(), rest)
    env.close()
    """


class World:
    """An engine that can be drawn. It is no gymnasium.Env."""

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Discrete(3)
    metadata = {"render_modes": ["rgb_array"]}


class Bare:
    """An engine that has nothing but two spaces."""

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Discrete(3)


def turns(backend: rlay.ClientBackend) -> Iterator[Any]:
    """The agent's requests, one after the other, polled as by an engine that draws meanwhile."""
    while True:
        yield until(backend.turn, "the agent to want something")


def here(x: float) -> Any:
    return np.array([x, -x], np.float32)


def test_a_turn_never_waits_for_an_agent() -> None:
    backend = rlay.ClientBackend(World(), free_address())
    assert [backend.turn() for _ in range(1000)] == [None] * 1000
    assert backend.turn(0.05) is None
    assert backend.turn(timeout=-1) is None
    backend.close()


def test_nobody_is_there_for_longer_than_the_engine_would_wait(caplog: pytest.LogCaptureFixture) -> None:
    address = free_address()
    backend = rlay.ClientBackend(World(), address, connect_timeout=0.1)
    assert backend.turn(0.5) is None

    def said() -> list[str]:
        assert backend.turn() is None
        return [record.getMessage() for record in caplog.records]

    (line,) = until(said, "it to say what it waits for")
    assert "still no connection" in line and "trying again for as long as it takes" in line
    with python(AGENT.replace("rlay.ServerEnv(", "rlay.ServerEnv(sys.argv[2], "), "", address):
        assert next(turns(backend)) == rlay.Reset(seed=7, options={"level": 3})
        backend.close()


def test_an_episode_in_the_loop_of_an_engine() -> None:
    with python(AGENT, "rgb_array") as agent:
        backend = rlay.ClientBackend(World(), agent.line())
        wanted = turns(backend)
        assert next(wanted) == rlay.Reset(seed=7, options={"level": 3})
        with pytest.raises(rlay.Error, match="not answered yet"):
            backend.turn()
        backend.reply(here(0.0), info={"map": "cave"})
        assert agent.line() == "reset [0.0, -0.0] {'map': 'cave'}"

        assert next(wanted) == rlay.Render()
        backend.reply(np.zeros((2, 3, 3), np.uint8))
        assert agent.line() == "frame (2, 3, 3)"

        assert next(wanted) == rlay.Step(0)
        backend.reply(here(1.0), 2.5)
        assert agent.line() == "step [1.0, -1.0] [2.5, False, False, {}]"

        assert next(wanted) == rlay.Step(1)
        backend.reply(here(2.0), reward=-1, terminated=True, truncated=np.True_, info={"score": 1})
        assert agent.line() == "step [2.0, -2.0] [-1.0, True, True, {'score': 1}]"

        closed = next(wanted)
        assert isinstance(closed, rlay.Close) and "closed" in closed.reason
        backend.close()


def test_actions_have_the_types_they_were_sent_with() -> None:
    with python(AGENT, "") as agent:
        backend = rlay.ClientBackend(Bare(), agent.line())
        wanted = turns(backend)
        next(wanted)
        backend.reply(here(0.0))
        assert [type(turn.action) for turn in [next(wanted)] if backend.reply(here(0.0)) is None] == [int]
        backend.close()


def test_one_agent_after_another_in_one_loop() -> None:
    address = free_address()
    source = AGENT.replace("rlay.ServerEnv(", "rlay.ServerEnv(sys.argv[2], ")
    backend = rlay.ClientBackend(World(), address)
    wanted = turns(backend)
    for _ in range(2):
        with python(source, "", address) as agent:
            seen = []
            for turn in wanted:
                seen.append(type(turn).__name__)
                if isinstance(turn, rlay.Close):
                    break
                backend.reply(here(0.0))
            assert seen == ["Reset", "Step", "Step", "Close"]
            assert agent.wait() == 0
    backend.close()


def test_an_agent_that_is_killed_is_a_close() -> None:
    with python(AGENT, "") as agent:
        backend = rlay.ClientBackend(World(), agent.line())
        wanted = turns(backend)
        next(wanted)
        agent.kill()
        backend.reply(here(0.0))  # no agent receives it; the next turn says so
        assert isinstance(next(wanted), rlay.Close)
        assert backend.turn() is None, "and the engine's loop goes on"
        backend.close()


def test_closing_in_the_middle_of_an_episode() -> None:
    source = AGENT.replace("for action", "try:\n        env.step(0)\n    except rlay.ConnectionLost as error:\n"
                           "        print('lost', error)\n    for action")  # fmt: skip
    with python(source, "") as agent:
        backend = rlay.ClientBackend(World(), agent.line())
        wanted = turns(backend)
        next(wanted)
        backend.reply(here(0.0))
        agent.find("reset")
        assert next(wanted) == rlay.Step(0)
        backend.close()
        assert "goodbye: the environment closed" in agent.find("lost")


def test_what_makes_no_sense_is_refused() -> None:
    backend = rlay.ClientBackend(World(), free_address())
    with pytest.raises(rlay.Error, match="nothing to reply to"):
        backend.reply(here(0.0))
    assert backend.turn() is None
    with pytest.raises(rlay.Error, match="nothing to reply to"):
        backend.reply(here(0.0))
    backend.close()


def test_one_environment_is_polled_or_served() -> None:
    """Otherwise two agents would play in the engine."""
    with rlay.ServerEnv() as env:
        game = rlay.ClientBackend(World(), env.address)
        assert game.turn() is None
        for serve in (game.start, game.run):
            with pytest.raises(rlay.Error, match=r"do without run\(\), start\(\) and with, or make another one"):
                serve()
        assert repr(game).endswith(", serving>")
        game.close()
        with rlay.ClientBackend(scripted_env.ScriptedEnv(), env.address) as served:
            with pytest.raises(rlay.Error, match=r"call turn\(\) without run\(\), start\(\) and with"):
                served.turn()


def test_a_mode_that_the_engine_does_not_declare() -> None:
    with python(AGENT, "rgb_array") as agent:
        backend = rlay.ClientBackend(Bare(), agent.line())
        turn = next(turns(backend))
        assert isinstance(turn, rlay.Close)
        assert agent.wait() == 1
        until(lambda: any("does not render in mode" in line for line in agent.errors), "the agent to say why")
        backend.close()


def test_waiting_for_a_turn_in_a_loop_without_frames() -> None:
    with python(AGENT, "") as agent:
        backend = rlay.ClientBackend(World(), agent.line())
        assert backend.turn(WAIT) == rlay.Reset(seed=7, options={"level": 3})
        backend.reply(here(0.0))
        assert backend.turn(float("inf")) == rlay.Step(0)
        backend.close()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "info is a list": ({"info": [1]}, "the engine returned an info that is a list of 1 and no dict; return {}"),
    "reward is a str": ({"reward": "1.0"}, "the reward is a str, which is not a number; return a float"),
    "reward is two numbers": ({"reward": np.zeros(2)}, "the reward is an array of shape (2,) and dtype float64, which"),
    "a flag is two": ({"terminated": np.zeros(2)}, "terminated is an array of shape (2,) and dtype float64, which is"),
    "another flag is two": ({"truncated": np.zeros(2)}, "truncated is an array of shape (2,) and dtype float64, which"),
    "an object": ({"observation": {"x": [object()]}}, 'observation["x"][0]: an object cannot be sent; give numbers'),
    "an array of objects": ({"observation": np.array([None])}, "observation: an array of shape (1,) and dtype object"),
}
"""Answers that a hosted environment may not give either, and the errors for them."""


def test_answers_are_checked_as_those_of_a_hosted_environment() -> None:
    """Nothing of a refused answer is sent, and a valid one may follow."""
    with python(AGENT, "rgb_array") as agent:
        backend = rlay.ClientBackend(World(), agent.line())
        wanted = turns(backend)
        next(wanted)
        for answer, text in BAD.values():
            with pytest.raises(TypeError, match=re.escape(text)):
                backend.reply(**{"observation": here(0.0), **answer})
        backend.reply(Offers(here(0.0)), info={"engine": object})
        assert agent.line().startswith("reset [0.0, -0.0] {'engine': Opaque(type='type'")
        assert next(wanted) == rlay.Render()
        with pytest.raises(TypeError, match="frame: a set cannot be sent; give numbers"):
            backend.reply({1})
        backend.reply(Offers(np.zeros((2, 3, 3), np.uint8)))
        assert agent.line() == "frame (2, 3, 3)"
        next(wanted)
        for answer, text in BAD.values():
            with pytest.raises(TypeError, match=re.escape(text)):
                backend.reply(**{"observation": here(0.0), **answer})
        backend.reply(here(1.0), np.array([2.5]), terminated=np.array(1), truncated=0)
        assert agent.line() == "step [1.0, -1.0] [2.5, True, False, {}]"
        backend.close()


def test_a_space_that_changes_between_episodes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rlay")
    with python(AGENT, "") as agent:
        world: Any = World()
        backend = rlay.ClientBackend(world, agent.line())
        next(turns(backend))
        world.observation_space = spaces.Box(-10, 10, (2,), np.float64)
        backend.reply(here(0.0))
        (words,) = [record.getMessage() for record in caplog.records]
        assert words.startswith("World: reset() has replaced observation_space, from first to second: Box(-10.0, ")
        assert "Make a new session for other spaces" in words
        backend.close()

"""The example programs play with each other, each in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from processes import Program

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name: str, *arguments: str) -> Program:
    return Program(sys.executable, str(EXAMPLES / name), *arguments)


def test_the_agent_dials_the_host() -> None:
    with example("host_cartpole.py", "tcp://127.0.0.1:0") as host:
        address = host.find("listening at ").split()[-1]
        with example("agent_cartpole.py", address, "600") as agent:
            assert agent.find(" episodes").startswith("600 steps, ")
            assert agent.wait() == 0


def test_the_game_dials_the_agent() -> None:
    with example("server_agent.py", "tcp://127.0.0.1:0", "300") as agent:
        address = agent.find("waiting for a game at ").split()[-1]
        with example("game_client.py", address) as game:
            assert agent.find(" episodes").startswith("300 steps, ")
            assert agent.wait() == 0
            assert game.find("the game is over: ")
            assert game.wait() == 0


def test_the_engine_dials_the_agent() -> None:
    with example("server_agent.py", "tcp://127.0.0.1:0", "60") as agent:
        address = agent.find("waiting for a game at ").split()[-1]
        with example("engine_loop.py", address) as engine:
            assert agent.find(" episodes").startswith("60 steps, 1 episodes")
            assert agent.wait() == 0
            frames = int(engine.find(" frames; ").split()[0])
            assert frames >= 61, "a reset and 60 steps are at most one per frame"
            assert engine.wait() == 0

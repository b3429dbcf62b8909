"""The example programs play with each other, each in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from processes import ROOT, WAIT, Program, python

EXAMPLES = ROOT / "examples"


def example(name: str, *arguments: str) -> Program:
    return Program(sys.executable, str(EXAMPLES / name), *arguments)


@pytest.mark.gymnasium
def test_the_agent_dials_the_host() -> None:
    with example("host_cartpole.py", "tcp://127.0.0.1:0") as host:
        address = host.find("listening at ").split()[-1]
        with example("agent_cartpole.py", address, "600") as agent:
            assert agent.find(" episodes").startswith("600 steps, ")
            assert agent.wait() == 0


@pytest.mark.gymnasium
def test_the_game_dials_the_agent() -> None:
    with example("server_agent.py", "tcp://127.0.0.1:0", "300") as agent:
        address = agent.find("waiting for a game at ").split()[-1]
        with example("game_client.py", address) as game:
            assert agent.find(" episodes").startswith("300 steps, ")
            assert agent.wait() == 0
            assert game.find("the game is over: ")
            assert game.wait() == 0


@pytest.mark.gymnasium
def test_the_engine_dials_the_agent() -> None:
    with example("server_agent.py", "tcp://127.0.0.1:0", "60") as agent:
        address = agent.find("waiting for a game at ").split()[-1]
        with example("engine_loop.py", address) as engine:
            assert agent.find(" episodes").startswith("60 steps, 1 episodes")
            assert agent.wait() == 0
            frames = int(engine.find(" frames; ").split()[0])
            assert frames >= 61, "a reset and 60 steps are at most one per frame"
            assert engine.wait() == 0


def test_make_finds_what_cargo_builds_elsewhere(tmp_path: Path) -> None:
    def commands(**elsewhere: str) -> str:
        surroundings = {**{k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "CARGO_"))}, **elsewhere}
        run = subprocess.run(["make", "-n", "demo", "soak"], cwd=ROOT, env=surroundings, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    assert f"--server {ROOT}/target/release/examples/cartpole_server" in commands()
    for name in ("CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"):
        told = commands(**{name: str(tmp_path)})
        assert f"--server {tmp_path}/release/examples/cartpole_server" in told
        assert f"{tmp_path}/release/examples/soak 600" in told


def test_the_learner_of_any_game(tmp_path: Path) -> None:
    """Two games dial it over TLS with a token, and it says that a target was not reached. Then the policy plays."""
    policy = str(tmp_path / "policy.npz")
    common = ("--listen", "tls://127.0.0.1:0", "--token", "a long secret", "--num-envs", "2")
    game = "import rlay, sys; rlay.ClientBackend('FrozenLake-v1', sys.argv[1], token='a long secret').run()"
    learning = ("--generations", "2", "--target", "2", "--save", policy, "--plot", str(tmp_path / "curve.png"))
    for arguments in (learning, ("--play", policy)):
        with example("train.py", *common, *arguments) as learner, contextlib.ExitStack() as games:
            address = learner.find("waiting for 2 game(s) to dial ").split()[-1]
            assert "?pin=sha256:" in address
            for _ in range(2):
                games.enter_context(python(game, address))
            code = learner.wait(4 * WAIT)
            if arguments is learning:
                assert code == 1 and "the target of 2.0 was not reached" in learner.errors[-1], learner.errors
            else:
                assert code == 0 and len([line for line in learner.printed() if line.startswith("return ")]) == 10
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")

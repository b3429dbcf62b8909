"""Games in C and C++ that an agent has launched end without a memory error or a leak."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rlay
from equal import difference
from processes import WAIT, Program
from sdk_clients import BUILT
from sdk_game import Drift

VALGRIND = (
    "valgrind",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
)
GAMES = {
    "c": (*VALGRIND, f"{BUILT}/c/game"),
    "cpp-ffi": (*VALGRIND, f"{BUILT}/c/game-cpp"),
    "cpp": (f"{BUILT}/cpp-sanitized/game",),
}
# Valgrind is slow to begin with.
PATIENCE = 4 * WAIT


def launched(name: str, play: Any, monkeypatch: pytest.MonkeyPatch, **kwargs: Any) -> None:
    """Play with a game that dials its launcher, and check how it ends."""
    with rlay.ServerEnv(connect_timeout=PATIENCE, **kwargs) as env:
        monkeypatch.setenv("RLAY_ADDRESS", env.address)
        game = Program(*GAMES[name], "--dial", env.address)
        with game:
            play(env)
            env.close()
            assert game.wait(PATIENCE) == 0, "\n".join(game.errors)


@pytest.mark.parametrize("name", GAMES)
def test_drift(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(env: rlay.ServerEnv) -> None:
        local = Drift("rgb_array")
        for episode in range(2):
            options = {"a": [1, 2.5, None, "text", b"bytes", (True, 2**70)], "b": np.arange(3.0)}
            here, there = local.reset(seed=episode, options=options), env.reset(seed=episode, options=options)
            assert (found := difference(here, there, "reset")) is None, found
            for step in range(60):
                here, there = local.step(step % 3), env.step(step % 3)
                assert (found := difference(here, there, f"step {step}")) is None, found
            assert (found := difference(local.render(), env.render(), "frame")) is None, found
            with pytest.raises(rlay.EnvError):
                env.step(7)

    launched(name, play, monkeypatch, render_mode="rgb_array")


@pytest.mark.parametrize("case", [8, 11, 12])
@pytest.mark.parametrize("name", GAMES)
def test_echo(name: str, case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def play(env: rlay.ServerEnv) -> None:
        env.reset()
        env.action_space.seed(case)
        for step in range(10):
            action = env.action_space.sample()
            assert (found := difference(action, env.step(action)[0], f"step {step}")) is None, found

    launched(name, play, monkeypatch, env_id="Echo", env_kwargs={"case": case})

"""The client for Godot in Godot 3: what can be seen without sockets, and the scene of its sample."""

from __future__ import annotations

import subprocess

import numpy as np

import rlay
from processes import WAIT
from sdk_clients import BUILT, of

GODOT = ("godot3-server", "--no-window", "--path", f"{BUILT}/godot")

pytestmark = of("godot")


def test_what_can_be_seen_without_sockets() -> None:
    ended = subprocess.run((*GODOT, "-s", "tests/unit.gd"), capture_output=True, text=True, timeout=WAIT, check=True)
    # Of cases.gd, and of mistakes.gd.
    assert ended.stdout.count(", 0 failed") == 2, ended.stdout


def test_an_agent_plays_the_scene() -> None:
    with rlay.launch(GODOT, connect_timeout=WAIT) as env:
        first, _ = env.reset(seed=3)
        for _ in range(1000):
            observation, _, terminated, truncated, _ = env.step(2)
            assert observation in env.observation_space
            if terminated or truncated:
                break
        assert terminated
        again, _ = env.reset(seed=3)
        np.testing.assert_array_equal(first, again)

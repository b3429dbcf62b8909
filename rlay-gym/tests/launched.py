"""A program that `rlay.launch` starts: a game that comes to whatever end its arguments say.

    launched.py [MOOD]

Moods: ``raise``, ``exit``, ``crash`` and ``babble`` at the third step; ``early`` before it dials in; ``never`` dials.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import gymnasium as gym
from gymnasium import spaces

import rlay

MOOD = sys.argv[1] if len(sys.argv) > 1 else ""


class Game(gym.Env[int, int]):
    """Tells its process's id, and counts steps."""

    def __init__(self) -> None:
        self.observation_space = spaces.Discrete(1000)
        self.action_space = spaces.Discrete(2)
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return 0, {"pid": os.getpid(), "address": os.environ["RLAY_ADDRESS"], "token": os.environ.get("RLAY_TOKEN")}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.count += 1
        if self.count == 3:
            end()
        return self.count, 1.0, False, False, {}


def end() -> None:
    """End as was asked for."""
    print("about to", MOOD or "go on", flush=True)
    if MOOD == "exit":
        os._exit(3)
    if MOOD == "crash":
        os.abort()
    if MOOD == "babble":
        for number in range(100_000):
            print("so much to say", number)
        sys.stdout.flush()
        os._exit(4)


if MOOD == "early":
    sys.exit("no graphics card")
if MOOD == "never":
    print("thinking", flush=True)
    time.sleep(3600)
if MOOD == "family":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    print("child", child.pid, flush=True)
rlay.ClientBackend(Game).run()

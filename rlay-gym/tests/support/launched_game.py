"""A program that `rlay.launch` starts: a game that ends, or continues, as its arguments say.

    launched_game.py [CASE [FILE]]

Cases: ``raise``, ``exit``, ``crash``, ``babble`` and ``hang`` at the third step; ``early`` before it dials in;
``never`` dials, and ``late`` does once FILE is gone. ``save`` takes 2 s to save while the environment is closed,
``afterwards`` saves after that and at exit, ``poll`` the same in the poll form; ``sorry`` cannot close; ``stay`` goes
on, and saves at SIGTERM; ``deaf`` ignores that. What is saved goes to FILE.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym
from gymnasium import spaces

import rlay

CASE = sys.argv[1] if len(sys.argv) > 1 else ""
FILE = Path(sys.argv[2] if len(sys.argv) > 2 else os.devnull)


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

    def close(self) -> None:
        if CASE == "save":
            time.sleep(2.0)
            save("saved")
        if CASE == "sorry":
            raise OSError("the disk is full")


def end() -> None:
    """End as was asked for."""
    print("about to", CASE or "go on", flush=True)
    if CASE == "exit":
        os._exit(3)
    if CASE == "crash":
        os.abort()
    if CASE == "hang":
        time.sleep(3600)
    if CASE == "babble":
        for number in range(100_000):
            print("so much to say", number)
        sys.stdout.flush()
        os._exit(4)


def save(what: str) -> None:
    """Add a line to the file."""
    with FILE.open("a") as file:
        file.write(what + "\n")


def stop(*_: object) -> NoReturn:
    """Save at SIGTERM."""
    save("stopped")
    sys.exit(0)


def poll() -> None:
    """Play in a loop of one's own, until the agent wants no more."""
    env = Game()
    backend = rlay.ClientBackend(env)
    try:
        while True:
            turn = backend.turn(timeout=0.1)
            if isinstance(turn, rlay.Reset):
                observation, info = env.reset(seed=turn.seed)
                backend.reply(observation, info=info)
            elif isinstance(turn, rlay.Step):
                backend.reply(*env.step(turn.action))
            elif isinstance(turn, rlay.Close):
                save(turn.reason)
    except rlay.errors.Closed as error:
        save(str(error))


if CASE == "early":
    sys.exit("no graphics card")
if CASE == "never":
    print("thinking", flush=True)
    time.sleep(3600)
if CASE == "late":
    print("loading", flush=True)
    while FILE.exists():
        time.sleep(0.01)
if CASE == "family":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    print("child", child.pid, flush=True)
if CASE == "afterwards":
    atexit.register(save, "at exit")
if CASE == "stay":
    signal.signal(signal.SIGTERM, stop)
if CASE == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if CASE == "poll":
    poll()
    sys.exit()
rlay.ClientBackend(Game).run()
if CASE == "afterwards":
    time.sleep(0.5)
    save("after run")
if CASE in ("stay", "deaf"):
    time.sleep(3600)

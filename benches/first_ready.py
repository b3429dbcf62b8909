"""First ready beside lockstep: 32 environments with steps of 1 ms, and resets of 200 ms after every 200 steps.

Printed are rows per second of each, and which part that is of as many threads that step them without RLay.

    python benches/first_ready.py --server target/release/slow_server
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import rlay

GAMES = 32
SECONDS = 8.0


class Program:
    """A program that runs until its input ends."""

    def __init__(self, *command: str) -> None:
        """Start it."""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def address(self) -> str:
        """Return the address that it prints."""
        assert self.process.stdout is not None
        return next(word for word in self.process.stdout.readline().split() if "://" in word)

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def lockstep(envs: Any) -> float:
    """Return rows per second where each step waits for all."""
    envs.reset(seed=1)
    actions = np.zeros(GAMES, dtype=np.int64)
    began, rows = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        envs.step(actions)
        rows += GAMES
    return rows / passed


def first_ready(envs: Any) -> float:
    """Return rows per second where each environment has its next action as soon as it is ready."""
    envs.send_reset(seed=1)
    actions = np.zeros(GAMES, dtype=np.int64)
    began, number = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        rows = envs.recv()
        number += len(rows.slots)
        envs.send(actions[: len(rows.slots)], rows.slots)
    envs.reset()
    return number / passed


def hosted(program: str, address: str, play: Callable[[Any], float]) -> float:
    """Play all of one host."""
    host = Program(program, "serve", address, str(GAMES))
    envs = rlay.ClientVectorEnv(host.address(), GAMES, connect_timeout=60)
    try:
        return play(envs)
    finally:
        envs.close()
        host.close()


def dialed(program: str, address: str, play: Callable[[Any], float]) -> float:
    """Play games that have dialed in."""
    envs = rlay.ServerVectorEnv(address, GAMES, connect_timeout=60)
    games = Program(program, "dial", envs.address, str(GAMES))
    try:
        return play(envs)
    finally:
        envs.close()
        games.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the program slow_server of the benches")
    program = parser.parse_args().server
    alone = subprocess.run(
        [program, "alone", str(GAMES), str(int(SECONDS))], capture_output=True, text=True, check=True
    )
    ceiling = float(alone.stdout)
    print(f"without RLay: {ceiling:,.0f} rows/s")
    print("| | lockstep | first ready |\n|---|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, play in (("one host of 32 threads", hosted), ("32 games", dialed)):
            for scheme in ("shm", "unix", "tcp"):
                rates = []
                for number, how in enumerate((lockstep, first_ready)):
                    path = f"{folder}/{name[:2]}-{scheme}-{number}"
                    address = "tcp://127.0.0.1:0" if scheme == "tcp" else f"{scheme}://{path}"
                    rates.append(play(program, address, how))
                cells = " | ".join(f"{rate:,.0f} ({rate / ceiling:.2f})" for rate in rates)
                print(f"| {name}, {scheme} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

"""Steps per second of a game in each language, from Python over TCP, beside a host in Rust and one in Python.

In each round every contender takes steps for a tenth of a second, one after the other; printed are medians over the
rounds, and which part that is of the Rust host's steps in the same round.

    make sdk OPT=2 && python benches/clients.py --server target/release/examples/cartpole_server
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import rlay

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "rlay-gym" / "tests" / "support"))

from sdk_clients import CLIENTS  # noqa: E402
from sdk_game import Drift  # noqa: E402

ROUND = 0.1
"""Seconds that a contender has in each round."""


def rate(env: Any) -> float:
    """Return steps per second, resets included."""
    env.reset(seed=1)
    began, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < ROUND:
        _, _, terminated, truncated, _ = env.step(1)
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / passed


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[rlay.ClientEnv]:
    """Start a game, and play it; kill it at the end."""
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        # An engine says more before that.
        line = next(line for line in program.stdout if "listening at " in line)
        with rlay.ClientEnv(line.split()[-1], connect_timeout=60.0) as env:
            yield env
    finally:
        program.kill()
        program.communicate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the program cartpole_server of the examples")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    listen = ("--listen", "tcp://127.0.0.1:0")
    commands = {"Rust (CartPole)": (arguments.server, "--until-stdin-closes", *listen)}
    commands |= {client.name: (*client.game, *listen) for client in CLIENTS}
    with contextlib.ExitStack() as stack:
        envs = {name: stack.enter_context(started(command)) for name, command in commands.items()}
        python = stack.enter_context(rlay.ServerBackend(Drift))
        envs["Python"] = stack.enter_context(rlay.ClientEnv(python.address))
        found = [{name: rate(env) for name, env in envs.items()} for _ in range(arguments.rounds)]
    print("| steps/s | | of the Rust host's |\n|---|---:|---:|")
    rust = next(iter(envs))
    for name in envs:
        part = statistics.median(row[name] / row[rust] for row in found)
        print(f"| {name} | {statistics.median(row[name] for row in found):,.0f} | {part:.2f} |")


if __name__ == "__main__":
    main()

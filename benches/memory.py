"""Memory of many environments, by slot: of one session with many slots, and of as many sessions of one slot (lanes).

Printed is what an environment costs at each end beyond what a few cost there, in KiB of proportional memory: pages that
two processes share, as those of shm, count half at each. The environments are a CartPole and one that counts, of which
the memory counts, too.

    python benches/memory.py --programs target/release/examples
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rlay

SCHEMES = ("shm", "unix", "tcp")
PROCESSES = 10
"""In which the environments are that dial in."""

Held = tuple[int, int, int]
"""KiB, descriptors and threads."""


def held(*pids: int) -> Held:
    """Return what these processes hold together."""
    memory = descriptors = threads = 0
    for pid in pids:
        here = Path(f"/proc/{pid}")
        memory += int((here / "smaps_rollup").read_text().split("\nPss:")[1].split()[0])
        descriptors += len(list((here / "fd").iterdir()))
        threads += len(list((here / "task").iterdir()))
    return memory, descriptors, threads


def play(envs: Any) -> None:
    """Make all buffers as large as they become."""
    envs.reset(seed=1)
    for _ in range(20):
        envs.step(np.zeros(envs.num_envs, dtype=np.int64))


@contextlib.contextmanager
def running(*commands: Sequence[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """Run programs beside the block."""
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for command in commands
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def slots(programs: str, scheme: str, number: int) -> list[Held]:
    """Return what both ends hold with one slot, and then with so many, in one session."""
    with tempfile.TemporaryDirectory() as folder:
        command = [f"{programs}/cartpole_server", "--listen", address(scheme, folder), "--until-stdin-closes"]
        found = []
        with running(command) as (server,):
            assert server.stdout is not None
            at = server.stdout.readline().split()[-1]
            for count in (1, number):
                with rlay.ClientVectorEnv(at, count) as envs:
                    play(envs)
                    found += [held(os.getpid()), held(server.pid)]
        return found


def lanes(programs: str, scheme: str, number: int) -> list[Held]:
    """Return what both ends hold with one lane for each process, and then with so many."""
    found = []
    for each in (1, number // PROCESSES):
        with tempfile.TemporaryDirectory() as folder:
            envs = rlay.ServerVectorEnv(address(scheme, folder), each * PROCESSES, connect_timeout=300.0)
            game = [f"{programs}/counting_game", envs.address, "1", "--max-sessions", str(each)]
            with running(*[game] * PROCESSES) as games:
                play(envs)
                found += [held(os.getpid()), held(*(game.pid for game in games))]
                envs.close()
    return found


def address(scheme: str, folder: str) -> str:
    """Return where to listen."""
    return "tcp://127.0.0.1:0" if scheme == "tcp" else f"{scheme}://{folder}/{scheme}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", required=True, help="the folder with cartpole_server and counting_game")
    parser.add_argument("--slots", type=int, default=1024)
    parser.add_argument("--lanes", type=int, default=1000)
    arguments = parser.parse_args()
    print("| | agent, KiB | descriptors | threads | host, KiB | descriptors | threads |")
    print("|---|" + "---:|" * 6)
    # An agent of its own for each row: what one has freed would be used again.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for measure, number, few in ((slots, arguments.slots, 1), (lanes, arguments.lanes, PROCESSES)):
            for scheme in SCHEMES:
                ends = pool.apply(measure, (arguments.programs, scheme, number))
                more = [np.subtract(ends[2 + end], ends[end]) / (number - few) for end in (0, 1)]
                cells = " | ".join(f"{memory:.1f} | {fds:.2f} | {threads:.2f}" for memory, fds, threads in more)
                print(f"| {number} {measure.__name__}, {scheme} | {cells} |", flush=True)


if __name__ == "__main__":
    main()

"""Environment steps per second of many CartPoles: a Rust host over each transport, beside vectors in this process.

In each round every contender takes steps for a tenth of a second, one after the other; printed are medians over the
rounds. EnvPool is measured where it is installed.

    python benches/vector.py --server target/release/examples/cartpole_server

``--vector-server target/release/examples/vector_server`` adds a host whose one simulator steps all poles. With
``--images target/release/image_server`` the environments are images of 84 x 84 x 4 bytes, beside two bare copies of all
of them, which a step over shared memory needs at least: into it, and out of it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import rlay

NUMBERS = (1, 8, 64, 256, 1024)
SCHEMES = ("shm", "unix", "tcp", "quic")
AT_ONCE = "shm, one simulator"
ROUND = 0.1
"""Seconds that a contender has in each round."""

IMAGE = (84, 84, 4)
IMAGES = (8, 64)

Stepper = Callable[[], Any]


def rate(step: Stepper, number: int) -> float:
    """Return environment steps per second."""
    step()
    began, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < ROUND:
        step()
        calls += 1
    return calls * number / passed


def stepper(envs: Any, number: int) -> Stepper:
    """Return what takes one step of every environment, with actions that were drawn before."""
    if hasattr(envs, "async_reset"):
        # EnvPool takes actions of its own type alone.
        envs.reset()
        actions = list(np.random.default_rng(1).integers(0, 2, (16, number), dtype=np.int32))
    else:
        envs.reset(seed=1)
        envs.action_space.seed(1)
        actions = [envs.action_space.sample() for _ in range(16)]
    at = 0

    def step() -> None:
        nonlocal at
        envs.step(actions[at])
        at = (at + 1) % len(actions)

    return step


class Server:
    """A Rust host, listening at one address until its input ends."""

    def __init__(self, scheme: str, folder: str, program: str, *arguments: str, last: tuple[str, ...] = ()) -> None:
        """Start it; the address comes between the arguments and the last ones."""
        Path(folder).mkdir(exist_ok=True)
        at = {"shm": f"shm://{folder}/shm", "unix": f"unix://{folder}/unix"}.get(scheme, f"{scheme}://127.0.0.1:0")
        command = [program, *arguments, at, *last]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.address = next(word for word in line.split() if "://" in word)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def local(number: int) -> dict[str, Callable[[], Any]]:
    """Return the vectors in this process, by name."""
    makers: dict[str, Callable[[], Any]] = {
        "Gymnasium's native": lambda: gym.make_vec("CartPole-v1", number, vectorization_mode="vector_entry_point"),
        "SyncVectorEnv": lambda: gym.make_vec("CartPole-v1", number, vectorization_mode="sync"),
    }
    if number <= 64:
        makers["AsyncVectorEnv"] = lambda: gym.make_vec("CartPole-v1", number, vectorization_mode="async")
    try:
        import envpool
    except ImportError:
        return makers
    return {**makers, "EnvPool": lambda: envpool.make_gymnasium("CartPole-v1", num_envs=number)}


def measure(servers: dict[str, Server], number: int, rounds: int) -> dict[str, float]:
    """Return the median rate of each contender."""
    remote = {
        scheme: rlay.ClientVectorEnv(server.address, num_envs=number, connect_timeout=60.0)
        for scheme, server in servers.items()
    }
    envs: dict[str, Any] = {**remote, **{name: make() for name, make in local(number).items()}}
    steppers = {name: stepper(each, number) for name, each in envs.items()}
    rates: dict[str, list[float]] = {name: [] for name in envs}
    for _ in range(rounds):
        for name, step in steppers.items():
            rates[name].append(rate(step, number))
    for each in envs.values():
        each.close()
    return {name: statistics.median(found) for name, found in rates.items()}


def copier(number: int) -> Stepper:
    """Return what copies so many images twice."""
    images, between, out = (np.ones((number, *IMAGE), dtype=np.uint8) for _ in range(3))

    def step() -> None:
        np.copyto(between, images)
        np.copyto(out, between)

    return step


def measure_images(program: str, folder: str, rounds: int) -> None:
    """Print the median rates of images, and which part that is of two bare copies in the same round.

    Each host makes images one by one, but for the last columns, where one simulator writes all of them.
    """
    servers = {scheme: Server(scheme, folder, program) for scheme in SCHEMES}
    at_once = Server("shm", f"{folder}/at-once", program, last=("--at-once",))
    hosts = {
        **{(scheme, True): server for scheme, server in servers.items()},
        ("shm, copy=False", False): servers["shm"],
    }
    hosts |= {("shm, at once", True): at_once, ("shm, at once, copy=False", False): at_once}
    print(
        "| images/s, and of two bare copies | " + " | ".join(("two bare copies", *(name for name, _ in hosts))) + " |"
    )
    print("|---:|" + "---:|" * (len(hosts) + 1))
    for number in IMAGES:
        envs = {name: rlay.ClientVectorEnv(host.address, number, copy=copy) for (name, copy), host in hosts.items()}
        steppers = {name: stepper(each, number) for name, each in envs.items()}
        copies = copier(number)
        found = [(rate(copies, number), *(rate(step, number) for step in steppers.values())) for _ in range(rounds)]
        cells = [f"{statistics.median(row[0] for row in found):,.0f}"]
        for i in range(1, len(hosts) + 1):
            part = statistics.median(row[i] / row[0] for row in found)
            cells.append(f"{statistics.median(row[i] for row in found):,.0f} ({part:.2f})")
        print(f"| {number} | " + " | ".join(cells) + " |", flush=True)
        for each in envs.values():
            each.close()
    for server in (*servers.values(), at_once):
        server.close()


def plot(table: dict[int, dict[str, float]], path: Path) -> None:
    """Draw the rates."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5))
    for name in table[NUMBERS[1]]:
        points = [(number, rates[name]) for number, rates in table.items() if name in rates]
        is_ours = name in (*SCHEMES, AT_ONCE)
        style = {"linewidth": 2} if is_ours else {"linestyle": "--", "linewidth": 1}
        axes.plot(*zip(*points, strict=True), marker="o", label=f"RLay, {name}" if is_ours else name, **style)
    axes.set(xscale="log", yscale="log", xlabel="environments", ylabel="environment steps per second")
    axes.set_title("CartPole: a Rust host in another process, and vectors in the learner's own")
    axes.set_xticks(NUMBERS, [str(number) for number in NUMBERS])
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    program = parser.add_mutually_exclusive_group(required=True)
    program.add_argument("--server", help="the program cartpole_server of the examples")
    program.add_argument("--images", help="the program image_server of the benches")
    parser.add_argument(
        "--vector-server", help="the program vector_server of the examples: one simulator for all poles"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plot", type=Path, default=Path("out/vector.png"))
    arguments = parser.parse_args()
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.images:
            measure_images(arguments.images, folder, arguments.rounds)
            return
        listen = (arguments.server, "--until-stdin-closes", "--listen")
        servers = {scheme: Server(scheme, folder, *listen) for scheme in SCHEMES}
        if arguments.vector_server:
            servers[AT_ONCE] = Server("shm", f"{folder}/at-once", arguments.vector_server, *listen[1:])
        for number in NUMBERS:
            table[number] = measure(servers, number, arguments.rounds)
            print(f"measured {number} environments", file=sys.stderr, flush=True)
        for server in servers.values():
            server.close()
    names = list(dict.fromkeys(name for rates in table.values() for name in rates))
    print("| environment steps/s | " + " | ".join(str(number) for number in NUMBERS) + " |")
    print("|---|" + "---:|" * len(NUMBERS))
    for name in names:
        cells = (f"{table[number][name]:,.0f}" if name in table[number] else "-" for number in NUMBERS)
        print(f"| {'RLay, ' + name if name in (*SCHEMES, AT_ONCE) else name} | " + " | ".join(cells) + " |")
    plot(table, arguments.plot)
    print(f"a plot is in {arguments.plot}", file=sys.stderr)


if __name__ == "__main__":
    main()

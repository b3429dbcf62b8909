"""Learns to balance a pole that another process simulates, once in each paradigm.

The CartPoles are a Rust program with its own process. First it listens and the agent dials
(``ClientVectorEnv``: sixteen environments in one session), then the agent listens and it dials
(``ServerVectorEnv``: sixteen that dial in). The learner is CMA-ES over the four weights of a
linear policy, whose sixteen candidates play at once; it does not know which of the two it is.

    make demo
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cma
import gymnasium as gym
import matplotlib
import numpy as np
from tqdm import tqdm

import rlay

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
GENERATIONS = 15
POPULATION = 16
EPISODES = 7 * POPULATION
SOLVED = 475.0
"""The return at which Gymnasium calls CartPole-v1 solved."""


class Agent:
    """A linear policy's body: plays episodes of any vector environment, one in each slot, and counts its steps."""

    def __init__(self, envs: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        """Play in ``envs``."""
        self.envs = envs
        self.steps = 0
        self.seconds = 0.0

    def play(self, weights: np.ndarray, seeds: list[int]) -> list[float]:
        """Return the return of the first episode of each slot, with the weights of its row."""
        started = time.perf_counter()
        observations, _ = self.envs.reset(seed=seeds)
        totals, is_over = np.zeros(len(seeds)), np.zeros(len(seeds), dtype=np.bool_)
        ended = is_over
        while not is_over.all():
            actions = (np.einsum("ij,ij->i", weights, observations) > 0).astype(np.int64)
            # Where an episode has ended, this begins the next one and is no step.
            self.steps += int(np.sum(~ended))
            observations, rewards, terminations, truncations, _ = self.envs.step(actions)
            totals[~is_over] += rewards[~is_over]
            ended = terminations | truncations
            is_over = is_over | ended
        self.seconds += time.perf_counter() - started
        return totals.tolist()


@dataclass
class Run:
    """The results of learning in one paradigm."""

    generations: list[list[float]]
    """The return of each candidate of each generation."""
    steps_after: list[int]
    """Steps taken at the end of each generation."""
    learned: float
    agent_steps: int
    steps_per_second: float
    env_steps: int = -1


def learn(envs: gym.vector.VectorEnv[Any, Any, Any]) -> Run:
    """Learn, then measure the learned policy on episodes that it has not seen."""
    agent = Agent(envs)
    search = cma.CMAEvolutionStrategy(np.zeros(4), 0.5, {"popsize": POPULATION, "seed": 1, "verbose": -9})
    generations, steps_after = [], []
    with tqdm(range(GENERATIONS), unit=" generations", ncols=88) as progress:
        for generation in progress:
            candidates = search.ask()
            returns = agent.play(np.stack(candidates), seeds=[generation] * POPULATION)
            search.tell(candidates, [-value for value in returns])
            generations.append(returns)
            steps_after.append(agent.steps)
            progress.set_postfix_str(f"mean return {np.mean(returns):.0f}")
    learned: list[float] = []
    best = np.tile(search.result.xfavorite, (POPULATION, 1))
    for first in tqdm(range(10_000, 10_000 + EPISODES, POPULATION), unit=" rounds", ncols=88):
        learned += agent.play(best, seeds=list(range(first, first + POPULATION)))
    return Run(generations, steps_after, float(np.mean(learned)), agent.steps, agent.steps / agent.seconds)


@contextmanager
def cartpole(server: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the Rust program; it ends when its standard input does."""
    command = [server, *arguments, "--until-stdin-closes"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def served_steps(process: subprocess.Popen[str]) -> int:
    """End the Rust program and return how many steps it says it served."""
    said, _ = process.communicate(timeout=30)
    last = next(line for line in said.splitlines() if line.startswith("served "))
    return int(last.split()[1])


def through_client_env(server: Path) -> Run:
    """Let the agent dial."""
    with cartpole(server, "--listen", "tcp://127.0.0.1:0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("listening at ").strip()
        print(f"\nClientVectorEnv: the agent dials {address}", flush=True)
        make: dict[str, Any] = {"num_envs": POPULATION, "vectorization_mode": "vector_entry_point"}
        envs = gym.make_vec("rlay:ClientEnv-v0", **make, address=address)
        run = learn(envs)
        envs.close()
        run.env_steps = served_steps(process)
    return run


def through_server_env(server: Path) -> Run:
    """Let the environments dial."""
    envs = rlay.ServerVectorEnv("tcp://127.0.0.1:0", num_envs=POPULATION)
    print(f"\nServerVectorEnv: the environments dial {envs.address}", flush=True)
    with cartpole(server, "--dial", envs.address) as process:
        run = learn(envs)
        envs.close()
        run.env_steps = served_steps(process)
    return run


def plot(run: Run, title: str, path: Path) -> None:
    """Draw every candidate's return and the mean of each generation, over steps."""
    ink, accent, muted = "#26282f", "#c2571a", "#8184cb"
    steps = np.array(run.steps_after) / 1000
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150)
    axes.axhline(SOLVED, color=ink, linewidth=0.9, linestyle=(0, (5, 4)))
    axes.text(steps[0], SOLVED - 8, f"solved: {SOLVED:.0f}", va="top", fontsize=8.5, color=ink)
    dots: dict[str, Any] = {"s": 14, "color": muted, "linewidths": 0}
    for at, returns in zip(steps, run.generations, strict=True):
        axes.scatter([at] * len(returns), returns, alpha=0.45, **dots)
    axes.scatter([], [], label="one candidate", **dots)
    means = [np.mean(returns) for returns in run.generations]
    axes.plot(steps, means, color=accent, linewidth=2.2, marker="o", markersize=4.5, label="mean of a generation")
    axes.set(ylim=(0, 520), xlabel="steps over TCP, in thousands", ylabel="return of an episode of CartPole")
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=ink)
    axes.set_title(f"learned policy: {run.learned:.1f} over {EPISODES} episodes", loc="right", fontsize=9.5, color=ink)
    axes.grid(axis="y", color="#e6e4de", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.87), frameon=False, fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def report(run: Run, path: Path) -> list[str]:
    """Print the results of a run, and return the claims that do not hold."""
    first = float(np.mean(run.generations[0]))
    print(f"  first generation    {first:9.1f}   mean return of its {POPULATION} candidates")
    print(f"  learned policy      {run.learned:9.1f}   mean return over {EPISODES} new episodes")
    print(f"  the agent counted   {run.agent_steps:9,}   steps")
    print(f"  the env's process   {run.env_steps:9,}   steps")
    print(f"  environments        {run.steps_per_second:9,.0f}   steps per second, of {POPULATION} together")
    print(f"  learning curve      {path.relative_to(ROOT)}", flush=True)
    claims = {
        f"the first generation is below 100 ({first:.1f})": first < 100,
        f"the learned policy reaches {SOLVED:.0f} ({run.learned:.1f})": run.learned >= SOLVED,
        f"both sides count the same steps ({run.agent_steps} and {run.env_steps})": run.agent_steps == run.env_steps,
    }
    return [claim for claim, holds in claims.items() if not holds]


def main() -> int:
    """Learn in both paradigms; the exit code says whether everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=BUILT / "release/examples/cartpole_server")
    server = parser.parse_args().server
    if not server.is_file():
        parser.error(f"there is no {server}; build it with `cargo build --release --example cartpole_server`")
    paradigms: dict[str, Callable[[Path], Run]] = {"client": through_client_env, "server": through_server_env}
    started = time.monotonic()
    runs: dict[str, Run] = {}
    broken: list[str] = []
    for name, learn_through in paradigms.items():
        run = runs[name] = learn_through(server)
        path = ROOT / "out" / f"learning-curve-{name}.png"
        dialer = "the agent dials" if name == "client" else "the environments dial"
        plot(run, f"{name.capitalize()}VectorEnv: {dialer}", path)
        broken += [f"{name}: {claim}" for claim in report(run, path)]
    same = runs["client"].generations == runs["server"].generations
    if not same:
        broken.append("equal seeds give equal returns in both paradigms")
    print(f"\nequal seeds gave {'equal' if same else 'DIFFERENT'} returns in both paradigms, bit by bit")
    print(f"{time.monotonic() - started:.0f} s in all")
    for claim in broken:
        print(f"does not hold: {claim}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

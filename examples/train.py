"""Trains on any game: dials the one at the address, or waits for games that dial in.

The learner is CMA-ES over a linear policy, whose candidates play an episode each: enough for small games, and nothing
to install beyond ``rlay-gym[examples]``. A game with images or long credit assignment wants a learner of its own, for
which the two lines that make ``envs`` are the same.

    python examples/train.py tcp://127.0.0.1:5005                          # the game listens there
    python examples/train.py --listen tcp://127.0.0.1:5005 --num-envs 4    # four games dial in
    python examples/train.py --listen wss://0.0.0.0:5005 --token SECRET    # one from another machine
    python examples/train.py tcp://127.0.0.1:5005 --play out/policy.npz    # watch what was learned

It plays as fast as the game lets it, and writes the policy after each generation: Ctrl-C loses nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any, TypeAlias

import cma  # type: ignore[import-untyped]
import gymnasium as gym
import matplotlib
import numpy as np
from gymnasium.spaces.utils import flatten, flatten_space
from tqdm import tqdm  # type: ignore[import-untyped]

import rlay

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

Envs: TypeAlias = "gym.vector.VectorEnv[Any, Any, Any]"
EPISODES = 10
"""So many episodes that it has not seen judge a policy."""


class Policy:
    """Linear in the flattened observation, which is centred and scaled by what was seen so far."""

    def __init__(self, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
        """Fit the shape of the weights to the spaces of one environment."""
        if isinstance(action_space, gym.spaces.Discrete):
            self.outputs = int(action_space.n)
        elif isinstance(action_space, gym.spaces.Box):
            self.outputs = int(np.prod(action_space.shape))
        else:
            raise SystemExit(f"this learner acts in Discrete and Box spaces; the game has {action_space}")
        flat = flatten_space(observation_space)
        if not isinstance(flat, gym.spaces.Box):
            raise SystemExit(f"this learner sees what flattens into a vector; the game shows {observation_space}")
        self.observation_space, self.action_space = observation_space, action_space
        self.inputs = int(np.prod(flat.shape))
        self.seen, self.mean, self.square = 0, np.zeros(self.inputs), np.zeros(self.inputs)

    @property
    def size(self) -> int:
        """How many weights there are: those of the inputs and one more, for each output."""
        return (self.inputs + 1) * self.outputs

    def flat(self, observations: Any) -> np.ndarray:
        """Return a row for each environment: its observation, flattened."""
        if isinstance(self.observation_space, gym.spaces.Box):
            return np.asarray(observations, np.float64).reshape(-1, self.inputs)
        batch = gym.vector.utils.batch_space(self.observation_space)
        rows = gym.vector.utils.iterate(batch, observations)
        return np.stack([np.asarray(flatten(self.observation_space, row), np.float64) for row in rows])

    def features(self, observations: Any) -> np.ndarray:
        """Return a row for each environment: the scaled observation, and a one."""
        flat = self.flat(observations)
        deviation = np.sqrt(self.square / max(self.seen, 1))
        scaled = (flat - self.mean) / np.where(deviation > 1e-8, deviation, 1.0)
        return np.hstack([np.clip(scaled, -10, 10), np.ones((len(flat), 1))])

    def learn_scale(self, observations: Any) -> None:
        """Count these observations in the mean and the deviation (Welford's method)."""
        for row in self.flat(observations):
            self.seen += 1
            before = row - self.mean
            self.mean = self.mean + before / self.seen
            self.square = self.square + before * (row - self.mean)

    def act(self, weights: np.ndarray, observations: Any) -> Any:
        """Return an action for each environment; ``weights`` has a row for each."""
        matrices = weights.reshape(len(weights), self.outputs, self.inputs + 1)
        outputs = np.einsum("eoi,ei->eo", matrices, self.features(observations))
        if isinstance(self.action_space, gym.spaces.Discrete):
            return np.argmax(outputs, axis=1) + self.action_space.start
        low = np.maximum(self.action_space.low, -1e3).ravel()
        high = np.minimum(self.action_space.high, 1e3).ravel()
        actions = (low + (high - low) * (np.tanh(outputs) + 1) / 2).astype(self.action_space.dtype)
        return actions.reshape(len(weights), *self.action_space.shape)


def play(envs: Envs, policy: Policy, weights: np.ndarray, seed: Any) -> np.ndarray:
    """Return the return of one episode in each environment, with the weights of its row; a list has a seed for each."""
    observations, _ = envs.reset(seed=seed)
    totals, is_over = np.zeros(len(weights)), np.zeros(len(weights), dtype=np.bool_)
    while not is_over.all():
        observations, rewards, terminations, truncations, _ = envs.step(policy.act(weights, observations))
        totals[~is_over] += rewards[~is_over]
        is_over |= terminations | truncations
    return totals


def judge(envs: Envs, policy: Policy, weights: np.ndarray) -> np.ndarray:
    """Return the returns of one policy in episodes that it has not seen."""
    rows = np.tile(weights, (envs.num_envs, 1))
    seeds = range(10_000, 10_000 + EPISODES, envs.num_envs)
    return np.concatenate([play(envs, policy, rows, seed) for seed in seeds])[:EPISODES]


def learn(envs: Envs, policy: Policy, arguments: argparse.Namespace) -> tuple[float, list[np.ndarray]]:
    """Search for weights; return what the learned policy returns, and the returns of each generation."""
    num_envs = envs.num_envs
    # The scale of observations comes from random actions, and stays: equal weights mean an equal policy.
    envs.action_space.seed(0)
    policy.learn_scale(envs.reset(seed=0)[0])
    for _ in range(100):
        policy.learn_scale(envs.step(envs.action_space.sample())[0])
    population = -(-arguments.population // num_envs) * num_envs
    search = cma.CMAEvolutionStrategy(np.zeros(policy.size), 0.5, {"popsize": population, "seed": 1, "verbose": -9})
    generations: list[np.ndarray] = []
    learned = -np.inf
    arguments.save.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(range(1, arguments.generations + 1), unit=" generations", ncols=88) as progress:
        for generation in progress:
            candidates = np.stack(search.ask())
            # Candidates are compared, so all of them play the same episode.
            seeds = [generation] * num_envs
            returns = [
                play(envs, policy, candidates[first : first + num_envs], seeds)
                for first in range(0, population, num_envs)
            ]
            generations.append(np.concatenate(returns))
            search.tell(list(candidates), list(-generations[-1]))
            best = search.result.xfavorite
            np.savez(arguments.save, weights=best, mean=policy.mean, square=policy.square, seen=policy.seen)
            mean = float(np.mean(generations[-1]))
            progress.set_postfix_str(f"mean return {mean:.1f}")
            # The search's mean is better than most candidates, which lie around it.
            is_near = arguments.target is not None and np.quantile(generations[-1], 0.75) >= arguments.target
            if is_near or generation == arguments.generations:
                learned = float(np.mean(judge(envs, policy, best)))
                if arguments.target is not None and learned >= arguments.target:
                    break
    return learned, generations


def plot(generations: list[np.ndarray], path: Path) -> None:
    """Draw every candidate's return, and the mean of each generation."""
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150)
    for at, returns in enumerate(generations, 1):
        axes.scatter([at] * len(returns), returns, s=14, color="#8184cb", alpha=0.45, linewidths=0)
    means = [np.mean(returns) for returns in generations]
    axes.plot(range(1, len(means) + 1), means, color="#c2571a", linewidth=2.2, marker="o", markersize=4.5)
    axes.set(xlabel="generation", ylabel="return of an episode")
    axes.set_title("dots: one candidate each, line: their mean", loc="left", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#e6e4de", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def make(arguments: argparse.Namespace) -> Envs:
    """Make the environments: the only lines that know which side dials."""
    common = {"num_envs": arguments.num_envs, "connect_timeout": arguments.connect_timeout, "token": arguments.token}
    if arguments.listen is None:
        return rlay.ClientVectorEnv(arguments.address, **common)
    envs = rlay.ServerVectorEnv(arguments.listen, **common)
    print(f"waiting for {arguments.num_envs} game(s) to dial {envs.address}", flush=True)
    return envs


def main() -> int:
    """Train, or play what was learned; the exit code is 1 if ``--target`` was not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("address", nargs="?", help="where the game listens")
    where.add_argument("--listen", metavar="ADDRESS", help="where games are to dial")
    parser.add_argument("--num-envs", type=int, default=1, help="how many play at once (1)")
    parser.add_argument("--generations", type=int, default=30, help="how long to learn at most (30)")
    parser.add_argument("--population", type=int, default=16, help="candidates of a generation (16)")
    parser.add_argument("--target", type=float, help=f"mean return in {EPISODES} unseen episodes at which to stop")
    parser.add_argument("--connect-timeout", type=float, default=600.0, help="seconds to wait for the games (600)")
    parser.add_argument("--token", help="a secret that the games have, too")
    parser.add_argument("--plot", type=Path, default=Path("out/training.png"), help="the learning curve")
    parser.add_argument("--save", type=Path, default=Path("out/policy.npz"), help="where the policy goes")
    parser.add_argument("--play", type=Path, metavar="POLICY", help="play episodes with this policy instead")
    arguments = parser.parse_args()
    with contextlib.closing(make(arguments)) as envs:
        policy = Policy(envs.single_observation_space, envs.single_action_space)
        if arguments.play is not None:
            with np.load(arguments.play) as kept:
                policy.mean, policy.square, policy.seen = kept["mean"], kept["square"], int(kept["seen"])
                weights = np.tile(kept["weights"], (envs.num_envs, 1))
            for seed in range(10_000, 10_000 + EPISODES, envs.num_envs):
                for total in play(envs, policy, weights, seed):
                    print(f"return {total:.1f}", flush=True)
            return 0
        learned, generations = learn(envs, policy, arguments)
    plot(generations, arguments.plot)
    print(f"the learned policy returns {learned:.1f} on average of {EPISODES} episodes that it has not seen")
    print(f"learning curve: {arguments.plot}   policy: {arguments.save}")
    if arguments.target is not None and learned < arguments.target:
        print(f"the target of {arguments.target} was not reached; try more --generations", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

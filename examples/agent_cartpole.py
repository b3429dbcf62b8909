"""An agent that dials: python examples/agent_cartpole.py [ADDRESS [STEPS]].

Start the other side with host_cartpole.py, or in Rust with
``cargo run --release --example cartpole_server -- --listen tcp://127.0.0.1:5005``.
"""

from __future__ import annotations

import sys

import gymnasium as gym
from tqdm import trange


def main(address: str = "tcp://127.0.0.1:5005", steps: str = "100000") -> None:
    """Balance the pole by pushing to the side to which it is going to fall."""
    env = gym.make("rlay:ClientEnv-v0", address=address)
    (_, drift, lean, fall), _ = env.reset(seed=0)
    episodes = 1
    for _ in trange(int(steps), unit=" steps", unit_scale=True):
        action = int(lean + 0.3 * fall + 0.04 * drift > 0)
        (_, drift, lean, fall), _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            (_, drift, lean, fall), _ = env.reset()
            episodes += 1
    env.close()
    print(f"{int(steps)} steps, {episodes} episodes")


if __name__ == "__main__":
    main(*sys.argv[1:])

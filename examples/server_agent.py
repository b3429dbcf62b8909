"""An agent that waits for a game to dial in: python examples/server_agent.py [ADDRESS [STEPS]].

Any environment will do; start one with game_client.py or engine_loop.py.
"""

from __future__ import annotations

import sys

from tqdm import trange

import rlay


def main(address: str = "tcp://127.0.0.1:5005", steps: str = "10000") -> None:
    """Act at random in the first environment that dials in."""
    env = rlay.ServerEnv(address)
    print(f"waiting for a game at {env.address}", flush=True)
    env.action_space.seed(0)
    env.reset(seed=0)
    episodes, total = 1, 0.0
    for _ in trange(int(steps), unit=" steps", unit_scale=True):
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        total += reward
        if terminated or truncated:
            env.reset()
            episodes += 1
    env.close()
    print(f"{int(steps)} steps, {episodes} episodes, return {total / episodes:.2f} in the mean")


if __name__ == "__main__":
    main(*sys.argv[1:])

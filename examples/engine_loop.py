"""An engine with a loop of its own, asked for its turn once per frame: python examples/engine_loop.py [ADDRESS].

The loop never waits for the agent: ``turn()`` returns at once. Start the agent first, with
server_agent.py; a few hundred steps will do, for there is at most one per frame.
"""

from __future__ import annotations

import sys
import time

import gymnasium as gym
import numpy as np

import rlay

FRAME = 1 / 60


class Balloon:
    """The world: a balloon that sinks unless it is heated."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def begin(self, seed: int | None) -> np.ndarray:
        """Put the balloon somewhere near ten metres."""
        self.height, self.speed = 10.0 + np.random.default_rng(seed).uniform(-1, 1), 0.0
        return self.seen()

    def advance(self, heat: int) -> tuple[np.ndarray, float, bool]:
        """Let a frame pass; return what is seen, the reward, and whether it touched the ground."""
        self.speed += (1.0 if heat else -1.0) * FRAME
        self.height += self.speed * FRAME
        return self.seen(), -abs(self.height - 10.0), self.height <= 0

    def seen(self) -> np.ndarray:
        """Return height and speed."""
        return np.array([self.height, self.speed], np.float32)


def main(address: str = "tcp://127.0.0.1:5005") -> None:
    """Run at sixty frames a second until the agent leaves."""
    world = Balloon()
    agent = rlay.ClientBackend(world, address)
    frames = 0
    while True:
        next_frame = time.monotonic() + FRAME
        match agent.turn():
            case rlay.Reset(seed=seed):
                agent.reply(world.begin(seed))
            case rlay.Step(action=action):
                agent.reply(*world.advance(action))
            case rlay.Close(reason=reason):
                print(f"{frames} frames; {reason}")
                break
        frames += 1  # here an engine draws
        time.sleep(max(0.0, next_frame - time.monotonic()))
    agent.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

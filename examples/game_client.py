"""A game that dials in to an agent: python examples/game_client.py [ADDRESS].

Start the agent first, with server_agent.py.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym

import rlay


class Corridor(gym.Env[int, int]):
    """Nine tiles in a row; the exit is on the right, and every step costs something."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012
    observation_space = gym.spaces.Discrete(9)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        """Start without a position."""
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Stand on one of the first four tiles."""
        super().reset(seed=seed)
        self.tile = int(self.np_random.integers(4))
        return self.tile, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Go left (0) or right (1)."""
        self.tile = min(8, max(0, self.tile + (1 if action else -1)))
        out = self.tile == 8
        return self.tile, 1.0 if out else -0.01, out, False, {}

    def render(self) -> str:
        """Draw the corridor as a line of text."""
        return "".join("@" if i == self.tile else "." for i in range(9)) + "]"


def main(address: str = "tcp://127.0.0.1:5005") -> None:
    """Play until the address has no listener any more; raise if it never had one."""
    rlay.ClientBackend(Corridor, address, connect_timeout=10).run()
    print("the game is over: the agent left, and no other came")


if __name__ == "__main__":
    main(*sys.argv[1:])

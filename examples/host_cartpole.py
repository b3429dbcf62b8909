"""Hosts CartPole for every agent that dials: python examples/host_cartpole.py [ADDRESS]."""

from __future__ import annotations

import sys

import rlay


def main(address: str = "tcp://127.0.0.1:5005") -> None:
    """Serve until Ctrl-C; each agent has an environment of its own."""
    backend = rlay.ServerBackend("CartPole-v1", address)
    print(f"listening at {backend.address}", flush=True)
    backend.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Agents in the host process, driven by tests that host the environment in their own process."""

from __future__ import annotations

import threading
from typing import Any

import rlay

_envs: list[Any] = []
_answers: dict[int, str] = {}
_threads: dict[int, threading.Thread] = {}


def open(paradigm: str, address: str) -> int:
    """Open an environment, reset it, and return its number."""
    env = rlay.ClientEnv(address) if paradigm == "client" else rlay.ServerEnv(address, connect_timeout=30)
    env.reset()
    _envs.append(env)
    return len(_envs) - 1


def begin_step(number: int, action: Any) -> None:
    """Step, and do not wait for the answer: see `end_step`."""

    def run() -> None:
        try:
            _answers[number] = str(_envs[number].step(action)[0])
        except rlay.Error as error:
            _answers[number] = type(error).__name__

    _threads[number] = threading.Thread(target=run, daemon=True)
    _threads[number].start()


def end_step(number: int) -> str:
    """Return the observation or the name of the error."""
    _threads[number].join(30)
    return _answers.pop(number)


def step(number: int, action: Any) -> str:
    """Step, and return the observation or the name of the error."""
    begin_step(number, action)
    return end_step(number)


def close(number: int) -> None:
    """Close the environment."""
    _envs[number].close()


def listen_and_reset(address: str) -> None:
    """Listen, and ask the environment that dials for one episode."""
    env = rlay.ServerEnv(address, connect_timeout=30)
    env.reset(seed=3)
    env.close()

"""An endpoint that waits for long logs what it waits for, and continues to wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import rlay
from processes import free_address, until

SOON = 1.0
"""After how long a wait is logged, in seconds; the least there is."""
LONG = 4.0
"""Longer than any of these endpoints waits without logging, in seconds."""


def try_to_connect(address: str) -> None:
    with pytest.raises(rlay.ConnectionLost, match="start the other side first"):
        rlay.ClientEnv(address, connect_timeout=LONG, notice_after=SOON)


def try_to_dial_in(address: str) -> None:
    with pytest.raises(rlay.ConnectionLost, match="start the other side first"):
        rlay.ClientBackend("CartPole-v1", address, connect_timeout=LONG, notice_after=SOON).run()


def wait_for_an_environment(address: str) -> None:
    with pytest.raises(rlay.Timeout, match="no environment dialed in"):
        rlay.ServerEnv(address, connect_timeout=LONG, notice_after=SOON).reset()


def test_all_of_them(caplog: pytest.LogCaptureFixture) -> None:
    """All cases at the same time, for each takes long."""

    def said(text: str, level: int) -> list[str]:
        lines = [record.getMessage() for record in caplog.records if record.levelno == level]
        return [line for line in lines if text in line]

    calls: list[Callable[[str], None]] = [try_to_connect, try_to_dial_in, wait_for_an_environment]
    addresses = [free_address() for _ in calls]
    with (
        caplog.at_level(logging.INFO, "rlay"),
        rlay.ServerBackend("CartPole-v1", notice_after=SOON) as host,
        rlay.ClientEnv(host.address) as env,
        ThreadPoolExecutor(len(calls)) as pool,
    ):
        env.reset(seed=1)
        waits = [pool.submit(call, address) for call, address in zip(calls, addresses, strict=True)]
        # Nothing is wrong with an agent that thinks, so that is no warning.
        until(
            lambda: said("for more than 1 s the agent has asked for nothing; the last was a reset", logging.INFO),
            "the host to say so",
        )
        for wait in waits:
            wait.result()
        time.sleep(1.0)
        assert len(said("the agent has asked for nothing", logging.INFO)) == 1
        env.step(0)
    for address in addresses[:2]:
        assert len(said(f"{address}: still no connection", logging.WARNING)) == 1
    assert len(said(f"waiting for an environment to dial in to {addresses[2]}", logging.WARNING)) == 1
    assert not said("the agent has asked for nothing", logging.WARNING)

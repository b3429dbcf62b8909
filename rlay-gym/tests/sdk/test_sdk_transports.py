"""A game over the transports that its client has besides TCP."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

import rlay
from equal import difference
from processes import WAIT
from sdk_clients import CLIENTS
from sdk_game import Drift

PAIRS = [(client, scheme) for client in CLIENTS for scheme in client.transports if scheme != "tcp"]


def address(scheme: str, folder: Path) -> str:
    """Return an address to listen at."""
    match scheme:
        case "unix":
            return f"unix://{folder}/game"
        case "shm":
            return f"shm://game-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return f"{scheme}://127.0.0.1:0"


@pytest.mark.parametrize("paradigm", ["client", "server"])
@pytest.mark.parametrize(("client", "scheme"), PAIRS, ids=lambda x: getattr(x, "name", x))
def test_three_hundred_steps(games: Any, scheme: str, paradigm: str, tmp_path: Path) -> None:
    local = Drift()
    if paradigm == "client":
        _, at = games.listen(at=address(scheme, tmp_path))
        env: Any = rlay.ClientEnv(at, connect_timeout=WAIT)
    else:
        env = rlay.ServerEnv(address(scheme, tmp_path), connect_timeout=WAIT)
        games.start("--dial", env.address)
    with env:
        for episode in range(3):
            here, there = local.reset(seed=episode), env.reset(seed=episode)
            assert (found := difference(here, there, f"reset {episode}")) is None, found
            for step in range(100):
                here, there = local.step(step % 3), env.step(step % 3)
                assert (found := difference(here, there, f"step {step}")) is None, found


# Without such a client there is no test, rather than one that is skipped.
test_three_hundred_steps.__test__ = bool(PAIRS)  # type: ignore[attr-defined]

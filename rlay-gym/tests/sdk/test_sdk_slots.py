"""Several environments in one session of a game do what as many games in Python do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlay
from equal import difference
from processes import WAIT
from sdk_clients import CLIENTS
from sdk_game import Drift

HOSTS = [client for client in CLIENTS if client.hosts_slots]


@pytest.mark.parametrize("client", HOSTS, ids=lambda client: client.name)
def test_eight_slots(games: Any) -> None:
    local = SyncVectorEnv([Drift] * 8, autoreset_mode=AutoresetMode.NEXT_STEP)
    _, address = games.listen()
    with rlay.ClientVectorEnv(address, num_envs=8, connect_timeout=WAIT) as remote:
        here, there = local.reset(seed=3), remote.reset(seed=3)
        rng = np.random.default_rng(1)
        ended = 0
        for step in range(300):
            assert (found := difference(here, there, f"step {step}")) is None, found
            actions = rng.integers(0, 3, 8)
            here, there = local.step(actions), remote.step(actions)
            ended += int((here[2] | here[3]).sum())
        assert ended > 8


# Without such a client there is no test, rather than one that is skipped.
test_eight_slots.__test__ = bool(HOSTS)  # type: ignore[attr-defined]

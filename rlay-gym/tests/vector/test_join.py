"""Environments of several hosts, and such that dial in, are one vector."""

from __future__ import annotations

import contextlib

import gymnasium as gym
import numpy as np
import pytest

import rlay


def test_hosts_over_two_transports_and_a_game_that_dials_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("s")
    with contextlib.ExitStack() as stack:
        near = stack.enter_context(rlay.ServerBackend("Taxi-v4", f"unix://{folder}/near"))
        far = stack.enter_context(rlay.ServerBackend("Taxi-v4"))
        arena = rlay.ServerVectorEnv(num_envs=1)
        stack.enter_context(rlay.ClientBackend("Taxi-v4", arena.address))
        parts = [rlay.ClientVectorEnv(near.address, 3), rlay.ClientVectorEnv(far.address, 2), arena]
        envs = stack.enter_context(contextlib.closing(rlay.join(parts)))
        local = gym.make_vec("Taxi-v4", num_envs=6, vectorization_mode="sync")
        assert envs.num_envs == 6 and envs.observation_space == local.observation_space
        local.action_space.seed(2)
        np.testing.assert_equal(envs.reset(seed=4), local.reset(seed=4))
        for _ in range(300):
            actions = local.action_space.sample()
            np.testing.assert_equal(envs.step(actions), local.step(actions))
        mask = np.array([True, False, False, True, False, True])
        ours = envs.reset(seed=9, options={"reset_mask": mask.copy()})
        np.testing.assert_equal(ours, local.reset(seed=9, options={"reset_mask": mask.copy()}))
        with pytest.raises(rlay.Error, match="joined with others"):
            parts[0].reset()


def test_what_cannot_be_joined() -> None:
    with (
        rlay.ServerBackend("Taxi-v4") as taxis,
        rlay.ServerBackend("FrozenLake-v1") as lakes,
        rlay.ClientVectorEnv(taxis.address, 2) as one,
        rlay.ClientVectorEnv(lakes.address, 2) as other,
        rlay.ClientVectorEnv(taxis.address, 2, autoreset_mode="SameStep") as another,
    ):
        with pytest.raises(rlay.Incompatible, match="vector 1 has another observation_space than the first"):
            rlay.join([one, other])
        with pytest.raises(rlay.Error, match="another autoreset mode"):
            rlay.join([one, another])
        with pytest.raises(TypeError, match="one at least"):
            rlay.join([])
        assert one.reset(seed=1)[0].shape == (2,)

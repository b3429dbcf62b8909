"""``copy=False``: observations as read-only views of the memory in which they arrived, which never changes again."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rlay
from host_process import HostProcess, quietly_close
from processes import WAIT
from twins import MODES, Twins

IMAGES = 8
"""So many images of 28 KB are more than the 128 KiB from which on memory is reused."""

MakeTwins = Callable[..., Twins]


def leaves(observation: Any) -> list[Any]:
    """Return the arrays of a batch."""
    return list(observation.values()) if isinstance(observation, dict) else [observation]


def kept(observation: Any) -> list[Any]:
    """Return copies of the arrays of a batch."""
    return [leaf.copy() for leaf in leaves(observation)]


@pytest.mark.gymnasium
@pytest.mark.parametrize("source", ["vector_envs:Image", "CartPole-v1", "FrozenLake-v1", "Blackjack-v1"])
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_results_are_the_same(twins: MakeTwins, source: str, copy: bool, mode: str) -> None:
    assert twins(source, mode, IMAGES, copy=copy).play(60) == 0


@pytest.mark.parametrize("scheme", ["tcp", "unix", "shm", "zmq", "quic", "ws"])
@pytest.mark.parametrize("copy", [True, False])
def test_what_was_returned_never_changes(
    host_process: HostProcess, fresh: Callable[[str], str], scheme: str, copy: bool
) -> None:
    address = host_process.address("transcripts:Picture", "client", address=fresh(scheme))
    with rlay.ClientVectorEnv(address, IMAGES, connect_timeout=WAIT, copy=copy) as envs:
        rng = np.random.default_rng(1)
        held = [envs.reset(seed=3)[0]]
        expected = [kept(held[0])]
        for number in range(40):
            if number % 5 == 4:
                # Only some rows change, and only in the array that is returned now.
                mask = rng.random(IMAGES) < 0.5
                mask[number % IMAGES] = True
                observation, _ = envs.reset(seed=number, options={"reset_mask": mask})
            else:
                observation = envs.step(rng.integers(0, 5, IMAGES))[0]
            held.append(observation)
            expected.append(kept(observation))
            for seen, copies in zip(held, expected, strict=True):
                for leaf, same in zip(leaves(seen), copies, strict=True):
                    np.testing.assert_array_equal(leaf, same)
                    assert leaf.flags.writeable == copy
            if number % 7 == 6:
                # Memory that is given back is used again.
                del held[:3], expected[:3]


def test_what_is_written_to_a_fresh_array_stays_there(host_process: HostProcess) -> None:
    address = host_process.address("transcripts:Picture", "client")
    with rlay.ClientVectorEnv(address, IMAGES, connect_timeout=WAIT) as envs:
        envs.reset(seed=1)
        observation = envs.step(np.zeros(IMAGES, np.int64))[0]
        before = observation["image"].copy()
        observation["image"][:] = 0
        mask = np.arange(IMAGES) == 2
        after = envs.reset(seed=9, options={"reset_mask": mask})[0]["image"]
        np.testing.assert_array_equal(after[~mask], before[~mask])


def test_a_view_outlives_its_environments(host_process: HostProcess) -> None:
    address = host_process.address("transcripts:Picture", "client")
    envs = rlay.ClientVectorEnv(address, IMAGES, connect_timeout=WAIT, copy=False)
    envs.reset(seed=1)
    observation = envs.step(np.ones(IMAGES, np.int64))[0]
    copies = kept(observation)
    envs.close()
    del envs
    for leaf, same in zip(leaves(observation), copies, strict=True):
        np.testing.assert_array_equal(leaf, same)
        with pytest.raises(ValueError, match="read-only"):
            leaf[:] = 0


def test_it_can_be_changed_at_any_time_and_is_pickled(host_process: HostProcess) -> None:
    address = host_process.address("transcripts:Picture", "client")
    with rlay.ClientVectorEnv(address, IMAGES, connect_timeout=WAIT, copy=False) as envs:
        again = pickle.loads(pickle.dumps(envs))
        try:
            assert again.copy is False
            assert not again.reset(seed=1)[0]["image"].flags.writeable
        finally:
            quietly_close(again)
        assert not envs.reset(seed=1)[0]["image"].flags.writeable
        envs.copy = True
        assert envs.step(np.zeros(IMAGES, np.int64))[0]["image"].flags.writeable
        with pytest.raises(TypeError, match="copy=1 is a int; give True or False"):
            envs.copy = 1  # type: ignore[assignment]
        assert envs.copy is True
    with pytest.raises(TypeError, match="copy='no' is a str; give True or False"):
        rlay.ClientVectorEnv(address, IMAGES, copy="no")  # type: ignore[arg-type]


def test_rows_that_were_received_first_are_fresh(host_process: HostProcess) -> None:
    address = host_process.address("transcripts:Picture", "client")
    with rlay.ClientVectorEnv(address, IMAGES, connect_timeout=WAIT, copy=False) as envs:
        before = envs.reset(seed=1)[0]["image"]
        copy = before.copy()
        envs.send(np.zeros(IMAGES, np.int64))
        rows = [envs.recv(min=1, max=3) for _ in range(2)]
        rows.append(envs.recv(min=IMAGES - sum(len(row.slots) for row in rows)))
        assert sorted(slot for row in rows for slot in row.slots) == list(range(IMAGES))
        for row in rows:
            for at, slot in enumerate(row.slots):
                assert row.observations["position"][at].tolist() == [1.0, (1 + slot) / 3]
        np.testing.assert_array_equal(before, copy)


def test_joined_environments_and_games_that_dial_in_have_it_too(host_process: HostProcess) -> None:
    address = host_process.address("transcripts:Picture", "client")
    near = rlay.ClientVectorEnv(address, 4, connect_timeout=WAIT, copy=False)
    arena = rlay.ServerVectorEnv(num_envs=4, connect_timeout=WAIT, copy=False)
    number, _ = host_process.dial("transcripts:Picture", arena.address, max_sessions=4)
    try:
        with rlay.join([near, arena]) as envs:
            assert envs.copy is False
            held = envs.reset(seed=1)[0]
            copies = kept(held)
            for _ in range(5):
                step = envs.step(np.zeros(8, np.int64))[0]
                assert not step["image"].flags.writeable
            for leaf, same in zip(leaves(held), copies, strict=True):
                np.testing.assert_array_equal(leaf, same)
    finally:
        host_process.stop(number)

"""A ClientVectorEnv gives what a SyncVectorEnv gives over the same environments, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from equal import difference
from hosted_envs import FLAWS, builtin_ids
from space_corpus import NEWER, SPACES, UNORDERED
from twins import IS_OLDEST, MODES, Twins
from vector_envs import INFOS, OTHER_FLAWS

pytestmark = pytest.mark.gymnasium

MakeTwins = Callable[..., Twins]

UNSAMPLED = {"MultiDiscrete: uint64 start beyond int64"} | ({"Tuple: empty"} if IS_OLDEST else set())
"""Spaces with a batch that Gymnasium cannot sample, or that its oldest release takes for a batch of none."""

NAMES = [name for name in SPACES if name not in UNSAMPLED and not (IS_OLDEST and name in {*NEWER, *UNORDERED})]

# The oldest Gymnasium leaves the order of a Text's characters to chance, process by process.
FLAWED = [name for name in (*FLAWS, *OTHER_FLAWS) if not (IS_OLDEST and name.endswith(" for Text"))]

TOY = ("Taxi", "Blackjack", "FrozenLake", "CliffWalking")
IDS = [env_id for env_id in builtin_ids() if env_id.startswith(TOY)]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Every autoreset mode that Gymnasium has, one after the other."""
    return request.param


def test_cartpole(twins: MakeTwins, mode: str) -> None:
    assert twins("CartPole-v1", mode).play(2000) == 0


@pytest.mark.parametrize("scheme", ["unix", "shm", "zmq"])
def test_cartpole_over_other_transports(twins: MakeTwins, fresh: Callable[[str], str], mode: str, scheme: str) -> None:
    assert twins("CartPole-v1", mode, backend={"address": fresh(scheme)}).play(200) == 0


@pytest.mark.parametrize("env_id", IDS)
def test_toys(twins: MakeTwins, mode: str, env_id: str) -> None:
    assert twins(env_id, mode).play(150) == 0


def test_images_in_a_dict(twins: MakeTwins, mode: str) -> None:
    assert twins("vector_envs:Image", mode).play(120) == 0


@pytest.mark.parametrize("slots", [1, 2, 33])
def test_other_numbers_of_environments(twins: MakeTwins, mode: str, slots: int) -> None:
    assert twins("vector_envs:Ending", mode, slots).play(60, sample=lambda rng: rng.integers(0, 4, slots)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_space(twins: MakeTwins, mode: str, name: str) -> None:
    pair = twins(f"vector_envs:sampled:{name}", mode, slots=4)
    assert difference(*(envs.metadata for envs in pair)) is None
    for attribute in ("single_observation_space", "single_action_space", "observation_space", "action_space"):
        local, remote = (getattr(envs, attribute) for envs in pair)
        assert local == remote and repr(local) == repr(remote), attribute
        pair.both(lambda envs: getattr(envs, attribute).seed(7), attribute)
        for _ in range(3):
            pair.both(lambda envs: getattr(envs, attribute).sample(), attribute)
    pair.play(12)


@pytest.mark.parametrize("name", INFOS)
def test_every_info(twins: MakeTwins, mode: str, name: str) -> None:
    pair = twins(f"vector_envs:informing:{name}", mode, slots=5)
    pair.play(25, sample=lambda rng: rng.integers(0, 3, 5))


@pytest.mark.parametrize("name", FLAWED)
def test_observations_that_are_not_in_the_space(twins: MakeTwins, mode: str, name: str) -> None:
    pair = twins(f"vector_envs:wrong:{name}", mode, slots=5)
    pair.play(15, sample=lambda rng: rng.integers(0, 3, 5))

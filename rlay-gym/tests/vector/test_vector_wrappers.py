"""Gymnasium's vector wrappers give with remote environments what they give with local ones."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import vector as wrappers

from equal import difference
from twins import IS_OLDEST, MODES, Outcome, Twins

pytestmark = pytest.mark.gymnasium

MakeTwins = Callable[..., Twins]

STEPS = 500

CASES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "RecordEpisodeStatistics": ("CartPole-v1", wrappers.RecordEpisodeStatistics),
    "NormalizeObservation": ("CartPole-v1", wrappers.NormalizeObservation),
    "NormalizeReward": ("MountainCarContinuous-v0", wrappers.NormalizeReward),
    "ClipReward": ("MountainCarContinuous-v0", lambda envs: wrappers.ClipReward(envs, -0.05, 0.5)),
    "ClipAction": ("MountainCarContinuous-v0", wrappers.ClipAction),
    "RescaleAction": ("MountainCarContinuous-v0", lambda envs: wrappers.RescaleAction(envs, 1.0, 2.0)),
    "RescaleObservation": ("MountainCar-v0", lambda envs: wrappers.RescaleObservation(envs, 0.0, 1.0)),
    "DtypeObservation": ("CartPole-v1", lambda envs: wrappers.DtypeObservation(envs, np.float64)),
    "ReshapeObservation": ("CartPole-v1", lambda envs: wrappers.ReshapeObservation(envs, (2, 2))),
    "FlattenObservation": ("vector_envs:Image", wrappers.FlattenObservation),
    "FilterObservation": ("vector_envs:Image", lambda envs: wrappers.FilterObservation(envs, ["camera", "lamps"])),
    "TransformObservation": (
        "CartPole-v1",
        lambda envs: wrappers.TransformObservation(envs, lambda batch: 2 * batch, envs.observation_space),
    ),
    "VectorizeTransformObservation": (
        "CartPole-v1",
        lambda envs: wrappers.VectorizeTransformObservation(
            envs, gym.wrappers.TransformObservation, func=lambda row: row + 1, observation_space=None
        ),
    ),
    "VectorizeTransformAction": (
        "MountainCarContinuous-v0",
        # With the space of the environments the wrapper would write into the arguments, which are for both.
        lambda envs: wrappers.VectorizeTransformAction(
            envs, gym.wrappers.TransformAction, func=lambda action: action / 2, action_space=gym.spaces.Box(-2, 2, (1,))
        ),
    ),
    "VectorizeTransformReward": (
        "CartPole-v1",
        lambda envs: wrappers.VectorizeTransformReward(
            envs, gym.wrappers.TransformReward, func=lambda reward: reward / 3
        ),
    ),
    "DictInfoToList": ("vector_envs:Ending", wrappers.DictInfoToList),
    "DictInfoToList of statistics": (
        "CartPole-v1",
        lambda envs: wrappers.DictInfoToList(wrappers.RecordEpisodeStatistics(envs)),
    ),
}
"""An environment, and how its vector is wrapped."""

RAISE = {"NormalizeObservation"} | ({"DictInfoToList of statistics"} if IS_OLDEST else set())
"""What raises over any vector: when some environments alone are reset, and in the oldest Gymnasium when some end."""


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass in what `RecordEpisodeStatistics` returns."""
    monkeypatch.setattr(wrappers.common, "time", types.SimpleNamespace(perf_counter=lambda: 7.0))


def sample(name: str, envs: Any) -> Callable[[np.random.Generator], Any] | None:
    """Return what draws actions; None: the action space does."""
    return (lambda rng: rng.integers(0, 4, envs.num_envs)) if CASES[name][0].endswith("Ending") else None


@pytest.mark.parametrize("mode", MODES[:2])
@pytest.mark.parametrize("name", CASES)
def test_a_wrapper(twins: MakeTwins, name: str, mode: str) -> None:
    source, wrap = CASES[name]
    bare = twins(source, mode, 3)
    made, made_remote = (Outcome(wrap, envs) for envs in bare)
    assert repr(made.error) == repr(made_remote.error)
    if made.error is not None:
        # Gymnasium's wrappers of observations do not transform the last ones of episodes.
        assert mode == "SameStep" and "Observation" in name and isinstance(made.error, ValueError), made.error
        return
    local, remote = made.result, made_remote.result
    for attribute in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(local, attribute) == getattr(remote, attribute), attribute
    raised = Twins(local, remote).play(STEPS, sample=sample(name, local))
    assert raised == 0 or (name in RAISE and raised < STEPS / 10)
    for attribute in ("return_queue", "length_queue", "episode_count"):
        if name == "RecordEpisodeStatistics":
            assert getattr(local, attribute) == getattr(remote, attribute), attribute
    for attribute in ("obs_rms", "return_rms"):
        if hasattr(local, attribute):
            found, expected = (vars(getattr(envs, attribute)) for envs in (remote, local))
            assert difference(expected, found, attribute) is None

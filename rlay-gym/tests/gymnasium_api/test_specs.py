"""The spec of an agent's environment: from which gym.make makes another, and which has the host's details."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec, pprint_registry
from gymnasium.wrappers import TimeAwareObservation, TimeLimit

import raw_peer
import rlay
from host_process import PARADIGMS, Hosted, HostProcess, make

FACTS = ("max_episode_steps", "reward_threshold", "nondeterministic")


def facts(spec: EnvSpec | None) -> list[Any]:
    assert spec is not None
    return [getattr(spec, fact) for fact in FACTS]


def limits(env: Any) -> list[str]:
    """Return the number of time limits at this end."""
    found = []
    while isinstance(env, gym.Wrapper):
        found += [str(env)] * isinstance(env, TimeLimit)
        env = env.env
    return found


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_it_says_what_the_host_does(host_process: HostProcess, paradigm: str) -> None:
    env, local = make(host_process, "CartPole-v1", paradigm), gym.make("CartPole-v1")
    assert facts(env.spec) == facts(env.unwrapped.spec) == facts(local.spec) == [500, 475.0, False]
    assert not limits(env), "the remote has its own"
    aware = TimeAwareObservation(env, flatten=False)
    observation, _ = aware.reset(seed=1)
    assert observation["time"] == 0
    assert aware.step(0)[0]["time"] == 1
    assert aware.observation_space["time"].high == 500
    env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_it_says_so_without_gym_make(hosted: Hosted, paradigm: str) -> None:
    env = hosted("CartPole-v1", paradigm)
    assert env.spec.id == type(env).__name__ + "-v0"
    env.reset()
    assert facts(env.spec) == [500, 475.0, False], "of a ServerEnv, once an environment has dialed in"
    assert TimeAwareObservation(env).observation_space.shape == (5,)
    again = gym.make(env.spec)
    assert again.unwrapped.address == env.address
    again.reset(seed=1)
    again.close()


def test_it_says_nothing_where_the_host_does_not(hosted: Hosted, paradigm: str) -> None:
    env = hosted("scripted_env:ScriptedEnv", paradigm)
    env.reset()
    assert facts(env.spec) == [None, None, False]


def test_it_is_asked_for_without_waiting() -> None:
    with rlay.ServerEnv(timeout=4.0) as env:
        assert env.spec is not None
        assert facts(env.spec) == [None, None, False]
        assert env.spec.kwargs == {"address": env.address, "timeout": 4.0}


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_ones_own_says_more_than_the_hosts(host_process: HostProcess, paradigm: str) -> None:
    env = make(host_process, "CartPole-v1", paradigm, max_episode_steps=5)
    assert len(limits(env)) == 1
    assert facts(env.spec) == [5, 475.0, False]
    assert facts(env.unwrapped.spec) == [500, 475.0, False]
    given = EnvSpec("Mine-v0", reward_threshold=1.0, max_episode_steps=9)
    env.unwrapped.spec = given
    assert facts(env.unwrapped.spec) == [9, 1.0, False]
    env.unwrapped.spec = None
    assert env.unwrapped.spec is not None, "its own"
    env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_what_is_made_from_it_plays_the_same_episode(host_process: HostProcess, paradigm: str) -> None:
    first = make(host_process, "MountainCar-v0", paradigm)
    assert first.spec is not None
    envs = [gym.make("MountainCar-v0"), first, first.spec.make(), gym.make(EnvSpec.from_json(first.spec.to_json()))]
    for env in envs:
        env.reset(seed=1)
    ends = [[env.step(1)[2:4] for _ in range(200)] for env in envs]
    assert all(end == [(False, False)] * 199 + [(False, True)] for end in ends)
    for env in envs:
        env.close()


def told(**details: Any) -> Any:
    """Return a host's details of its environment, as the wire's JSON has them."""
    return {"Dict": [[{"Str": name}, value] for name, value in details.items()]}


@pytest.mark.parametrize(
    "details",
    [
        told(max_episode_steps={"Str": "7"}, reward_threshold={"List": []}, nondeterministic={"Int": 1}),
        told(max_episode_steps={"Int": -7}, reward_threshold={"Bool": True}),
        told(max_episode_steps={"Bool": True}, reward_threshold={"Str": "much"}),
    ],
)
def test_what_makes_no_sense_is_not_in_it(details: Any) -> None:
    """A host's details may be anything."""
    described = raw_peer.SPEC | {"details": details}
    with raw_peer.listen(lambda peer: raw_peer.host(peer, described)) as address:
        env = rlay.ClientEnv(address)
        assert facts(env.spec) == [None, None, False]
        env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_it_can_be_written_down(host_process: HostProcess, paradigm: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = make(host_process, "CartPole-v1", paradigm)
    for spec in (env.spec, env.unwrapped.spec):
        assert spec is not None
        assert EnvSpec.from_json(spec.to_json()) == spec == pickle.loads(pickle.dumps(spec)) == copy.deepcopy(spec)
        assert json.loads(spec.to_json())["max_episode_steps"] == 500
        assert "max_episode_steps=500" in str(spec.pprint(disable_print=True))
    pprint_registry()
    assert "ClientEnv-v0" in capsys.readouterr().out
    assert gym.spec("ClientEnv-v0").max_episode_steps is None, "what is registered stays as it was"
    env.close()


def test_a_class_of_ones_own_makes_no_claim(hosted: Hosted, host_process: HostProcess) -> None:
    class Own(rlay.ClientEnv):
        pass

    with Own(host_process.address("CartPole-v1", "client")) as env:
        assert env.spec is None

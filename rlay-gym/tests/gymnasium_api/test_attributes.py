"""An AttributeError of an environment's own code is not taken for a missing attribute."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

import rlay
from processes import free_address

TEXT = "'NoneType' object has no attribute 'level'"


class Worldless(gym.Env[Any, Any]):
    """Cannot be made."""

    def __init__(self, render_mode: str | None = None) -> None:
        world: Any = None
        world.level = 1


class Propertied(gym.Env[Any, Any]):
    """Has properties that raise, one at a time."""

    observation_space = action_space = gym.spaces.Discrete(2)
    world: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return 0, {}


def _raising(name: str) -> type[Propertied]:
    return type("Propertied", (Propertied,), {name: property(lambda self: self.world.level)})


@contextlib.contextmanager
def dialed_in_to(env: rlay.ServerEnv, what: Any = Worldless) -> Iterator[rlay.ServerEnv]:
    with env, rlay.ClientBackend(what, env.address):
        yield env


ASKING = {
    "observation_space": lambda env: env.observation_space,
    "action_space": lambda env: env.action_space,
    "metadata": lambda env: env.metadata,
    "hasattr": lambda env: hasattr(env, "observation_space"),
    "hasattr metadata": lambda env: hasattr(env, "metadata"),
    "getattr": lambda env: getattr(env, "action_space", None),
    "in a wrapper": lambda env: gym.wrappers.TimeLimit(env, 5).metadata,
    "of a wrapper": lambda env: gym.Wrapper(env).observation_space,
    "a vector": lambda env: gym.vector.SyncVectorEnv([lambda: env]),
}


@pytest.mark.parametrize("name", ASKING)
def test_what_a_lazy_attribute_raises_is_told(name: str) -> None:
    with dialed_in_to(rlay.ServerEnv()) as env:
        with pytest.raises(rlay.EnvError, match=TEXT) as caught:
            ASKING[name](env)
        error = caught.value
        assert not isinstance(error, AttributeError)
        assert error.remote_type == "AttributeError" and "world.level = 1" in error.remote_traceback
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (rlay.EnvError, str(error))


def test_gym_make_tells_it() -> None:
    address = free_address()
    with rlay.ClientBackend(Worldless, address), pytest.raises(rlay.EnvError, match=TEXT):
        gym.make("rlay:ServerEnv-v0", address=address)


def test_a_call_raises_what_the_environment_raised() -> None:
    with dialed_in_to(rlay.ServerEnv()) as env, pytest.raises(AttributeError, match=TEXT) as caught:
        env.reset()
    assert isinstance(caught.value, rlay.EnvError)
    with rlay.ServerBackend(Worldless) as host, pytest.raises(AttributeError, match=TEXT):
        rlay.ClientEnv(host.address)


def test_what_is_missing_is_missing() -> None:
    with dialed_in_to(rlay.ServerEnv(), Propertied) as env:
        assert not hasattr(env, "levels") and hasattr(env, "observation_space") and hasattr(env, "metadata")


@pytest.mark.parametrize("name", ["observation_space", "action_space", "metadata", "spec", "render_mode"])
def test_a_property_that_raises_is_not_taken_for_none(name: str) -> None:
    env: Any = _raising(name)
    if name == "render_mode":
        env.render_mode = env.render_mode.setter(lambda self, mode: None)
    with rlay.ServerBackend(env) as host, pytest.raises(AttributeError, match=TEXT):
        rlay.ClientEnv(host.address)
    with rlay.ServerBackend(env()) as host, pytest.raises(AttributeError, match=TEXT):
        rlay.ClientEnv(host.address)

"""A copy of an agent's environment is a session of its own, and keeps all arguments of the original."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest

import rlay
import scripted_env
from host_process import PARADIGMS, HostProcess, make
from processes import WAIT
from scripted_host import ScriptedHost

WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "cloudpickle": lambda env: pickle.loads(cloudpickle.dumps(env)),
}

GIVEN: dict[str, Any] = {
    "render_mode": "ansi",
    "timeout": 19.0,
    "connect_timeout": WAIT,
    "token": "a token of some length",
    "max_frame": 1 << 20,
    "reconnect_timeout": 3.0,
    "liveness": 12.0,
    "notice_after": 20.0,
    "contract": "strict",
    "on_loss": "replace",
    "env_id": "scripted",
    "env_kwargs": {"render_mode_is_odd": [1, (2, None)]},
    "log": "somewhere",
    "restarts": 2,
    "close_timeout": 7.0,
    "max_sessions": 17,
    "handshake_timeout": 4.0,
    "max_handshakes": 9,
}
"""A value for every argument that is not its default, so that a copy cannot have it by chance."""

OF_A_CALL = {"np_random", "np_random_seed", "unwrapped"}
"""Attributes that result from the calls of each copy, or are the copy itself."""


def attributes(env: Any) -> dict[str, Any]:
    """Return all public attributes that are no methods."""
    names = {name for name in dir(env) if not name.startswith("_")} - OF_A_CALL
    return {name: value for name in names if not callable(value := getattr(env, name))}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """How to copy."""
    return WAYS[request.param]


def scripted(render_mode: str | None = None, render_mode_is_odd: Any = None) -> scripted_env.ScriptedEnv:
    """Make an environment with the keyword argument of `GIVEN`."""
    return scripted_env.ScriptedEnv(render_mode)


@pytest.fixture
def address() -> Iterator[str]:
    """Where the environments that `GIVEN` requests are found, as often as they are requested."""
    token, kwargs = GIVEN["token"], list(GIVEN["env_kwargs"])
    with rlay.ServerBackend({GIVEN["env_id"]: scripted}, token=token, env_kwargs=kwargs) as host:
        yield host.address


@pytest.mark.parametrize("cls", [rlay.ClientEnv, rlay.ServerEnv])
def test_every_argument_is_kept(cls: Any, way: Callable[[Any], Any], address: str) -> None:
    """A future argument, too, must be in the table, and a value that is not the default must be found in the copy."""
    parameters = inspect.signature(cls).parameters
    assert set(parameters) - {"address"} <= set(GIVEN), "the table is of every argument"
    given = {name: GIVEN[name] for name in parameters if name != "address"}
    assert not any(given[name] == parameters[name].default for name in given)
    env = cls(address if cls is rlay.ClientEnv else "tcp://127.0.0.1:0", **given)
    again = way(env)
    assert type(again) is cls
    assert again.spec.kwargs == env.spec.kwargs == {"address": env.address, **given}
    assert again.address == env.address
    env.close()
    again.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_every_attribute_is_kept(scripted_host: ScriptedHost, paradigm: str, way: Callable[[Any], Any]) -> None:
    """Also attributes that were set after the environment was made, by its user."""
    env = scripted_host.env(paradigm, render_mode="ansi")
    env.reset()
    env.timeout, env.contract, env.on_loss = 18.0, "off", "truncate"
    again = way(env)
    again.reset()
    kept, found = attributes(env), attributes(again)
    assert {"spec", "timeout", "contract", "on_loss", "render_mode", "metadata", "address"} <= set(kept)
    assert found == kept
    env.step(0)
    assert env.step(0)[0] == [2] and again.step(0)[0] == [1], "a session of its own"
    again.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_the_wrappers_of_gym_make_are_kept(host_process: HostProcess, paradigm: str, way: Callable[[Any], Any]) -> None:
    env = make(host_process, "CartPole-v1", paradigm, max_episode_steps=7)
    assert env.spec is not None
    env.reset(seed=3)
    env.unwrapped.contract = "strict"  # type: ignore[attr-defined]
    if way is copy.copy:
        # Of the outermost wrapper alone, as locally.
        assert way(env).unwrapped is env.unwrapped
        env.close()
        return
    again = way(env)
    if paradigm == "client":
        assert str(again) == str(env)
    else:
        assert str(again) == str(env).replace("<CartPole-v1>", "").replace(", open>", ", not connected>")
    for name in ("spec", "contract"):
        assert getattr(again.unwrapped, name) == getattr(env.unwrapped, name), name
    assert again.spec == env.spec and again.spec.max_episode_steps == 7
    assert again.unwrapped.spec.id == env.spec.id
    with pytest.raises(gym.error.ResetNeeded):
        again.step(0)
    assert np.array_equal(again.reset(seed=5)[0], env.reset(seed=5)[0])
    third = gym.make(again.spec)
    assert np.array_equal(third.reset(seed=5)[0], env.reset(seed=5)[0])
    for one in (env, again, third):
        one.close()


def test_a_copy_of_a_program_has_a_program_of_its_own(tmp_path: Path) -> None:
    """The copy has no more restarts than the original has left."""
    game = "import rlay; rlay.ClientBackend('FrozenLake-v1').run()"
    with rlay.launch([sys.executable, "-c", game], restarts=2, connect_timeout=WAIT, contract="strict") as env:
        with pickle.loads(pickle.dumps(env)) as again:
            assert (again.contract, again.spec.max_episode_steps) == ("strict", 100)
            assert again.spec.kwargs["restarts"] == 2
            assert again.reset(seed=1) == env.reset(seed=1)


def test_an_infinite_wait_is_kept() -> None:
    env = rlay.ServerEnv(connect_timeout=math.inf)
    again = pickle.loads(pickle.dumps(env))
    assert again.spec.kwargs["connect_timeout"] == math.inf
    assert again.spec == env.spec
    env.close()
    again.close()

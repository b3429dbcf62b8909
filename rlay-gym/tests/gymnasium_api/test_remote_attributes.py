"""Attributes that a host offers are those of the agent's environment, through wrappers too; no others are."""

from __future__ import annotations

import contextlib
import copy
import functools
import pickle
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from attribute_envs import NAMES, VALUES, Attributed, Engine
from equal import assert_same
from forks import OPEN_IT_IN_THE_CHILD, Child
from processes import WAIT, thread
from scripted_host import ScriptedHost


@contextlib.contextmanager
def remote(paradigm: str, what: Any = Attributed, names: Any = NAMES, **options: Any) -> Iterator[Any]:
    """Yield an environment with a backend of its own in this process."""
    with contextlib.ExitStack() as stack:
        if paradigm == "client":
            host = stack.enter_context(rlay.ServerBackend(what, attributes=names))
            yield stack.enter_context(rlay.ClientEnv(host.address, **options))
            return
        env = stack.enter_context(rlay.ServerEnv(connect_timeout=WAIT, **options))
        stack.enter_context(rlay.ClientBackend(what, env.address, attributes=names))
        yield env


def test_values_of_every_type(paradigm: str) -> None:
    with remote(paradigm) as env:
        assert env.gravity == 9.8 and env.get_wrapper_attr("gravity") == 9.8
        for name, value in VALUES.items():
            env.table = value
            assert_same(env.table, value, name)
            env.set_wrapper_attr("gravity", value)
            assert_same(env.get_wrapper_attr("gravity"), value, name)


def test_methods_take_arguments(paradigm: str) -> None:
    with remote(paradigm) as env:
        assert env.add(1, 2) == 3 and env.add(1, 2, twice=True) == 6 and env.add() == 0
        assert env.get_wrapper_attr("add")(5) == 5
        assert env.spell("a", "b", self_=1, values=2, kwargs=3, timeout=4) == [
            "a", "b", 1, {"values": 2, "kwargs": 3, "timeout": 4},
        ]  # fmt: skip
        assert env.spell(name="a", how="b") == ["a", "b", 0, {}]
        with pytest.raises(TypeError, match="unexpected keyword argument 'thrice'") as caught:
            env.add(1, thrice=True)
        assert isinstance(caught.value, rlay.EnvError)


def test_masks_as_learners_ask_for_them(paradigm: str) -> None:
    """As sb3-contrib's ``get_action_masks`` and ``is_masking_supported`` do, through a stack of wrappers."""
    with remote(paradigm) as env:
        wrapped = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TimeLimit(env, 5))
        assert wrapped.has_wrapper_attr("action_masks")
        wrapped.reset(seed=1)
        for step in range(4):
            masks = wrapped.get_wrapper_attr("action_masks")()
            assert masks.dtype == np.bool_ and masks.tolist() == [True, step % 2 == 0, False]
            wrapped.step(0)
        assert env.unwrapped.action_masks().tolist() == [True, True, False]
        assert isinstance(env.action_masks, functools.partial)


def test_a_write_through_wrappers_reaches_the_environment(paradigm: str) -> None:
    with remote(paradigm) as env:
        wrapped = gym.wrappers.TimeLimit(env, 5)
        wrapped.set_wrapper_attr("gravity", 1.6)
        assert env.gravity == 1.6 and "gravity" not in vars(wrapped) and "gravity" not in vars(env)
        wrapped.unwrapped.gravity = 3.7
        assert wrapped.get_wrapper_attr("gravity") == 3.7
        with pytest.raises(AttributeError) as caught:
            env.scale = 3.0
        assert isinstance(caught.value, rlay.EnvError), "it has no setter"


@pytest.mark.parametrize("name", ["secret", "gravitas", "np"])
def test_a_name_that_is_not_offered_is_missing(paradigm: str, name: str) -> None:
    with remote(paradigm) as env:
        wrapped = gym.wrappers.TimeLimit(env, 5)
        assert not hasattr(env, name) and not wrapped.has_wrapper_attr(name)
        assert getattr(env, name, 3) == 3
        for get in (lambda: getattr(env, name), lambda: env.get_wrapper_attr(name)):
            with pytest.raises(AttributeError, match=rf"no attribute '{name}'.*attributes=\['{name}'\]"):
                get()
        with pytest.raises(AttributeError, match="no attribute"):
            wrapped.get_wrapper_attr(name)
        for put in (lambda: setattr(env, name, 1), lambda: wrapped.set_wrapper_attr(name, 1)):
            with pytest.raises(AttributeError, match=f"no attribute '{name}', and the environment's host does not"):
                put()
        assert name not in vars(env) and name not in vars(wrapped)


def test_what_is_offered_and_missing(paradigm: str) -> None:
    with remote(paradigm) as env:
        assert not hasattr(env, "absent") and not hasattr(env, "level")
        with pytest.raises(AttributeError, match="no attribute 'absent'") as caught:
            _ = env.absent
        assert isinstance(caught.value, rlay.EnvError)
        env.reset(seed=3)
        local = Attributed()
        local.reset(seed=3)
        assert env.level == local.level


def test_a_host_offers_nothing_by_default(paradigm: str) -> None:
    with remote(paradigm, names=()) as env:
        assert not hasattr(env, "gravity")
        with pytest.raises(AttributeError, match="does not offer one"):
            env.gravity = 1.0
        assert env.reset(seed=1) == (0, {})


def test_what_fails_is_told_with_its_traceback(paradigm: str) -> None:
    with remote(paradigm) as env:
        env.reset(seed=1)
        with pytest.raises(ValueError, match="no such lever") as caught:
            env.fails()
        assert isinstance(caught.value, rlay.EnvError) and "in fails" in caught.value.remote_traceback
        with pytest.raises(TypeError, match="engine: an? .*Engine cannot be sent"):
            _ = env.engine
        with pytest.raises(rlay.Error, match=r"values\[0\].*cannot be sent"):
            env.gravity = Engine()
        with pytest.raises(rlay.Error, match=r"args\[0\].*cannot be sent"):
            env.add(Engine())
        assert env.step(0)[0] == 1 and env.gravity == 9.8


def test_own_attributes_are_own(paradigm: str) -> None:
    """What this end has is not asked for, and what Gymnasium and tools keep for themselves stays here."""
    with remote(paradigm, render_mode="ansi") as env:
        env.reset(seed=1)
        env.timeout, env.on_loss, env.contract = 30.0, "raise", "strict"
        env._mine, env.spec, env.metadata = 1, None, {"render_modes": []}
        env.np_random = np.random.default_rng(1)
        assert env._mine == 1 and env.render_mode == "ansi"
        assert not hasattr(env, "__array__") and not hasattr(env, "_repr_html_")
    with pytest.raises(AttributeError):
        _ = env.secret
    with pytest.raises(rlay.Closed):
        _ = env.gravity


class Subclass(rlay.ClientEnv):
    """Has an attribute of its own, which it declares."""

    notes: Any = None


def test_a_subclass_has_the_attributes_that_it_declares() -> None:
    with rlay.ServerBackend(Attributed, attributes=NAMES) as host, Subclass(host.address) as env:
        env.notes = ["mine"]
        assert env.notes == ["mine"] and env.gravity == 9.8
        with copy.deepcopy(env) as again:
            assert again.notes == ["mine"]


def test_a_copy_has_attributes_of_its_own(paradigm: str) -> None:
    with remote(paradigm) as env:
        env.gravity = 1.6
        with pickle.loads(pickle.dumps(env)) as again:
            assert again.gravity == 9.8 and env.gravity == 1.6


def test_a_forked_child_has_none_of_the_parents(paradigm: str) -> None:
    with remote(paradigm) as env:
        for access in (lambda: env.gravity, lambda: env.add(1), lambda: setattr(env, "gravity", 1)):
            with Child(access) as child:
                assert OPEN_IT_IN_THE_CHILD in child.said()
                child.leave()
        assert env.gravity == 9.8


def test_a_closed_environment_that_was_never_open_has_none() -> None:
    env = rlay.ServerEnv()
    env.close()
    assert not hasattr(env, "gravity")


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        ("gravity", TypeError, "attributes are names, such as ('gravity',), not one string"),
        ({"gravity": 1}, TypeError, "give names of attributes"),
        ([1], TypeError, "give names of attributes"),
        (None, TypeError, "give names of attributes"),
        (["gravity", "step"], ValueError, 'attributes: "step" cannot be offered'),
        (["observation_space"], ValueError, "cannot be offered"),
        (["_level"], ValueError, "cannot be offered"),
        (["timeout"], ValueError, "cannot be offered"),
        ([""], ValueError, "a name of 0 bytes; give 1 to 256"),
        (["x" * 257], ValueError, "a name of 257 bytes"),
        ([f"a{i}" for i in range(257)], ValueError, "257 names, of which 256 are the most"),
    ],
)
def test_names_that_no_host_can_offer(names: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        rlay.ServerBackend(Attributed, attributes=names)
    assert text in str(caught.value)
    with pytest.raises(error):
        rlay.ClientBackend(Attributed, "tcp://127.0.0.1:1", attributes=names)


def test_every_name_that_an_environment_of_an_agent_has_is_refused() -> None:
    own = {name for cls in (rlay.ClientEnv, rlay.ServerEnv) for name in dir(cls) if not name.startswith("_")}
    own |= {"address", "timeout", "contract", "on_loss", "observation_space", "action_space"}
    for name in sorted(own):
        with pytest.raises(ValueError, match="cannot be offered"):
            rlay.ServerBackend(Attributed, attributes=[name])


def test_a_call_that_hangs_is_late(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve("attribute_envs:Attributed", attributes=NAMES)
    env = scripted_host.client(address, timeout=0.3)
    env.reset()
    with pytest.raises(rlay.Timeout, match=r"late\(\) fetches it"):
        env.waits()
    with pytest.raises(rlay.Busy, match="an earlier Attribute is still to come"):
        _ = env.gravity
    with pytest.raises(rlay.Busy):
        env.step(0)
    scripted_host.wait_for("waits")
    scripted_host.release()
    assert env.late(WAIT) == "released"
    env.timeout = 0.3
    with pytest.raises(rlay.Timeout):
        env.waits()
    scripted_host.wait_for("waits", 2)
    env.timeout = None
    with thread(scripted_host.release):
        env.reset()
    assert env.gravity == 9.8, "what was late is dropped"


def test_a_relay_passes_them_on(paradigm: str) -> None:
    """The environment of one agent is hosted for another."""
    with remote("client") as near, remote(paradigm, near, ["gravity", "add"]) as far:
        far.gravity = 1.6
        assert near.gravity == far.gravity == 1.6 and far.add(1, twice=True) == 2
        assert not hasattr(far, "table")


class World:
    """An engine, which is no gymnasium.Env."""

    observation_space = gym.spaces.Discrete(10)
    action_space = gym.spaces.Discrete(3)
    gravity: Any = 9.8

    def add(self, *numbers: int) -> int:
        """Add."""
        return sum(numbers)

    def fails(self) -> None:
        """Raise."""
        raise ValueError("no such lever")


def test_the_poll_form_answers_for_the_engine() -> None:
    world = World()
    with rlay.ServerEnv(connect_timeout=WAIT) as env:
        backend = rlay.ClientBackend(world, env.address, attributes=["gravity", "add", "fails"])
        turns: list[Any] = []

        def poll() -> None:
            while True:
                turn = backend.turn(0.02)
                if turn is not None:
                    turns.append(turn)
                if isinstance(turn, rlay.Close):
                    return
                if turn is not None:
                    backend.reply(0)

        with thread(poll):
            env.reset()
            env.gravity = 1.6
            assert world.gravity == env.gravity == 1.6 and env.add(1, 2) == 3
            with pytest.raises(ValueError, match="no such lever"):
                env.fails()
            assert not hasattr(env, "secret")
            env.step(0)
            env.close()
        assert [type(turn) for turn in turns] == [rlay.Reset, rlay.Step, rlay.Close]
        backend.close()

"""``call``, ``get_attr`` and ``set_attr`` of vectors give what `SyncVectorEnv` gives, errors included."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError

import rlay
from attribute_envs import NAMES, VALUES, Attributed, Engine
from equal import assert_same
from forks import OPEN_THEM_IN_THE_CHILD, Child
from processes import WAIT, until
from scripted_host import ScriptedHost

SLOTS = 3
KINDS = ["client", "server", "joined", "of a vector"]


@contextlib.contextmanager
def vector(kind: str, names: Any = NAMES, **options: Any) -> Iterator[Any]:
    """Yield three environments in this process."""
    with contextlib.ExitStack() as stack:

        def client(slots: int, what: Any = Attributed) -> rlay.ClientVectorEnv:
            host = stack.enter_context(rlay.ServerBackend(what, attributes=names))
            return stack.enter_context(rlay.ClientVectorEnv(host.address, slots, **options))

        def server(slots: int) -> rlay.ServerVectorEnv:
            envs = stack.enter_context(contextlib.closing(rlay.ServerVectorEnv(num_envs=slots, **options)))
            for _ in range(slots):
                stack.enter_context(rlay.ClientBackend(Attributed, envs.address, max_sessions=1, attributes=names))
            return envs

        if kind == "client":
            yield client(SLOTS)
        elif kind == "server":
            yield server(SLOTS)
        elif kind == "joined":
            yield stack.enter_context(contextlib.closing(rlay.join([client(SLOTS - 1), server(1)])))
        else:
            yield client(SLOTS, lambda: gym.vector.SyncVectorEnv([Attributed] * SLOTS))


@contextlib.contextmanager
def both(kind: str, **options: Any) -> Iterator[tuple[Any, Any]]:
    """Yield remote and local environments."""
    local = gym.vector.SyncVectorEnv([lambda: Attributed(options.get("render_mode"))] * SLOTS)
    with vector(kind, **options) as envs, contextlib.closing(local):
        yield envs, local


def outcome(call: Callable[[], Any]) -> Any:
    """Return the result of a call, or the class and text of its exception."""
    try:
        return call()
    except Exception as error:
        remote = getattr(error, "remote_type", "")
        return remote or type(error).__name__, str(error)


ACTS: dict[str, Callable[[Any], Any]] = {
    "a value": lambda envs: envs.get_attr("gravity"),
    "a value that is called": lambda envs: envs.call("gravity", 1, b=2),
    "a property": lambda envs: envs.call("scale"),
    "a method": lambda envs: envs.call("action_masks"),
    "a method that is got": lambda envs: envs.get_attr("action_masks"),
    "arguments": lambda envs: envs.call("add", 1, 2, twice=True),
    "arguments with the names of the call's own": lambda envs: envs.call("spell", "a", how="b", values=1, timeout=2),
    "too many arguments": lambda envs: envs.call("action_masks", 1),
    "a method that raises": lambda envs: envs.call("fails"),
    "one value for all": lambda envs: (envs.set_attr("gravity", 1.6), envs.get_attr("gravity")),
    "one value for each": lambda envs: (envs.set_attr("gravity", [1, 2.5, None]), envs.get_attr("gravity")),
    "a tuple": lambda envs: (envs.set_attr("gravity", ("a", b"b", [])), envs.get_attr("gravity")),
    "an array": lambda envs: (envs.set_attr("gravity", np.arange(3)), envs.get_attr("gravity")),
    "too few values": lambda envs: envs.set_attr("gravity", [1, 2]),
    "too many values": lambda envs: envs.set_attr("gravity", (1, 2, 3, 4)),
    "no values": lambda envs: envs.set_attr("gravity", []),
    "no setter": lambda envs: envs.set_attr("scale", 1.0),
    "an attribute that it has not": lambda envs: envs.call("absent"),
    "an attribute that it is given": lambda envs: (envs.set_attr("absent", 4), envs.get_attr("absent")),
    "spaces": lambda envs: envs.get_attr("observation_space") + envs.get_attr("action_space"),
    "metadata": lambda envs: envs.get_attr("metadata"),
    "render mode": lambda envs: envs.get_attr("render_mode"),
    "render": lambda envs: envs.call("render"),
    "spec": lambda envs: envs.get_attr("spec"),
    "seeds": lambda envs: envs.get_attr("np_random_seed"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_as_in_gymnasium(kind: str) -> None:
    options = {} if kind == "of a vector" else {"render_mode": "ansi"}
    with both(kind, **options) as (envs, local):
        for each in (envs, local):
            each.reset(seed=5)
        for name, act in ACTS.items():
            if kind == "of a vector" and name == "render":
                continue
            assert_same(outcome(lambda act=act: act(envs)), outcome(lambda act=act: act(local)), name)
        for name, value in VALUES.items():
            each_value = {"one for all": value, "one for each": [value, 0, value]}
            for what, values in each_value.items():
                if what == "one for all" and isinstance(value, list | tuple):
                    continue
                envs.set_attr("table", values)
                local.set_attr("table", values)
                assert_same(envs.get_attr("table"), local.get_attr("table"), f"{name}, {what}")
        assert envs.step(envs.action_space.sample())[0].tolist() == [1] * SLOTS


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_not_offered(kind: str) -> None:
    with vector(kind) as envs:
        for call in (envs.call, envs.get_attr, envs.call_async, lambda name: envs.set_attr(name, 1)):
            with pytest.raises(AttributeError, match=r"no attribute 'secret'.*attributes=\['secret'\]"):
                call("secret")
        assert envs.get_attr("gravity") == (9.8,) * SLOTS


def test_methods_of_gymnasium_are_not_called_that_way() -> None:
    with vector("client") as envs:
        for name in ("reset", "step", "close"):
            with pytest.raises(ValueError, match=f"^Trying to call function `{name}` with `call`, use"):
                envs.call(name)


def test_what_cannot_be_sent() -> None:
    with vector("client") as envs:
        with pytest.raises(TypeError, match="engine: an? .*Engine cannot be sent"):
            envs.call("engine")
        with pytest.raises(rlay.Error, match=r"values\[1\].*cannot be sent"):
            envs.set_attr("gravity", [1, Engine(), 2])
        assert envs.get_attr("gravity") == (9.8,) * SLOTS, "none was set"


class TestCallsInTwoParts:
    """As AsyncVectorEnv has them, by class and text."""

    def local(self) -> Any:
        return gym.vector.AsyncVectorEnv([Attributed] * 2)

    def test_results(self) -> None:
        with vector("client") as envs:
            envs.call_async("add", 1, twice=True)
            assert envs.call_wait() == (2,) * SLOTS
            envs.call_async("render_mode")
            assert envs.call_wait(timeout=WAIT) == (None,) * SLOTS

    @pytest.mark.parametrize("act", ["twice", "wait alone", "set while pending", "closed", "wait closed", "set closed"])
    def test_errors(self, act: str) -> None:
        def run(envs: Any) -> Any:
            if "closed" in act:
                envs.close()
            acts: dict[str, Callable[[], Any]] = {
                "twice": lambda: (envs.call_async("gravity"), envs.call_async("gravity")),
                "wait alone": envs.call_wait,
                "set while pending": lambda: (envs.call_async("gravity"), envs.set_attr("gravity", 1)),
                "closed": lambda: envs.call_async("gravity"),
                "wait closed": envs.call_wait,
                "set closed": lambda: envs.set_attr("gravity", 1),
            }
            expected = {"twice": AlreadyPendingCallError, "wait alone": NoAsyncCallError}
            error = ClosedEnvironmentError if "closed" in act else expected.get(act, AlreadyPendingCallError)
            with pytest.raises(error) as caught:
                acts[act]()
            if "closed" not in act and act != "wait alone":
                assert envs.call_wait() == (9.8,) * envs.num_envs
            return str(caught.value).replace(type(envs).__name__, "X"), getattr(caught.value, "name", None)

        with vector("client") as envs, contextlib.closing(self.local()) as local:
            assert run(envs) == run(local)

    def test_other_calls_while_one_is_pending(self) -> None:
        with vector("client") as envs:
            envs.reset()
            envs.call_async("gravity")
            for call in (envs.reset, envs.reset_async, envs.render, lambda: envs.step([0] * SLOTS)):
                with pytest.raises(AlreadyPendingCallError, match="pending call to `call`"):
                    call()
            with pytest.raises(NoAsyncCallError):
                envs.step_wait()
            assert envs.call_wait() == (9.8,) * SLOTS

    def test_one_that_hangs(self, scripted_host: ScriptedHost) -> None:
        address = scripted_host.serve("attribute_envs:Attributed", attributes=NAMES)
        with rlay.ClientVectorEnv(address, 2) as envs:
            envs.reset()
            envs.call_async("waits")
            with pytest.raises(multiprocessing.TimeoutError, match=r"^The call to `call_wait` has timed out after 0.2"):
                envs.call_wait(timeout=0.2)
            with pytest.raises(rlay.Busy):
                envs.call("gravity")
            for times in (1, 2):
                scripted_host.wait_for("waits", times)
                scripted_host.release()
            assert envs.late(WAIT) == ("released",) * 2
            assert envs.call("gravity") == (9.8,) * 2


def test_a_forked_child_has_none_of_the_parents() -> None:
    with vector("client") as envs:
        envs.reset()
        for access in (lambda: envs.call("gravity"), lambda: envs.set_attr("gravity", 1)):
            with Child(access) as child:
                assert OPEN_THEM_IN_THE_CHILD in child.said()
                child.leave()
        assert envs.get_attr("gravity") == (9.8,) * SLOTS


def test_a_vacant_environment_has_none() -> None:
    with contextlib.ExitStack() as stack:
        envs = stack.enter_context(contextlib.closing(rlay.ServerVectorEnv(num_envs=2, on_loss="truncate")))
        games = [rlay.ClientBackend(Attributed, envs.address, max_sessions=1, attributes=NAMES) for _ in range(2)]
        for game in games:
            stack.enter_context(game)
        envs.reset()
        games[1].close()
        until(lambda: (envs.step([0, 0]), envs.vacant.any())[1], "the loss of one")
        left = int(np.flatnonzero(~envs.vacant)[0])
        wanted: list[Any] = [None, None]
        wanted[left] = 9.8
        assert envs.get_attr("gravity") == tuple(wanted)
        envs.set_attr("gravity", [1.0, 2.0])
        wanted[left] = [1.0, 2.0][left]
        assert envs.get_attr("gravity") == tuple(wanted)


def test_lanes_that_offer_different_attributes() -> None:
    with contextlib.ExitStack() as stack:
        hosts = [rlay.ServerBackend(Attributed, attributes=names).start() for names in (["gravity"], [], ["gravity"])]
        for host in hosts:
            stack.callback(host.close)
        envs = rlay.join([rlay.ClientVectorEnv(host.address, 1) for host in hosts])
        stack.enter_context(contextlib.closing(envs))
        envs.reset()
        with pytest.raises(rlay.Error, match='env slot 1: this host offers no attribute "gravity"'):
            envs.call("gravity")
        assert envs.step([0, 0, 0])[0].tolist() == [1, 1, 1], "none waits for an answer"


def test_a_vector_without_call_has_no_attributes() -> None:
    """Gymnasium's own native vectors have none."""
    make = lambda: gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point")  # noqa: E731
    with rlay.ServerBackend(make, attributes=["gravity"]) as host, rlay.ClientVectorEnv(host.address, 2) as envs:
        with pytest.raises(AttributeError, match="no attribute 'call'"):
            envs.call("gravity")
        assert envs.reset(seed=1)[0].shape == (2, 4)

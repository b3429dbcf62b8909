"""gym.make, register and pickling: a remote environment under an id, and a copy as a session of its own."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import HumanRendering, RenderCollection, TimeLimit

import rlay
from host_process import PARADIGMS
from processes import WAIT, free_address, python, thread, until
from scripted_host import ScriptedHost

IDS = {"client": "rlay:ClientEnv-v0", "server": "rlay:ServerEnv-v0"}
ENTRIES = {"client": "ClientEnv", "server": "ServerEnv"}


@pytest.fixture
def address(scripted_host: ScriptedHost, request: pytest.FixtureRequest) -> str:
    """The address of a CartPole in the paradigm of the test."""
    return where(scripted_host, request.getfixturevalue("paradigm"), "CartPole-v1")


def where(scripted_host: ScriptedHost, paradigm: str, source: str) -> str:
    if paradigm == "client":
        return scripted_host.serve(source)
    holder = scripted_host.server()
    scripted_host.dial(holder.address, source)
    return holder.address


def wrappers(env: Any) -> list[str]:
    names = []
    while isinstance(env, gym.Wrapper):
        names.append(type(env).__name__)
        env = env.env
    return names


def test_make_by_id(paradigm: str, address: str) -> None:
    env = gym.make(IDS[paradigm], address=address, timeout=20.0, connect_timeout=WAIT)
    assert isinstance(env.unwrapped, getattr(rlay, ENTRIES[paradigm]))
    assert env.unwrapped.timeout == 20.0
    assert env.reset(seed=1)[0].shape == (4,)
    env.close()


def test_the_spec_is_json_and_makes_another(paradigm: str, address: str) -> None:
    env = gym.make(IDS[paradigm], address=address, connect_timeout=WAIT)
    spec = env.spec
    assert spec is not None
    fields = json.loads(spec.to_json())
    assert fields["kwargs"] == {"address": address, "connect_timeout": WAIT}
    again = gym.make(EnvSpec.from_json(spec.to_json()))
    assert np.array_equal(env.reset(seed=5)[0], again.reset(seed=5)[0])
    env.close()
    again.close()


def test_register_keeps_the_facts_and_adds_no_time_limit(paradigm: str, address: str) -> None:
    id = f"Registered{paradigm}-v0"
    rlay.register(id, address, entry=ENTRIES[paradigm], kwargs={"connect_timeout": WAIT})
    spec, local = gym.spec(id), gym.spec("CartPole-v1")
    assert (spec.reward_threshold, spec.nondeterministic) == (local.reward_threshold, local.nondeterministic)
    assert spec.max_episode_steps is None
    assert spec.kwargs == {"address": address, "connect_timeout": WAIT}
    json.loads(spec.to_json())
    env = gym.make(id)
    assert TimeLimit.__name__ not in wrappers(env)
    observation, _ = env.reset(seed=0)
    steps, over = 0, False
    while not over:  # balanced by the best action of two, so that only the remote's limit ends it
        angle, speed = observation[2:]
        observation, _, terminated, truncated, _ = env.step(int(3 * angle + speed > 0))
        steps, over = steps + 1, terminated or truncated
    assert (steps, terminated, truncated) == (500, False, True)
    env.close()


def test_register_takes_what_gymnasium_takes(scripted_host: ScriptedHost) -> None:
    rlay.register("Short-v3", scripted_host.serve("CartPole-v1"), max_episode_steps=5, reward_threshold=1.5)
    spec = gym.spec("Short-v3")
    assert (spec.max_episode_steps, spec.reward_threshold) == (5, 1.5)
    env = gym.make("Short-v3")
    env.reset(seed=0)
    assert [env.step(i % 2)[3] for i in range(5)] == [False] * 4 + [True]
    env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_register_takes_what_the_endpoint_takes(scripted_host: ScriptedHost, paradigm: str) -> None:
    """As arguments of its own or in ``kwargs``, as ``gymnasium.register`` would have them."""
    several, allowed = {"pole": "CartPole-v1", "lake": "FrozenLake-v1"}, {"env_kwargs": ["is_slippery"]}
    if paradigm == "client":
        address = scripted_host.serve(several, **allowed)  # type: ignore[arg-type]
    else:
        address = scripted_host.server().address
        scripted_host.dial(address, several, **allowed)  # type: ignore[arg-type]
    id, dry = f"DryLake{paradigm}-v0", {"is_slippery": False}
    asked: Any = {"env_id": "lake", "env_kwargs": dry, "kwargs": {"timeout": 20.0, "connect_timeout": WAIT}}
    rlay.register(id, address, entry=ENTRIES[paradigm], contract="strict", order_enforce=False, **asked)  # type: ignore[arg-type]
    spec = gym.spec(id)
    assert (spec.reward_threshold, spec.order_enforce) == (0.70, False)
    assert spec.kwargs == {
        "address": address, "env_id": "lake", "env_kwargs": dry, "timeout": 20.0, "connect_timeout": WAIT,
        "contract": "strict",
    }  # fmt: skip
    env = gym.make(EnvSpec.from_json(spec.to_json()), timeout=19.0)
    assert (env.unwrapped.timeout, env.unwrapped.contract) == (19.0, "strict")
    env.reset(seed=1)
    assert env.step(2)[0] == 1, "it does not slip"
    env.close()


def test_register_knows_what_belongs_to_neither() -> None:
    with pytest.raises(TypeError, match="'size' is none; what is for the environment itself goes into env_kwargs"):
        rlay.register("X-v0", "tcp://127.0.0.1:1", size=3)


def test_register_is_not_kept_from_it_by_a_close_that_fails(
    scripted_host: ScriptedHost, caplog: pytest.LogCaptureFixture
) -> None:
    rlay.register("Stuck-v0", scripted_host.serve("scripted_env:Stuck"))
    assert any("failed to close: the door is stuck" in record.getMessage() for record in caplog.records)
    assert gym.spec("Stuck-v0").entry_point == "rlay:make_client_env"


def test_register_says_what_entries_there_are() -> None:
    with pytest.raises(ValueError, match="ClientEnv.*ServerEnv"):
        rlay.register("X-v0", "tcp://127.0.0.1:1", entry="Env")


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("copied", [pickle, copy])
def test_a_copy_is_a_new_session_with_the_same_arguments(
    scripted_host: ScriptedHost, paradigm: str, copied: Any
) -> None:
    env = scripted_host.env(paradigm, render_mode="ansi", timeout=20.0, max_frame=1 << 20)
    env.reset()
    env.step(0)
    again = copy.deepcopy(env) if copied is copy else pickle.loads(pickle.dumps(env))
    assert type(again) is type(env)
    arguments = ("address", "render_mode", "timeout", "_options")
    assert [getattr(again, name) for name in arguments] == [getattr(env, name) for name in arguments]
    assert again.reset()[0] == [0]
    assert env.step(0)[0] == [2] and again.step(0)[0] == [1]
    again.close()
    assert env.step(0)[0] == [3]


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_human_rendering_stands_in_where_the_remote_has_none(scripted_host: ScriptedHost, paradigm: str) -> None:
    env = gym.make(
        IDS[paradigm], address=where(scripted_host, paradigm, "scripted_env:ScriptedEnv"), render_mode="human"
    )
    assert HumanRendering.__name__ in wrappers(env) and env.render_mode == "human"
    env.reset()
    env.step(0)
    assert "render" in scripted_host.calls(), "frames are drawn here from what is rendered there"
    env.close()


def test_a_stand_in_keeps_the_free_port_that_was_asked_for(
    scripted_host: ScriptedHost, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the chosen port while ``gym.make`` waits for an environment."""

    def dial() -> None:
        waits = r"waiting for an environment to dial in to (tcp://[\w.]+:\d+)"
        found = until(lambda: re.search(waits, caplog.text), "the environment to be waited for")
        bound.append(found[1])
        scripted_host.dial(found[1])

    bound: list[str] = []
    with thread(dial):
        env = gym.make("rlay:ServerEnv-v0", render_mode="human", connect_timeout=WAIT)
    assert bound == [env.unwrapped.address]
    env.reset()
    env.close()


@pytest.mark.parametrize("mode", ["human", "rgb_array_list"])
def test_no_stand_in_is_tried_where_nobody_is(mode: str) -> None:
    address = free_address()
    for id, error in (("rlay:ClientEnv-v0", rlay.ConnectionLost), ("rlay:ServerEnv-v0", rlay.Timeout)):
        with pytest.raises(error) as caught:
            gym.make(id, address=address, render_mode=mode, connect_timeout=0.1)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None, "it was asked once"
    rlay.ServerBackend("CartPole-v1", address).close()  # and the port is free again


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_frames_are_collected_where_the_remote_does_not(scripted_host: ScriptedHost, paradigm: str) -> None:
    env = gym.make(
        IDS[paradigm], address=where(scripted_host, paradigm, "scripted_env:ScriptedEnv"), render_mode="rgb_array_list"
    )
    assert RenderCollection.__name__ in wrappers(env)
    env.reset()
    env.step(0)
    env.step(0)
    assert [int(frame[0, 0, 0]) for frame in env.render()] == [0, 1, 2]
    env.close()


@pytest.mark.parametrize("mode", ["human", "rgb_array_list"])
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_mode_that_the_remote_has_is_left_to_it(scripted_host: ScriptedHost, paradigm: str, mode: str) -> None:
    env = gym.make(IDS[paradigm], address=where(scripted_host, paradigm, "scripted_env:Painter"), render_mode=mode)
    assert not {"HumanRendering", "RenderCollection"} & set(wrappers(env))
    env.reset()
    frames = env.render()
    assert frames is None if mode == "human" else [frame.shape for frame in frames] == [(2, 3, 3)]
    env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_mode_that_nobody_has(scripted_host: ScriptedHost, paradigm: str) -> None:
    address = where(scripted_host, paradigm, "scripted_env:ScriptedEnv")
    with pytest.raises(rlay.Error, match=r"'ascii'|\"ascii\""):
        gym.make(IDS[paradigm], address=address, render_mode="ascii").reset()
    with pytest.raises(rlay.Error) as caught:
        gym.make(IDS[paradigm], address=address, render_mode="ascii").reset()
    assert "ansi" in str(caught.value) and "rgb_array" in str(caught.value)


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize(("mode", "expected"), [("ansi", "step 1"), ("rgb_array", (4, 6, 3)), (None, None)])
def test_every_mode_that_is_declared(
    scripted_host: ScriptedHost, paradigm: str, mode: str | None, expected: Any
) -> None:
    env = scripted_host.env(paradigm, render_mode=mode)
    assert env.metadata == {"render_modes": ["ansi", "rgb_array"], "render_fps": 30}
    env.reset()
    env.step(0)
    if mode is None:
        with pytest.warns(UserWarning, match="without specifying any render mode"):
            assert env.render() is None
    else:
        frame = env.render()
        assert (frame if mode == "ansi" else frame.shape) == expected
        assert mode == "ansi" or frame.dtype == np.uint8
    assert env.render_mode == mode


def make_nothing(address: str, **kwargs: Any) -> None:
    gym.make("rlay:ServerEnv-v0", address=address, **{"connect_timeout": 0.1, **kwargs})


FAILURES: dict[str, tuple[type[BaseException], Callable[[str], None]]] = {
    "nobody dials in": (rlay.Timeout, make_nothing),
    "and nothing is checked": (rlay.Timeout, lambda address: make_nothing(address, disable_env_checker=True)),
    "for people": (rlay.Timeout, lambda address: make_nothing(address, render_mode="human")),
    "for a list": (rlay.Timeout, lambda address: make_nothing(address, render_mode="rgb_array_list")),
    "on_loss": (ValueError, lambda address: make_nothing(address, on_loss="hope")),
    "contract": (ValueError, lambda address: make_nothing(address, contract="strikt")),
    "timeout": (TypeError, lambda address: make_nothing(address, timeout="5")),
    "render_mode": (TypeError, lambda address: make_nothing(address, render_mode=7)),
    "env_kwargs": (TypeError, lambda address: make_nothing(address, env_kwargs=["size"])),
    "register": (rlay.Timeout, lambda address: rlay.register("X-v0", address, entry="ServerEnv", connect_timeout=0.1)),
    "a class": (ValueError, lambda address: rlay.ServerEnv(address, contract="strikt")),  # type: ignore[arg-type, func-returns-value, return-value]
}
"""Ways in which a ServerEnv is not made, and what is raised then."""


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_not_made_keeps_no_port(name: str) -> None:
    """Even while the exception is kept, and with it all frames of its traceback."""
    error, fail = FAILURES[name]
    address = free_address()
    with pytest.raises(error) as kept:
        fail(address)
    rlay.ServerBackend("CartPole-v1", address).close()
    assert kept.traceback


class Refusal:
    """Ways in which an environment that dials in is not the requested one."""

    custom = ("misbehaving_envs:Refused", {})
    mode = ("render_envs:make:list", {"render_mode": "depth"})
    no_wrapper = ("render_envs:make:list", {"render_mode": "human"})
    """An environment with frames at no declared speed, which would be shown too fast or too slowly."""


@pytest.mark.parametrize("name", ["custom", "mode", "no_wrapper"])
def test_an_environment_that_is_not_taken_leaves_no_port(scripted_host: ScriptedHost, name: str) -> None:
    source, kwargs = getattr(Refusal, name)
    address = free_address()
    scripted_host.dial(address, source)
    with pytest.raises((rlay.Error, AssertionError, ValueError)) as kept:
        gym.make("rlay:ServerEnv-v0", address=address, connect_timeout=WAIT, **kwargs)
    assert not isinstance(kept.value, rlay.Timeout)
    rlay.ServerBackend("CartPole-v1", address).close()


def test_an_interrupted_make_leaves_no_port() -> None:
    source = """
        import logging, sys, gymnasium as gym, rlay
        logging.basicConfig(stream=sys.stdout)
        for mode in (None, "human"):
            try:
                gym.make("rlay:ServerEnv-v0", address=sys.argv[1], render_mode=mode, connect_timeout=60.0)
            except KeyboardInterrupt as error:
                kept = error
                print("interrupted")
        rlay.ServerBackend("CartPole-v1", sys.argv[1]).close()
        print("free")
        """
    with python(source, free_address()) as program:
        for _ in range(2):
            program.find("waiting for an environment")
            program.interrupt()
            program.find("interrupted")
        assert program.line() == "free"

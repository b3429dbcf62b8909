"""Render modes are what the environment declares, in any way Gymnasium allows; undeclared, it judges modes itself."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from host_process import PARADIGMS
from processes import python, until
from render_envs import DECLARED, UNDECLARED
from scripted_host import ScriptedHost

MODES = ["ansi", "rgb_array"]


def drawn(scripted_host: ScriptedHost, paradigm: str, source: str, mode: str) -> Any:
    env = scripted_host.env(paradigm, source, render_mode=mode)
    env.reset()
    return env.render(), env


def refused_by_gymnasium(source: str) -> type[Exception] | None:
    """Return what ``gym.make`` raises for an id, which it does where the metadata are no dict."""
    if not source.endswith("-v0"):
        return None
    try:
        gym.make(source, render_mode="ansi")
    except Exception as error:
        return type(error)
    return None


SOURCES = ("render_envs:make", "render_envs:Modes/{}-v0", "render_envs:made")
"""A function, an id, and an existing environment, which renders in the mode ``ansi``."""


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", DECLARED)
def test_any_container_is_a_declaration(scripted_host: ScriptedHost, paradigm: str, source: str, name: str) -> None:
    source = source.format(name) if "{}" in source else f"{source}:{name}"
    if refusal := refused_by_gymnasium(source):
        with pytest.raises(refusal):
            drawn(scripted_host, paradigm, source, "ansi")
        return
    frame, env = drawn(scripted_host, paradigm, source, "ansi")
    assert frame == "drawn in mode ansi"
    modes = env.metadata["render_modes"]
    assert list(modes) == (["ansi"] if name == "str" else MODES)
    assert type(modes) is (tuple if name == "tuple" else list)
    if not source.startswith("render_envs:made"):
        with pytest.raises(
            rlay.Error, match="does not render in mode 'depth'|does not render in mode \"depth\""
        ) as caught:
            drawn(scripted_host, paradigm, source, "depth")
        assert "ansi" in str(caught.value) and "choose one of these" in str(caught.value)


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", UNDECLARED)
def test_without_a_declaration_the_environment_is_made(
    scripted_host: ScriptedHost, paradigm: str, source: str, name: str
) -> None:
    """As ``gym.make`` does, which warns, too; it refuses what are no metadata at all."""
    source = source.format(name.replace(" ", "_")) if "{}" in source else f"{source}:{name}"
    if refusal := refused_by_gymnasium(source):
        with pytest.raises(refusal):
            drawn(scripted_host, paradigm, source, "ansi")
        return
    assert drawn(scripted_host, paradigm, source, "ansi")[0] == "drawn in mode ansi"
    assert "render_modes" in scripted_host.log("declare no render_modes")


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("name", ["dict", "lacks", "odd"])
def test_a_spec_that_is_none_of_gymnasiums(scripted_host: ScriptedHost, paradigm: str, name: str) -> None:
    env = scripted_host.env(paradigm, f"render_envs:specified:{name}")
    env.reset()
    spec = env.spec
    assert spec is not None
    assert (spec.max_episode_steps, spec.reward_threshold) == {
        "dict": (12, 3.5), "lacks": (None, None), "odd": (None, None),
    }[name]  # fmt: skip


class Engine:
    """An engine that is polled, with metadata of any kind."""

    observation_space = gym.spaces.Discrete(3)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata


AGENT = """
    import sys, rlay
    env = rlay.ServerEnv(render_mode="ansi")
    print(env.address)
    env.reset()
    print("frame", env.render())
    """


@pytest.mark.parametrize("name", [*DECLARED, *UNDECLARED])
def test_the_poll_form_draws_in_the_modes_that_it_declares_and_in_no_other(name: str) -> None:
    """Only the engine draws there; an engine that declares nothing would not expect to be asked."""
    with python(AGENT) as agent:
        backend = rlay.ClientBackend(Engine({**DECLARED, **UNDECLARED}[name]), agent.line())
        turn = until(backend.turn, "the agent to want something")
        if name in DECLARED:
            assert isinstance(turn, rlay.Reset)
            backend.reply(0)
            assert until(backend.turn, "the agent to want a frame") == rlay.Render()
            backend.reply("drawn")
            assert agent.line() == "frame drawn"
        else:
            assert isinstance(turn, rlay.Close)
            until(lambda: any("it declares none" in line for line in agent.errors), "the agent to say why")
        backend.close()


def test_an_array_of_modes_is_compared_with_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert rlay._hosting.render_modes({"render_modes": np.array(MODES)}) == MODES
    assert rlay._hosting.render_modes({"render_modes": 7}) is None
    assert not recwarn.list

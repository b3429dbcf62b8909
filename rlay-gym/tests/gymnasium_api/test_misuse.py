"""Calls that make no sense are refused before anything is sent, and leave the session as it was."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from host_process import PARADIGMS
from scripted_host import ScriptedHost

WALKS = {
    "scripted_env:TupleActions": [
        (1, "an int where the action space is a Tuple"),
        ((1,), "1 members where the action space has 2"),
        ((1, np.zeros(2, np.float32), 3), "3 members where the action space has 2"),
        ((1, np.zeros(3, np.float32)), r"\[1\]: an array of shape \(3,\)"),
        ({"0": 1, "1": 2}, "a dict of 2 where the action space is a Tuple"),
    ],
    "scripted_env:DictActions": [
        ((1, 2), "a tuple of 2 where the action space is a Dict"),
        ({}, 'the key "move" is missing'),
        ({"move": np.zeros(2, np.float32)}, 'the key "say" is missing'),
        ({"move": np.zeros(2, np.float32), "say": "hi", "jump": 1}, "jump"),
        ({"move": np.zeros((2, 1), np.float32), "say": "hi"}, r'\["move"\]: an array of shape \(2, 1\)'),
    ],
    "scripted_env:BoxActions": [
        (np.zeros((3, 2), np.float32), r"shape \(3, 2\) and dtype float32 where the action space has shape \(2, 3\)"),
        (np.zeros(6, np.float32), r"shape \(6,\)"),
        (object(), "cannot be sent"),
    ],
}


@pytest.mark.parametrize("source", WALKS)
def test_an_action_of_the_wrong_structure_is_refused_here(scripted_host: ScriptedHost, source: str) -> None:
    env = scripted_host.env(source=source)
    env.reset()
    for action, text in WALKS[source]:
        with pytest.raises(rlay.errors.InvalidAction, match=text) as caught:
            env.step(action)
        assert isinstance(caught.value, ValueError | gym.error.InvalidAction)
    assert "step" not in scripted_host.calls(), "nothing was sent"
    assert env.step(env.action_space.sample())[0] == [1]
    assert scripted_host.calls().count("step") == 1


@pytest.mark.parametrize("action", [np.zeros((2, 3)), [[0.0] * 3] * 2, 7, np.float32(1), None, "left"])
def test_an_action_of_another_type_is_for_the_environment_to_judge(scripted_host: ScriptedHost, action: Any) -> None:
    env = scripted_host.env(source="scripted_env:BoxActions")
    env.reset()
    arrived = env.step(action)[4]["action"]
    assert type(arrived) is type(action)
    assert np.array_equal(np.asarray(arrived), np.asarray(action))


def test_step_before_reset(scripted_host: ScriptedHost) -> None:
    env = scripted_host.env()
    with pytest.raises(gym.error.ResetNeeded, match="Cannot call env.step"):
        env.step(0)
    assert "step" not in scripted_host.calls()
    env.reset()
    assert env.step(0)[0] == [1]


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_calls_after_close(scripted_host: ScriptedHost, paradigm: str) -> None:
    env = scripted_host.env(paradigm)
    env.reset()
    env.close()
    for call in (env.reset, lambda: env.step(0), env.render, env.late):
        with pytest.raises(gym.error.ClosedEnvironmentError, match="closed"):
            call()
    env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_render_mode_that_is_not_declared(scripted_host: ScriptedHost, paradigm: str) -> None:
    with pytest.raises(rlay.Error, match="does not render in mode") as caught:
        scripted_host.env(paradigm, render_mode="human").reset()
    assert "ansi" in str(caught.value) and "rgb_array" in str(caught.value)


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_registered_environment_is_not_made_for_a_mode_it_does_not_declare(
    scripted_host: ScriptedHost, paradigm: str
) -> None:
    with pytest.raises(rlay.Error, match="does not render in mode 'ansi'; it declares .*rgb_array"):
        scripted_host.env(paradigm, "CartPole-v1", render_mode="ansi").reset()

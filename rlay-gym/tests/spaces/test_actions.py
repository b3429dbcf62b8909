"""Actions of another type than the space's have the same effect as locally; only a wrong structure is refused."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import GraphInstance

import rlay
from equal import as_float, difference
from host_process import Hosted
from misbehaving_envs import ACTION_SPACES, Recorder

NUMBERS: list[Any] = [
    *(0, 1, -1, 99, 2**70, True, 1.0, float("nan"), None, "1", b"1", [1], (1,), {}, [], [[0.5]]),
    *(np.int64(1), np.int32(1), np.uint8(1), np.int64(99), np.bool_(True), np.float64(0.5), np.float32(0.5)),
]

ACTIONS: dict[str, list[Any]] = {
    "Discrete": [*NUMBERS, np.array(1), np.array([1]), np.array([1, 2]), np.array(1, np.int32)],
    "Box": [
        *NUMBERS,
        *([0.5, 0.5], (0.5, 0.5), [np.float32(0.5), 1], [0.1], np.array([0.5, 0.5])),
        *(np.array([1, 2]), np.array([True, False]), np.array([9, np.nan], "f4"), np.array([0.5, 0.5], ">f4")),
        *(np.array([0.5, 0.5], np.float16), np.arange(4, dtype="f4")[::2], np.array([0.5, -0.5], "f4")),
    ],
    "Box of shape ()": [*NUMBERS, np.array(0.5, "f4"), np.array(0.5), np.array(1)],
    "MultiDiscrete": [
        *NUMBERS,
        [1, 1],
        (1, 1),
        np.array([1, 1]),
        np.array([1, 1], "i4"),
        np.array([9, -1]),
        np.ones(2),
    ],
    "MultiBinary": [
        *NUMBERS,
        [1, 0],
        (True, False),
        np.array([1, 0], np.int8),
        np.array([True, False]),
        np.array([1, 0]),
    ],
    "Text": [*NUMBERS, "", "abc", "much too long", "漢"],
    "Tuple": [
        *(
            (1, np.zeros(2, "f4")),
            (np.int64(1), np.zeros(2, "f4")),
            [1, np.zeros(2, "f4")],
            (1, [0.5, 0.5]),
            [True, None],
        ),
        *((np.array(1), np.zeros(2)), ("1", (0, 0)), (np.int32(1), np.zeros(2, ">f4"))),
    ],
    "Dict": [
        *({"b": 1, "a": np.zeros(2, "f4")}, {"a": np.zeros(2, "f4"), "b": 1}, {"b": np.int64(1), "a": [0.5, 0]}),
        *({"b": None, "a": None}, {"b": True, "a": np.zeros(2)}),
    ],
    "nested": [{"go": ({"x": np.array([1, 0], np.int8)},)}, {"go": [{"x": [1, 0]}]}, {"go": ({"x": True},)}],
    "Sequence": [*NUMBERS, (1, 2, 0), [1, 2], np.array([1, 2]), (np.int64(1), 1)],
    "Graph": [*NUMBERS, GraphInstance(np.array([1]), None, None), (np.array([1]), None, None)],
    "OneOf": [*NUMBERS, (0, 1), (np.int64(1), np.zeros(2, "f4")), (5, None), [0, 1]],
}


@pytest.mark.parametrize("name", ACTIONS)
def test_what_arrives(hosted: Hosted, paradigm: str, name: str) -> None:
    """Type, value and layout are those that a local environment receives."""
    local, remote = Recorder(ACTION_SPACES[name]), hosted(f"misbehaving_envs:recorder:{name}", paradigm, chosen=True)
    local.reset(), remote.reset()
    for action in ACTIONS[name]:
        assert difference(local.step(action), remote.step(action)) is None, repr(action)


WRONG: dict[str, list[tuple[Any, str]]] = {
    "Box": [
        (
            np.zeros(3, "f4"),
            r"action: an array of shape \(3,\) and dtype float32 where the action space has shape \(2,\)",
        ),
        (np.array(0.5), r"action: an array of shape \(\) and dtype float64 where the action space has shape \(2,\)"),
        (np.zeros((2, 1)), r"action: an array of shape \(2, 1\) and dtype float64 where"),
        (
            object(),
            "action: an object cannot be sent; give numbers, text, bytes, arrays, or lists, tuples and dicts of these",
        ),
        ({1, 2}, "action: a set cannot be sent; give"),
        (np.array(["a", "b"]), r"action: an array of shape \(2,\) and dtype <U1 cannot be sent; give"),
    ],
    "Box of shape ()": [
        (np.zeros(1, "f4"), r"an array of shape \(1,\) and dtype float32 where the action space has shape \(\)")
    ],
    "MultiDiscrete": [(np.zeros((1, 2), int), r"an array of shape \(1, 2\) and dtype int64 where")],
    "MultiBinary": [
        (np.zeros(3, np.int8), r"an array of shape \(3,\) and dtype int8 where the action space has shape \(2,\)")
    ],
    "Tuple": [
        (1, "action: an int where the action space is a Tuple"),
        ({}, "action: a dict of 0 where the action space is a Tuple"),
        ((1,), "action: 1 members where the action space has 2"),
        ((1, np.zeros(2, "f4"), 1), "action: 3 members where the action space has 2"),
        ((1, np.zeros(3, "f4")), r"action\[1\]: an array of shape \(3,\)"),
    ],
    "Dict": [
        (1, "action: an int where the action space is a Dict"),
        ([("b", 1)], "action: a list of 1 where the action space is a Dict"),
        ({"b": 1}, 'action: the key "a" is missing'),
        ({"b": 1, "a": np.zeros(2, "f4"), "c": 1}, 'action: the action space has no key "c"'),
        ({"b": 1, "a": np.zeros((1, 1))}, r'action\["a"\]: an array of shape \(1, 1\)'),
    ],
    "nested": [({"go": ({"x": np.zeros(1)},)}, r'action\["go"\]\[0\]\["x"\]: an array of shape \(1,\)')],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_structure_is_refused(hosted: Hosted, paradigm: str, name: str) -> None:
    """Before anything is sent: the environment does not see the action, and the session continues."""
    env = hosted(f"misbehaving_envs:recorder:{name}", paradigm, chosen=True)
    env.reset()
    for action, text in WRONG[name]:
        with pytest.raises(ValueError, match=text) as caught:
            env.step(action)
        assert isinstance(caught.value, rlay.Error)
        assert isinstance(caught.value, gym.error.InvalidAction)
    assert env.step(ACTIONS[name][-1])[4]["steps"] == 1


def outcome(env: Any, action: Any) -> tuple[str, str] | tuple[Any, Any]:
    """Return what a step returns, or the class and text of what it raises."""
    env.reset(seed=1)
    try:
        observation, reward, terminated, truncated, info = env.step(action)
    except rlay.EnvError as error:
        return error.remote_type, str(error)
    except Exception as error:
        module = "" if type(error).__module__ == "builtins" else f"{type(error).__module__}."
        return module + type(error).__qualname__, str(error)
    return observation, (as_float(reward), bool(terminated), bool(truncated), info)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "MountainCarContinuous-v0"])
def test_what_real_environments_make_of_them(hosted: Hosted, paradigm: str, env_id: str) -> None:
    """The same results for usable actions, the same exceptions for the others."""
    local = gym.make(env_id, disable_env_checker=True)
    remote = hosted(env_id, paradigm)
    is_box = isinstance(local.action_space, gym.spaces.Box)
    arrays = [[0.5], (0.5,), np.array([0.5]), np.array([0.5], ">f4"), np.array([7.0], "f4"), np.array([True])]
    # An array of another shape is refused if the space has one; a Discrete space has none.
    for action in NUMBERS + (arrays if is_box else [*arrays, np.array(1), np.array([1, 0])]):
        assert difference(outcome(local, action), outcome(remote, action)) is None, repr(action)


def test_except_clauses_for_real_environments(hosted: Hosted, paradigm: str) -> None:
    """As written for the local environment."""
    cart_pole, pendulum = hosted("CartPole-v1", paradigm), hosted("Pendulum-v1", paradigm)
    cart_pole.reset(), pendulum.reset()
    with pytest.raises(AssertionError, match=r"^7 \(<class 'int'>\) invalid\b"):
        cart_pole.step(7)
    with pytest.raises(IndexError, match="invalid index to scalar variable"):
        pendulum.step(np.float64(0.5))
    assert type(cart_pole.step(1)[1]) is float

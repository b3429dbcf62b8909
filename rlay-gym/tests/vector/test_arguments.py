"""Arguments of a ClientVectorEnv's calls mean what they mean to a SyncVectorEnv, and wrong ones raise the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from host_process import HostProcess
from processes import WAIT
from scripted_host import ScriptedHost
from twins import IS_OLDEST, MODES, Twins

pytestmark = pytest.mark.gymnasium

MakeTwins = Callable[..., Twins]


def mask(*slots: int) -> Any:
    """Return the mask of some of four slots."""
    return np.isin(np.arange(4), slots)


SEEDS: dict[str, Any] = {
    "None": lambda: None,
    "int": lambda: 3,
    "0": lambda: 0,
    "True": lambda: True,
    "large": lambda: 2**62,
    "list": lambda: [5, 3, 4, 4],
    "list with None": lambda: [None, 7, None, 1],
    "list with True": lambda: [True, 7, False, 1],
    "tuple": lambda: (4, 5, 6, 7),
    "np.int64": lambda: np.int64(3),
    "float": lambda: 1.5,
    "negative": lambda: -1,
    "in part negative": lambda: -2,
    "str": lambda: "abcd",
    "list of np.int64": lambda: [np.int64(1)] * 4,
    "list of float": lambda: [1.0] * 4,
    "list of str": lambda: [None, 1, 2, "x"],
    "array": lambda: np.arange(4),
    "dict": lambda: {3: 0, 2: 0, 1: 0, 0: 0},
}


@pytest.mark.parametrize("name", SEEDS)
def test_seeds(twins: MakeTwins, name: str) -> None:
    pair = twins("vector_envs:Ending", slots=4)
    pair.reset(seed=[0, 0, 0, 0])
    before = pair.remote.np_random_seed
    outcome = pair.both(lambda envs: envs.reset(seed=SEEDS[name]()), "reset", is_same_text=True)
    if not isinstance(outcome, Exception):
        pair.both(lambda envs: envs.np_random_seed, "np_random_seed")
        pair.both(lambda envs: [generator.integers(1000) for generator in envs.np_random], "np_random")
    else:
        assert pair.remote.np_random_seed == before
        # The environments of a SyncVectorEnv before the one that refused its seed were reset.
        pair.reset(seed=0)
    pair.step([0, 1, 2, 3])


@pytest.mark.parametrize("seed", [[], [1, 2, 3], [1] * 5, (1,)])
def test_a_wrong_number_of_seeds(twins: MakeTwins, seed: Any) -> None:
    pair = twins("vector_envs:Ending", slots=4)
    text = f"If seeds are passed as a list the length must match num_envs=4 but got length={len(seed)}."
    with pytest.raises(ValueError) as caught:
        pair.remote.reset(seed=seed)
    assert str(caught.value) == text
    if not IS_OLDEST:
        pair.both(lambda envs: envs.reset(seed=seed), is_same_text=True)


def test_generators_before_the_first_seed(twins: MakeTwins) -> None:
    """Those of this end: each environment has one, and they are others in each vector."""
    pair = twins("vector_envs:Ending", slots=4)
    for envs in pair:
        seeds, generators = envs.np_random_seed, envs.np_random
        assert type(seeds) is tuple and type(generators) is tuple
        assert len(set(seeds)) == 4 and len({int(g.integers(2**62)) for g in generators}) == 4
        assert envs.np_random_seed == seeds and envs.np_random == generators
        with pytest.raises(AttributeError):
            envs.np_random = generators[0]


OPTIONS: dict[str, Any] = {
    "None": lambda: None,
    "empty": lambda: {},
    "some": lambda: {"level": 3, "map": np.arange(4), 7: [None]},
    "no dict": lambda: [1, 2],
    "int": lambda: 3,
    "mask": lambda: {"reset_mask": mask(1, 2)},
    "mask of all": lambda: {"reset_mask": mask(0, 1, 2, 3)},
    "mask and more": lambda: {"level": 3, "reset_mask": mask(0)},
    "mask that is no array": lambda: {"reset_mask": [True] * 4},
    "mask that is None": lambda: {"reset_mask": None},
    "mask of another length": lambda: {"reset_mask": np.ones(3, np.bool_)},
    "mask of another shape": lambda: {"reset_mask": np.ones((4, 1), np.bool_)},
    "mask of another dtype": lambda: {"reset_mask": np.ones(4, np.int64)},
    "mask of nothing": lambda: {"reset_mask": np.zeros(4, np.bool_)},
}


@pytest.mark.parametrize("name", [name for name in OPTIONS if not (IS_OLDEST and ("mask" in name or name == "int"))])
@pytest.mark.parametrize("mode", MODES)
def test_options(twins: MakeTwins, mode: str, name: str) -> None:
    pair = twins("vector_envs:Ending", mode, slots=4)
    pair.reset(seed=0)
    pair.step([0, 1, 2, 3])
    given: list[Any] = []

    def reset(envs: Any) -> Any:
        given.append(OPTIONS[name]())
        return envs.reset(seed=[4, 5, 6, 7], options=given[-1])

    outcome = pair.both(reset, "reset", is_same_text=True)
    assert str(given[0]) == str(given[1]), "the mask is taken out of the caller's dict, even where it is wrong"
    if isinstance(outcome, Exception):
        pair.reset(seed=0)
    elif mode == "Disabled":
        pair.reset()
    pair.step([0, 1, 2, 3])
    pair.both(lambda envs: envs.np_random_seed)


def test_masks_with_the_oldest_gymnasium(scripted_host: ScriptedHost) -> None:
    """Its own vectors know of no masks, and of one mode; here all modes are there, by name."""
    address = scripted_host.serve("vector_envs:Ending")
    with rlay.ClientVectorEnv(address, 4, autoreset_mode="Disabled", connect_timeout=WAIT) as envs:
        assert envs.autoreset_mode.value == "Disabled"
        envs.reset(seed=0)
        assert [flags.tolist() for flags in envs.step([0, 1, 2, 3])[2:4]] == [mask(1, 3).tolist(), mask(2, 3).tolist()]
        with pytest.raises(AssertionError):
            envs.step([0, 0, 0, 0])
        observations, infos = envs.reset(options={"reset_mask": mask(1, 2, 3)})
        assert observations.tolist() == [[0, 1], [1, 0], [2, 0], [3, 0]]
        assert infos["_resets"].tolist() == [False, True, True, True]
    with rlay.ClientVectorEnv(address, 2, autoreset_mode="SameStep", connect_timeout=WAIT) as envs:
        envs.reset(seed=0)
        observations, _, terminations, _, infos = envs.step([0, 1])
        assert (observations.tolist(), terminations.tolist()) == ([[0, 1], [1, 0]], [False, True])
        assert [x if x is None else x.tolist() for x in infos["final_obs"]] == [None, [1, 1]]
        assert infos["_final_info"].tolist() == [False, True]


def test_a_mask_before_the_first_reset(twins: MakeTwins) -> None:
    pair = twins("vector_envs:Ending", slots=4)
    if not IS_OLDEST:
        pair.both(lambda envs: envs.reset(options={"reset_mask": mask(1)}))
    with pytest.raises(ValueError, match="never reset; reset all first"):
        pair.remote.reset(options={"reset_mask": mask(1)})
    pair.remote.reset(options={"reset_mask": mask(0, 1, 2, 3)})


ACTIONS: dict[str, Any] = {
    "array": lambda: np.array([0, 1, 2, 3]),
    "array of int32": lambda: np.array([0, 1, 2, 3], np.int32),
    "array of uint8": lambda: np.array([0, 1, 2, 3], np.uint8),
    "big-endian array": lambda: np.array([0, 1, 2, 3], ">i8"),
    "array of bools": lambda: np.array([True, False, True, False]),
    "array of floats": lambda: np.array([0.0, 1.0, 2.0, 3.0]),
    "array of objects": lambda: np.array([0, None, 2, "x"], object),
    "array that is not contiguous": lambda: np.arange(8)[::2] % 4,
    "array backwards": lambda: np.arange(4)[::-1],
    "array of columns": lambda: np.array([[0], [1], [2], [3]]),
    "read-only array": lambda: np.broadcast_to(np.int64(2), (4,)),
    "list": lambda: [0, 1, 2, 3],
    "list of scalars": lambda: [np.int8(0), np.int64(1), True, 3],
    "tuple": lambda: (0, 1, 2, 3),
    "range": lambda: range(4),
    "iterator": lambda: iter([0, 1, 2, 3]),
    "generator": lambda: (action for action in range(4)),
    "set": lambda: {0, 1, 2, 3},
    "dict": lambda: dict.fromkeys(range(4)),
    "out of range": lambda: np.array([0, 64, -64, 1 << 40]),
    "str": lambda: "abcd",
    "None in it": lambda: [0, None, 2, 3],
    "scalar": lambda: 0,
    "np.int64": lambda: np.int64(0),
    "array of shape ()": lambda: np.array(0),
    "None": lambda: None,
    "too few": lambda: np.array([0, 1, 2]),
    "too many": lambda: np.array([0, 1, 2, 3, 4]),
    "too few in a list": lambda: [0, 1, 2],
    "too many in a list": lambda: [0, 1, 2, 3, 4],
    "none": lambda: [],
    "too many in an iterator": lambda: iter([0] * 5),
}

LENIENT = {"too few", "too many", "too few in a list", "too many in a list", "none", "too many in an iterator"}
"""What Gymnasium 1.0 does not refuse, or with an IndexError."""


@pytest.mark.parametrize("name", [name for name in ACTIONS if not (IS_OLDEST and name in LENIENT)])
def test_actions(twins: MakeTwins, name: str) -> None:
    pair = twins("vector_envs:Ending", slots=4)
    pair.reset(seed=0)
    outcome = pair.both(lambda envs: envs.step(ACTIONS[name]()), "step", is_same_text=not IS_OLDEST)
    if isinstance(outcome, Exception):
        pair.reset(seed=0)
    pair.step([0, 0, 0, 0])


@pytest.mark.parametrize("name", [*sorted(LENIENT), "scalar", "None"])
def test_a_wrong_number_of_actions_steps_no_environment(scripted_host: ScriptedHost, name: str) -> None:
    address = scripted_host.serve("vector_envs:Ending")
    with rlay.ClientVectorEnv(address, 4, connect_timeout=WAIT) as envs:
        envs.reset(seed=0)
        for step in (envs.step, envs.step_async):
            with pytest.raises(TypeError if name in ("scalar", "None") else ValueError):
                step(ACTIONS[name]())
        assert "step" not in scripted_host.calls()
        assert envs.step([0, 0, 0, 0])[0].tolist() == [[0, 1], [1, 1], [2, 1], [3, 1]]


@pytest.mark.parametrize("as_what", [list, tuple, lambda actions: iter(list(actions))])
@pytest.mark.parametrize("name", ["Box: float32", "Box: shape ()", "MultiBinary: n is int", "MultiDiscrete: plain"])
def test_arrays_in_other_containers(twins: MakeTwins, name: str, as_what: Any) -> None:
    pair = twins(f"vector_envs:sampled:{name}", slots=4)
    pair.reset(seed=0)
    actions = pair.local.action_space.sample()
    pair.both(lambda envs: envs.step(as_what(copy.deepcopy(actions))))
    pair.both(lambda envs: envs.step(np.asarray(actions).astype(np.float64)))
    pair.both(lambda envs: envs.step(np.asarray(actions).tolist()))


def test_the_actions_are_not_kept(twins: MakeTwins) -> None:
    """Nor is what a call returns: later calls, and the user, may write into either."""
    pair = twins("vector_envs:sampled:Box: float32", slots=4)
    first = pair.reset(seed=0)[0]
    kept = first.copy()
    for result in (pair.step(pair.local.action_space.sample()) for _ in range(3)):
        for array in result[:4]:
            assert array.flags.owndata and array.flags.writeable
            array[:] = 1
    assert np.array_equal(first, kept)
    results = [pair.remote.step(pair.local.action_space.sample()) for _ in range(2)]
    pairs = zip(results[0][:4], results[1][:4], strict=True)
    assert not any(np.shares_memory(before, after) for before, after in pairs)


@pytest.mark.parametrize("mode", MODES)
def test_ended_environments(twins: MakeTwins, mode: str) -> None:
    """In the mode Disabled an ended one must be reset before the next step; nothing has stepped then."""
    pair = twins("vector_envs:Ending", mode, slots=4)
    pair.reset(seed=0)
    pair.step([0, 1, 2, 3])
    outcome = pair.both(lambda envs: envs.step([0, 0, 0, 0]), "step", is_same_text=True)
    assert isinstance(outcome, AssertionError) == (mode == "Disabled")
    if mode == "Disabled":
        with pytest.raises(AssertionError):
            pair.remote.step_async([0, 0, 0, 0])
        # The environments of a SyncVectorEnv before the ended one have taken the step.
        assert pair.remote.reset(options={"reset_mask": mask(1, 2, 3)})[0].tolist() == [[0, 1], [1, 0], [2, 0], [3, 0]]


def test_every_environment_ends_with_every_step(twins: MakeTwins) -> None:
    for mode in MODES[:2]:
        pair = twins("vector_envs:Ending", mode, slots=4)
        pair.reset(seed=0)
        for _ in range(5):
            pair.step([1, 2, 3, 1])
        pair.reset()
        pair.step([0, 0, 0, 0])


def test_a_step_before_the_first_reset(twins: MakeTwins) -> None:
    """Those of ``gym.make`` refuse that locally, too."""
    pair = twins("CartPole-v1", slots=4)
    outcome = pair.both(lambda envs: envs.step([0, 0, 0, 0]))
    assert isinstance(outcome, gym.error.ResetNeeded)
    pair.reset(seed=0)
    pair.step([0, 0, 0, 0])


FAILING = {
    "reset": lambda envs: envs.reset(seed=0, options={"fails_in": "reset"}),
    "step": lambda envs: envs.step([0, 0, 0, 4]),
    "step of two": lambda envs: envs.step(np.array([0, 4, 0, 4])),
    "render": lambda envs: envs.render(),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", FAILING)
def test_one_environment_raises(twins: MakeTwins, mode: str, call: str) -> None:
    """The class and the text are those of the environment, and the others are there for the next call."""
    pair = twins("vector_envs:Failing", mode, slots=4, render_mode="ansi")
    pair.reset(seed=0, options={"fails_in": "render" if call == "render" else None})
    error = pair.both(FAILING[call], call, is_same_text=True)
    assert isinstance(error, Exception)
    if call == "render":
        pair.step([0, 0, 0, 0])
        return
    observations = pair.remote.step([0, 0, 0, 0])[0]
    steps = 1 if call == "reset" else 2
    assert observations.tolist() == [[slot, steps] for slot in range(4)], "each has taken its step"
    pair.reset(seed=0)
    pair.step([0, 1, 2, 3])


def test_episodes_that_end_while_another_environment_raises(scripted_host: ScriptedHost) -> None:
    """None of them takes a step after its end; a SyncVectorEnv, which has not noticed, steps them."""
    with rlay.ClientVectorEnv(scripted_host.serve("vector_envs:Ending"), 4, connect_timeout=WAIT) as envs:
        envs.reset(seed=0)
        envs.step([1, 0, 0, 0])
        with pytest.raises(ValueError, match="slot 3 fails in step 2") as caught:
            envs.step([0, 2, 0, 4])
        assert isinstance(caught.value, rlay.EnvError) and caught.value.remote_type == "ValueError"
        observations, rewards, *_ = envs.step([0, 0, 0, 0])
        # Slot 0 began anew in the call that failed, slot 1 does now.
        assert observations.tolist() == [[0, 1], [1, 0], [2, 3], [3, 3]] and rewards[1] == 0.0


def test_an_episode_that_ended_before_a_reset_that_raises(twins: MakeTwins) -> None:
    pair = twins("vector_envs:Failing", slots=4)
    pair.reset(seed=0)
    pair.step([1, 0, 0, 0])
    pair.both(FAILING["reset"])
    # With Gymnasium 1.0 a reset that raises leaves an environment to begin anew once more.
    step = pair.remote.step if IS_OLDEST else pair.step
    assert step([0, 0, 0, 0])[0].tolist() == [[0, 1], [1, 1], [2, 1], [3, 1]]
    pair.reset(seed=0)
    pair.step([0, 1, 2, 3])


def test_an_error_of_close_is_raised_once(twins: MakeTwins) -> None:
    pair = twins("vector_envs:Failing", slots=4)
    pair.reset(seed=0, options={"fails_in": "close"})
    assert isinstance(pair.both(lambda envs: envs.close(), is_same_text=True), KeyError)
    pair.remote.close()
    assert pair.remote.closed
    pair.local.envs.clear()


@pytest.mark.parametrize("mode", ["rgb_array", "ansi", None])
@pytest.mark.parametrize("slots", [1, 4])
def test_render(twins: MakeTwins, mode: str | None, slots: int) -> None:
    pair = twins("vector_envs:Ending", slots=slots, render_mode=mode)
    assert pair.both(lambda envs: envs.render_mode) == mode
    pair.reset(seed=0)
    if mode is None:
        with pytest.warns(UserWarning, match="without specifying any render mode"):
            assert pair.remote.render() == (None,) * slots
        return
    for _ in range(2):
        pair.both(lambda envs: envs.render(), "render")
        pair.step([0] * slots)


def test_a_render_mode_that_is_not_declared(scripted_host: ScriptedHost) -> None:
    with pytest.raises(rlay.Error, match="does not render in mode 'ascii'"):
        rlay.ClientVectorEnv(scripted_host.serve("CartPole-v1"), 4, render_mode="ascii")


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "num_envs: 0": ({"num_envs": 0}, ValueError, "num_envs=0: give how many environments to make, 1 or more"),
    "num_envs: negative": ({"num_envs": -3}, ValueError, "num_envs=-3"),
    "num_envs: float": ({"num_envs": 2.0}, TypeError, "num_envs=2.0 is a float; give an int"),
    "num_envs: bool": ({"num_envs": True}, TypeError, "num_envs=True is a bool; give an int"),
    "num_envs: str": ({"num_envs": "8"}, TypeError, "num_envs='8' is a str; give an int"),
    "num_envs: beyond the wire": ({"num_envs": 2**40}, ValueError, "no session has so many environments"),
    "num_envs: beyond the host": ({"num_envs": 5000}, rlay.Error, "this host makes 1024 at most; ask for fewer"),
    "autoreset_mode: name": ({"autoreset_mode": "NEXT_STEP"}, ValueError, "'NEXT_STEP' is not a valid AutoresetMode"),
    "autoreset_mode: None": ({"autoreset_mode": None}, ValueError, "None is not a valid AutoresetMode"),
    "on_loss": ({"on_loss": "hope"}, ValueError, "on_loss='hope': it is 'raise', 'replace' or 'truncate'"),
    "timeout": ({"timeout": "5"}, TypeError, "timeout='5' is a str"),
    "render_mode": ({"render_mode": 7}, TypeError, "render_mode=7 is a int; give a str"),
    "env_kwargs": ({"env_kwargs": ["size"]}, TypeError, "an agent gives names and values"),
    "env_kwargs: not offered": ({"env_kwargs": {"depth": 3}}, rlay.Error, "depth"),
    "env_id": ({"env_id": "maze"}, rlay.Error, "maze"),
    "restarts": ({"restarts": -1}, ValueError, "restarts=-1"),
    "max_frame": ({"max_frame": 3}, ValueError, "max_frame=3"),
    "unknown": ({"size": 3}, TypeError, "size"),
}


@pytest.fixture
def address(host_process: HostProcess) -> str:
    """Where environments are whose size the agent may choose."""
    return host_process.address("vector_envs:sized", "client", env_kwargs=("size",))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(address: str, name: str) -> None:
    arguments, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        rlay.ClientVectorEnv(address, **{"num_envs": 2, "connect_timeout": WAIT, **arguments})


def test_an_address_that_is_none() -> None:
    with pytest.raises(rlay.AddressError):
        rlay.ClientVectorEnv("nowhere", 2)
    with pytest.raises(TypeError):
        rlay.ClientVectorEnv(None, 2)  # type: ignore[arg-type]


def test_arguments_for_each_environment(address: str) -> None:
    with rlay.ClientVectorEnv(address, 3, env_kwargs={"size": 5}, connect_timeout=WAIT) as envs:
        assert envs.reset()[0].tolist() == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_as_the_enum(address: str, mode: str) -> None:
    given: Any = mode if IS_OLDEST else gym.vector.AutoresetMode(mode)
    with rlay.ClientVectorEnv(address, 2, autoreset_mode=given, connect_timeout=WAIT) as envs:
        assert envs.autoreset_mode.value == mode
        assert envs.metadata.get("autoreset_mode") is (None if IS_OLDEST else given)


def test_as_many_as_the_host_has(address: str, host_process: HostProcess) -> None:
    with rlay.ClientVectorEnv(address, connect_timeout=WAIT) as envs:
        assert envs.num_envs == 1
        assert envs.reset(seed=[4])[0].tolist() == [[0, 1]]


def test_a_host_of_one_that_is_made_already(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve("vector_envs:instance")
    with pytest.raises(rlay.Error, match="8 environments were asked for, and this host has one that was made already"):
        rlay.ClientVectorEnv(address, 8, connect_timeout=WAIT)
    with rlay.ClientVectorEnv(address, 1, connect_timeout=WAIT) as envs:
        envs.reset(seed=0)
        observations, _, terminations, *_ = envs.step([1])
        assert (observations.tolist(), terminations.tolist()) == ([[0, 1]], [True])
        assert envs.step([1])[0].tolist() == [[0, 0]]


def test_the_class_is_gymnasiums(twins: MakeTwins) -> None:
    pair = twins("CartPole-v1")
    assert isinstance(pair.remote, gym.vector.VectorEnv)
    for name in ("num_envs", "render_mode", "spec", "closed", "metadata"):
        pair.both(lambda envs: getattr(envs, name), name)
    for envs in pair:
        assert envs.unwrapped is envs
    first, second = pair.remote, twins("CartPole-v1").remote
    assert first.metadata is not second.metadata
    first.metadata["mine"] = True
    assert "mine" not in second.metadata and "mine" not in rlay.ClientVectorEnv.metadata

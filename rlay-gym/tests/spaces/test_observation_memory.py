"""Received observations belong to the agent: never overwritten, writeable, C-contiguous and aligned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from camera_envs import SHAPE, picture, whole
from equal import difference
from host_process import Hosted, HostProcess, agents_of

STEPS = 60
ACTION = np.zeros(SHAPE, np.uint8)


def leaves(observation: Any) -> Iterator[np.ndarray]:
    """Yield the arrays of an observation."""
    if isinstance(observation, dict):
        observation = tuple(observation.values())
    if isinstance(observation, tuple):
        for part in observation:
            yield from leaves(part)
    else:
        yield observation


def play(env: Any) -> list[Any]:
    """Return many observations, all kept."""
    return [env.reset()[0], *(env.step(ACTION)[0] for _ in range(STEPS))]


EXPECTED: dict[str, Callable[[int], Any]] = {"camera_envs:Camera": picture, "camera_envs:Cameras": whole}


@pytest.mark.parametrize("source", EXPECTED)
def test_observations_are_kept(hosted: Hosted, paradigm: str, source: str) -> None:
    """Although the environment writes all of them into one buffer."""
    kept = play(hosted(source, paradigm))
    for step, observation in enumerate(kept):
        assert difference(EXPECTED[source](step), observation, f"step {step}") is None
    # No two of them, and no two parts of one, share a byte.
    starts = sorted((array.ctypes.data, array.nbytes) for observation in kept for array in leaves(observation))
    assert all(start + size <= following for (start, size), (following, _) in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("source", EXPECTED)
def test_observations_may_be_written(hosted: Hosted, paradigm: str, source: str) -> None:
    """Neither the environment nor later observations notice."""
    env = hosted(source, paradigm)
    for step, observation in enumerate([env.reset()[0], *(env.step(ACTION)[0] for _ in range(STEPS))]):
        for array in leaves(observation):
            array[...] = 1
        env.reset()
        for _ in range(step + 1):
            later = env.step(ACTION)[0]
        assert difference(EXPECTED[source](step + 1), later) is None
        if step == 3:
            break


@pytest.mark.parametrize("source", EXPECTED)
def test_how_they_lie_in_memory(hosted: Hosted, paradigm: str, source: str) -> None:
    """In C order and aligned; large ones are views of the frame they came in, small ones are copies."""
    for observation in play(hosted(source, paradigm)):
        for array in leaves(observation):
            assert type(array) is np.ndarray
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert array.flags.aligned
            assert array.ctypes.data % 8 == 0
            large = array.nbytes >= 8 << 10
            assert array.flags.owndata is not large
            assert type(array.base).__name__ == ("_Memory" if large else "NoneType")
            if isinstance(observation, np.ndarray):
                assert array.ctypes.data % 64 == 0


def test_memory_is_used_again(hosted: Hosted, paradigm: str) -> None:
    """The memory of a dropped observation is reused for a later one."""
    env = hosted("camera_envs:Camera", paradigm)
    env.reset()
    assert len({env.step(ACTION)[0].ctypes.data for _ in range(STEPS)}) < STEPS


def test_they_outlive_the_session_and_the_host(spawn_host: Callable[[], HostProcess], paradigm: str) -> None:
    process = spawn_host()
    with agents_of(process) as hosted:
        kept = play(hosted("camera_envs:Camera", paradigm))
    process.kill()
    for step, observation in enumerate(kept):
        assert difference(picture(step), observation) is None


def test_actions_are_kept(hosted: Hosted, paradigm: str) -> None:
    """The environment may keep its actions too, and the agent may use one buffer for all."""
    env = hosted("camera_envs:Camera", paradigm)
    env.reset()
    buffer = np.zeros(SHAPE, np.uint8)
    for step in range(STEPS):
        buffer[:] = picture(step)
        env.step(buffer)
    actions = env.reset()[1]["actions"]
    assert difference([picture(step) for step in range(STEPS)], actions) is None

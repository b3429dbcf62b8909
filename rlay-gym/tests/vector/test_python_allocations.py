"""A warm step makes few Python objects, however many environments there are: its tuple, arrays and dict of infos."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rlay
from host_process import HostProcess
from processes import WAIT

NUMBERS = (8, 256)

Step = Callable[[], tuple[Any, ...]]
Warm = Callable[[int], Step]


@pytest.fixture
def warm(host_process: HostProcess) -> Iterator[Warm]:
    """``warm(number)``: what takes a step of so many CartPoles, some of which end."""
    opened = []

    def warm(number: int) -> Step:
        envs = rlay.ClientVectorEnv(host_process.address("CartPole-v1", "client"), number, connect_timeout=WAIT)
        opened.append(envs)
        envs.reset(seed=1)
        actions = np.zeros(number, dtype=np.int64)
        for _ in range(20):
            envs.step(actions)
        return lambda: envs.step(actions)

    gc.collect()
    gc.disable()
    yield warm
    gc.enable()
    for envs in opened:
        envs.close()


def blocks_of(step: Step) -> int:
    """Return how many blocks of memory the result of a step holds. Other threads of the process may hold more now."""

    def once() -> int:
        before = sys.getallocatedblocks()
        result = step()
        after = sys.getallocatedblocks()
        del result
        return after - before

    return min(once() for _ in range(20))


def test_a_result_holds_as_many_objects_for_any_number_of_environments(
    warm: Warm,
) -> None:
    few, many = (blocks_of(warm(number)) for number in NUMBERS)
    # A tuple of four arrays, of which the one of observations keeps its frame, and of a dict.
    assert few == many < 20


@pytest.mark.parametrize("number", NUMBERS)
def test_a_step_allocates_the_arrays_that_it_returns(warm: Warm, number: int) -> None:
    step = warm(number)
    tracemalloc.start()
    try:
        step()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        *arrays, _ = step()
        returned = sum(array.nbytes for array in arrays)
        del arrays
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < returned + 2048
    assert after - before < 512, "nothing of a step is kept"

"""First ready: actions for some environments of a vector, and rows as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from rlay import _options

if TYPE_CHECKING:
    from rlay._remote_vector_env import RemoteVectorEnv

Slots = Sequence[int] | NDArray[np.integer[Any]] | None


class Rows(NamedTuple):
    """What `RemoteVectorEnv.recv` returns: what a step returns, of the environments whose rows have come.

    Attributes:
        observations: One observation for each row, batched as the space says.
        rewards: float64, one for each row.
        terminations: bool, one for each row.
        truncations: bool, one for each row.
        infos: As of a step, its arrays counted by rows.
        slots: int64: which environment each row is of, in the order in which they came.
    """

    observations: Any
    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    infos: dict[str, Any]
    slots: NDArray[np.int64]


class RowInfos(gym.vector.VectorEnv[Any, Any, Any]):
    """Merges infos as Gymnasium does, of so many rows."""

    def __init__(self, rows: int) -> None:
        """Merge the infos of so many rows."""
        self.num_envs = rows


def merge_infos(envs: gym.vector.VectorEnv[Any, Any, Any], infos: Any, lasts: Any) -> dict[str, Any]:
    """Return the infos of one step: of each row that has one, and of episodes whose slots have begun another."""
    merged: dict[str, Any] = {}
    if not infos and not lasts:
        return merged
    ends = {row: {"final_obs": observation, "final_info": info} for row, observation, info in lasts}
    begun = dict(infos)
    for row in sorted({*ends, *begun}):
        for info in (ends.get(row), begun.get(row)):
            if info is not None:
                merged = envs._add_info(merged, info, row)
    if ends and not hasattr(gym.vector, "AutoresetMode"):
        # Gymnasium 1.0 takes a final observation for an info like any other.
        merged["final_obs"] = np.full(envs.num_envs, None, dtype=object)
        for row, observation, _ in lasts:
            merged["final_obs"][row] = observation
    return merged


def batch(space: gym.Space[Any], rows: int, observations: Any, is_batch: bool) -> Any:
    """Return the observations as one batch, which they may be already."""
    if is_batch:
        return observations
    empty: Any = create_empty_array(space, n=rows, fn=np.zeros)
    return concatenate(space, observations, empty) if rows else empty


def split_actions(space: gym.Space[Any], actions: Any, rows: int) -> list[Any]:
    """Return one action for each row, of the types that a local environment would be given."""
    # The number is checked before any environment takes a step.
    return [action for action, _ in zip(iterate(space, actions), range(rows), strict=True)]


def slot_list(envs: RemoteVectorEnv, slots: Slots) -> list[int]:
    """Return the slots as ints; None: all."""
    if slots is None:
        return list(range(envs.num_envs))
    listed = np.asarray(slots)
    if listed.ndim != 1 or (listed.size and listed.dtype.kind not in "iu"):
        raise TypeError(f"{_options.shown('slots', slots)}: give the numbers of environments, such as [0, 2]")
    # Of few numbers this takes a tenth of what NumPy would.
    numbers: list[int] = listed.tolist()
    if numbers and not 0 <= min(numbers) <= max(numbers) < envs.num_envs:
        raise ValueError(f"{_options.shown('slots', slots)}: the environments are numbered 0 to {envs.num_envs - 1}")
    return numbers


def bounds(envs: RemoteVectorEnv, least: int, most: int | None) -> tuple[int, int]:
    """Return how many rows to wait for, and how many to take."""
    least = _options.count("min", least, 1, "for how many rows to wait")
    most = envs.num_envs if most is None else _options.count("max", most, 1, "how many rows to take")
    if least > most:
        raise ValueError(f"min={least}, max={most}: there are {envs.num_envs} environments; give a min below the max")
    return least, most

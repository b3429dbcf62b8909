"""Hosting of a ``gymnasium.vector.VectorEnv``: its batches and infos taken apart into one row for each environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from rlay._vectorization import takes

Row = tuple[int, bool, bool, bool, float]
"""Slot, whether the observation is the first of an episode, terminated, truncated, reward."""

End = tuple[int, Any, dict[Any, Any]]
"""Slot, last observation and last info of an episode whose slot has begun another one."""

_ENDS = ("final_obs", "_final_obs", "final_info", "_final_info")


def autoreset_mode(envs: gym.vector.VectorEnv[Any, Any, Any]) -> str:
    """Return what a vector environment does where an episode has ended; what it does not say is Gymnasium's default."""
    metadata = envs.metadata if isinstance(envs.metadata, Mapping) else {}
    mode = metadata.get("autoreset_mode", "NextStep")
    return str(getattr(mode, "value", mode))


class VectorHost:
    """A vector environment, as the native module calls it."""

    def __init__(self, envs: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        """Keep the environments."""
        self._envs = envs
        self._mode = autoreset_mode(envs)
        # EnvPool's `observation_space` is that of a single environment.
        self._observation_space = batch_space(envs.single_observation_space, envs.num_envs)
        self._ended = np.zeros(envs.num_envs, dtype=np.bool_)

    def reset(self, seeds: dict[int, int | None], options: Any) -> tuple[Any, list[Row], list[Any], list[End]]:
        """Reset the environments that have an entry in ``seeds``."""
        number = self._envs.num_envs
        every: Any = [seeds.get(slot) for slot in range(number)]
        if all(seed is None for seed in every):
            every = None
        elif every[0] is not None and every == list(range(every[0], every[0] + number)):
            # Vectors that are not made of single environments take no list.
            every = every[0]
        if len(seeds) < number:
            mask = np.zeros(number, dtype=np.bool_)
            mask[list(seeds)] = True
            options = {**(options or {}), "reset_mask": mask}
        observations, infos = self._envs.reset(seed=every, options=options)
        slots = sorted(seeds)
        self._ended[slots] = False
        rows = [(slot, True, False, False, 0.0) for slot in slots]
        split = self._split(infos, slots)
        return observations, rows, [split[slot] for slot in slots], []

    def step(self, actions: Any) -> tuple[Any, list[Row], list[Any], list[End]]:
        """Take one action in each environment."""
        observations, rewards, terminations, truncations, infos = self._envs.step(actions)
        if len(rewards) != self._envs.num_envs:
            raise ValueError(
                f"step() returned {len(rewards)} rewards for {self._envs.num_envs} environments; only vectors that "
                "step all at once can be hosted, such as a pool whose batch_size is its num_envs"
            )
        ended = np.asarray(terminations, dtype=np.bool_) | np.asarray(truncations, dtype=np.bool_)
        first, ends = np.zeros_like(ended), []
        if self._mode == "NextStep":
            first = self._ended
        elif self._mode == "SameStep" and ended.any():
            first = ended
            ends = self._ends(infos, ended)
        self._ended = ended
        each = zip(first.tolist(), terminations, truncations, rewards, strict=True)
        rows = [
            (slot, begins, bool(terminated), bool(truncated), float(reward))
            for slot, (begins, terminated, truncated, reward) in enumerate(each)
        ]
        split = self._split({key: value for key, value in infos.items() if key not in _ENDS} if ends else infos)
        return observations, rows, split, ends

    def _ends(self, infos: dict[Any, Any], ended: Any) -> list[End]:
        final_infos = self._split(infos.get("final_info", {}))
        return [(slot, infos["final_obs"][slot], final_infos[slot]) for slot in np.flatnonzero(ended).tolist()]

    def _split(self, infos: Mapping[Any, Any], slots: list[int] | None = None) -> list[dict[Any, Any]]:
        """Return the info of each environment: what is not masked of each array, and the same of dicts within.

        ``slots`` are those that were reset. Gymnasium's arrays have an item for each environment, and EnvPool's one for
        each that was reset.
        """
        number = self._envs.num_envs
        split: list[dict[Any, Any]] = [{} for _ in range(number)]
        for key, values in infos.items():
            if isinstance(key, str) and key.startswith("_") and key[1:] in infos:
                continue
            mask = infos.get(f"_{key}")
            if isinstance(values, Mapping):
                for info, within in zip(split, self._split(values, slots), strict=True):
                    if within:
                        info[key] = within
                continue
            if slots is not None and len(values) == len(slots):
                where: Iterable[int] = slots
            elif len(values) == number:
                where = range(number)
            else:
                raise ValueError(f"info[{key!r}] has {len(values)} values for {number} environments")
            for slot, value in zip(where, values, strict=True):
                if mask is None or mask[slot]:
                    # Gymnasium makes an array of bools of these, and of NumPy's own an array of objects.
                    split[slot][key] = bool(value) if isinstance(value, np.bool_) else value
        return split

    def each(self, observations: Any, slots: list[int]) -> list[Any]:
        """Return the observations of these environments one by one."""
        every = list(iterate(self._observation_space, observations))
        return every if len(every) == len(slots) else [every[slot] for slot in slots]

    def batch(self, actions: list[Any], slots: list[int]) -> Any:
        """Return the batch of these actions, given in the order of ``slots``."""
        space, number = self._envs.single_action_space, self._envs.num_envs
        ordered = [action for _, action in sorted(zip(slots, actions, strict=True), key=lambda pair: pair[0])]
        empty: Any = create_empty_array(space, n=number, fn=np.zeros)
        return concatenate(space, ordered, empty)

    def render(self) -> tuple[Any, ...]:
        """Render every environment."""
        number = self._envs.num_envs
        # EnvPool renders one of its environments, unless it is told which.
        several = takes(self._envs.render, "env_ids", by_name=True)
        frames: Any = self._envs.render(**({"env_ids": list(range(number))} if several else {}))
        return tuple(frames) if frames is not None else (None,) * number

    def attribute(
        self, slots: list[int], name: str, how: str, values: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Any]:
        """Get, set or call an attribute of every environment; return one result for each.

        Gymnasium's vectors call what they get, so a function is called here without arguments if it is to be got.
        """
        envs: Any = self._envs
        if how == "set":
            ordered = [value for _, value in sorted(zip(slots, values, strict=True), key=lambda pair: pair[0])]
            envs.set_attr(name, ordered)
            return [None] * len(ordered)
        return list(envs.call(name, *values, **kwargs))

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()

"""A SyncVectorEnv and a ClientVectorEnv over the same environments, which are compared call by call."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv

import host_main
import rlay
from equal import difference
from host_process import HostProcess, quietly_close
from processes import WAIT

SLOTS = 8

IS_OLDEST = gym.__version__.startswith("1.0.")
"""Gymnasium 1.0 has one mode and no masks."""

MODES = ("NextStep",) if IS_OLDEST else ("NextStep", "SameStep", "Disabled")


def local_env(source: str, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make in this process the environment that the host makes in its own."""
    found = host_main.resolve(source)
    if isinstance(found, str):
        return gym.make(found, render_mode=render_mode, disable_env_checker=True)
    return found(render_mode=render_mode)


def sync_vector(source: str, slots: int = SLOTS, mode: str = "NextStep", render_mode: str | None = None) -> Any:
    """Make a SyncVectorEnv."""
    named = {} if IS_OLDEST else {"autoreset_mode": mode}
    return SyncVectorEnv([lambda: local_env(source, render_mode)] * slots, **named)


class Outcome:
    """What a call returned or raised."""

    def __init__(self, call: Callable[[Any], Any], envs: Any) -> None:
        self.error: Exception | None = None
        self.result: Any = None
        try:
            with warnings.catch_warnings():
                # The casts that Gymnasium and NumPy warn about are compared by what they result in.
                warnings.simplefilter("ignore")
                self.result = call(envs)
        except Exception as error:
            self.error = error


class Twins:
    """Two vectors that must not differ."""

    def __init__(self, local: Any, remote: Any) -> None:
        self.local, self.remote = local, remote
        self.num_envs: int = local.num_envs
        self.ended = np.zeros(self.num_envs, np.bool_)
        self.disabled = getattr(getattr(local, "autoreset_mode", None), "value", "") == "Disabled"

    def __iter__(self) -> Iterator[Any]:
        return iter((self.local, self.remote))

    def both(self, call: Callable[[Any], Any], name: str = "call", is_same_text: bool = False) -> Any:
        """Call both; return what they return, or the exception of the local one. The remote one does the same."""
        local, remote = Outcome(call, self.local), Outcome(call, self.remote)
        if local.error is None:
            if remote.error is not None:
                raise AssertionError(f"{name}: only the remote raises") from remote.error
            found = difference(local.result, remote.result, name)
            assert found is None, found
            return local.result
        assert remote.error is not None, f"{name}: only the local raises {local.error!r}"
        assert isinstance(remote.error, type(local.error)), f"{name}: {remote.error!r} instead of {local.error!r}"
        if is_same_text:
            assert str(remote.error) == str(local.error), name
        return local.error

    def reset(self, **kwargs: Any) -> Any:
        """Reset both, each with arguments of its own."""
        result = self.both(lambda envs: envs.reset(**_copied(kwargs)), "reset")
        if not isinstance(result, Exception):
            mask = (kwargs.get("options") or {}).get("reset_mask")
            self.ended[slice(None) if mask is None else mask] = False
        return result

    def step(self, actions: Any) -> Any:
        """Step both."""
        result = self.both(lambda envs: envs.step(actions), "step")
        if not isinstance(result, Exception):
            self.ended = result[2] | result[3]
        return result

    def play(self, steps: int, seed: int = 0, sample: Callable[[np.random.Generator], Any] | None = None) -> int:
        """Take random actions; reset where that is due, and sometimes where it is not.

        Return how many calls raised; -1: no reset succeeds.

        After an exception the environments of a SyncVectorEnv behind the one that raised have not been called, so both
        begin anew.
        """
        rng = np.random.default_rng(seed)
        self.local.action_space.seed(seed)
        raised = 0

        def begin() -> bool:
            return not isinstance(self.reset(seed=[int(n) for n in rng.permutation(self.num_envs)]), Exception)

        if not any(begin() for _ in range(9)):
            return -1
        for _ in range(steps):
            if self.disabled and self.ended.any():
                result = self.reset(options={"reset_mask": self.ended.copy()})
            elif not IS_OLDEST and rng.random() < 0.05:
                mask = rng.random(self.num_envs) < 0.5
                mask[rng.integers(self.num_envs)] = True
                chosen: Any = [None, int(rng.integers(1000)), [int(n) for n in rng.permutation(self.num_envs)]]
                options = {"reset_mask": mask, **({"level": 3} if rng.random() < 0.5 else {})}
                result = self.reset(seed=chosen[rng.integers(3)], options=options)
            elif rng.random() < 0.02:
                result = self.reset()
            else:
                result = self.step(sample(rng) if sample else self.local.action_space.sample())
            if isinstance(result, Exception):
                raised += 1
                assert any(begin() for _ in range(9)), "it never succeeds again"
        return raised


def _copied(kwargs: dict[str, Any]) -> dict[str, Any]:
    if not kwargs.get("options"):
        return kwargs
    options = kwargs["options"]
    return {**kwargs, "options": {key: np.copy(x) if isinstance(x, np.ndarray) else x for key, x in options.items()}}


@contextlib.contextmanager
def twins_of(process: HostProcess) -> Iterator[Callable[..., Twins]]:
    """Yield a function that returns twins, the remote one in ``process``; they are closed at the end of the block."""
    with contextlib.ExitStack() as stack:

        def twins(
            source: str,
            mode: str = "NextStep",
            slots: int = SLOTS,
            render_mode: str | None = None,
            backend: dict[str, Any] | None = None,
            **kwargs: Any,
        ) -> Twins:
            """Return the twins over ``source``; ``backend`` are arguments of the host, ``kwargs`` of the agent."""
            address = process.address(source, "client", chosen=not backend, **(backend or {}))
            options: dict[str, Any] = {"render_mode": render_mode, "connect_timeout": WAIT, **kwargs}
            remote = rlay.ClientVectorEnv(address, slots, autoreset_mode=mode, **options)
            stack.callback(quietly_close, remote)
            local = sync_vector(source, slots, mode, render_mode)
            stack.callback(local.close)
            return Twins(local, remote)

        yield twins

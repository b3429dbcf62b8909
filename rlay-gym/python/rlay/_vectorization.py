"""How a host makes several environments of one id or function at once: the ways of ``gym.make_vec``."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from multiprocessing.connection import wait
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv

from rlay._options import shown
from rlay.errors import Error

WAYS = ("sync", "async", "vector_entry_point")
"""The values of Gymnasium's ``VectorizeMode``."""

JOIN_TIME = 2.0
"""How long a worker process has to end after SIGTERM, in seconds."""


def check(vectorization: Any, source: Any) -> str | None:
    """Return a valid ``vectorization`` of ``source`` as text, or None if the source decides."""
    if vectorization is None:
        return None
    way = vectorization.value if isinstance(vectorization, enum.Enum) else vectorization
    text = shown("vectorization", vectorization)
    if way not in WAYS:
        raise ValueError(f"{text}: choose one of {', '.join(WAYS)}, or None")
    for one in source.values() if isinstance(source, Mapping) else (source,):
        if isinstance(one, gym.Env | gym.vector.VectorEnv):
            raise TypeError(f"{text}: an environment that is made already is hosted as it is; leave vectorization out")
        if isinstance(one, str | EnvSpec):
            spec = spec_of(one)
            if way == "vector_entry_point" and spec.vector_entry_point is None:
                raise ValueError(f"{text}: {spec.id} has no vector entry point; choose 'sync' or 'async'")
        elif takes(one, "num_envs", by_name=True):
            raise TypeError(f"{text}: a function that takes num_envs makes the vector itself; leave vectorization out")
        elif way == "vector_entry_point":
            raise ValueError(f"{text}: only an id or EnvSpec has such; choose 'sync' or 'async'")
    return str(way)


def spec_of(source: str | EnvSpec) -> EnvSpec:
    """Return the spec of an id; as in ``gym.make`` it may name the module that registers it."""
    if isinstance(source, EnvSpec):
        return source
    module, _, name = source.rpartition(":")
    if module:
        __import__(module)
    return gym.spec(name)


def takes(function: Callable[..., Any], name: str, by_name: bool = False) -> bool:
    """Whether a function takes this keyword argument; ``by_name``: it must have a parameter of this name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return not by_name
    return name in parameters or (not by_name and any(p.kind is p.VAR_KEYWORD for p in parameters.values()))


def way_of(source: Any, vectorization: str | None, slots: int) -> str:
    """Return in which way ``slots`` environments of ``source`` are made.

    One alone is made as such, unless there is nothing but a vector entry point. A host that is not told otherwise makes
    single environments: a vector of an id's own need not return what they do, nor reset some of its environments alone.
    """
    if not isinstance(source, str | EnvSpec):
        return "sync" if slots <= 1 else vectorization or "sync"
    spec = spec_of(source)
    if spec.entry_point is None:
        return "vector_entry_point"
    if slots <= 1:
        return "sync"
    return vectorization or "sync"


def _creator(spec: EnvSpec) -> Any:
    """Return what makes the vector of an id."""
    creator = spec.vector_entry_point
    return gym.envs.registration.load_env_creator(creator) if isinstance(creator, str) else creator


def by_entry_point(
    source: str | EnvSpec, slots: int, autoreset_mode: str | None, kwargs: dict[str, Any]
) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Return what the vector entry point makes."""
    spec = spec_of(source)
    if autoreset_mode is not None and takes(_creator(spec), "autoreset_mode", by_name=True):
        kwargs = {"autoreset_mode": autoreset_mode, **kwargs}
    return gym.make_vec(spec, num_envs=max(1, slots), vectorization_mode="vector_entry_point", **kwargs)


def in_processes(
    make: Callable[[], gym.Env[Any, Any]], slots: int, autoreset_mode: str | None
) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Return Gymnasium's ``AsyncVectorEnv`` of as many environments, with the spec of one."""
    spec: EnvSpec | None = None

    def first() -> gym.Env[Any, Any]:
        """Make one; the first is made in this process, to learn of its spaces."""
        nonlocal spec
        env = make()
        spec = env.spec
        return env

    # Gymnasium 1.0 has one mode.
    has_modes = autoreset_mode is not None and hasattr(gym.vector, "AutoresetMode")
    options: dict[str, Any] = {"autoreset_mode": autoreset_mode} if has_modes else {}
    envs = AsyncVectorEnv([first, *[make] * (slots - 1)], **options)
    envs.spec = spec
    return envs


class Workers(gym.vector.VectorWrapper):
    """An ``AsyncVectorEnv`` of which one environment may fail or lose its process.

    Gymnasium leaves such a vector in a state in which its calls raise whatever they come upon. Here they say what has
    happened, and `close` ends every process.
    """

    def __init__(self, envs: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        """Watch the processes."""
        super().__init__(envs)
        workers = envs.unwrapped
        assert isinstance(workers, AsyncVectorEnv)
        self._workers = workers

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, if all processes are there."""
        self._check()
        try:
            return self.env.reset(seed=seed, options=options)
        except (EOFError, ConnectionError) as error:
            raise self._ended() from error

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, if all processes are there."""
        self._check()
        try:
            return self.env.step(actions)
        except (EOFError, ConnectionError) as error:
            raise self._ended() from error

    def _each(self) -> list[tuple[Any, Any]]:
        """Return the pipe and the process of each environment; Gymnasium drops the pipe of one that has failed."""
        return list(zip(self._workers.parent_pipes, self._workers.processes, strict=True))

    def _check(self) -> None:
        if any(pipe is None for pipe, _ in self._each()):
            raise Error(
                "an environment has failed before, with which Gymnasium ended its process; make new environments"
            )
        if not all(process.is_alive() for process in self._workers.processes):
            raise self._ended()

    def _ended(self) -> Error:
        processes = self._workers.processes
        # A process that ends closes its pipes before there is its exit code.
        ended = wait([process.sentinel for process in processes], JOIN_TIME)
        for process in processes:
            process.join(JOIN_TIME if process.sentinel in ended else 0)
        codes = {slot: process.exitcode for slot, process in enumerate(processes) if process.exitcode is not None}
        which = ", ".join(f"env slot {slot} with exit code {code}" for slot, code in codes.items())
        return Error(f"the process of an environment has ended: {which or 'which is unknown'}; make new environments")

    def close(self, **kwargs: Any) -> None:
        """Close the environments and end every process, whatever has become of the others."""
        workers = self._workers
        try:
            if any(pipe is not None and not process.is_alive() for pipe, process in self._each()):
                # Gymnasium would wait for the answer of the one that is gone.
                workers.closed = True
            else:
                self.env.close(**kwargs)
        finally:
            for process in workers.processes:
                if process.is_alive():
                    process.terminate()
            for pipe, process in self._each():
                if pipe is not None:
                    pipe.close()
                process.join(JOIN_TIME)
                if process.is_alive():
                    process.kill()

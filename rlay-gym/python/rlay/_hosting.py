"""What a host serves: an id, a callable or an instance, made into what the native module asks for."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rlay import _rlay, _spaces
from rlay.errors import Error

logger = logging.getLogger("rlay")

One = str | EnvSpec | gym.Env[Any, Any] | Callable[..., gym.Env[Any, Any]]
"""An environment that can be hosted."""

Source = One | Mapping[str, One]
"""What can be hosted: an environment, or several by the names that agents ask for."""

_NOT_THE_ENVIRONMENTS = frozenset({"id", "render_mode", "max_episode_steps", "disable_env_checker"})
"""Arguments of ``gym.make`` itself. The render mode is asked for, and checked, apart from the others."""

Described = tuple[Any, str, tuple[Any, ...], tuple[Any, ...], str | None, dict[str, Any], dict[str, Any], bool]
"""Environment, id, observation space, action space, render mode, metadata, details, whether the host closes it."""


def offered(source: Source) -> list[str]:
    """Return the names that agents may ask for."""
    return list(source) if isinstance(source, Mapping) else []


def is_instance(source: Source) -> bool:
    """Whether ``source`` is an environment rather than a way to make one."""
    return isinstance(source, gym.Env) or (
        not isinstance(source, str | EnvSpec | type) and hasattr(source, "observation_space") and not callable(source)
    )


def check(source: Source, env_kwargs: Collection[str]) -> None:
    """Refuse what cannot be hosted, before anything listens."""
    if isinstance(env_kwargs, str):
        raise TypeError(f"env_kwargs are names, such as ({env_kwargs!r},), not one string")
    if not all(isinstance(name, str) for name in env_kwargs):
        raise TypeError("env_kwargs are names of keyword arguments, strings")
    if own := _NOT_THE_ENVIRONMENTS.intersection(env_kwargs):
        raise ValueError(f"{', '.join(sorted(own))} is not the environment's to take from an agent; leave it out")
    if isinstance(source, Mapping):
        if not source or not all(isinstance(name, str) for name in source):
            raise TypeError("environments to choose from are a dict of names and what can be hosted")
        for name, one in source.items():
            if isinstance(one, Mapping) or is_instance(one):
                raise TypeError(f"{name!r}: among several, an environment is an id, an EnvSpec or a function")
            check(one, env_kwargs)
    elif is_instance(source) and env_kwargs:
        raise TypeError("an environment that is made already takes no keyword arguments; give a function that makes it")
    elif isinstance(source, str):
        _spec(source)
    elif not isinstance(source, EnvSpec) and not is_instance(source) and not callable(source):
        raise TypeError(
            f"cannot host {source!r}; give an environment id, an EnvSpec, a function that makes an environment, "
            "an environment, or a dict of those to choose from"
        )


Make = Callable[[str | None, str | None, dict[str, Any]], Described]
"""Makes the environment of one session: called with render mode, name and keyword arguments, all of them offered."""


def maker(source: Source) -> Make:
    """Return the function that makes the environment of one session."""
    if isinstance(source, Mapping):
        makers = {name: maker(one) for name, one in source.items()}

        def choose(render_mode: str | None, env_id: str | None, kwargs: dict[str, Any]) -> Described:
            if env_id is None:
                raise Error(f"this host has several environments; say which with env_id: {', '.join(makers)}")
            return makers[env_id](render_mode, None, kwargs)

        return choose

    def make(render_mode: str | None, env_id: str | None, kwargs: dict[str, Any]) -> Described:
        if is_instance(source):
            assert not isinstance(source, str | EnvSpec)
            mode = getattr(source, "render_mode", None)
            if render_mode not in (None, mode):
                raise Error(f"the hosted environment renders in mode {mode!r}, not {render_mode!r}")
            return describe(source, mode, False)
        if isinstance(source, str | EnvSpec):
            _check_mode(source, render_mode)
            # The agent's own gym.make adds the passive checker; two would warn twice.
            env = gym.make(source, render_mode=render_mode, disable_env_checker=True, **kwargs)
            return describe(env, render_mode, True)
        assert not isinstance(source, gym.Env), "an instance, see above"
        if _takes_render_mode(source):
            kwargs = {"render_mode": render_mode, **kwargs}
        env = source(**kwargs)
        return describe(env, render_mode, True)

    return make


def _spec(env_id: str) -> EnvSpec:
    """Return the spec of an id; as in ``gym.make`` it may name the module that registers it."""
    module, _, name = env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    return gym.spec(name)


def _check_mode(source: str | EnvSpec, render_mode: str | None) -> None:
    """Refuse a mode that the environment does not declare, before it is made."""
    if render_mode is None:
        return
    spec = _spec(source) if isinstance(source, str) else source
    creator: Any = spec.entry_point
    if isinstance(creator, str):
        creator = gym.envs.registration.load_env_creator(creator)
    declared = getattr(creator, "metadata", {}).get("render_modes") if hasattr(creator, "metadata") else None
    if declared is not None and render_mode not in declared:
        raise Error(f"the environment does not render in mode {render_mode!r}; it declares {list(declared)}")


def _takes_render_mode(source: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(source).parameters
    except (TypeError, ValueError):
        return True
    return "render_mode" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


class Announced:
    """The spaces with which an environment is announced, to notice a reset that replaces them."""

    def __init__(self, env: Any) -> None:
        """Keep those that ``env`` has now."""
        self._env = env
        self._spaces = {name: getattr(env, name) for name in ("observation_space", "action_space")}
        self._told = False

    def compare(self) -> None:
        """Say once that a space is another now. Agents have been told the first ones, and keep them."""
        for name, before in self._spaces.items():
            after = getattr(self._env, name)
            if after is before or self._told:
                continue
            how = self._difference(name, before, after)
            if how is None:
                # Equal, and next time the very same.
                self._spaces[name] = after
                continue
            self._told = True
            logger.warning(
                "%s: reset() has replaced %s, from first to second: %s; agents keep the first one. Make a new session "
                "for other spaces, or declare one space for all episodes",
                type(getattr(self._env, "unwrapped", self._env)).__qualname__,
                name,
                how,
            )

    @staticmethod
    def _difference(name: str, before: Any, after: Any) -> str | None:
        try:
            return _rlay.difference(_spaces.describe(before, name), _spaces.describe(after, name))
        except Error as error:
            return str(error)


def describe(env: Any, render_mode: str | None, own: bool) -> Described:
    """Return all that the agent is told about ``env``."""
    try:
        observation_space = _spaces.describe(env.observation_space, "observation_space")
        action_space = _spaces.describe(env.action_space, "action_space")
    except Error:
        if own:
            env.close()
        raise
    spec = getattr(env, "spec", None)
    details: dict[str, Any] = {}
    if spec is not None:
        details = {
            "reward_threshold": spec.reward_threshold,
            "nondeterministic": spec.nondeterministic,
            "max_episode_steps": spec.max_episode_steps,
        }
    metadata = dict(getattr(env, "metadata", None) or {})
    return (
        env,
        "" if spec is None else spec.id,
        observation_space,
        action_space,
        getattr(env, "render_mode", render_mode),
        metadata,
        details,
        own,
    )

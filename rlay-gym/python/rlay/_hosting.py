"""What a host serves: an id, a callable or an instance, made into what the native module asks for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rlay import _spaces
from rlay.errors import Error

Source = str | EnvSpec | gym.Env[Any, Any] | Callable[..., gym.Env[Any, Any]]
"""What can be hosted."""

Described = tuple[Any, str, tuple[Any, ...], tuple[Any, ...], str | None, dict[str, Any], dict[str, Any], bool]
"""Environment, id, observation space, action space, render mode, metadata, details, whether the host closes it."""


def is_instance(source: Source) -> bool:
    """Whether ``source`` is an environment rather than a way to make one."""
    return isinstance(source, gym.Env) or (
        not isinstance(source, str | EnvSpec | type) and hasattr(source, "observation_space") and not callable(source)
    )


def check(source: Source) -> None:
    """Refuse what cannot be hosted, before anything listens."""
    if isinstance(source, str):
        _spec(source)
    elif not isinstance(source, EnvSpec) and not is_instance(source) and not callable(source):
        raise TypeError(
            f"cannot host {source!r}; give an environment id, an EnvSpec, a function that makes an environment, "
            "or an environment"
        )


def maker(source: Source) -> Callable[[str | None], Described]:
    """Return the function that makes the environment of one session."""

    def make(render_mode: str | None) -> Described:
        if is_instance(source):
            assert not isinstance(source, str | EnvSpec)
            mode = getattr(source, "render_mode", None)
            if render_mode not in (None, mode):
                raise Error(f"the hosted environment renders in mode {mode!r}, not {render_mode!r}")
            return describe(source, mode, False)
        if isinstance(source, str | EnvSpec):
            _check_mode(source, render_mode)
            # The agent's own gym.make adds the passive checker; two would warn twice.
            env = gym.make(source, render_mode=render_mode, disable_env_checker=True)
            return describe(env, render_mode, True)
        assert not isinstance(source, gym.Env), "an instance, see above"
        env = source(render_mode=render_mode) if _takes_render_mode(source) else source()
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

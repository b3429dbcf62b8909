"""What a host serves: an id, a callable or an instance, converted to what the native module calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rlay import _rlay, _spaces, _vector_hosting, _vectorization
from rlay._log import logger
from rlay._options import shown
from rlay.errors import Error

One = (
    str
    | EnvSpec
    | gym.Env[Any, Any]
    | gym.vector.VectorEnv[Any, Any, Any]
    | Callable[..., gym.Env[Any, Any] | gym.vector.VectorEnv[Any, Any, Any]]
)
"""An environment that can be hosted."""

Source = One | Mapping[str, One]
"""What can be hosted: an environment, or several by the names that agents request."""

_NOT_THE_ENVIRONMENTS = frozenset({"id", "render_mode", "max_episode_steps", "disable_env_checker"})
"""Arguments of ``gym.make`` itself. The render mode is requested, and checked, apart from the others."""

Described = tuple[
    Any,
    str,
    tuple[Any, ...],
    tuple[Any, ...],
    str | None,
    dict[str, Any],
    dict[str, Any],
    bool,
    tuple[int, str] | None,
]
"""Environment, id, observation space, action space, render mode, metadata, details, whether the host closes it; and of
a vector environment how many there are, and their autoreset mode."""


def offered(source: Source) -> list[str]:
    """Return the names that agents may request."""
    return list(source) if isinstance(source, Mapping) else []


def is_instance(source: Source) -> bool:
    """Whether ``source`` is an environment rather than a way to make one."""
    if isinstance(source, gym.Env | gym.vector.VectorEnv):
        return True
    if isinstance(source, str | EnvSpec | type) or callable(source):
        return False
    return hasattr(source, "observation_space") or _has(source, "observation_space")


_MISSING = object()


def _has(thing: Any, name: str) -> bool:
    """Whether ``thing`` has the attribute, which may raise."""
    return inspect.getattr_static(thing, name, _MISSING) is not _MISSING


def _attribute(thing: Any, name: str, default: Any) -> Any:
    """Return the attribute, or ``default`` if there is none; an exception of a property is not taken for that."""
    try:
        return getattr(thing, name)
    except AttributeError:
        if _has(thing, name):
            raise
        return default


def check(source: Source, env_kwargs: Collection[str]) -> None:
    """Refuse what cannot be hosted, before anything listens."""
    if isinstance(env_kwargs, str):
        raise TypeError(f"env_kwargs are names, such as ({env_kwargs!r},), not one string")
    if isinstance(env_kwargs, Mapping):
        raise TypeError(
            f"{shown('env_kwargs', env_kwargs)}: a backend takes the names that agents may give, such as "
            f"env_kwargs={list(env_kwargs)!r}; to set values here, give a function that makes the environment with them"
        )
    if not isinstance(env_kwargs, Iterable) or not all(isinstance(name, str) for name in env_kwargs):
        raise TypeError(f"{shown('env_kwargs', env_kwargs)}: give names of keyword arguments, such as ['size']")
    if own := _NOT_THE_ENVIRONMENTS.intersection(env_kwargs):
        raise ValueError(f"{', '.join(sorted(own))} is not the environment's to take from an agent; leave it out")
    check_single(source)
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
        _vectorization.spec_of(source)
    elif not isinstance(source, EnvSpec) and not is_instance(source) and not callable(source):
        raise TypeError(
            f"cannot host {source!r}; give an environment id, an EnvSpec, a function that makes an environment, "
            "an environment, or a dict of those to choose from"
        )


def check_single(env: Any) -> None:
    """Refuse multi-agent environments, and vectors that are not Gymnasium's, which no session can carry."""
    what = env if isinstance(env, type) else type(env)
    name = f"{what.__module__}.{what.__qualname__}"
    is_single = isinstance(env, gym.Env) or issubclass(what, gym.Env)
    if issubclass(what, gym.vector.VectorEnv):
        return
    if not is_single and hasattr(env, "num_envs"):
        raise TypeError(
            f"cannot host {name}, which is a vector of environments and no gymnasium.vector.VectorEnv; give one of "
            "them, by its id or a function that makes it: agents make as many as they want, as ClientVectorEnv does"
        )
    if not is_single and (hasattr(env, "possible_agents") or hasattr(env, "agents")):
        raise TypeError(
            f"cannot host {name}, which has several agents, as PettingZoo's environments have; give a gymnasium.Env "
            "for one of them, in which the others are played"
        )


def title(source: Source) -> str:
    """Return the display name of ``source``."""
    if isinstance(source, str):
        return source
    if isinstance(source, Mapping):
        return ", ".join(source)
    known = _fact(getattr(source, "spec", None), "id") if is_instance(source) else getattr(source, "id", None)
    return str(known or getattr(source, "__qualname__", None) or type(source).__qualname__)


class Make(Protocol):
    """Makes the environments of one session."""

    def __call__(
        self,
        render_mode: str | None,
        env_id: str | None,
        kwargs: dict[str, Any],
        slots: int,
        autoreset_mode: str | None = None,
        /,
    ) -> Described:
        """Return what `describe` does.

        Render mode, name and keyword arguments were all offered; ``slots`` is the number of environments that the
        session has, and ``autoreset_mode`` what the agent wants where an episode has ended, if that is known.
        """


def maker(source: Source, vectorization: str | None = None) -> Make:
    """Return the function that makes the environments of one session."""
    if isinstance(source, Mapping):
        makers = {name: maker(one, vectorization) for name, one in source.items()}

        def choose(render_mode: str | None, env_id: str | None, /, *others: Any) -> Described:
            if env_id is None:
                raise Error(f"this host has several environments; say which with env_id: {', '.join(makers)}")
            return makers[env_id](render_mode, None, *others)

        return choose

    def make(
        render_mode: str | None,
        env_id: str | None,
        kwargs: dict[str, Any],
        slots: int,
        autoreset_mode: str | None = None,
        /,
    ) -> Described:
        if isinstance(source, gym.vector.VectorEnv):
            return describe(source, source.render_mode, False)
        if is_instance(source):
            if slots > 1:
                raise Error(
                    f"{slots} environments were asked for, and this host has one that was made already; ask for one, "
                    "or give the host a function that makes them"
                )
            assert not isinstance(source, str | EnvSpec)
            mode = _attribute(source, "render_mode", None)
            if render_mode not in (None, mode):
                raise Error(f"the hosted environment renders in mode {mode!r}, not {render_mode!r}")
            return describe(source, mode, False)
        assert not isinstance(source, gym.Env), "an instance, see above"
        way = _vectorization.way_of(source, vectorization, slots)
        if isinstance(source, str | EnvSpec):
            _check_mode(source, render_mode)
            kwargs = {"render_mode": render_mode, **kwargs}
            if way == "vector_entry_point":
                envs = _vectorization.by_entry_point(source, slots, autoreset_mode, kwargs)
                return describe(envs, render_mode, True)
            # The agent's own gym.make adds the passive checker; two would warn twice.
            one: Callable[[], Any] = functools.partial(gym.make, source, disable_env_checker=True, **kwargs)
        else:
            if _vectorization.takes(source, "render_mode"):
                kwargs = {"render_mode": render_mode, **kwargs}
            if _vectorization.takes(source, "num_envs", by_name=True):
                kwargs = {"num_envs": max(1, slots), **kwargs}
            if autoreset_mode is not None and _vectorization.takes(source, "autoreset_mode", by_name=True):
                kwargs = {"autoreset_mode": autoreset_mode, **kwargs}
            one = functools.partial(source, **kwargs)
        if way == "async":
            return describe(_vectorization.in_processes(one, slots, autoreset_mode), render_mode, True)
        return describe(one(), render_mode, True)

    return make


def _check_mode(source: str | EnvSpec, render_mode: str | None) -> None:
    """Refuse a mode that the environment does not declare, before it is made."""
    if render_mode is None:
        return
    spec = _vectorization.spec_of(source)
    creator: Any = spec.entry_point
    if isinstance(creator, str):
        creator = gym.envs.registration.load_env_creator(creator)
    declared = render_modes(getattr(creator, "metadata", None))
    if declared is not None and render_mode not in declared:
        raise Error(
            f"the environment does not render in mode {render_mode!r}; it declares {declared}; choose one of these"
        )


def render_modes(metadata: Any) -> list[str] | None:
    """Return the modes that the metadata declare, in whatever kind of container; None if they declare nothing.

    >>> render_modes({"render_modes": {"ansi": 1}}), render_modes({"render_modes": "ansi"}), render_modes({})
    (['ansi'], ['ansi'], None)
    """
    modes = metadata.get("render_modes") if isinstance(metadata, Mapping) else None
    if isinstance(modes, str):
        return [modes]
    if not isinstance(modes, Iterable):
        return None
    found = [str(mode) for mode in modes]
    return sorted(found) if isinstance(modes, set | frozenset) else found


class Announced:
    """The spaces with which an environment is announced, to notice a reset that replaces them."""

    def __init__(self, env: Any) -> None:
        """Keep the spaces that ``env`` has now."""
        self._env = env
        self._spaces = {name: getattr(env, name) for name in ("observation_space", "action_space")}
        self._told = False

    def compare(self) -> None:
        """Log once that a space was replaced. Agents keep the spaces that were announced first."""
        for name, before in self._spaces.items():
            after = getattr(self._env, name)
            if after is before or self._told:
                continue
            how = self._difference(name, before, after)
            if how is None:
                # Equal, and the same object at the next comparison.
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


def let_go(env: Any, own: bool, why: BaseException) -> None:
    """Close an environment that is not to be hosted. An exception of its close becomes the context of ``why``."""
    if not own or not hasattr(env, "close"):
        return
    try:
        env.close()
    except (Exception, SystemExit) as besides:
        first = _first(besides, why)
        if first is not why:
            first.__context__, first.__suppress_context__ = None, True
            earliest = _first(why)
            earliest.__context__, earliest.__suppress_context__ = besides, False


def _first(error: BaseException, but: BaseException | None = None) -> BaseException:
    """Return the first exception in the chain of ``error``, as a traceback shows the chain; none before ``but``."""
    while before := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        if before is but:
            break
        error = before
    return error


def _fact(spec: Any, name: str) -> Any:
    """Return the item or attribute ``name`` of an environment's ``spec``, which may be anything; None if absent."""
    return spec.get(name) if isinstance(spec, Mapping) else getattr(spec, name, None)


_FACTS = ("reward_threshold", "nondeterministic", "max_episode_steps")


def describe(env: Any, render_mode: str | None, own: bool) -> Described:
    """Return all that is announced to the agent about ``env``."""
    try:
        check_single(env)
        if isinstance(env, gym.vector.VectorEnv) and isinstance(env.unwrapped, gym.vector.AsyncVectorEnv):
            env = _vectorization.Workers(env)
        return _described(env, render_mode, own)
    except BaseException as why:
        let_go(env, own, why)
        raise


def _described(env: Any, render_mode: str | None, own: bool) -> Described:
    several = None
    if isinstance(env, gym.vector.VectorEnv):
        several = env.num_envs, _vector_hosting.autoreset_mode(env)
        observation_space = _spaces.describe(env.single_observation_space, "single_observation_space")
        action_space = _spaces.describe(env.single_action_space, "single_action_space")
    else:
        observation_space = _spaces.describe(env.observation_space, "observation_space")
        action_space = _spaces.describe(env.action_space, "action_space")
    spec, metadata = _attribute(env, "spec", None), _attribute(env, "metadata", None)
    if metadata is not None and not isinstance(metadata, Mapping):
        logger.warning("the environment's metadata is a %s and no dict; it is left out", type(metadata).__name__)
    metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
    if several is not None:
        # An enum, of which the agent makes its own.
        metadata.pop("autoreset_mode", None)
    declared = render_modes(metadata)
    if declared is None and render_mode is not None:
        logger.warning(
            "the environment's metadata declare no render_modes; it is made for mode %r as it is asked for", render_mode
        )
    if declared is not None and not isinstance(metadata["render_modes"], list | tuple):
        metadata["render_modes"] = declared
    env_id, mode = _fact(spec, "id"), _attribute(env, "render_mode", render_mode)
    return (
        env,
        env_id if isinstance(env_id, str) else "",
        observation_space,
        action_space,
        mode if isinstance(mode, str | None) else render_mode,
        metadata,
        {} if spec is None else {name: _fact(spec, name) for name in _FACTS},
        own,
        several,
    )

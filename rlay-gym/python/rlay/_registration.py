"""gym.make: the ids ``rlay:ClientEnv-v0`` and ``rlay:ServerEnv-v0``, and ids of one's own with `register`."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import gymnasium as gym
from gymnasium.wrappers import HumanRendering, RenderCollection

from rlay._envs import ClientEnv, ServerEnv
from rlay._hosting import let_go
from rlay._log import logger
from rlay._options import shown
from rlay._remote_env import RemoteEnv
from rlay._vector_envs import ClientVectorEnv
from rlay.errors import EnvError, Error


def _opened(env: RemoteEnv) -> RemoteEnv:
    """Connect to the environment; on failure release everything, the port included."""
    try:
        env._connect()
    except BaseException as error:
        let_go(env, True, error)
        raise
    return env


def _wrapped(env_class: type[RemoteEnv], render_mode: str | None, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make the environment, and render modes it does not declare as ``gym.make`` does for local ones."""
    make: Any = env_class
    wrapper: Any
    if render_mode == "human":
        instead, wrapper = "rgb_array", HumanRendering
    elif isinstance(render_mode, str) and render_mode.endswith("_list"):
        instead, wrapper = render_mode.removesuffix("_list"), RenderCollection
    else:
        return _opened(make(render_mode=render_mode, **kwargs))
    env: RemoteEnv | None = None
    try:
        env = make(render_mode=render_mode, **kwargs)
        env._connect()
        return env
    except BaseException as error:
        if type(error) is not Error and not isinstance(error, EnvError):
            # No host has decided about the mode.
            if env is not None:
                let_go(env, True, error)
            raise
        if env is None:
            env = make(render_mode=instead, **kwargs)
        else:
            # A listener keeps its port; the other mode is requested from the game that dials in next.
            env.render_mode = instead
    _opened(env)
    try:
        wrapped: gym.Env[Any, Any] = wrapper(env)
    except BaseException as error:
        let_go(env, True, error)
        raise
    return wrapped


def make_client_env(render_mode: str | None = None, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make a `ClientEnv`; the entry point of ``rlay:ClientEnv-v0``."""
    return _wrapped(ClientEnv, render_mode, **kwargs)


def make_server_env(render_mode: str | None = None, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make a `ServerEnv`; the entry point of ``rlay:ServerEnv-v0``."""
    return _wrapped(ServerEnv, render_mode, **kwargs)


def make_client_vector_env(
    num_envs: int | None = None, *, max_episode_steps: int | None = None, **kwargs: Any
) -> ClientVectorEnv:
    """Make a `ClientVectorEnv`; the vector entry point of ``rlay:ClientEnv-v0``, for ``gym.make_vec``.

    Args:
        num_envs: How many environments the host is to make; None: as many as it has.
        max_episode_steps: Refused unless None, for vectors have no time limit at this end.
        **kwargs: Further arguments of `ClientVectorEnv`.
    """
    for name, value in {"max_episode_steps": max_episode_steps, "contract": kwargs.get("contract")}.items():
        if value is not None:
            raise gym.error.Error(
                f"{shown(name, value)} is for single environments; leave it out, or give gym.make_vec the "
                'vectorization_mode "sync"'
            )
    return ClientVectorEnv(num_envs=num_envs, **kwargs)


_ENTRIES = {"ClientEnv": "rlay:make_client_env", "ServerEnv": "rlay:make_server_env"}
_VECTOR_ENTRY = "rlay:make_client_vector_env"


def register(id: str, address: str, *, entry: Literal["ClientEnv", "ServerEnv"] = "ClientEnv", **kwargs: Any) -> None:
    """Register the environment at ``address`` under an id of its own.

    The remote is asked once, for its reward threshold and whether it is nondeterministic. Its own
    time limit stays where it is: no second one is added here.

    Args:
        id: The id for ``gym.make``, such as ``"Arena-v0"``.
        address: As for `ClientEnv` or `ServerEnv`.
        entry: Which of the two.
        **kwargs: Further arguments of that one, such as ``timeout=5.0`` or ``env_kwargs={"size": 5}``, and of
            ``gymnasium.register``, such as ``max_episode_steps=200``. As there, ``kwargs={"timeout": 5.0}`` is
            another way to give the former.

    Example:
        >>> import gymnasium as gym, rlay
        >>> with rlay.ServerBackend("FrozenLake-v1", env_kwargs=["is_slippery"]) as host:
        ...     rlay.register("DryLake-v0", host.address, timeout=5.0, env_kwargs={"is_slippery": False})
        ...     env = gym.make("DryLake-v0")
        ...     env.spec.reward_threshold, env.unwrapped.timeout
        ...     env.close()
        (0.7, 5.0)
    """
    if entry not in _ENTRIES:
        raise ValueError(f"{shown('entry', entry)}: entry is 'ClientEnv' or 'ServerEnv'")
    env_class: Any = ClientEnv if entry == "ClientEnv" else ServerEnv
    own = inspect.signature(env_class).parameters
    arguments = {"address": address, **kwargs.pop("kwargs", {})}
    arguments |= {name: kwargs.pop(name) for name in tuple(kwargs) if name in own}
    if unknown := kwargs.keys() - inspect.signature(gym.register).parameters.keys():
        raise TypeError(
            f"register() takes the keyword arguments of {entry} and of gymnasium.register, and {min(unknown)!r} is none"
            "; what is for the environment itself goes into env_kwargs"
        )
    env = _opened(env_class(**arguments))
    _, threshold, nondeterministic = env._facts()
    facts = {"reward_threshold": threshold, "nondeterministic": nondeterministic}
    try:
        env.close()
    except EnvError as error:
        logger.warning("%s: the environment that was asked failed to close: %s", address, error)
    is_single = entry == "ServerEnv" or arguments.keys() - inspect.signature(ClientVectorEnv).parameters.keys()
    if not is_single and kwargs.get("max_episode_steps") is None and not kwargs.get("additional_wrappers"):
        # Elsewhere gym.make_vec makes a vector of single environments, which can do what is asked for.
        kwargs.setdefault("vector_entry_point", _VECTOR_ENTRY)
    gym.register(id, entry_point=_ENTRIES[entry], kwargs=arguments, **{**facts, **kwargs})


gym.register("ClientEnv-v0", entry_point=_ENTRIES["ClientEnv"], vector_entry_point=_VECTOR_ENTRY)
gym.register("ServerEnv-v0", entry_point=_ENTRIES["ServerEnv"])

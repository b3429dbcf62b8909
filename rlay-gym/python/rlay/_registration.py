"""gym.make: the ids ``rlay:ClientEnv-v0`` and ``rlay:ServerEnv-v0``, and ids of one's own with `register`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.wrappers import HumanRendering, RenderCollection

from rlay._envs import ClientEnv, RemoteEnv, ServerEnv
from rlay.errors import EnvError, Error


def _wrapped(env_class: type[RemoteEnv], render_mode: str | None, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make the environment, and render modes it does not declare as ``gym.make`` does for local ones."""
    wrapper: Any
    if render_mode == "human":
        instead, wrapper = "rgb_array", HumanRendering
    elif render_mode is not None and render_mode.endswith("_list"):
        instead, wrapper = render_mode.removesuffix("_list"), RenderCollection
    else:
        return env_class(render_mode=render_mode, **kwargs)
    env: RemoteEnv | None = None
    try:
        env = env_class(render_mode=render_mode, **kwargs)
        env._connect()
        return env
    except Error as error:
        if type(error) is not Error and not isinstance(error, EnvError):
            # Nobody was there to have an opinion on the mode.
            if env is not None:
                env.close()
            raise
        if env is None:
            env = env_class(render_mode=instead, **kwargs)
        else:
            # A listener keeps its port; the game that dials in next is asked for the other mode.
            env.render_mode = instead
        wrapped: gym.Env[Any, Any] = wrapper(env)
        return wrapped


def make_client_env(render_mode: str | None = None, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make a `ClientEnv`; the entry point of ``rlay:ClientEnv-v0``."""
    return _wrapped(ClientEnv, render_mode, **kwargs)


def make_server_env(render_mode: str | None = None, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make a `ServerEnv`; the entry point of ``rlay:ServerEnv-v0``."""
    return _wrapped(ServerEnv, render_mode, **kwargs)


_ENTRIES = {"ClientEnv": "rlay:make_client_env", "ServerEnv": "rlay:make_server_env"}


def register(id: str, address: str, *, entry: str = "ClientEnv", **kwargs: Any) -> None:
    """Register the environment at ``address`` under an id of its own.

    The remote is asked once, for its reward threshold and whether it is nondeterministic. Its own
    time limit stays where it is: no second one is added here.

    Args:
        id: The id for ``gym.make``, such as ``"Arena-v0"``.
        address: As for `ClientEnv` or `ServerEnv`.
        entry: Which of the two.
        **kwargs: Further arguments of ``gymnasium.register``, such as ``kwargs={"timeout": 5.0}``.

    Example:
        >>> import gymnasium as gym, rlay
        >>> with rlay.ServerBackend("CartPole-v1") as host:
        ...     rlay.register("RemoteCartPole-v0", host.address)
        ...     env = gym.make("RemoteCartPole-v0")
        ...     env.spec.reward_threshold
        ...     env.close()
        475.0
    """
    if entry not in _ENTRIES:
        raise ValueError(f"entry is 'ClientEnv' or 'ServerEnv', not {entry!r}")
    arguments = {"address": address, **kwargs.pop("kwargs", {})}
    env_class = ClientEnv if entry == "ClientEnv" else ServerEnv
    env = env_class(**arguments)
    try:
        env._connect()
        facts = {
            "reward_threshold": env._details.get("reward_threshold"),
            "nondeterministic": bool(env._details.get("nondeterministic", False)),
        }
    finally:
        env.close()
    gym.register(id, entry_point=_ENTRIES[entry], kwargs=arguments, **{**facts, **kwargs})


gym.register("ClientEnv-v0", entry_point=_ENTRIES["ClientEnv"])
gym.register("ServerEnv-v0", entry_point=_ENTRIES["ServerEnv"])

"""Environments on the machines of a Ray cluster, as one vector environment; and how RLlib trains on remote ones.

Ray decides where the environments run, and starts those again that were lost. It is installed by
``pip install "rlay-gym[ray]"`` and imported when it is needed.
"""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Mapping, Set
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from rlay import _options, _vectorization
from rlay._backends import ClientBackend
from rlay._first_ready import Rows
from rlay._log import logger
from rlay._registration import make_client_env
from rlay._remote_env import OnLoss
from rlay._remote_vector_env import VectorStep
from rlay._vector_envs import ClientVectorEnv, ServerVectorEnv
from rlay.errors import Error

__all__ = ["RayVectorEnv", "env_creator", "make_vec"]

Source = str | EnvSpec | Callable[..., gym.Env[Any, Any]]
"""What every actor makes: an id that its machine knows, or a function that Ray can send there."""


def _ray() -> Any:
    """Return the module ``ray``."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ImportError('rlay.ray needs Ray; install it with: pip install "rlay-gym[ray]"') from error


def several(env: Source, number: int, autoreset_mode: str) -> Callable[..., Any]:
    """Return the function that makes so many environments as one vector, for a `ClientBackend`."""

    def one(render_mode: str | None) -> gym.Env[Any, Any]:
        if isinstance(env, str | EnvSpec):
            return gym.make(env, render_mode=render_mode, disable_env_checker=True)
        return env(render_mode=render_mode) if _vectorization.takes(env, "render_mode") else env()

    def make(render_mode: str | None = None) -> gym.vector.VectorEnv[Any, Any, Any]:
        # Gymnasium 1.0 has one mode.
        modes: dict[str, Any] = {"autoreset_mode": autoreset_mode} if hasattr(gym.vector, "AutoresetMode") else {}
        envs = gym.vector.SyncVectorEnv([lambda: one(render_mode)] * number, **modes)
        envs.spec = envs.envs[0].spec
        return envs

    return make


class Host:
    """The actor: it dials the learner, again whenever its session has ended, and in each place where Ray starts it."""

    def __init__(self, env: Source, number: int, address: str, autoreset_mode: str, options: dict[str, Any]) -> None:
        """Begin to dial."""
        source = several(env, number, autoreset_mode)
        self._backend = ClientBackend(source, address, max_sessions=1, **options).start()

    def is_serving(self) -> bool:
        """Whether the backend dials or serves."""
        return self._backend._is_serving()


class RayVectorEnv(ServerVectorEnv):
    """What `make_vec` returns: a `ServerVectorEnv` whose environments are actors of a Ray cluster.

    Attributes:
        actors: The handles of the actors, in no order of slots.
    """

    actors: tuple[Any, ...] = ()
    _vacant: Set[int] = frozenset()

    def _connect(self) -> Any:
        try:
            return super()._connect()
        except Error as error:
            if failed := self._failed():
                raise type(error)(f"{error}; of the actors, {failed}") from error
            raise

    def _failed(self) -> str:
        """Say why actors cannot start, or that Ray has no room for them."""
        ray = _ray()
        calls = [actor.is_serving.remote() for actor in self.actors]
        done, waiting = ray.wait(calls, num_returns=len(calls), timeout=1.0) if calls else ([], [])
        reasons = []
        for call in done:
            try:
                ray.get(call)
            except ray.exceptions.RayError as error:
                reasons.append(f"one could not be started: {error}")
        if waiting:
            reasons.append(f"{len(waiting)} were not started yet: has the cluster the resources that they ask for?")
        return "; ".join(dict.fromkeys(reasons))

    def _step_result(self, result: Any) -> VectorStep:
        step = super()._step_result(result)
        vacant = step[4].get("vacant")
        if vacant is not None or self._vacant:
            self._tell(set() if vacant is None else set(np.flatnonzero(vacant).tolist()), step[4].get("lost"))
        return step

    def recv(self, min: int = 1, max: int | None = None, timeout: float | None = None) -> Rows:
        """Return the rows that have come, see `RemoteVectorEnv.recv`."""
        rows = super().recv(min, max, timeout)
        vacant = rows.infos.get("vacant")
        if vacant is not None or self._vacant:
            gone = [] if vacant is None else np.flatnonzero(vacant).tolist()
            lost = {int(rows.slots[row]): rows.infos["lost"][row] for row in gone if "lost" in rows.infos}
            self._tell((self._vacant - set(rows.slots.tolist())) | lost.keys(), lost)
        return rows

    def _tell(self, vacant: Set[int], lost: Any) -> None:
        """Log which slots have become vacant, and which are filled again."""
        if gone := sorted(vacant - self._vacant):
            why = next((lost[slot] for slot in gone if lost[slot]), "") if lost is not None else ""
            logger.warning("%s: env slots %s are lost, and Ray starts others: %s", self.address, gone, why)
        if back := sorted(self._vacant - vacant):
            logger.warning("%s: env slots %s are replaced", self.address, back)
        self._vacant = vacant

    def close_extras(self, **kwargs: Any) -> None:
        """End the sessions and the actors, and stop listening."""
        try:
            super().close_extras(**kwargs)
        finally:
            if self.closed:
                actors, self.actors = self.actors, ()
                for actor in actors:
                    _ray().kill(actor)

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse: a copy would have no actors."""
        raise TypeError("a RayVectorEnv cannot be copied or sent elsewhere; call rlay.ray.make_vec there")


def make_vec(
    env: Source,
    num_envs: int = 1,
    *,
    envs_per_actor: int = 1,
    address: str | None = None,
    autoreset_mode: str | Any = "NextStep",
    render_mode: str | None = None,
    timeout: float | None = None,
    connect_timeout: float = 120.0,
    reconnect_timeout: float = 0.0,
    on_loss: OnLoss = "replace",
    **actor_options: Any,
) -> RayVectorEnv:
    """Start backends as actors of a Ray cluster, and return their environments as one vector.

    The actors dial this process, with a token that is made for them. One that is lost, with its process or its machine,
    is started again by Ray where there is room; it dials again and takes the slots that are vacant. The log says which
    slots were lost, why, and when they were replaced. `close` ends the actors.

    Args:
        env: An environment id that is registered wherever the actors run (``"package:Id-v0"`` imports its package), an
            ``EnvSpec``, or a function that makes an environment, which Ray sends to them.
        num_envs: How many environments there are in all.
        envs_per_actor: How many of them each actor has, one after another on one thread; the last may have fewer.
        address: Where this process listens. None: ``tcp`` at this machine's address in the cluster, on a free port.
            ``"tls://0.0.0.0:0"`` encrypts; the actors get the pin of its certificate.
        autoreset_mode: As for `ClientVectorEnv`.
        render_mode: One of the modes that the environments declare.
        timeout: Bounds one reset, step or render, in seconds; an actor that does not answer in time is lost.
        connect_timeout: How long to wait for all environments, in seconds.
        reconnect_timeout: How long to wait for a connection that was lost, in seconds. Zero: its environments are lost
            with it, and the actor begins anew.
        on_loss: As for `ServerVectorEnv`; with ``"replace"`` and ``"truncate"`` the others step on.
        actor_options: Options of Ray's actors, such as ``num_cpus``, ``resources``, ``scheduling_strategy`` or
            ``runtime_env``. Unless they say otherwise an actor has one CPU, ``max_restarts=-1``, which has no bound,
            and ``scheduling_strategy="SPREAD"``.

    Raises:
        ImportError: Ray is not installed.
        rlay.Timeout: Not all environments came in time; raised by the first use, with what Ray says of the actors.

    Example:
        ::

            import ray, rlay.ray

            ray.init(address="auto")
            envs = rlay.ray.make_vec("CartPole-v1", num_envs=24, envs_per_actor=4, on_loss="truncate")
            observations, infos = envs.reset(seed=7)
    """
    ray = _ray()
    number = _options.count("num_envs", num_envs, 1, "how many environments to make")
    each = _options.count("envs_per_actor", envs_per_actor, 1, "how many environments each actor has")
    if not ray.is_initialized():
        ray.init()
    token = secrets.token_urlsafe(32)
    envs = RayVectorEnv(
        address if address is not None else f"tcp://{ray.util.get_node_ip_address()}:0",
        number,
        autoreset_mode=autoreset_mode,
        render_mode=render_mode,
        timeout=timeout,
        connect_timeout=connect_timeout,
        reconnect_timeout=reconnect_timeout,
        on_loss=on_loss,
        token=token,
    )
    options = {"num_cpus": 1, "max_restarts": -1, "scheduling_strategy": "SPREAD", **actor_options}
    told = {"token": token, "connect_timeout": connect_timeout, "reconnect_timeout": reconnect_timeout}
    try:
        host = ray.remote(Host).options(**options)
        for first in range(0, number, each):
            has = min(each, number - first)
            actor = host.remote(env, has, envs.address, envs.autoreset_mode.value, told)
            envs.actors += (actor,)
    except BaseException:
        envs.close()
        raise
    logger.info("%s: %d environments in %d actors of Ray", envs.address, number, len(envs.actors))
    return envs


def env_creator(address: str, **kwargs: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function for RLlib's ``register_env`` that opens environments of the backend at ``address``.

    Every environment runner of RLlib dials the same address and gets environments of its own: a single one, or with
    ``gym_env_vectorize_mode="vector_entry_point"`` all of the runner in one session. One address has to do for all, for
    in that mode RLlib does not say which runner asks.

    Args:
        address: Where a `ServerBackend` listens, which has room (``max_sessions``) for all runners.
        kwargs: Arguments of `ClientEnv` and `ClientVectorEnv`, such as ``timeout`` or ``token``.

    Example:
        ::

            from ray.rllib.algorithms.ppo import PPOConfig
            from ray.tune.registry import register_env

            register_env("game", rlay.ray.env_creator("tcp://10.0.0.5:5005"))
            config = (
                PPOConfig()
                .environment("game")
                .env_runners(
                    num_env_runners=2,
                    num_envs_per_env_runner=16,
                    gym_env_vectorize_mode="vector_entry_point",
                )
            )
    """
    _options.address(address)

    def create(config: Mapping[str, Any]) -> Any:
        if (number := config.get("num_envs")) is not None:
            return ClientVectorEnv(address, num_envs=number, **kwargs)
        return make_client_env(address=address, **kwargs)

    return create

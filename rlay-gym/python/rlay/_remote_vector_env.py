"""RemoteVectorEnv: what all vectors of an agent are. It is a ``gymnasium.vector.VectorEnv`` like any other."""

from __future__ import annotations

import dataclasses
import enum
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from gymnasium.utils import seeding
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from typing_extensions import Self

from rlay import _lifetime, _options, _rlay, _spaces
from rlay._first_ready import RowInfos, Rows, Slots, batch, bounds, merge_infos, slot_list, split_actions
from rlay._options import AgentOptions, Options
from rlay._remote_env import OnLoss
from rlay._vector_attributes import VectorAttributes
from rlay.errors import Busy, Closed, Error, Timeout, no_attribute_error

_MODES = {"NEXT_STEP": "NextStep", "SAME_STEP": "SameStep", "DISABLED": "Disabled"}
# Gymnasium 1.0 has one mode, which is the first.
AutoresetMode: Any = getattr(gym.vector, "AutoresetMode", None) or enum.Enum("AutoresetMode", _MODES)
# Each look into an enum takes a tenth of a step's time in Python.
_DISABLED = AutoresetMode.DISABLED

VectorReset = tuple[Any, dict[str, Any]]
VectorStep = tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


def _check_seed(seed: Any) -> None:
    """Refuse what an environment would refuse as its seed, before anything is sent."""
    if seed is None or (isinstance(seed, int) and seed >= 0):
        return
    if isinstance(seed, int):
        raise gym.error.Error(f"Seed must be greater or equal to zero, actual value: {seed}")
    raise gym.error.Error(f"Seed must be a python integer, actual type: {type(seed)}")


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "timeout": lambda name, value: _options.seconds(name, value, "as long as the peer is alive"),
    "on_loss": lambda name, value: _options.choice(name, value, ("raise", "replace", "truncate")),
    "copy": lambda name, value: _options.flag(name, value, "whether observations are fresh arrays"),
}
"""What is both an argument and an attribute, and how it is checked as either."""

_TOLD = ("observation_space", "action_space", "single_observation_space", "single_action_space", "metadata")


class _Told:
    """What the environments have not told yet; later an attribute of the instance takes precedence."""

    def __set_name__(self, cls: type, name: str) -> None:
        self._name = name

    def __get__(self, envs: RemoteVectorEnv | None, cls: type) -> Any:
        """Wait for the environments."""
        if envs is None:
            if self._name == "metadata":
                return {"render_modes": []}
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {self._name!r}")
        try:
            envs._open()
        except AttributeError as error:
            raise no_attribute_error(error) from error
        return vars(envs)[self._name]


class RemoteVectorEnv(VectorAttributes, gym.vector.VectorEnv[Any, Any, Any]):
    """The common base of `ClientVectorEnv`, `ServerVectorEnv` and what `join` makes of several, for ``isinstance``.

    Attributes:
        address: The address, with the real port.
        num_envs: How many environments there are.
        autoreset_mode: When the next episode of an environment begins: Gymnasium's ``AutoresetMode``.
        timeout: Bounds one reset, step, render or attribute, in seconds. None: as long as the peers are alive.
        on_loss: What to do about an environment that vanished for good; see `ServerVectorEnv`.
        copy: Whether observations are fresh arrays; see `ClientVectorEnv`.
    """

    if not TYPE_CHECKING:
        # For type checkers these are as Gymnasium declares them.
        observation_space = _Told()
        action_space = _Told()
        single_observation_space = _Told()
        single_action_space = _Told()
        metadata = _Told()

    def __init__(
        self,
        address: str,
        num_envs: int | None,
        options: Options,
        *,
        autoreset_mode: str | Any,
        render_mode: str | None,
        timeout: float | None,
        on_loss: OnLoss,
        copy: bool,
        env_id: str | None,
        env_kwargs: dict[str, Any] | None,
        log: str | os.PathLike[str] | None = None,
        restarts: int = 0,
    ) -> None:
        """Store the arguments that both endpoints have."""
        self._raw: _rlay.RawVectorEnv | None = None
        self._opening = threading.Lock()
        self._pending: str | None = None
        self._inherited = False
        self.address = _options.address(address)
        self._slots = (
            0 if num_envs is None else _options.count("num_envs", num_envs, 1, "how many environments to make")
        )
        if self._slots >= 1 << 32:
            text = _options.shown("num_envs", num_envs)
            raise ValueError(f"{text}: no session has so many environments; ask for fewer")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.timeout = timeout
        self.on_loss: OnLoss = on_loss
        self.copy = copy
        self.render_mode = _options.text("render_mode", render_mode, "rgb_array")
        arguments = _options.keywords(env_kwargs)
        _rlay.check_data(arguments, "env_kwargs")
        if log is not None and not isinstance(log, str | bytes | os.PathLike):
            raise TypeError(f"{_options.shown('log', log)} is a {type(log).__name__}; give the path of a file, or None")
        # The arguments as given: a copy elsewhere may find another token in its environment variables.
        self._options = options
        self._agent_options = AgentOptions(
            options.settled(),
            self.render_mode,
            _options.text("env_id", env_id, "maze"),
            arguments,
            self.on_loss,
            None if log is None else os.fsdecode(log),
            _options.count("restarts", restarts, 0, "how often reset() may start the program again"),
        )
        _lifetime.watch(self)

    if not TYPE_CHECKING:
        # For type checkers it would mean that any attribute can be set, and to any type.

        def __setattr__(self, name: str, value: Any) -> None:
            """Refuse an invalid value."""
            check = _CHECKS.get(name)
            value = value if check is None else check(name, value)
            if name == "on_loss":
                if (raw := self.__dict__.get("_raw")) is not None:
                    raw.set_on_loss(value)
                elif (options := self.__dict__.get("_agent_options")) is not None:
                    self._agent_options = dataclasses.replace(options, on_loss=value)
            elif name == "copy" and (raw := self.__dict__.get("_raw")) is not None:
                raw.set_copy(value)
            super().__setattr__(name, value)

    def _connect(self) -> _rlay.RawVectorEnv:
        raise NotImplementedError

    def _take(self, raw: _rlay.RawVectorEnv) -> None:
        try:
            self._learn(raw)
        except Error as error:
            # Tells the host why its environments are not played.
            raw.leave(str(error))
            raise
        raw.set_copy(self.copy)
        self._raw = raw

    def _learn(self, raw: _rlay.RawVectorEnv) -> None:
        spec = raw.spec()
        self._remote_id, observation_space, action_space, self.render_mode, metadata, _, self.num_envs, names = spec
        self._attributes = frozenset(names)
        self.single_observation_space = _spaces.build(observation_space)
        self.single_action_space = _spaces.build(action_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.metadata = dict(metadata) if isinstance(metadata, dict) else {}
        if hasattr(gym.vector, "AutoresetMode"):
            self.metadata["autoreset_mode"] = self.autoreset_mode
        self._ended = np.zeros(self.num_envs, dtype=np.bool_)
        # Whether each slot has had an observation.
        self._has_begun = np.zeros(self.num_envs, dtype=np.bool_)
        self._seeds: list[int | None] = [None] * self.num_envs
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs

    # -- Gymnasium's methods ------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | list[int | None] | tuple[int | None, ...] | None = None,
        options: dict[str, Any] | None = None,
    ) -> VectorReset:
        """Start an episode in each environment, or in those of ``options["reset_mask"]``.

        Args:
            seed: An int for the first environment, one more for each further one, or a list with one int or None for
                each.
            options: For each environment. The ``reset_mask``, an array of bools, is taken out of the dict.
        """
        self._not_pending("reset")
        self._send_reset(seed, options)
        return self._reset_result(self._open().receive(self.timeout))

    def step(self, actions: Any) -> VectorStep:
        """Take one action in each environment."""
        self._not_pending("step")
        self._check_ended()
        raw = self._open()
        result = raw.step(actions, self.timeout)
        if result is None:
            raw.send_step_each(split_actions(self.action_space, actions, self.num_envs), self.timeout)
            result = raw.receive(self.timeout)
        return self._step_result(result)

    def reset_async(
        self,
        seed: int | list[int | None] | tuple[int | None, ...] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Begin a `reset`; `reset_wait` returns its result."""
        self._not_pending("reset_async")
        self._send_reset(seed, options)
        self._pending = "reset"

    def reset_wait(self, timeout: float | None = None) -> VectorReset:
        """Return the result of `reset_async`, waiting at most ``timeout`` seconds."""
        return self._reset_result(self._wait("reset", timeout))

    def step_async(self, actions: Any) -> None:
        """Begin a `step`; `step_wait` returns its result."""
        self._not_pending("step_async")
        self._check_ended()
        raw = self._open()
        if not raw.send_step(actions, self.timeout):
            raw.send_step_each(split_actions(self.action_space, actions, self.num_envs), self.timeout)
        self._pending = "step"

    def step_wait(self, timeout: float | None = None) -> VectorStep:
        """Return the result of `step_async`, waiting at most ``timeout`` seconds."""
        return self._step_result(self._wait("step", timeout))

    def send(self, actions: Any, slots: Slots = None) -> None:
        """Have these environments take one action each, without waiting; `recv` returns their rows as they come.

        Where more than some 32 KB of requests are under way with one host, answers are taken in before the next goes
        out.

        Where the environments are slow or of different speed, this keeps all of them busy: each has its next action
        while others still compute. An environment whose episode has ended begins the next one in place of the action,
        as the ``autoreset_mode`` says. One that was lost has its next row when another has taken its place.

        Args:
            actions: A batch of one action for each of ``slots``, in their order.
            slots: The numbers of the environments, none of which may have a row that is still to come or to be
                received; None: all.

        Raises:
            Busy: One of them has. Nothing was sent.

        Example:
            >>> import rlay
            >>> host = rlay.ServerBackend("CartPole-v1").start()
            >>> envs = rlay.ClientVectorEnv(host.address, num_envs=4)
            >>> envs.send_reset(seed=1)
            >>> for _ in range(100):
            ...     rows = envs.recv(min=2)
            ...     envs.send((rows.observations[:, 2] > 0).astype(int), rows.slots)
            >>> envs.close()
            >>> host.close()
        """
        self._not_pending("send")
        raw, numbers = self._open(), slot_list(self, slots)
        self._check_ended(numbers)
        if not raw.send(actions, numbers, self.timeout):
            raw.send_each(split_actions(self.action_space, actions, len(numbers)), numbers, self.timeout)

    def send_reset(
        self,
        slots: Slots = None,
        *,
        seed: int | list[int | None] | tuple[int | None, ...] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Begin an episode in each of these environments, without waiting; `recv` returns their first rows.

        Args:
            slots: The numbers of the environments; None: all.
            seed: As for `reset`, by the numbers of all environments.
            options: For each environment.
        """
        self._not_pending("send_reset")
        raw, numbers, seeds = self._open(), slot_list(self, slots), self._split_seed(seed)
        for slot in numbers:
            _check_seed(seeds[slot])
        raw.send_resets([(slot, seeds[slot]) for slot in numbers], options, self.timeout)
        self._note_seeds(numbers, seeds)

    def recv(self, min: int = 1, max: int | None = None, timeout: float | None = None) -> Rows:
        """Wait for rows that `send` and `send_reset` have asked for, and return those that have come.

        No row is lost or returned twice. What one environment raises is raised here, and the error says which; the rows
        of the others come with the next call. While rows are under way, `step` and `render` raise `Busy`, and a `reset`
        of all environments drops them.

        Args:
            min: For how many rows to wait, or for all that are under way if that is less.
            max: How many rows to take at most; None: as many as have come.
            timeout: After how many seconds to return what has come, maybe nothing; 0 polls. None: wait for ``min``
                rows, each as long as the attribute ``timeout`` says.

        Raises:
            Error: Nothing is under way.
            Timeout: An environment has not answered within the attribute ``timeout``. Its row may still come.
        """
        self._not_pending("recv")
        raw, (least, most) = self._open(), bounds(self, min, max)
        bound = _options.seconds("timeout", timeout, "until there are enough rows", least=0.0)
        *parts, slots = raw.recv(least, most, bound, self.timeout)
        observations, is_batch, rewards, terminations, truncations, infos, lasts = parts
        if self.autoreset_mode is _DISABLED:
            self._ended[slots] = terminations | truncations
        self._has_begun[slots] = True
        merged = merge_infos(RowInfos(len(slots)), infos, lasts) if infos or lasts else {}
        if not is_batch:
            observations = batch(self.single_observation_space, len(slots), observations, is_batch)
        return Rows(observations, rewards, terminations, truncations, merged, slots)

    def late(self, timeout: float | None = None) -> VectorReset | VectorStep | tuple[Any, ...]:
        """Return the result of a call that timed out or was interrupted, waiting at most ``timeout`` seconds."""
        self._not_pending("late")
        result, call = self._open().late(_options.seconds("timeout", timeout, "as long as the peer is alive"))
        if call in ("render", "call"):
            return result
        return self._step_result(result) if call == "step" else self._reset_result(result)

    def render(self) -> tuple[Any, ...] | None:
        """Render each environment in the mode they were made with."""
        self._not_pending("render")
        raw = self._open()
        if self.render_mode is None:
            gym.logger.warn(
                "You are calling render method without specifying any render mode; give render_mode when the "
                "environments are made"
            )
            return (None,) * self.num_envs
        return raw.render(self.timeout)

    def close_extras(self, **kwargs: Any) -> None:
        """End the session. What an environment raised in its ``close`` is raised here."""
        raw, self._raw, self.closed = self._raw, None, True
        if raw is None:
            return
        try:
            raw.close()
        except Busy:
            # Another thread is in a call, for which nothing changes.
            self._raw, self.closed = raw, False
            raise

    @property
    def vacant(self) -> NDArray[np.bool_]:
        """Which environments are missing at present: they were lost, or have not dialed in yet."""
        return np.array(self._open().vacant(), dtype=np.bool_)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """A generator for each environment at this end, seeded as `reset` was."""
        if "_generators" not in vars(self):
            self._open()
        for slot, generator in enumerate(self._generators):
            if generator is None:
                self._generators[slot], self._seeds[slot] = seeding.np_random(self._seeds[slot])
        return tuple(generator for generator in self._generators if generator is not None)

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The seeds of `np_random`."""
        _ = self.np_random
        return tuple(self._seeds)

    # -- results and arguments ----------------------------------------------------------------

    def _send_reset(self, seed: Any, options: dict[str, Any] | None) -> None:
        seeds = self._split_seed(seed)
        mask = self._take_mask(options)
        slots = range(self.num_envs) if mask is None else np.flatnonzero(mask).tolist()
        if len(slots) < self.num_envs and not self._has_begun.all():
            raise ValueError("`options['reset_mask']` leaves out environments that were never reset; reset all first")
        for slot in slots:
            _check_seed(seeds[slot])
        self._open().send_reset([(slot, seeds[slot]) for slot in slots], options, self.timeout)
        self._note_seeds(slots, seeds)

    def _note_seeds(self, slots: list[int] | range, seeds: list[int | None]) -> None:
        self._ended[slots] = False
        for slot in slots:
            if seeds[slot] is not None:
                self._seeds[slot], self._generators[slot] = seeds[slot], None

    def _split_seed(self, seed: Any) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int):
            return [seed + slot for slot in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(
                f"If seeds are passed as a list the length must match num_envs={self.num_envs} "
                f"but got length={len(seed)}."
            )
        return list(seed)

    def _take_mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_] | None:
        if options is None or "reset_mask" not in options:
            return None
        mask = options.pop("reset_mask")
        if not isinstance(mask, np.ndarray):
            raise TypeError(f"`options['reset_mask']` must be a numpy array, got {type(mask)}")
        if mask.shape != (self.num_envs,):
            raise ValueError(f"`options['reset_mask']` must have shape `({self.num_envs},)`, got {mask.shape}")
        if mask.dtype != np.bool_:
            raise TypeError(f"`options['reset_mask']` must have `dtype=np.bool_`, got {mask.dtype}")
        if not np.any(mask):
            raise ValueError(
                "`options['reset_mask']` must contain a boolean array with at least one True value, "
                f"got reset_mask={mask}"
            )
        return mask

    def _check_ended(self, slots: list[int] | slice = slice(None)) -> None:
        if self.autoreset_mode is _DISABLED:
            self._open()
            assert not self._ended[slots].any(), f"self._autoreset_envs={self._ended!r}"

    def _reset_result(self, result: Any) -> VectorReset:
        observations, is_batch, _, terminations, truncations, infos, _ = result
        self._ended = terminations | truncations
        self._has_begun[:] = True
        return self._batch(observations, is_batch), merge_infos(self, infos, ())

    def _step_result(self, result: Any) -> VectorStep:
        observations, is_batch, rewards, terminations, truncations, infos, lasts = result
        if self.autoreset_mode is _DISABLED:
            self._ended = terminations | truncations
        merged = merge_infos(self, infos, lasts) if infos or lasts else {}
        if not is_batch:
            observations = self._batch(observations, is_batch)
        return observations, rewards, terminations, truncations, merged

    def _batch(self, observations: Any, is_batch: bool) -> Any:
        return batch(self.single_observation_space, self.num_envs, observations, is_batch)

    # -- calls in two parts -------------------------------------------------------------------

    def _not_pending(self, call: str) -> None:
        if self._pending is not None:
            raise AlreadyPendingCallError(
                f"Calling `{call}` while waiting for a pending call to `{self._pending}` to complete", self._pending
            )

    def _wait(self, call: str, timeout: float | None) -> Any:
        raw = self._open()
        if self._pending != call:
            raise NoAsyncCallError(f"Calling `{call}_wait` without any prior call to `{call}_async`.", call)
        bound = self.timeout if timeout is None else _options.seconds("timeout", timeout, "as for every call")
        self._pending = None
        try:
            return raw.receive_attribute(bound) if call == "call" else raw.receive(bound)
        except Timeout as error:
            text = f"The call to `{call}_wait` has timed out after {bound} second(s). {error}"
            raise multiprocessing.TimeoutError(text) from error

    # -- housekeeping -------------------------------------------------------------------------

    def _open(self) -> _rlay.RawVectorEnv:
        if self._raw is not None:
            return self._raw
        if self.closed:
            raise Closed("the environments were closed; make new ones")
        if self._inherited:
            raise Error(
                "these environments were opened before the process forked and belong to the parent; open them in the "
                "child"
            )
        if not self._opening.acquire(blocking=False):
            raise Busy("another thread waits for these environments; give each thread environments of its own")
        try:
            self._take(self._connect())
        finally:
            self._opening.release()
        assert self._raw is not None
        return self._raw

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the arguments: the copy is a new session, with environments of its own."""
        arguments = self._arguments()
        kept = {*arguments, *_TOLD, "address", "num_envs", "closed"}
        # The attributes that its user has set, and the spec.
        attributes = {name: x for name, x in vars(self).items() if not name.startswith("_") and name not in kept}
        return _again, (type(self), self._address_again(), arguments), attributes

    def _address_again(self) -> str:
        return self.address

    def _arguments(self) -> dict[str, Any]:
        of_connections = (
            "connect_timeout", "token", "max_frame", "reconnect_timeout", "liveness", "notice_after",
        )  # fmt: skip
        return {
            "num_envs": self._slots or None,
            "autoreset_mode": self.autoreset_mode,
            "render_mode": self.render_mode,
            "timeout": self.timeout,
            "on_loss": self.on_loss,
            "copy": self.copy,
            "env_id": self._agent_options.env_id,
            "env_kwargs": self._agent_options.env_kwargs,
            **{name: getattr(self._options, name) for name in of_connections},
        }

    def __enter__(self) -> Self:
        """Return the environments; the end of the block closes them."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the environments."""
        self.close()

    def __repr__(self) -> str:
        """Return the address, the environments' id and their number."""
        told = vars(self)
        env_id = _rlay.sentence(told.get("_remote_id") or "")
        name = type(self).__name__ + (f"<{env_id}>" if env_id else "")
        return f"{name}({told.get('address', 'without an address')}, num_envs={told.get('num_envs')})"

    def __del__(self) -> None:
        """Close without waiting or raising; ``close`` is the orderly way."""

    def _begin_to_close(self) -> None:
        return None

    def _abandon(self) -> None:
        self._inherited = True
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.abandon()


def _again(cls: type[RemoteVectorEnv], address: str, arguments: dict[str, Any]) -> RemoteVectorEnv:
    make: Any = cls
    envs: RemoteVectorEnv = make(address, **arguments)
    return envs

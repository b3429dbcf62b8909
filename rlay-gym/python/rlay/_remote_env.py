"""RemoteEnv: what both environments of an agent are. It is a ``gymnasium.Env`` like any other."""

from __future__ import annotations

import copy
import functools
import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from typing_extensions import Self

from rlay import _attributes, _lifetime, _options, _rlay, _spaces
from rlay._log import logger
from rlay._options import AgentOptions, Options
from rlay.errors import Busy, Closed, ContractError, Error, no_attribute_error

OnLoss = Literal["raise", "replace", "truncate"]
Contract = Literal["strict", "warn", "off"]
ResetResult = tuple[Any, dict[str, Any]]
StepResult = tuple[Any, float, bool, bool, dict[str, Any]]

_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "render_mode": lambda name, value: _options.text(name, value, "rgb_array"),
    "timeout": lambda name, value: _options.seconds(name, value, "as long as the peer is alive"),
    "contract": lambda name, value: _options.choice(name, value, ("strict", "warn", "off")),
    "on_loss": lambda name, value: _options.choice(name, value, ("raise", "replace", "truncate")),
}
"""What is both an argument and an attribute, and how it is checked as either."""

_OPENED = frozenset({"observation_space", "action_space", "address"})
"""Attributes that a copy gets when it is opened."""


class _Metadata:
    """``metadata``: empty on the class, the remote environment's on an instance."""

    def __get__(self, env: RemoteEnv | None, cls: type) -> dict[str, Any]:
        if env is None:
            return {"render_modes": []}
        env._ask_first()
        return env._metadata

    def __set__(self, env: RemoteEnv, value: dict[str, Any]) -> None:
        env._metadata = value


class _Space:
    """A space that the environment has not announced yet; later an attribute of the instance takes precedence.

    ``__getattr__`` comes after the descriptors of the class.
    """

    def __set_name__(self, cls: type, name: str) -> None:
        self._name = name

    def __get__(self, env: RemoteEnv | None, cls: type) -> Any:
        """Wait for the environment."""
        if env is None:
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {self._name!r}")
        env._ask_first()
        return vars(env)[self._name]


class RemoteEnv(gym.Env[Any, Any]):
    """The common base of `ClientEnv` and `ServerEnv`, for ``isinstance``.

    Attributes:
        address: The address, with the real port.
        render_mode: The mode in which the environment renders.
        timeout: Bounds one reset, step, render or attribute, in seconds. None: as long as the peer is alive.
        contract: What to do about an environment that breaks its own contract, such as an
            observation outside its space: ``"strict"`` raises, ``"warn"`` logs a warning for the
            first results, ``"off"`` does nothing. Data is never altered.
        on_loss: What to do about an environment that vanished for good; see `ClientEnv`.

    All other attributes are those of the remote environment which its host offers (``attributes=`` of the backends):
    they can be read, set, and called if they are methods, with what RLay carries as data. A name that is not offered
    raises AttributeError, also where it is set.

    Example:
        >>> import rlay
        >>> with rlay.ServerBackend("FrozenLake-v1") as host, rlay.ClientEnv(host.address) as env:
        ...     isinstance(env, rlay.RemoteEnv), env.spec.max_episode_steps
        (True, 100)
    """

    metadata = _Metadata()
    if not TYPE_CHECKING:
        # For type checkers these are as Gymnasium declares them.
        observation_space = _Space()
        action_space = _Space()

    _registered: ClassVar[tuple[str, str]]
    """Id and entry point with which ``gym.make`` makes an environment of this class."""

    _log: str | None = None
    _restarts = 0
    # The names that the host offers; None: not known yet.
    _attributes: frozenset[str] | None = None
    # The attribute that was asked for last.
    _asked = ""

    def __init__(
        self,
        address: str,
        options: Options,
        *,
        render_mode: str | None,
        timeout: float | None,
        contract: Contract,
        on_loss: OnLoss,
        env_id: str | None,
        env_kwargs: dict[str, Any] | None,
    ) -> None:
        """Store the arguments that both endpoints have."""
        self._raw: _rlay.RawEnv | None = None
        self._opening = threading.Lock()
        self._closed = False
        self._inherited = False
        self._checks = 2
        # Whether it was logged already that an observation is not in the space.
        self._told = False
        self._metadata: dict[str, Any] = {"render_modes": []}
        self._details: dict[str, Any] = {}
        self._remote_id = ""
        self._spec: EnvSpec | None = None
        self.address = _options.address(address)
        self.render_mode = render_mode
        self.timeout = timeout
        self.contract: Contract = contract
        self.on_loss: OnLoss = on_loss
        self._env_id = _options.text("env_id", env_id, "maze")
        self._env_kwargs = _options.keywords(env_kwargs)
        _rlay.check_data(self._env_kwargs, "env_kwargs")
        # The arguments as given: a copy elsewhere may find another token in its environment variables.
        self._options = options
        _lifetime.watch(self)

    if not TYPE_CHECKING:
        # For type checkers it would mean that any attribute can be set, and to any type.

        def __setattr__(self, name: str, value: Any) -> None:
            """Refuse an invalid value."""
            check = _CHECKS.get(name)
            value = value if check is None else check(name, value)
            if name == "on_loss" and (raw := self.__dict__.get("_raw")) is not None:
                raw.set_on_loss(value)
            if self._is_own(name):
                super().__setattr__(name, value)
            else:
                self._access(name, "set", value)

        def __getattr__(self, name: str) -> Any:
            """Return an attribute of the remote environment."""
            if self._is_own(name):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            return self._access(name, "get")

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Set an attribute, of the remote environment if it is none of this end's.

        Raises AttributeError for a name that the host does not offer, whatever ``force`` says: a wrapper around this
        environment would otherwise take the value and the environment never learn of it.
        """
        if not self._is_own(name):
            self._check_offered(name)
        if force or hasattr(self, name):
            setattr(self, name, value)
            return True
        return False

    def _is_own(self, name: str) -> bool:
        """Whether an attribute is one of this end."""
        return name.startswith("_") or name in _CHECKS or name in _OPENED or hasattr(type(self), name)

    def _check_offered(self, name: str) -> None:
        if self._attributes is None and not self._closed:
            self._ask_first()
        if self._attributes is None or name not in self._attributes:
            raise _attributes.missing(self, name)

    def _access(self, name: str, how: str, /, *values: Any, **kwargs: Any) -> Any:
        """Get, set or call an attribute of the remote environment."""
        self._check_offered(name)
        self._asked = name
        return self._accessed(self._connect().attribute(name, how, values, kwargs, self.timeout))

    def _accessed(self, result: tuple[Any, bool]) -> Any:
        value, is_function = result
        return functools.partial(self._access, self._asked, "call") if is_function else value

    @property
    def spec(self) -> EnvSpec | None:
        """The spec from which ``gym.make`` made this environment, or can make another, with the host's details of it.

        That is ``max_episode_steps``, after which the remote environment truncates by itself,
        ``reward_threshold`` and ``nondeterministic``; of a `ServerEnv`, once an environment has dialed in.
        An environment made from this spec has a time limit at this end, too, as ``gym.make`` adds for every spec, and
        truncates together with the remote.
        """
        if self._spec is None and "_registered" in vars(type(self)):
            id, entry_point = self._registered
            self._spec = EnvSpec(id, entry_point, kwargs=self._given())
            self._complete()
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = copy.copy(spec)
        self._complete()

    def _complete(self) -> None:
        """Add the host's details that the spec lacks."""
        if (spec := self._spec) is None:
            return
        limit, threshold, nondeterministic = self._facts()
        if spec.max_episode_steps is None:
            spec.max_episode_steps = limit
        if spec.reward_threshold is None:
            spec.reward_threshold = threshold
        spec.nondeterministic = spec.nondeterministic or nondeterministic

    def _facts(self) -> tuple[int | None, float | None, bool]:
        """Return the valid ones of the host's details, which may be anything: limit, threshold, nondeterminism."""
        details = self._details if isinstance(self._details, dict) else {}
        limit, threshold = details.get("max_episode_steps"), details.get("reward_threshold")
        return (
            limit if type(limit) is int and limit > 0 else None,
            threshold if type(threshold) in (int, float) else None,
            details.get("nondeterministic") is True,
        )

    def __enter__(self) -> Self:
        """Return the environment; the end of the block closes it."""
        return self

    def __repr__(self) -> str:
        """Return the address, the environment's id and the state."""
        told = vars(self)
        env_id = _rlay.sentence(told.get("_remote_id") or told.get("_env_id") or "")
        name = type(self).__name__ + (f"<{env_id}>" if env_id else "")
        return f"<{name} {told.get('address', 'without an address')}, {self._state(told)}>"

    __str__ = __repr__

    def _state(self, told: dict[str, Any]) -> str:
        if told.get("_inherited"):
            return "of the parent process"
        if told.get("_closed"):
            return "closed"
        raw = told.get("_raw")
        if raw is None:
            return "not connected"
        try:
            return "lost" if raw.is_lost() else "open"
        except Busy:
            return "in a call"

    # -- connecting ---------------------------------------------------------------------------

    def _open(self) -> _rlay.RawEnv:
        raise NotImplementedError

    def _agent_options(self) -> AgentOptions:
        """Return the options with which an environment is searched."""
        options = self._options.settled()
        return AgentOptions(
            options, self.render_mode, self._env_id, self._env_kwargs, self.on_loss, self._log, self._restarts
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the arguments: the copy is a new session, with another environment that dials in or is made."""
        arguments = self._arguments()
        kept = (*arguments, *_OPENED)
        # The attributes that its user has set, and the spec.
        attributes = {name: x for name, x in vars(self).items() if not name.startswith("_") and name not in kept}
        return _again, (type(self), self._address_again(), arguments), {**attributes, "_spec": self._spec}

    def _address_again(self) -> str:
        return self.address

    def _arguments(self) -> dict[str, Any]:
        return {
            "render_mode": self.render_mode,
            "timeout": self.timeout,
            "connect_timeout": self._options.connect_timeout,
            "token": self._options.token,
            "max_frame": self._options.max_frame,
            "reconnect_timeout": self._options.reconnect_timeout,
            "liveness": self._options.liveness,
            "notice_after": self._options.notice_after,
            "contract": self.contract,
            "on_loss": self.on_loss,
            "env_id": self._env_id,
            "env_kwargs": self._env_kwargs,
        }

    def _given(self) -> dict[str, Any]:
        """Return the arguments that are not the default."""
        defaults = {"env_kwargs": {}} | {
            name: parameter.default
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if name != "env_kwargs"
        }
        given = {name: value for name, value in self._arguments().items() if value != defaults[name]}
        return {"address": self._address_again(), **given}

    def _connect(self) -> _rlay.RawEnv:
        if self._raw is None:
            if self._closed:
                raise Closed("the environment was closed; make a new one")
            if self._inherited:
                raise Error(
                    "this environment was opened before the process forked and belongs to the parent; "
                    "open it in the child"
                )
            if not self._opening.acquire(blocking=False):
                raise Busy("another thread waits for this environment; give each thread an environment of its own")
            try:
                self._take(self._open())
            finally:
                self._opening.release()
        assert self._raw is not None
        return self._raw

    def _ask_first(self) -> None:
        """Connect for an attribute that only the environment knows."""
        try:
            self._connect()
        except AttributeError as error:
            raise no_attribute_error(error) from error

    def _take(self, raw: _rlay.RawEnv) -> None:
        _, observation_space, action_space, *_ = raw.spec()
        try:
            spaces = {
                "observation_space": _spaces.build(observation_space),
                "action_space": _spaces.build(action_space),
            }
        except Error as error:
            # Tells the host why its environment is not played.
            raw.leave(str(error))
            raise
        self._learn(raw)
        self.__dict__.update(spaces)
        self._raw = raw

    def _learn(self, raw: _rlay.RawEnv) -> None:
        """Store the host's details except the spaces: every further environment has the spaces of the first."""
        self._remote_id, _, _, render_mode, metadata, self._details, attributes = raw.spec()
        self._attributes = frozenset(attributes)
        self._metadata = metadata if isinstance(metadata, dict) else {"render_modes": []}
        self._complete()
        if render_mode is not None:
            self.render_mode = render_mode

    # -- Gymnasium's methods ------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> ResetResult:
        """Start an episode. ``seed`` is any non-negative int; None keeps the remote generator as it is."""
        raw = self._raw or self._connect()
        super().reset(seed=seed)
        try:
            result = raw.reset(seed, options, self.timeout)
        finally:
            if raw.take_searched():
                self._learn(raw)
        if self._checks or self.contract == "strict" or (not self._told and raw.is_odd()):
            self._check(result[0])
        return result

    def step(self, action: Any) -> StepResult:
        """Take one action. A wrong structure is refused before anything is sent; the environment checks the rest."""
        result = (self._raw or self._connect()).step(action, self.timeout)
        if self._checks or self.contract == "strict":
            self._check(result[0])
        return result

    def render(self) -> Any:
        """Render in the mode the environment was made with."""
        raw = self._raw or self._connect()
        if self.render_mode is None:
            # As environments do locally: a warning, and nothing drawn.
            spec = f'gym.make("{self.spec.id}", ' if self.spec is not None else f"{type(self).__name__}(..., "
            gym.logger.warn(
                "You are calling render method without specifying any render mode. "
                f'You can specify the render_mode at initialization, e.g. {spec}render_mode="rgb_array")'
            )
            return None
        return raw.render(self.timeout)

    def late(self, timeout: float | None = None) -> Any:
        """Return the result of a call that timed out or was interrupted, waiting at most ``timeout``."""
        result, call = self._connect().late(_CHECKS["timeout"]("timeout", timeout))
        if call == "attribute":
            return self._accessed(result)
        if call in ("reset", "step") and (self._checks or self.contract == "strict"):
            self._check(result[0])
        return result

    def close(self) -> None:
        """End the session, within two seconds. What the environment raised in its ``close`` is raised here.

        Waits until a launched program has ended: see `launch`.
        """
        raw, self._raw, self._closed = self._raw, None, True
        if raw is None:
            return
        try:
            raw.close()
        except Busy:
            # Another thread is in a call, for which nothing changes.
            self._raw, self._closed = raw, False
            raise

    # -- housekeeping -------------------------------------------------------------------------

    def _check(self, observation: Any) -> None:
        if self.contract == "off":
            return
        self._checks = max(0, self._checks - 1)
        if _spaces.contains(self.observation_space, observation):
            return
        why = _spaces.violation(self.observation_space, observation, self._connect())
        text = f"the environment broke its contract: {why}"
        mend = "mend the environment (make a new session if its spaces change in reset)"
        if self.contract == "strict":
            raise ContractError(f"{text}; {mend}, or set contract to 'warn'")
        self._told = True
        logger.warning("%s; it is passed on as it is; %s, or set contract to 'off'", text, mend)

    def _begin_to_close(self) -> _rlay.RawEnv | None:
        """Return the environment that is to be closed beside others."""
        return self._raw

    def _abandon(self) -> None:
        self._inherited = True
        if self._raw is not None:
            self._raw.abandon()

    def __del__(self) -> None:
        """Close without waiting or raising; ``close`` is the orderly way."""


def _again(env_class: type[RemoteEnv], address: str, arguments: dict[str, Any]) -> RemoteEnv:
    make: Any = env_class
    env: RemoteEnv = make(address, **arguments)
    return env

"""ClientEnv and ServerEnv: what an agent holds. Each is a ``gymnasium.Env`` like any other."""

from __future__ import annotations

import logging
import os
import shlex
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

import gymnasium as gym

from rlay import _lifetime, _listeners, _rlay, _spaces
from rlay._options import Options
from rlay.errors import Busy, Closed, ConnectionLost, ContractError, Error, Incompatible, Timeout

logger = logging.getLogger("rlay")

_QUIET = 10.0
"""Seconds after which a wait is mentioned in the log."""

_MOMENT = 1.0
"""Seconds after which the log says who dialed meanwhile and was no environment."""


class _Metadata:
    """``metadata``: empty on the class, the remote environment's on an instance."""

    def __get__(self, env: RemoteEnv | None, cls: type) -> dict[str, Any]:
        if env is None:
            return {"render_modes": []}
        env._connect()
        return env._metadata

    def __set__(self, env: RemoteEnv, value: dict[str, Any]) -> None:
        env._metadata = value


class RemoteEnv(gym.Env[Any, Any]):
    """What `ClientEnv` and `ServerEnv` have in common.

    Attributes:
        address: The address, with the real port.
        timeout: Bounds one reset, step or render, in seconds. None: as long as the peer is alive.
        contract: What to do about an environment that breaks its own contract, such as an
            observation outside its space: ``"strict"`` raises, ``"warn"`` logs a warning for the
            first results, ``"off"`` does nothing. Data is never altered.
        on_loss: What to do about an environment that vanished for good; see `ClientEnv`.
    """

    metadata = _Metadata()

    def __init__(
        self,
        address: str,
        render_mode: str | None,
        timeout: float | None,
        env_id: str | None,
        env_kwargs: dict[str, Any] | None,
        on_loss: str,
        options: Options,
    ) -> None:
        """Keep what both endpoints are told."""
        if on_loss not in ("raise", "replace", "truncate"):
            raise ValueError(f"on_loss={on_loss!r}: it is 'raise', 'replace' or 'truncate'")
        self.on_loss = on_loss
        # Whether the environment that there was is gone and another is to take its place.
        self._is_vacant = False
        # The last observation of an episode that may have to be ended here.
        self._last: Any = None
        self.address = address
        self.render_mode = render_mode
        self.timeout = timeout
        self.contract = "warn"
        self._env_id = env_id
        self._env_kwargs = dict(env_kwargs or {})
        # As they were given: a copy elsewhere may find another token in its surroundings.
        self._options = options
        self._agent: _rlay.Agent | None = None
        self._opening = threading.Lock()
        self._closed = False
        self._inherited = False
        self._checks = 2
        self._metadata: dict[str, Any] = {"render_modes": []}
        self._details: dict[str, Any] = {}
        _lifetime.watch(self)

    # -- connecting ---------------------------------------------------------------------------

    def _open(self) -> _rlay.Agent:
        raise NotImplementedError

    def _ask(self, session: _rlay.Session, timeout: float | None) -> _rlay.Agent:
        """Ask for the environment."""
        return session.agent(self.render_mode, self._env_id, self._env_kwargs, timeout)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the arguments: the copy is a new session, with another environment that dials in or is made."""
        return _again, (type(self), self._address_again(), self._arguments())

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
            "on_loss": self.on_loss,
            "env_id": self._env_id,
            "env_kwargs": self._env_kwargs,
        }

    def _connect(self) -> _rlay.Agent:
        if self._agent is None:
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
        assert self._agent is not None
        return self._agent

    def _take(self, agent: _rlay.Agent) -> None:
        _, observation_space, action_space, render_mode, metadata, details = agent.spec()
        spaces = {"observation_space": _spaces.build(observation_space), "action_space": _spaces.build(action_space)}
        if self._is_vacant and any(self.__dict__[name] != space for name, space in spaces.items()):
            agent.close()
            raise Incompatible(f"{self.address} has other spaces than before; make a new environment")
        self._metadata = metadata
        self._details = details
        self.__dict__.update(spaces)
        self._is_vacant = False
        if render_mode is not None:
            self.render_mode = render_mode
        self._agent = agent

    def __getattr__(self, name: str) -> Any:
        """Wait for the environment when its spaces are first asked for."""
        if name in ("observation_space", "action_space"):
            self._connect()
            return self.__dict__[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- Gymnasium's methods ------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode. ``seed`` is any non-negative int; None keeps the remote generator as it is."""
        is_lost = self._is_vacant or (self._agent is not None and self._agent.is_lost())
        if is_lost and not self._replace() and self._is_vacant:
            raise ConnectionLost(f"{self.address}: the environment is gone, and none is to take its place")
        agent = self._agent or self._connect()
        super().reset(seed=seed)
        self._last = None
        try:
            result: tuple[Any, dict[str, Any]] = agent.reset(seed, options, self.timeout)
        except ConnectionLost:
            # Nothing is lost with an environment that was to begin anew.
            if not agent.is_lost() or not self._replace():
                raise
            result = self._connect().reset(seed, options, self.timeout)
        if self._checks or self.contract == "strict":
            self._check(result[0])
        if self.on_loss == "truncate":
            self._last = result[0]
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action. Wrong structure is refused before anything is sent; the rest is for the environment."""
        agent = self._agent or self._connect()
        try:
            result: tuple[Any, float, bool, bool, dict[str, Any]] = agent.step(action, self.timeout)
        except ConnectionLost as error:
            if self._last is None or not agent.is_lost():
                raise
            last, self._last = self._last, None
            logger.warning("the environment is lost, and the episode ends: %s", error)
            return last, 0.0, False, True, {"lost": str(error)}
        if self._checks or self.contract == "strict":
            self._check(result[0])
        if self._last is not None:
            self._last = result[0]
        return result

    def render(self) -> Any:
        """Render in the mode the environment was made with."""
        agent = self._agent or self._connect()
        if self.render_mode is None:
            # As environments do locally: a word, and nothing drawn.
            spec = f'gym.make("{self.spec.id}", ' if self.spec is not None else f"{type(self).__name__}(..., "
            gym.logger.warn(
                "You are calling render method without specifying any render mode. "
                f'You can specify the render_mode at initialization, e.g. {spec}render_mode="rgb_array")'
            )
            return None
        return agent.render(self.timeout)

    def late(self, timeout: float | None = None) -> Any:
        """Return what a call that timed out or was interrupted would have returned, waiting at most ``timeout``."""
        return self._connect().late(timeout)

    def close(self) -> None:
        """End the session, within two seconds. What the environment raised in its ``close`` is raised here.

        A program that was launched is waited for until it has ended: see `launch`.
        """
        agent, self._agent, self._closed = self._agent, None, True
        if agent is None:
            return
        try:
            agent.close()
        except Busy:
            # Another thread is in a call; for it, all is as it was.
            self._agent, self._closed = agent, False
            raise

    # -- housekeeping -------------------------------------------------------------------------

    def _may_replace(self) -> bool:
        return self.on_loss != "raise"

    def _replace(self) -> bool:
        """Go on with another environment, which must be of the same spaces, if that is wanted; whether it is."""
        if not self._may_replace():
            return False
        logger.warning("%s: the environment is lost; waiting for another", self.address)
        self._agent, self._is_vacant = None, True
        self._connect()
        return True

    def _check(self, observation: Any) -> None:
        if self.contract == "off":
            return
        self._checks = max(0, self._checks - 1)
        if _spaces.contains(self.observation_space, observation):
            return
        text = f"the environment broke its contract: an observation is not in {self.observation_space}"
        if self.contract == "strict":
            raise ContractError(f"{text}; fix the environment, or set contract to 'warn'")
        logger.warning("%s; it is passed on as it is", text)

    def _abandon(self) -> None:
        self._inherited = True
        if self._agent is not None:
            self._agent.abandon()

    def __del__(self) -> None:
        """Leave quietly; ``close`` is the orderly way."""


class ClientEnv(RemoteEnv):
    """A remote environment hosted by a server: the agent dials.

    Args:
        address: Where the `ServerBackend` listens, such as ``tcp://127.0.0.1:5005``. Or a command, such as
            ``exec:./game --headless``: see `launch`. It is split as a shell would, but no shell sees it.
        render_mode: One of the modes that the remote environment declares.
        timeout: Bounds one reset, step or render, in seconds. None: as long as the peer is alive.
        connect_timeout: How long to try again while nobody listens.
        token: A secret that both ends must have; None takes the environment variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long a call waits for a connection that was lost over a network, in seconds; zero: the
            session ends with its connection. None: 2 s. A longer outage must be allowed for at both ends.
        on_loss: What to do about an environment that vanished for good. ``"raise"``: this call and every later one
            raise `ConnectionLost`. ``"replace"``: the call raises, and `reset` goes on with another environment,
            made as this one was. ``"truncate"``: besides, `step` does not raise but
            ends the episode: the last observation once more, reward 0.0, truncated, and ``info["lost"]`` says why.
        env_id: Which environment, where the host has several.
        env_kwargs: Keyword arguments for the environment, as far as the host allows them.
        log: For a command: the file that takes what it prints; by default a new one among the temporary files, which
            is removed after an end in good order. The attribute ``log`` says where it lies.
        restarts: For a command: how often `reset` may start it again after it has ended, whatever ``on_loss`` is.
        close_timeout: For a command: how long it has to end after its environment was closed, in seconds, before
            SIGTERM asks it to and, five seconds later, SIGKILL ends it.

    Attributes:
        log: For a command: the path of the file that takes what it prints. None for what was not launched.

    Example:
        >>> import rlay
        >>> with rlay.ServerBackend("FrozenLake-v1") as host:
        ...     env = rlay.ClientEnv(host.address)
        ...     observation, info = env.reset(seed=1)
        ...     observation, info
        ...     env.close()
        (0, {'prob': 1})
    """

    def __init__(
        self,
        address: str,
        *,
        render_mode: str | None = None,
        timeout: float | None = None,
        connect_timeout: float = 10.0,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        on_loss: Literal["raise", "replace", "truncate"] = "raise",
        env_id: str | None = None,
        env_kwargs: dict[str, Any] | None = None,
        log: str | os.PathLike[str] | None = None,
        restarts: int = 0,
        close_timeout: float = 10.0,
    ) -> None:
        """Connect and make an environment."""
        self._log = None if log is None else os.fspath(log)
        self._restarts = restarts
        self.log: str | None = None
        options = Options(
            token=token,
            max_frame=max_frame,
            reconnect_timeout=reconnect_timeout,
            connect_timeout=connect_timeout,
            close_timeout=close_timeout,
        )
        super().__init__(address, render_mode, timeout, env_id, env_kwargs, on_loss, options)
        self._connect()

    def _open(self) -> _rlay.Agent:
        options = self._options.settled()
        if self.address.startswith("exec:"):
            agent = _rlay.launch(self.address, self._log, self.render_mode, self._env_id, self._env_kwargs, options)
            self.log = os.fspath(agent.log() or "")
            return agent
        session = _rlay.dial(self.address, "agent", options)
        assert session is not None, "without a stop flag dialing does not stop"
        return self._ask(session, self.timeout)

    def _may_replace(self) -> bool:
        if not self.address.startswith("exec:"):
            return super()._may_replace()
        if self._restarts == 0:
            return False
        self._restarts -= 1
        logger.warning("%s ended; starting it again, at most %d times more", self.address, self._restarts)
        if self._agent is not None:
            # One that lost its connection alone ends before it is started again.
            self._agent.close()
        return True

    def _arguments(self) -> dict[str, Any]:
        own = {"log": self._log, "restarts": self._restarts, "close_timeout": self._options.close_timeout}
        return {**super()._arguments(), **own}


def launch(command: Sequence[str | os.PathLike[str]], **kwargs: Any) -> ClientEnv:
    """Start a program that hosts an environment, and return that environment.

    The program finds in the environment variable ``RLAY_ADDRESS`` where to dial in, as `ClientBackend` does by
    itself. If it ends, the call under way raises `ConnectionLost`, which says how it ended and what it printed last.
    It must be this program that stays: a script lets its game take its place (``exec ./game``), for what it leaves
    running when it ends is ended with it.

    ``close()`` tells the program to end and waits until it has: ``ClientBackend.run()`` returns there, and what follows
    it is done. After ``close_timeout`` comes SIGTERM, after five seconds more SIGKILL; Ctrl-C kills it at once. While
    this process has launched others whose environments are still open, ``close()`` returns after a quarter of a second,
    a thread sees to the end, and closing the last of them waits for all: so the programs of a `SyncVectorEnv` end side
    by side. The end of the interpreter closes all that are open and waits for them. On Linux a program is killed when
    this process is.

    Args:
        command: The program and its arguments. No shell sees them.
        **kwargs: As for `ClientEnv`, such as ``log``, ``restarts``, ``connect_timeout`` and ``close_timeout``.

    Example:
        >>> import sys, rlay
        >>> game = "import rlay; rlay.ClientBackend('FrozenLake-v1').run()"
        >>> env = rlay.launch([sys.executable, "-c", game], connect_timeout=60.0)
        >>> env.reset(seed=1)
        (0, {'prob': 1})
        >>> env.close()
    """
    what = "the command is a list of words, such as ['./game', '--headless']"
    if isinstance(command, str | bytes | os.PathLike):
        raise TypeError(what)
    for word in command:
        if not isinstance(word, str | os.PathLike):
            raise TypeError(f"{what}; {word!r} is of type {type(word).__name__}: give {str(word)!r}")
    words = [os.fspath(word) for word in command]
    return ClientEnv("exec:" + shlex.join(words), **kwargs)


class ServerEnv(RemoteEnv):
    """A remote environment that is a client and dials in: the agent listens.

    The constructor listens and returns; spaces, ``metadata`` and ``reset()`` wait for the first
    environment, at most ``connect_timeout``. ServerEnvs of one process with one address share one
    listener, with the bounds on sessions and handshakes that the first one gave; each takes the next
    environment that dials in.

    Args:
        address: Where to listen; port 0 takes a free one, see the attribute ``address``.
        render_mode: One of the modes that the remote environment declares.
        timeout: Bounds one reset, step or render, in seconds. None: as long as the peer is alive.
        connect_timeout: How long to wait for an environment, in seconds.
        token: A secret that both ends must have; None takes the environment variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long a call waits for a connection that was lost over a network, in seconds; zero: the
            session ends with its connection. None: 2 s. A longer outage must be allowed for at both ends.
        on_loss: What to do about an environment that vanished for good. ``"raise"``: this call and every later one
            raise `ConnectionLost`. ``"replace"``: the call raises, and `reset` goes on with another environment,
            the next that dials in. ``"truncate"``: besides, `step` does not raise but
            ends the episode: the last observation once more, reward 0.0, truncated, and ``info["lost"]`` says why.
        env_id: Which environment, where the game that dials in has several.
        env_kwargs: Keyword arguments for the environment, as far as the game allows them.
        max_sessions: Most environments at a time, with those that dialed in and wait to be taken.
        handshake_timeout: How long whoever dials may take to say who it is, in seconds.
        max_handshakes: Most of those at a time; when there are more, the oldest is let go.

    Example:
        >>> import rlay
        >>> env = rlay.ServerEnv()
        >>> game = rlay.ClientBackend("FrozenLake-v1", env.address).start()
        >>> env.reset(seed=1)
        (0, {'prob': 1})
        >>> env.close()
        >>> game.close()
    """

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:0",
        *,
        render_mode: str | None = None,
        timeout: float | None = None,
        connect_timeout: float = 60.0,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        on_loss: Literal["raise", "replace", "truncate"] = "raise",
        env_id: str | None = None,
        env_kwargs: dict[str, Any] | None = None,
        max_sessions: int = 4096,
        handshake_timeout: float = 5.0,
        max_handshakes: int = 64,
    ) -> None:
        """Listen."""
        options = Options(
            token=token,
            max_frame=max_frame,
            reconnect_timeout=reconnect_timeout,
            connect_timeout=connect_timeout,
            max_sessions=max_sessions,
            handshake_timeout=handshake_timeout,
            max_handshakes=max_handshakes,
        )
        self._listener: _listeners.Listener | None = _listeners.take(address, options.settled())
        self._again = self._listener.again
        # The environment that is to be taken, if that is settled already.
        self._session: _rlay.Session | None = None
        super().__init__(self._listener.address, render_mode, timeout, env_id, env_kwargs, on_loss, options)

    def _open(self) -> _rlay.Agent:
        if self._session is not None:
            taken, self._session = self._session, None
            return self._ask(taken, self.timeout)
        listener = self._listener
        if listener is None:
            raise Closed("the environment was closed; make a new one")
        patience = self._options.connect_timeout
        deadline = time.monotonic() + patience
        quiet = time.monotonic() + _QUIET
        while True:
            try:
                session = listener.next(max(0.0, min(_MOMENT, deadline - time.monotonic())))
            except Timeout:
                now = time.monotonic()
                if now >= deadline:
                    raise Timeout(
                        f"no environment dialed in to {self.address} within {patience:g} s; start the "
                        "game or ClientBackend with this address, or raise connect_timeout"
                    ) from None
                if now >= quiet:
                    logger.warning("waiting for an environment to dial in to %s", self.address)
                    quiet = deadline
                continue
            if session is None:
                raise Closed("the environment was closed; make a new one")
            try:
                return self._ask(session, max(0.1, deadline - time.monotonic()))
            except ConnectionLost:
                # It died while it waited in the queue; the next one may live.
                continue

    def close(self) -> None:
        """End the session and stop listening, unless other ServerEnvs use the same address."""
        try:
            super().close()
        finally:
            listener = self._listener
            if self._closed and listener is not None:
                self._listener = None
                _listeners.give_back(listener)

    def _abandon(self) -> None:
        super()._abandon()
        self._listener = None

    def _address_again(self) -> str:
        return self._again

    def _arguments(self) -> dict[str, Any]:
        bounds = ("max_sessions", "handshake_timeout", "max_handshakes")
        return {**super()._arguments(), **{name: getattr(self._options, name) for name in bounds}}


def _again(env_class: type[RemoteEnv], address: str, arguments: dict[str, Any]) -> RemoteEnv:
    make: Any = env_class
    env: RemoteEnv = make(address, **arguments)
    return env

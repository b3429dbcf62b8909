"""ServerBackend and ClientBackend: what hosts an environment."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from rlay import _hosting, _lifetime, _listeners, _options, _rlay
from rlay._options import Options
from rlay._threads import Threads
from rlay.errors import ConnectionLost, Error, Timeout

logger = logging.getLogger("rlay")

_SLICE = 0.1
"""How often a wait looks at signals, in seconds."""


@dataclass(frozen=True)
class Reset:
    """The agent asks for an episode; reply with its first observation."""

    seed: int | None
    options: dict[str, Any] | None


@dataclass(frozen=True)
class Step:
    """The agent takes an action; reply with what came of it."""

    action: Any


@dataclass(frozen=True)
class Render:
    """The agent asks for a frame; reply with it as the observation."""


@dataclass(frozen=True)
class Close:
    """The agent is gone; the next turn belongs to another."""

    reason: str


class _Backend:
    """What both backends have in common: threads, start, close."""

    address: str
    _inherited = False
    _is_started = False

    def __init__(self, env: _hosting.Source, env_kwargs: Collection[str], max_sessions: int, tracebacks: bool) -> None:
        _hosting.check(env, env_kwargs)
        self._title = _hosting.title(env)
        self._offers = (_hosting.offered(env), list(env_kwargs))
        self._make = _hosting.maker(env)
        self._one = _hosting.is_instance(env)
        self._max_sessions = 1 if self._one else max_sessions
        self._tracebacks = tracebacks
        self._begin()

    def _begin(self) -> None:
        self._stop = _rlay.Stop()
        self._threads = Threads("rlay-session")

    def run(self) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return where it is, what it hosts, and in which state."""
        told = vars(self)
        if "address" not in told:
            return f"<{type(self).__name__}, not made>"
        if self._inherited:
            state = "of the parent process"
        elif self._stop.is_set():
            state = "closed"
        else:
            state = "serving" if self._is_started else "not started"
        return f"<{type(self).__name__}<{self._title}> {self.address}, {state}>"

    def start(self) -> Self:
        """Serve in daemon threads and return this backend."""
        self._is_started = True
        self._threads.start(self._run_quietly)
        return self

    def close(self) -> None:
        """Let nobody in any more, end every session and close every environment that is not in a call.

        That takes two seconds at most.
        """
        asked = time.monotonic()
        self._stop.set()
        self._release()
        self._threads.join(asked)

    def _release(self) -> None:
        """Let nobody in any more, and wake who waits for somebody."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Serve in daemon threads."""
        return self.start()

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def _run_quietly(self) -> None:
        try:
            self.run()
        except Error as error:
            logger.error("%s: %s", self.address, error)

    def _serve(self, session: _rlay.Session, make: Any) -> None:
        """Host one session on this thread; what ends it is logged, not raised."""
        try:
            session.serve(make, self._stop, self._tracebacks, *self._offers)
        except Error as error:
            logger.warning("%s: a session ended: %s", self.address, error)


class ServerBackend(_Backend):
    """Hosts environments for every agent that connects: the agent dials.

    Args:
        env: An environment id or ``EnvSpec``; or a callable (an ``Env`` class too), called as
            ``env(render_mode=mode)`` once per session; or an ``Env`` instance, which serves one
            session at a time and is not closed; or a dict of several, of which agents name one.
        address: Where to listen; port 0 takes a free one, see the attribute ``address``.
        max_sessions: Most agents at a time.
        token: A secret that both ends must have; None takes the environment variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long an agent whose connection was lost over a network may take to come back, in seconds;
            zero: its session ends with its connection. None: 30 s.
        tracebacks: Whether agents see the tracebacks of the environment's exceptions.
        env_kwargs: Names of the keyword arguments that agents may give the environment. Others are refused.
        handshake_timeout: How long whoever dials may take to say who it is, in seconds.
        max_handshakes: Most of those at a time; when there are more, the oldest is let go.

    Example:
        >>> import rlay
        >>> host = rlay.ServerBackend("CartPole-v1").start()
        >>> host.address.startswith("tcp://127.0.0.1:")
        True
        >>> host.close()
    """

    def __init__(
        self,
        env: _hosting.Source,
        address: str = "tcp://127.0.0.1:0",
        *,
        max_sessions: int = 64,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        tracebacks: bool = True,
        env_kwargs: Collection[str] = (),
        handshake_timeout: float = 5.0,
        max_handshakes: int = 64,
    ) -> None:
        """Listen."""
        super().__init__(env, env_kwargs, max_sessions, tracebacks)
        options = Options(
            token=token,
            max_frame=max_frame,
            reconnect_timeout=reconnect_timeout,
            max_sessions=self._max_sessions,
            handshake_timeout=handshake_timeout,
            max_handshakes=max_handshakes,
        )
        self._acceptor = _rlay.Acceptor(_options.address(address), "env", options.settled())
        self._descriptor = _lifetime.ListeningDescriptor(self._acceptor.descriptor)
        self.address = self._acceptor.address
        _listeners.say_where(address, self.address)
        _lifetime.watch(self)

    def run(self) -> None:
        """Serve until `close` or Ctrl-C. An instance is served on this very thread."""
        if self._inherited:
            raise Error(
                "this backend was made before the process forked and belongs to the parent; make it in the child"
            )
        self._is_started = True
        try:
            while not self._stop.is_set():
                try:
                    session = self._acceptor.next(1.0)
                except Timeout:
                    self._log_notices()
                    continue
                self._log_notices()
                if session is None:
                    return
                if self._one:
                    self._serve(session, self._make)
                else:
                    self._threads.start(self._serve, session, self._make)
        except KeyboardInterrupt:
            self.close()

    def _log_notices(self) -> None:
        for notice in self._acceptor.notices():
            logger.warning("%s: %s", self.address, notice)

    def _release(self) -> None:
        self._acceptor.close()

    def _abandon(self) -> None:
        self._inherited = True
        self._begin()
        self._acceptor.abandon()
        self._descriptor.close_in_child()


class ClientBackend(_Backend):
    """Hosts environments by dialing in to agents that listen, as a game does that is started by hand.

    One session waits for an agent at any time; as soon as it is taken, a spare one dials, up to
    ``max_sessions``. So an agent that opens several environments gets them.

    Args:
        env: As for `ServerBackend`. For the poll form (`turn` and `reply`) any object with
            ``observation_space`` and ``action_space`` will do.
        address: Where the `ServerEnv` listens; None takes the environment variable ``RLAY_ADDRESS``, which whoever
            launches this program sets (see `launch`).
        max_sessions: Most sessions at a time.
        connect_timeout: How long to try again while nobody listens.
        token: A secret that both ends must have; None takes the environment variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long an agent whose connection was lost over a network may take to come back, in seconds;
            zero: its session ends with its connection. None: 30 s.
        tracebacks: Whether agents see the tracebacks of the environment's exceptions.
        env_kwargs: Names of the keyword arguments that agents may give the environment. Others are refused.

    Example:
        >>> import rlay
        >>> env = rlay.ServerEnv()
        >>> with rlay.ClientBackend("CartPole-v1", env.address):
        ...     observation, info = env.reset(seed=3)
        ...     env.close()
    """

    def __init__(
        self,
        env: _hosting.Source,
        address: str | None = None,
        *,
        max_sessions: int = 64,
        connect_timeout: float = 60.0,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        tracebacks: bool = True,
        env_kwargs: Collection[str] = (),
    ) -> None:
        """Keep what to host and where; nothing is dialed yet."""
        super().__init__(env, env_kwargs, max_sessions, tracebacks)
        options = Options(
            token=token, max_frame=max_frame, reconnect_timeout=reconnect_timeout, connect_timeout=connect_timeout
        )
        self._options = options.settled()
        address = address if address is not None else os.environ.get("RLAY_ADDRESS")
        if not _options.address("" if address is None else address):
            raise Error("where to dial? give an address, or start this program by rlay.launch, which says where")
        assert address is not None, "an empty one, see above"
        _rlay.check_address(address)
        self.address = address
        _lifetime.watch(self)

    def _begin(self) -> None:
        super()._begin()
        self._active = 0
        self._changed = threading.Condition()
        self._poll: _rlay.Poll | None = None
        self._frame_due = False

    def run(self) -> None:
        """Serve until `close` or Ctrl-C, or until nobody listens any more; the latter raises ConnectionLost.

        An instance is served on this very thread.
        """
        self._is_started = True
        try:
            while not self._stop.is_set():
                try:
                    session = _rlay.dial(self.address, "env", self._options, self._stop)
                except ConnectionLost:
                    self._wait(lambda: self._active == 0)
                    if self._stop.is_set():
                        return
                    raise
                if session is None:
                    return
                if self._one:
                    self._serve(session, self._make)
                    continue
                taken = threading.Event()
                self._threads.start(self._serve_spare, session, taken)
                self._wait_for_next(taken)
        except KeyboardInterrupt:
            self.close()

    def _serve_spare(self, session: _rlay.Session, taken: threading.Event) -> None:
        def make(render_mode: str | None, env_id: str | None, kwargs: dict[str, Any]) -> _hosting.Described:
            with self._changed:
                if not taken.is_set():
                    self._active += 1
                    taken.set()
                    self._changed.notify_all()
            return self._make(render_mode, env_id, kwargs)

        try:
            self._serve(session, make)
        finally:
            with self._changed:
                if taken.is_set():
                    self._active -= 1
                taken.set()
                self._changed.notify_all()

    def _wait_for_next(self, taken: threading.Event) -> None:
        """Wait until the spare session is taken and there is room for one more."""
        self._wait(lambda: taken.is_set() and self._active < self._max_sessions)

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait until the sessions are as wanted, or for `close`."""
        with self._changed:
            while not (ready() or self._stop.is_set()):
                # A signal that comes just before a wait, or to another thread, does not end that; the next look does.
                self._changed.wait(_SLICE)

    def turn(self, timeout: float = 0.0) -> Reset | Step | Render | Close | None:
        """Return what the agent wants, waiting at most ``timeout`` seconds, or None if nothing yet.

        This is the poll form, for an engine's own loop. With ``timeout=0`` it waits for nothing, and dialing goes on
        in the background; only an answer whose connection was lost is sent again first, which takes as long as the
        network does. Every `Reset` and `Step` is answered with `reply`.
        """
        if self._poll is None:
            if any(self._offers):
                raise Error("turn() plays one environment as it is; give one alone, and no env_kwargs")
            described = self._make(None, None, {})
            # Nobody but the engine draws, and a mode that it has not declared is none that it expects.
            if _hosting.render_modes(described[5]) is None:
                described[5]["render_modes"] = []
            self._is_started = True
            self._poll = _rlay.Poll(described, self.address, self._options, self._stop)
        turn = self._poll.turn(timeout)
        if turn is None:
            return None
        kind, first, second = turn
        self._frame_due = kind == "render"
        if kind == "reset":
            return Reset(first, second)
        if kind == "step":
            return Step(first)
        return Render() if kind == "render" else Close(first)

    def reply(
        self,
        observation: Any,
        reward: float = 0.0,
        terminated: bool = False,
        truncated: bool = False,
        info: dict[str, Any] | None = None,
    ) -> None:
        """Answer the last `turn`; a `Reset` wants only ``observation`` and ``info``, a `Render` only the former.

        Raises TypeError for what an environment may not return, such as an ``info`` that is no dict. Nothing is sent
        then, and another answer may follow.
        """
        if self._poll is None:
            raise Error("there is nothing to reply to; call turn() first")
        if self._frame_due:
            self._poll.reply_frame(observation)
            self._frame_due = False
        else:
            self._poll.reply(observation, reward, terminated, truncated, {} if info is None else info)

    def close(self) -> None:
        """End every session and close every environment that is not in a call, within two seconds."""
        super().close()
        if self._poll is not None:
            self._poll.close()

    def _release(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _abandon(self) -> None:
        # Nothing of it is the parent's but the sessions; it may serve from here, too.
        if self._poll is not None:
            self._poll.abandon()
        self._begin()
        _lifetime.watch(self)

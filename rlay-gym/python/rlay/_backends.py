"""ServerBackend and ClientBackend: what hosts an environment."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from rlay import _hosting, _lifetime, _listeners, _options, _rlay
from rlay._log import logger
from rlay._options import Options
from rlay._threads import CLOSE_TIME, Threads
from rlay.errors import Busy, Closed, ConnectionLost, Error, ResourceExhausted, Timeout

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


_MADE_ALREADY = (
    "this host serves one environment, which was made already, and another agent has it; try again later, or give the "
    "host a function that makes environments, to serve several agents at a time"
)


class _Backend:
    """What both backends have in common: threads, start, close."""

    address: str
    _inherited = False

    def __init__(
        self, env: _hosting.Source, env_kwargs: Collection[str], max_sessions: int | None, tracebacks: bool
    ) -> None:
        _hosting.check(env, env_kwargs)
        self._title = _hosting.title(env)
        self._offers = (_hosting.offered(env), list(env_kwargs))
        self._make = _hosting.maker(env)
        self._one = _hosting.is_instance(env)
        if max_sessions is None:
            max_sessions = 1 if self._one else 64
        self._max_sessions: int = _options.count(
            "max_sessions", max_sessions, 1, "how many sessions there may be at a time"
        )
        if self._one and self._max_sessions > 1:
            raise ValueError(
                f"max_sessions={max_sessions!r}: an environment that is made already serves one agent at a time; "
                "give a function that makes environments, or leave max_sessions out"
            )
        self._tracebacks = tracebacks
        self._begin()

    def _begin(self) -> None:
        self._stop = _rlay.Stop()
        self._threads = Threads("rlay-session")
        self._history = _rlay.History()
        self._claiming = threading.RLock()
        # Whether it serves, on which thread if that called `run`, and the end of that.
        self._is_claimed = False
        self._runner: int | None = None
        self._ended = threading.Event()
        # When it was asked to end.
        self._asked: float | None = None

    def run(self) -> None:
        self._claim()
        self._ended.clear()
        self._runner = threading.get_ident()
        try:
            self._serve_all()
        except KeyboardInterrupt:
            self.close()
        finally:
            self._runner = None
            self._is_claimed = False
            self._ended.set()

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
            state = "serving" if self._is_claimed else "not started"
        return f"<{type(self).__name__}<{self._title}> {self.address}, {state}>"

    def start(self) -> Self:
        """Serve in daemon threads and return this backend.

        They serve until `close` or the end of the process, whether or not somebody holds the backend. One that serves
        already, or was closed, raises.
        """
        self._claim()
        self._threads.start(self._run_quietly)
        return self

    def _claim(self) -> None:
        """Begin to serve, once at a time."""
        if self._stop.is_set():
            raise Closed("the backend was closed; make a new one")
        with self._claiming:
            if self._is_claimed:
                raise Error(
                    "the backend serves already; call run() or start() once, and make another one for another address"
                )
            self._is_claimed = True

    def _serve_all(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Let nobody in any more, end every session and close every environment that is not in a call.

        That takes two seconds at most.
        """
        self._begin_to_close()
        # Another thread may have closed it meanwhile.
        asked, self._asked = self._asked or time.monotonic(), None
        self._threads.join(asked)
        if self._runner not in (None, threading.get_ident()):
            self._ended.wait(max(0.0, asked + CLOSE_TIME - time.monotonic()))

    def _begin_to_close(self) -> None:
        """Begin to close."""
        self._asked = self._asked or time.monotonic()
        self._stop.set()
        self._release()

    def _release(self) -> None:
        """Let nobody in any more, and wake who waits for somebody."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Serve in daemon threads, unless it serves already."""
        return self if self._is_claimed else self.start()

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def _run_quietly(self) -> None:
        try:
            self._serve_all()
        except Error as error:
            logger.error("%s: %s", self.address, error)
        finally:
            self._is_claimed = False

    def _serve(self, session: _rlay.Session, make: Any) -> None:
        """Host one session on this thread; what ends it is logged, not raised."""
        with contextlib.suppress(Error):
            session.serve(make, self._stop, self._tracebacks, self._offers, self._history)


class ServerBackend(_Backend):
    """Hosts environments for every agent that connects: the agent dials.

    Each environment is made, stepped, rendered and closed on one thread. That is the one that calls `run` where
    there is one session at a time (an instance, or ``max_sessions=1``); else each session has a thread of its own.
    Agents that dial before `run` or `start` wait, and are told so.

    Args:
        env: An environment id or ``EnvSpec``; or a callable (an ``Env`` class too), called as
            ``env(render_mode=mode)`` once per session; or an ``Env`` instance, which serves one
            session at a time and is not closed; or a dict of several, of which agents name one.
        address: Where to listen; port 0 takes a free one, see the attribute ``address``.
        max_sessions: Most agents at a time. None: 64, or 1 for an instance, which cannot have more.
        token: A secret that both ends must have, with eight visible characters or more; None takes the environment
            variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long an agent whose connection was lost over a network may take to come back, in seconds;
            zero: its session ends with its connection. None: 30 s.
        tracebacks: Whether agents see the tracebacks of the environment's exceptions.
        env_kwargs: Names of the keyword arguments that agents may give the environment. Others are refused.
        handshake_timeout: How long whoever dials may take to say who it is, in seconds. And how long it keeps its place
            without asking for an environment, where others dial in vain.
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
        max_sessions: int | None = None,
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
        one = _MADE_ALREADY if self._one else None
        self._acceptor = _rlay.Acceptor(_options.address(address), "env", options.settled(), one)
        self._descriptor = _lifetime.ListeningDescriptor(self._acceptor.descriptor)
        self.address = self._acceptor.address
        _listeners.say_where(address, self.address)
        _lifetime.watch(self)

    def run(self) -> None:
        """Serve until `close` or Ctrl-C. Where there is one session at a time that is on this very thread.

        A backend that serves already, or was closed, raises.
        """
        super().run()

    def _claim(self) -> None:
        if self._inherited:
            raise Error(
                "this backend was made before the process forked and belongs to the parent; make it in the child"
            )
        super()._claim()
        # Agents that dial once start() has returned are let in, whenever its thread begins.
        self._acceptor.set_ready()

    def _serve_all(self) -> None:
        if self._max_sessions == 1:
            # This thread has no time for it.
            self._threads.start(self._log_all_notices)
        while not self._stop.is_set():
            try:
                session = self._acceptor.next(1.0)
            except Timeout:
                self._log(self._acceptor.notices())
                continue
            self._log(self._acceptor.notices())
            if session is None:
                return
            if self._max_sessions == 1:
                self._serve(session, self._make)
            else:
                self._threads.start(self._serve, session, self._make)

    def _log_all_notices(self) -> None:
        while (notices := self._acceptor.next_notices()) is not None:
            self._log(notices)

    def _log(self, notices: list[str]) -> None:
        for notice in notices:
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
    ``max_sessions``. So an agent that opens several environments gets them. Where sessions end before their first
    step, because the environment cannot be made or the agent does not want it, the next one dials after a pause of
    20 ms, which doubles each time up to 5 s. The log says why.

    Each environment is made, stepped, rendered and closed on one thread. That is the one that calls `run` where
    there is one session at a time (an instance, or ``max_sessions=1``); else each session has a thread of its own.

    Args:
        env: As for `ServerBackend`. For the poll form (`turn` and `reply`) any object with
            ``observation_space`` and ``action_space`` will do.
        address: Where the `ServerEnv` listens; None takes the environment variable ``RLAY_ADDRESS``, which whoever
            launches this program sets (see `launch`), and with it ``RLAY_TOKEN``.
        max_sessions: Most sessions at a time. None: 64, or 1 for an instance, which cannot have more.
        connect_timeout: How long to try again while nobody listens. `turn` waits as long as it takes.
        token: A secret that both ends must have, with eight visible characters or more; None takes the environment
            variable ``RLAY_TOKEN``, if set.
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
        max_sessions: int | None = None,
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
        self._is_dialing = False
        # Whether an agent has let it in.
        self._was_there = False
        self._changed = threading.Condition()
        self._poll: _rlay.Poll | None = None
        self._frame_due = False

    def run(self) -> None:
        """Serve until `close` or Ctrl-C, or until nobody has listened for ``connect_timeout`` and no session is left.

        The latter raises `ConnectionLost`, unless a session has played before. Where there is one session at a time
        it is served on this very thread. A backend that serves already, or was closed, raises.

        In a program that an agent launched, which dials what ``RLAY_ADDRESS`` says, it returns as soon as the agent has
        closed the environment, so that what follows it is done before the program ends.
        """
        super().run()

    def _claim(self) -> None:
        if self._poll is not None and not self._stop.is_set():
            raise Error(
                "turn() plays this environment already; do without run(), start() and with, or make another one"
            )
        super()._claim()

    def _serve_all(self) -> None:
        while not self._stop.is_set():
            dialed = time.monotonic()
            try:
                session = self._dial()
            except (ConnectionLost, Busy, ResourceExhausted) as error:
                self._wait(lambda: self._active == 0)
                if self._stop.is_set():
                    return
                if not self._history.has_played():
                    raise
                logger.info("%s: the agent left, and no other came: %s", self.address, error)
                return
            if session is None:
                self._wait(lambda: self._active == 0)
                return
            self._was_there = True
            if self._max_sessions == 1:
                self._serve(session, self._make)
            else:
                taken = threading.Event()
                self._threads.start(self._serve_spare, session, taken)
                self._wait_for_next(taken)
            self._pause(dialed)

    def _dial(self) -> _rlay.Session | None:
        self._is_dialing = True
        try:
            self._tell_wait()
            return _rlay.dial(self.address, "env", self._options, self._stop, self._was_there)
        finally:
            self._is_dialing = False

    def _tell_wait(self) -> None:
        """Say that the last agent has left and another one is looked for, if that is so."""
        is_alone = self._is_dialing and self._active == 0 and not self._stop.is_set()
        if is_alone and self.address != os.environ.get("RLAY_ADDRESS") and self._history.take_played():
            patience = self._options.connect_timeout
            logger.info("%s: the agent left; waiting %g s for another", self.address, patience)

    def _serve_spare(self, session: _rlay.Session, taken: threading.Event) -> None:
        def make(render_mode: str | None, env_id: str | None, kwargs: dict[str, Any]) -> _hosting.Described:
            try:
                return self._make(render_mode, env_id, kwargs)
            finally:
                # Not before: an agent that waits long for an environment asks the next session in its queue, which must
                # not be the spare one of the same program.
                with self._changed:
                    if not taken.is_set():
                        self._active += 1
                        taken.set()
                        self._changed.notify_all()

        try:
            self._serve(session, make)
        finally:
            with self._changed:
                if taken.is_set():
                    self._active -= 1
                taken.set()
                self._changed.notify_all()
            self._tell_wait()

    def _wait_for_next(self, taken: threading.Event) -> None:
        """Wait until the spare session is taken and there is room for one more."""
        self._wait(lambda: taken.is_set() and self._active < self._max_sessions)

    def _pause(self, dialed: float) -> None:
        """Wait until it is time to dial again. A session that begins to play ends the pause."""
        with self._changed:
            while not self._stop.is_set():
                left = dialed + self._history.pace() - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(_SLICE, left))

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait until the sessions are as wanted, or for `close`."""
        with self._changed:
            while not (ready() or self._stop.is_set()):
                # A signal that comes just before a wait, or to another thread, does not end that; the next look does.
                self._changed.wait(_SLICE)

    def turn(self, timeout: float = 0.0) -> Reset | Step | Render | Close | None:
        """Return what the agent wants, waiting at most ``timeout`` seconds, or None if nothing yet.

        This is the poll form, for an engine's own loop. With ``timeout=0`` it waits for nothing, and dialing goes on
        in the background for as long as nobody listens; only an answer whose connection was lost is sent again first,
        which takes as long as the network does. Every `Reset` and `Step` is answered with `reply`. After a `Close`, in
        a program that an agent launched, it raises `Closed`: the agent wants no other environment, and the program may
        end.
        """
        turn = (self._poll or self._begin_to_poll()).turn(timeout)
        if turn is None:
            return None
        kind, first, second = turn
        self._frame_due = kind == "render"
        if kind == "reset":
            return Reset(first, second)
        if kind == "step":
            return Step(first)
        return Render() if kind == "render" else Close(first)

    def _begin_to_poll(self) -> _rlay.Poll:
        with self._claiming:
            if self._poll is not None:
                return self._poll
            if any(self._offers):
                raise Error("turn() plays one environment as it is; give one alone, and no env_kwargs")
            if self._is_claimed:
                raise Error("the backend serves already; call turn() without run(), start() and with")
            described = self._make(None, None, {})
            # Nobody but the engine draws, and a mode that it has not declared is none that it expects.
            if _hosting.render_modes(described[5]) is None:
                described[5]["render_modes"] = []
            self._poll = _rlay.Poll(described, self.address, self._options, self._stop)
            self._is_claimed = True
            return self._poll

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

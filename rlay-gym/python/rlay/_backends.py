"""ServerBackend and ClientBackend: the hosts of environments."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from rlay import _attributes, _hosting, _lifetime, _listeners, _options, _rlay, _vectorization
from rlay._log import logger
from rlay._options import HostOptions, Options
from rlay._threads import CLOSE_TIME, Threads
from rlay.errors import Error


@dataclass(frozen=True)
class Reset:
    """The agent asks for an episode; reply with its first observation."""

    seed: int | None
    options: dict[str, Any] | None
    slot: int = 0
    """Which of the engine's environments it is about; 0 where there is one."""


@dataclass(frozen=True)
class Step:
    """The agent takes an action; reply with its result."""

    action: Any
    slot: int = 0
    """As for `Reset`."""


@dataclass(frozen=True)
class Render:
    """The agent asks for a frame; reply with it as the observation."""

    slot: int = 0
    """As for `Reset`."""


@dataclass(frozen=True)
class Close:
    """The agent is gone; the next turn belongs to another."""

    reason: str


_MADE_ALREADY = (
    "this host serves one environment, which was made already, and another agent has it; try again later, or give the "
    "host a function that makes environments, to serve several agents at a time"
)


class _Backend:
    """The common base of both backends: threads, start, close."""

    address: str
    _pool: _rlay.SessionPool
    _inherited = False

    def __init__(
        self,
        env: _hosting.Source,
        env_kwargs: Collection[str],
        max_sessions: int | None,
        max_slots: int,
        tracebacks: bool,
        vectorization: str | None,
        attributes: Collection[str],
    ) -> None:
        _hosting.check(env, env_kwargs)
        self._attributes = _attributes.checked(attributes)
        self._title = _hosting.title(env)
        self._env_ids, self._env_kwargs = _hosting.offered(env), list(env_kwargs)
        self._make = _hosting.maker(env, _vectorization.check(vectorization, env))
        self._one = _hosting.is_instance(env)
        if max_sessions is None:
            max_sessions = 1 if self._one else 64
        self._max_sessions = _options.count("max_sessions", max_sessions, 1, "how many sessions there may be at a time")
        if self._one and self._max_sessions > 1:
            raise ValueError(
                f"max_sessions={max_sessions!r}: an environment that is made already serves one agent at a time; "
                "give a function that makes environments, or leave max_sessions out"
            )
        self._tracebacks = tracebacks
        self._max_slots = _options.count("max_slots", max_slots, 1, "how many environments an agent may ask for")
        self._begin()

    def _begin(self) -> None:
        self._threads = Threads("rlay-session")
        # When the backend was asked to end.
        self._asked: float | None = None

    def _host_options(self, options: Options) -> HostOptions:
        return HostOptions(
            options, self._tracebacks, self._max_slots, self._env_ids, self._env_kwargs, self._attributes
        )

    def run(self) -> None:
        self._claim()
        try:
            self._serve_all()
        except KeyboardInterrupt:
            self.close()
        finally:
            self._pool.release()

    def __repr__(self) -> str:
        """Return the address, the hosted environment and the state."""
        told = vars(self)
        if "address" not in told:
            return f"<{type(self).__name__}, not made>"
        if self._inherited:
            state = "of the parent process"
        elif self._pool.is_closed():
            state = "closed"
        else:
            state = "serving" if self._is_serving() else "not started"
        return f"<{type(self).__name__}<{self._title}> {self.address}, {state}>"

    def start(self) -> Self:
        """Serve in daemon threads and return this backend.

        The threads serve until `close` or the end of the process, whether or not a reference to the backend is kept.
        A backend that serves already, or was closed, raises.
        """
        self._claim()
        self._threads.start(self._run_quietly)
        return self

    def _claim(self) -> None:
        """Begin to serve; raise if the backend serves already."""
        self._pool.claim()

    def _is_serving(self) -> bool:
        return self._pool.is_serving()

    def _serve_all(self) -> None:
        while (session := self._pool.next()) is not None:
            if self._max_sessions == 1:
                session.serve(self._make)
            else:
                self._threads.start(session.serve, self._make)

    def close(self) -> None:
        """Admit no further agent, end every session and close every environment that is not in a call.

        Takes two seconds at most.
        """
        if self._inherited:
            return
        self._begin_to_close()
        # Another thread may have closed the backend meanwhile.
        asked, self._asked = self._asked or time.monotonic(), None
        self._threads.join(asked)
        self._pool.wait_for_end(max(0.0, asked + CLOSE_TIME - time.monotonic()))

    def _begin_to_close(self) -> None:
        """Begin to close."""
        self._asked = self._asked or time.monotonic()
        self._pool.close()

    def __enter__(self) -> Self:
        """Serve in daemon threads, unless the backend serves already."""
        return self if self._is_serving() else self.start()

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def _run_quietly(self) -> None:
        try:
            self._serve_all()
        except Error as error:
            logger.error("%s: %s", self.address, error)
        finally:
            self._pool.release()


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
        max_slots: Most environments that the agent of one session may ask for, as a `ClientVectorEnv` does.
        token: A secret that both ends must have, with eight visible characters or more; None takes the environment
            variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long an agent may take to reconnect after its connection over a network was lost, in
            seconds; zero: its session ends with its connection. None: 30 s.
        liveness: Within how long a peer that has vanished without a word is noticed, in seconds, from 1 to 86400.
        notice_after: How long a wait for an agent's request lasts before it is mentioned in the log, in seconds; an
            agent that is not there is mentioned after a tenth of it. Less than a second counts as a second.
        tracebacks: Whether agents see the tracebacks of the environment's exceptions.
        env_kwargs: Names of the keyword arguments that agents may give the environment. Others are refused.
        vectorization: How several environments of an id or a function are made, by Gymnasium's ``VectorizeMode`` or its
            value: ``"sync"``, one after another on one thread; ``"async"``, each in a process of its own by Gymnasium's
            ``AsyncVectorEnv`` (``max_slots`` bounds how many; where one has failed, the agent makes new ones); or
            ``"vector_entry_point"``, as one vector, where the id has that. None: ``"sync"``, which
            returns what ``SyncVectorEnv`` does, unless an id has nothing but a vector.
        attributes: Names of the environment's attributes and methods that agents may get, set and call, such as
            ``["gravity", "action_masks"]``. Others are refused.
        handshake_timeout: How long a dialer may take to identify itself, in seconds. Also how long a dialer keeps its
            permit without asking for an environment, where others dial in vain.
        max_handshakes: Most such dialers at a time; when there are more, the oldest is dropped.

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
        max_slots: int = 1024,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        liveness: float = 18.0,
        notice_after: float = 10.0,
        tracebacks: bool = True,
        env_kwargs: Collection[str] = (),
        vectorization: str | None = None,
        attributes: Collection[str] = (),
        handshake_timeout: float = 5.0,
        max_handshakes: int = 64,
    ) -> None:
        """Listen."""
        super().__init__(env, env_kwargs, max_sessions, max_slots, tracebacks, vectorization, attributes)
        options = Options(
            token=token,
            max_frame=max_frame,
            reconnect_timeout=reconnect_timeout,
            liveness=liveness,
            notice_after=notice_after,
            max_sessions=self._max_sessions,
            handshake_timeout=handshake_timeout,
            max_handshakes=max_handshakes,
        )
        full = _MADE_ALREADY if self._one else None
        self._pool = _rlay.SessionPool.listen(_options.address(address), self._host_options(options.settled()), full)
        self._descriptor = _lifetime.ListeningDescriptor(self._pool.descriptor)
        self.address = self._pool.address
        _listeners.say_where(address, self.address)
        _lifetime.watch(self)

    def run(self) -> None:
        """Serve until `close` or Ctrl-C; on the calling thread, where there is one session at a time.

        A backend that serves already, or was closed, raises.
        """
        super().run()

    def _claim(self) -> None:
        if self._inherited:
            raise Error(
                "this backend was made before the process forked and belongs to the parent; make it in the child"
            )
        super()._claim()

    def _serve_all(self) -> None:
        if self._max_sessions == 1:
            # This thread is busy with the session.
            self._threads.start(self._log_all_notices)
        super()._serve_all()

    def _log_all_notices(self) -> None:
        while (notices := self._pool.next_notices()) is not None:
            for notice in notices:
                logger.warning("%s: %s", self.address, notice)

    def _abandon(self) -> None:
        self._inherited = True
        self._pool.abandon()
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
            ``observation_space`` and ``action_space`` will do. An engine with many environments is a
            ``gymnasium.vector.VectorEnv`` of which only ``num_envs``, ``single_observation_space`` and
            ``single_action_space`` are looked at.
        address: Where the `ServerEnv` listens; None takes the environment variable ``RLAY_ADDRESS``, which the
            launcher of this program sets (see `launch`), together with ``RLAY_TOKEN``.
        max_sessions: Most sessions at a time. None: 64, or 1 for an instance, which cannot have more.
        max_slots: Most environments that the agent of one session may ask for, as a `ClientVectorEnv` does.
        connect_timeout: How long to redial while the address has no listener. `turn` waits as long as it takes.
        token: A secret that both ends must have, with eight visible characters or more; None takes the environment
            variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long an agent may take to reconnect after its connection over a network was lost, in
            seconds; zero: its session ends with its connection. None: 30 s.
        liveness: Within how long a peer that has vanished without a word is noticed, in seconds, from 1 to 86400.
        notice_after: How long a wait for an agent's request lasts before it is mentioned in the log, in seconds; an
            agent that is not there is mentioned after a tenth of it. Less than a second counts as a second.
        tracebacks: Whether agents see the tracebacks of the environment's exceptions.
        env_kwargs: Names of the keyword arguments that agents may give the environment. Others are refused.
        vectorization: How several environments are made, as for `ServerBackend`.
        attributes: Names of the environment's attributes and methods that agents may get, set and call, such as
            ``["gravity", "action_masks"]``. Others are refused.

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
        max_slots: int = 1024,
        connect_timeout: float = 60.0,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        liveness: float = 18.0,
        notice_after: float = 10.0,
        tracebacks: bool = True,
        env_kwargs: Collection[str] = (),
        vectorization: str | None = None,
        attributes: Collection[str] = (),
    ) -> None:
        """Keep what to host and where; nothing is dialed yet."""
        super().__init__(env, env_kwargs, max_sessions, max_slots, tracebacks, vectorization, attributes)
        options = Options(
            token=token,
            max_frame=max_frame,
            reconnect_timeout=reconnect_timeout,
            liveness=liveness,
            notice_after=notice_after,
            connect_timeout=connect_timeout,
            max_sessions=self._max_sessions,
        )
        self._options = options.settled()
        address = address if address is not None else os.environ.get("RLAY_ADDRESS")
        if not _options.address("" if address is None else address):
            raise Error("where to dial? give an address, or start this program by rlay.launch, which says where")
        assert address is not None, "an empty one, see above"
        self._dial(address)
        self.address = address
        _lifetime.watch(self)

    def _dial(self, address: str) -> None:
        """Begin with no session."""
        self._pool = _rlay.SessionPool.dial(address, self._host_options(self._options))
        self._polling = threading.RLock()
        self._poll: _rlay.Poll | None = None
        self._frames_due: set[int] = set()

    def run(self) -> None:
        """Serve until `close` or Ctrl-C, or until no listener was found for ``connect_timeout`` and no session is left.

        The latter raises `ConnectionLost`, unless a session has played before. Where there is one session at a time,
        that session is served on the calling thread. A backend that serves already, or was closed, raises.

        In a program that an agent launched, which dials what ``RLAY_ADDRESS`` says, it returns as soon as the agent has
        closed the environment, so that what follows it is done before the program ends.
        """
        super().run()

    def _claim(self) -> None:
        if self._poll is not None and not self._pool.is_closed():
            raise Error(
                "turn() plays this environment already; do without run(), start() and with, or make another one"
            )
        super()._claim()

    def _is_serving(self) -> bool:
        return self._poll is not None or super()._is_serving()

    def turn(self, timeout: float = 0.0) -> Reset | Step | Render | Close | None:
        """Return what the agent wants, waiting at most ``timeout`` seconds, or None if nothing yet.

        This is the poll form, for an engine's own loop. With ``timeout=0`` `turn` never blocks, and dialing continues
        in the background for as long as the address has no listener; only an answer that was lost with its connection
        is sent again first, which takes as long as the network does. Every `Reset` and `Step` is answered with
        `reply`. What agents ask of ``attributes`` is answered within `turn`, by the environment that was given. After a
        `Close`, in a program that an agent launched, `turn` raises `Closed`: the agent wants no other environment, and
        the program may end.

        An engine with many environments has a turn for each, with its ``slot``. What an agent asks of all of them at
        once comes without a pause, one turn after another; the replies may come in any order, whenever the engine
        likes, and go out together with the last. When an episode has ended, the agent asks for the next one by a
        `Reset` of that slot. Where every slot is to be replied to first, `turn` raises. `Close` is about all of them:
        nothing is to be replied to any more.
        """
        turn = self._next_turn(timeout)
        if turn is None:
            return None
        kind, first, second, slot = turn
        if kind == "reset":
            return Reset(first, second, slot)
        if kind == "step":
            return Step(first, slot)
        if kind == "render":
            self._frames_due.add(slot)
            return Render(slot)
        self._frames_due.clear()
        return Close(first)

    def _next_turn(self, timeout: float) -> tuple[str, Any, Any, int] | None:
        """Return the next request that is for the engine; attributes are of the environment that was given."""
        poll = self._poll or self._begin_to_poll()
        if not self._attributes:
            return poll.turn(timeout)
        end = time.monotonic() + timeout
        while (turn := poll.turn(max(0.0, end - time.monotonic()))) is not None and turn[0] == "attribute":
            _, (name, how), (values, kwargs), slot = turn
            access = functools.partial(_attributes.access, self._polled, name, how, values, kwargs)
            poll.reply_attribute(slot, name, access)
            if time.monotonic() >= end:
                return None
        return turn

    def _begin_to_poll(self) -> _rlay.Poll:
        with self._polling:
            if self._poll is not None:
                return self._poll
            if self._env_ids or self._env_kwargs:
                raise Error("turn() plays one environment as it is; give one alone, and no env_kwargs")
            if self._pool.is_serving():
                raise Error("the backend serves already; call turn() without run(), start() and with")
            described = self._make(None, None, {}, 1)
            # Only the engine draws, and an engine does not expect a mode that it has not declared.
            if _hosting.render_modes(described[5]) is None:
                described[5]["render_modes"] = []
            self._polled = described[0]
            self._poll = _rlay.Poll(described, self._pool)
            return self._poll

    def reply(
        self,
        observation: Any,
        reward: float = 0.0,
        terminated: bool = False,
        truncated: bool = False,
        info: dict[str, Any] | None = None,
        *,
        slot: int = 0,
    ) -> None:
        """Answer the last `turn`; a `Reset` wants only ``observation`` and ``info``, a `Render` only the former.

        ``slot`` says which of many environments the reply is about, as the turn did.

        Raises TypeError for what an environment may not return, such as an ``info`` that is no dict. Nothing is sent
        then, and another answer may follow.
        """
        if self._poll is None:
            raise Error("there is nothing to reply to; call turn() first")
        if slot in self._frames_due:
            self._poll.reply_frame(slot, observation)
            self._frames_due.discard(slot)
        else:
            self._poll.reply(slot, observation, reward, terminated, truncated, {} if info is None else info)

    def close(self) -> None:
        """End every session and close every environment that is not in a call, within two seconds."""
        super().close()
        if self._poll is not None:
            self._poll.close()

    def _abandon(self) -> None:
        # Only the sessions belong to the parent; the backend may serve from the child, too.
        if self._poll is not None:
            self._poll.abandon()
        self._begin()
        self._dial(self.address)
        _lifetime.watch(self)

"""ClientVectorEnv, ServerVectorEnv and what `join` makes of them: remote environments that step at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rlay import _listeners, _options, _rlay
from rlay._options import Options
from rlay._remote_env import OnLoss
from rlay._remote_vector_env import RemoteVectorEnv
from rlay.errors import Closed


class ClientVectorEnv(RemoteVectorEnv):
    """Environments that a server hosts, in one session: the agent dials. All of them step in one round trip.

    It returns what `gymnasium.vector.SyncVectorEnv` would over the same environments. Results are fresh arrays, unless
    ``copy`` says otherwise.

    Args:
        address: Where the `ServerBackend` listens, such as ``tcp://127.0.0.1:5005``, or a command, as for `ClientEnv`.
        num_envs: How many environments the host is to make; None: as many as it has.
        autoreset_mode: When the next episode of an environment begins, as Gymnasium's enum ``AutoresetMode`` or its
            value: ``"NextStep"`` with the step after the one that ended an episode, ``"SameStep"`` with that one, and
            ``"Disabled"`` with ``reset(options={"reset_mask": ...})`` alone.
        render_mode: One of the modes that the remote environments declare.
        timeout: Bounds one reset, step, render or attribute, in seconds. None: as long as the peer is alive.
        connect_timeout: As for `ClientEnv`, and so are the others.
        token: A secret that both ends must have.
        max_frame: Longest frame in bytes: room for the observations or actions of all environments at once.
        reconnect_timeout: How long a call waits for a connection that was lost over a network, in seconds.
        liveness: Within how long a peer that has vanished without a word is noticed, in seconds.
        notice_after: After how long a wait is mentioned in the log, in seconds.
        on_loss: What to do about a host that vanished for good; see `ServerVectorEnv`.
        copy: Whether observations are fresh arrays, which are yours to write to. False saves a copy of all images: they
            are read-only views of the memory in which they arrived, which changes no more for as long as you hold one.
        env_id: Which environment, where the host has several.
        env_kwargs: Keyword arguments for each environment, as far as the host allows them.
        log: For a command: the file to which what it prints is added.
        restarts: For a command: how often `reset` may start it again after it has ended.
        close_timeout: For a command: how long it has to end after its environments were closed, in seconds.

    Example:
        >>> import rlay
        >>> host = rlay.ServerBackend("CartPole-v1").start()
        >>> envs = rlay.ClientVectorEnv(host.address, num_envs=3)
        >>> observations, infos = envs.reset(seed=7)
        >>> observations.shape, envs.step(envs.action_space.sample())[1]
        ((3, 4), array([1., 1., 1.]))
        >>> envs.close()
        >>> host.close()
    """

    def __init__(
        self,
        address: str,
        num_envs: int | None = None,
        *,
        autoreset_mode: str | Any = "NextStep",
        render_mode: str | None = None,
        timeout: float | None = None,
        connect_timeout: float = 10.0,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        liveness: float = 18.0,
        notice_after: float = 10.0,
        on_loss: OnLoss = "raise",
        copy: bool = True,
        env_id: str | None = None,
        env_kwargs: dict[str, Any] | None = None,
        log: str | os.PathLike[str] | None = None,
        restarts: int = 0,
        close_timeout: float = 10.0,
    ) -> None:
        """Connect and make the environments."""
        options = Options(
            token=token,
            max_frame=max_frame,
            reconnect_timeout=reconnect_timeout,
            liveness=liveness,
            notice_after=notice_after,
            connect_timeout=connect_timeout,
            close_timeout=close_timeout,
        )
        super().__init__(
            address,
            num_envs,
            options,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
            timeout=timeout,
            on_loss=on_loss,
            copy=copy,
            env_id=env_id,
            env_kwargs=env_kwargs,
            log=log,
            restarts=restarts,
        )
        self._open()

    def _connect(self) -> _rlay.RawVectorEnv:
        mode = self.autoreset_mode.value
        return _rlay.RawVectorEnv.connect(self.address, self._agent_options, self._slots, mode)

    def _arguments(self) -> dict[str, Any]:
        own = {"log": self._agent_options.log, "restarts": self._agent_options.restarts}
        return {**super()._arguments(), **own, "close_timeout": self._options.close_timeout}


class ServerVectorEnv(RemoteVectorEnv):
    """Environments that are clients and dial in, such as sixteen copies of a game on any machines: the agent listens.

    The constructor listens and returns; spaces, ``metadata`` and ``reset()`` wait for the environments, at most
    ``connect_timeout``. Each that dials in takes the next slot, or as many as it has environments of its own. One with
    other spaces than the first is refused alone, and both ends learn which leaf differs.

    Args:
        address: Where to listen; port 0 takes a free one, see the attribute ``address``.
        num_envs: How many environments to wait for.
        min_ready: How many are enough to begin with; the others are taken when they come, and until then the
            environments that are missing are ``vacant``, see ``on_loss``. None: all of them.
        autoreset_mode: As for `ClientVectorEnv`.
        render_mode: One of the modes that the remote environments declare.
        timeout: Bounds one reset, step, render or attribute, in seconds. None: as long as the peers are alive. Where
            lost environments are replaced, one that does not answer in time is lost.
        connect_timeout: How long to wait for the environments, in seconds; ``math.inf`` waits for ever.
        token: A secret that both ends must have.
        max_frame: Longest frame in bytes.
        reconnect_timeout: How long a call waits for a connection that was lost over a network, in seconds.
        liveness: Within how long a peer that has vanished without a word is noticed, in seconds.
        notice_after: After how long a wait is mentioned in the log, in seconds.
        on_loss: What to do about an environment that vanished for good. ``"raise"``: this call and every later one
            raise `ConnectionLost`. ``"replace"``: the next that dials in takes its place. Meanwhile its slot is vacant:
            its rows repeat the last observation with a reward of 0.0, ``infos["vacant"]`` says so, and in the first of
            them ``infos["lost"]`` says why; then comes a row with the first observation of the other environment.
            ``"truncate"``: the same, but these rows say truncated, so that a learner which knows Gymnasium's autoreset
            takes no transition from one environment to another for a step.
        copy: As for `ClientVectorEnv`.
        env_id: Which environment, where clients have several.
        env_kwargs: Keyword arguments for each environment, as far as its host allows them.
        max_sessions: Most environments that may be connected, those that wait for a place included.
        handshake_timeout: How long a dialer may take to identify itself, in seconds.
        max_handshakes: Most handshakes under way at a time.

    Example:
        >>> import rlay
        >>> envs = rlay.ServerVectorEnv(num_envs=2)
        >>> games = [rlay.ClientBackend("FrozenLake-v1", envs.address).start() for _ in range(2)]
        >>> envs.reset(seed=1)[0]
        array([0, 0])
        >>> envs.close()
        >>> for game in games:
        ...     game.close()
    """

    _listener: _listeners.Listener | None = None

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:0",
        num_envs: int = 1,
        *,
        min_ready: int | None = None,
        autoreset_mode: str | Any = "NextStep",
        render_mode: str | None = None,
        timeout: float | None = None,
        connect_timeout: float = 60.0,
        token: str | None = None,
        max_frame: int | None = None,
        reconnect_timeout: float | None = None,
        liveness: float = 18.0,
        notice_after: float = 10.0,
        on_loss: OnLoss = "raise",
        copy: bool = True,
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
            liveness=liveness,
            notice_after=notice_after,
            connect_timeout=connect_timeout,
            max_sessions=max_sessions,
            handshake_timeout=handshake_timeout,
            max_handshakes=max_handshakes,
        )
        super().__init__(
            address,
            num_envs,
            options,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
            timeout=timeout,
            on_loss=on_loss,
            copy=copy,
            env_id=env_id,
            env_kwargs=env_kwargs,
        )
        self.num_envs = num_envs
        what = "how many environments are enough to begin with"
        self._min_ready = num_envs if min_ready is None else _options.count("min_ready", min_ready, 1, what)
        if self._min_ready > num_envs:
            raise ValueError(
                f"min_ready={min_ready}: there are num_envs={num_envs} environments; give {num_envs} or less"
            )
        # Last, for nothing would release the port if a later step raised.
        self._listener = _listeners.take(address, options.settled(), self)
        self.address, self._again = self._listener.address, self._listener.again

    def _connect(self) -> _rlay.RawVectorEnv:
        raw = None
        if self._listener is not None:
            mode = self.autoreset_mode.value
            raw = self._listener.acceptor.take_several(self._agent_options, self._slots, self._min_ready, mode)
        if raw is None:
            raise Closed("the environments were closed; make new ones")
        return raw

    def close_extras(self, **kwargs: Any) -> None:
        """End the sessions and stop listening, unless other endpoints of this process use the same address."""
        try:
            super().close_extras(**kwargs)
        finally:
            if self.closed:
                listener, self._listener = self._listener, None
                if listener is not None:
                    _listeners.give_back(listener, self)

    def _abandon(self) -> None:
        super()._abandon()
        self._listener = None

    def _address_again(self) -> str:
        return self._again

    def _arguments(self) -> dict[str, Any]:
        bounds = ("max_sessions", "handshake_timeout", "max_handshakes")
        own = {name: getattr(self._options, name) for name in bounds}
        return {**super()._arguments(), **own, "min_ready": self._min_ready}


class JoinedVectorEnv(RemoteVectorEnv):
    """What `join` makes of several."""

    def __init__(self, parts: list[RemoteVectorEnv]) -> None:
        """Take over the environments of the parts."""
        first = parts[0]
        super().__init__(
            ", ".join(part.address for part in parts),
            None,
            Options(),
            autoreset_mode=first.autoreset_mode,
            render_mode=first.render_mode,
            timeout=first.timeout,
            on_loss=first.on_loss,
            copy=first.copy,
            env_id=None,
            env_kwargs=None,
        )
        self._parts = parts
        self._open()

    def _connect(self) -> _rlay.RawVectorEnv:
        return _rlay.RawVectorEnv.join([part._open() for part in self._parts])

    def close_extras(self, **kwargs: Any) -> None:
        """End all sessions; listeners stop."""
        try:
            super().close_extras(**kwargs)
        finally:
            for part in self._parts if self.closed else ():
                part.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the parts, each of which is a new session."""
        return join, (self._parts,), super().__reduce__()[2]


def join(envs: Sequence[RemoteVectorEnv]) -> RemoteVectorEnv:
    """Return one vector of the environments of several, in their order: of hosts anywhere, and of games that dial in.

    All have the same spaces, ``autoreset_mode`` and ``on_loss``; ``timeout`` and ``copy`` are those of the first. The
    parts are not to be used after that. They may be over different transports, and step side by side.

    Example:
        >>> import rlay
        >>> host = rlay.ServerBackend("FrozenLake-v1").start()
        >>> near, arena = rlay.ClientVectorEnv(host.address, num_envs=2), rlay.ServerVectorEnv(num_envs=1)
        >>> game = rlay.ClientBackend("FrozenLake-v1", arena.address).start()
        >>> envs = rlay.join([near, arena])
        >>> envs.reset(seed=1)[0]
        array([0, 0, 0])
        >>> envs.close()
        >>> game.close()
        >>> host.close()
    """
    parts = list(envs)
    if not parts or not all(isinstance(part, RemoteVectorEnv) for part in parts):
        raise TypeError(f"{_options.shown('envs', envs)}: give ClientVectorEnvs and ServerVectorEnvs, one at least")
    return JoinedVectorEnv(parts)

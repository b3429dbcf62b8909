"""ClientEnv and ServerEnv: the agent's environments. Each is a ``gymnasium.Env`` like any other."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import Any

from typing_extensions import TypedDict, Unpack

from rlay import _listeners, _options, _rlay
from rlay._options import Options
from rlay._remote_env import Contract, OnLoss, RemoteEnv
from rlay.errors import Closed


class ClientEnv(RemoteEnv):
    """A remote environment hosted by a server: the agent dials.

    Args:
        address: Where the `ServerBackend` listens, such as ``tcp://127.0.0.1:5005``. Or a command, such as
            ``exec:./game --headless``: see `launch`. It is split as a shell would, but no shell sees it.
        render_mode: One of the modes that the remote environment declares.
        timeout: Bounds one reset, step, render or attribute, in seconds. None: as long as the peer is alive.
        connect_timeout: How long to redial while the address has no listener, and to wait until the environment is
            made, in seconds in all; ``math.inf`` waits for ever.
        token: A secret that both ends must have, with eight visible characters or more; None takes the environment
            variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long a call waits for a connection that was lost over a network, in seconds; zero: the
            session ends with its connection. None: 2 s. A longer outage must be allowed for at both ends.
        liveness: Within how long a peer that has vanished without a word is noticed, in seconds, from 1 to 86400.
        notice_after: How long a wait for an answer lasts before it is mentioned in the log, in seconds; an environment
            that is not there is mentioned after a tenth of it. Less than a second counts as a second.
        contract: What to do about an environment that breaks its own contract: ``"strict"`` raises, ``"warn"`` logs a
            warning for the first results, ``"off"`` does nothing.
        on_loss: What to do about an environment that vanished for good. ``"raise"``: this call and every later one
            raise `ConnectionLost`. ``"replace"``: the call raises, and `reset` continues with another environment,
            made as this one was. ``"truncate"``: the same, but `step` does not raise and ends the episode: the last
            observation once more, reward 0.0, truncated, and ``info["lost"]`` says why.
        env_id: Which environment, where the host has several.
        env_kwargs: Keyword arguments for the environment, as far as the host allows them.
        log: For a command: the file to which what it prints is added, one of this user's own or a device; by default a
            new one in a new folder among the temporary files, which is removed after an end in good order unless an
            error has named it. The attribute ``log`` says where it lies.
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

    _registered = ("ClientEnv-v0", "rlay:make_client_env")

    log: str | None = None

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
        liveness: float = 18.0,
        notice_after: float = 10.0,
        contract: Contract = "warn",
        on_loss: OnLoss = "raise",
        env_id: str | None = None,
        env_kwargs: dict[str, Any] | None = None,
        log: str | os.PathLike[str] | None = None,
        restarts: int = 0,
        close_timeout: float = 10.0,
    ) -> None:
        """Connect and make an environment."""
        if log is not None and not isinstance(log, str | bytes | os.PathLike):
            raise TypeError(f"{_options.shown('log', log)} is a {type(log).__name__}; give the path of a file, or None")
        self._log = None if log is None else os.fsdecode(log)
        self._restarts = _options.count("restarts", restarts, 0, "how often reset() may start the program again")
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
            options,
            render_mode=render_mode,
            timeout=timeout,
            contract=contract,
            on_loss=on_loss,
            env_id=env_id,
            env_kwargs=env_kwargs,
        )
        self._connect()

    def _open(self) -> _rlay.RawEnv:
        return _rlay.RawEnv.connect(self.address, self._agent_options())

    def _learn(self, raw: _rlay.RawEnv) -> None:
        super()._learn(raw)
        if (log := raw.log()) is not None:
            self.log, self._restarts = os.fspath(log), raw.restarts()

    def _arguments(self) -> dict[str, Any]:
        own = {"log": self._log, "restarts": self._restarts, "close_timeout": self._options.close_timeout}
        return {**super()._arguments(), **own}


class LaunchArguments(TypedDict, total=False):
    """The keyword arguments of `launch`: those of `ClientEnv`."""

    render_mode: str | None
    timeout: float | None
    connect_timeout: float
    token: str | None
    max_frame: int | None
    reconnect_timeout: float | None
    liveness: float
    notice_after: float
    contract: Contract
    on_loss: OnLoss
    env_id: str | None
    env_kwargs: dict[str, Any] | None
    log: str | os.PathLike[str] | None
    restarts: int
    close_timeout: float


def launch(command: Sequence[str | os.PathLike[str]], **kwargs: Unpack[LaunchArguments]) -> ClientEnv:
    """Start a program that hosts an environment, and return that environment.

    The program finds in the environment variable ``RLAY_ADDRESS`` where to dial in, and in ``RLAY_TOKEN`` the token
    that admits this program and no other (`ClientBackend` reads both by itself): the token of ``token=`` or of this
    process's own ``RLAY_TOKEN``, otherwise a new one. If the program ends, the call under way raises `ConnectionLost`,
    which says how the program ended and what it printed last. The started process itself must stay: a script replaces
    itself by its game (``exec ./game``), for processes that a program leaves running when it ends are ended, too.

    ``close()`` tells the program to end and waits until it has: ``ClientBackend.run()`` returns there, and what follows
    it is done. After ``close_timeout`` comes SIGTERM, after five seconds more SIGKILL; Ctrl-C kills it at once. While
    this process has launched others with environments that are still open, ``close()`` returns after a quarter of a
    second, a thread waits for the end of the program, and closing the last environment waits for all programs: so the
    programs of a `SyncVectorEnv` end side by side. The end of the interpreter closes all open environments and waits
    for their programs. On Linux a program is killed when this process is.

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
    words = [] if isinstance(command, str | bytes) or not isinstance(command, Sequence) else list(command)
    if not words or not all(isinstance(word, str | os.PathLike) for word in words):
        raise TypeError(
            f"{_options.shown('command', command)}: the command is a list of words, such as ['./game', '--headless']"
        )
    return ClientEnv("exec:" + shlex.join(os.fsdecode(word) for word in words), **kwargs)


class ServerEnv(RemoteEnv):
    """A remote environment that is a client and dials in: the agent listens.

    The constructor listens and returns; spaces, ``metadata`` and ``reset()`` wait for the first
    environment, at most ``connect_timeout``. ServerEnvs of one process with one address share one
    listener, with the bounds on sessions and handshakes that the first one gave; each takes the next
    environment that dials in.

    Args:
        address: Where to listen; port 0 takes a free one, see the attribute ``address``.
        render_mode: One of the modes that the remote environment declares.
        timeout: Bounds one reset, step, render or attribute, in seconds. None: as long as the peer is alive.
        connect_timeout: How long to wait for an environment that dials in and is made, in seconds in all; ``math.inf``
            waits for ever.
        token: A secret that both ends must have, with eight visible characters or more; None takes the environment
            variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        reconnect_timeout: How long a call waits for a connection that was lost over a network, in seconds; zero: the
            session ends with its connection. None: 2 s. A longer outage must be allowed for at both ends.
        liveness: Within how long a peer that has vanished without a word is noticed, in seconds, from 1 to 86400.
        notice_after: How long a wait for an answer lasts before it is mentioned in the log, in seconds; an environment
            that is not there is mentioned after a tenth of it. Less than a second counts as a second.
        contract: What to do about an environment that breaks its own contract: ``"strict"`` raises, ``"warn"`` logs a
            warning for the first results, ``"off"`` does nothing.
        on_loss: What to do about an environment that vanished for good. ``"raise"``: this call and every later one
            raise `ConnectionLost`. ``"replace"``: the call raises, and `reset` continues with another environment,
            the next that dials in. ``"truncate"``: the same, but `step` does not raise and ends the episode: the last
            observation once more, reward 0.0, truncated, and ``info["lost"]`` says why.
        env_id: Which environment, where the game that dials in has several.
        env_kwargs: Keyword arguments for the environment, as far as the game allows them.
        max_sessions: Most environments at a time, with those that dialed in and wait to be taken, at most 64 of them.
        handshake_timeout: How long a dialer may take to identify itself, in seconds. Also how long a dialer keeps its
            permit in the queue where others dial in vain, or may leave a request unanswered before the next dialer in
            the queue is asked, too.
        max_handshakes: Most such dialers at a time; when there are more, the oldest is dropped.

    Example:
        >>> import rlay
        >>> env = rlay.ServerEnv()
        >>> game = rlay.ClientBackend("FrozenLake-v1", env.address).start()
        >>> env.reset(seed=1)
        (0, {'prob': 1})
        >>> env.close()
        >>> game.close()
    """

    _registered = ("ServerEnv-v0", "rlay:make_server_env")
    _listener: _listeners.Listener | None = None

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
        liveness: float = 18.0,
        notice_after: float = 10.0,
        contract: Contract = "warn",
        on_loss: OnLoss = "raise",
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
        # The environment to take, if one is chosen already.
        self._session: _rlay.Session | None = None
        super().__init__(
            address,
            options,
            render_mode=render_mode,
            timeout=timeout,
            contract=contract,
            on_loss=on_loss,
            env_id=env_id,
            env_kwargs=env_kwargs,
        )
        # Last, for nothing would release the port if a later step raised.
        self._listener = _listeners.take(address, options.settled(), self)
        self.address, self._again = self._listener.address, self._listener.again

    def _open(self) -> _rlay.RawEnv:
        if self._session is not None:
            session, self._session = self._session, None
            return session.open(self._agent_options())
        listener = self._listener
        raw = None if listener is None else listener.take(self._agent_options())
        if raw is None:
            raise Closed("the environment was closed; make a new one")
        return raw

    def close(self) -> None:
        """End the session and stop listening, unless other ServerEnvs use the same address."""
        try:
            super().close()
        finally:
            listener = self._listener
            if self._closed and listener is not None:
                self._listener = None
                _listeners.give_back(listener, self)

    def _abandon(self) -> None:
        super()._abandon()
        self._listener = None

    def _address_again(self) -> str:
        return self._again

    def _arguments(self) -> dict[str, Any]:
        bounds = ("max_sessions", "handshake_timeout", "max_handshakes")
        return {**super()._arguments(), **{name: getattr(self._options, name) for name in bounds}}

"""Listeners shared by the ServerEnvs of one process that have the same address."""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import threading
import weakref

from rlay import _lifetime, _rlay
from rlay._log import logger
from rlay._options import AgentOptions, Options
from rlay.errors import AddressError, Error

_WORKERS = (
    "this is a worker process, as of AsyncVectorEnv, and several processes cannot listen at one port: hold the "
    "ServerEnvs in one process, as SyncVectorEnv does, where they share a listener, or give each worker another port"
)


class Listener:
    """A listening socket, and its users.

    The last user closes the socket. So does dropping the last reference to it: nothing else in this module keeps one.
    """

    def __init__(self, address: str, options: Options) -> None:
        """Bind ``address``."""
        try:
            self.acceptor = _rlay.Acceptor(address, options)
        except AddressError as error:
            if "in use" in str(error) and multiprocessing.parent_process() is not None:
                raise AddressError(f"{error}; {_WORKERS}") from None
            raise
        self._descriptor = _lifetime.ListeningDescriptor(self.acceptor.descriptor)
        self.options = options
        self.address = self.acceptor.address
        self.again = again(address, self.address)
        say_where(address, self.address)
        self.users: weakref.WeakSet[object] = weakref.WeakSet()

    def take(self, options: AgentOptions) -> _rlay.RawEnv | None:
        """Return the next environment that dials in and is made, None once closed; raise Timeout at the timeout."""
        return self.acceptor.take(options)

    def next(self, timeout: float | None) -> _rlay.Session | None:
        """Return the next environment that dials in, None once closed; raise Timeout at the timeout."""
        try:
            return self.acceptor.next(timeout)
        finally:
            for notice in self.acceptor.notices():
                logger.warning("%s: %s", self.address, notice)

    def _begin_to_close(self) -> None:
        """Leave the end to `close`, which never blocks."""

    def _abandon(self) -> None:
        """Leave the listener to the parent: this is a forked child."""
        self.acceptor.abandon()
        self._descriptor.close_in_child()

    def close(self) -> None:
        """Stop listening."""
        self.acceptor.close()


def again(asked: str, address: str) -> str:
    """Return the address for listening once more: as requested, with the real port.

    >>> again("tls://0.0.0.0:0?ca=ca.pem", "tls://192.0.2.7:5005?pin=sha256:0f")
    'tls://0.0.0.0:5005?ca=ca.pem'
    >>> again("unix:///tmp/rlay.sock", "unix:///tmp/rlay.sock")
    'unix:///tmp/rlay.sock'
    """
    port = address.partition("?")[0].rpartition(":")[2]
    return re.sub(r":0(\?|$)", lambda end: f":{port}{end[1]}", asked, count=1)


def say_where(asked: str, address: str) -> None:
    """Log the address to dial, where a listener listens on every interface."""
    if re.match(r"\w+://(0\.0\.0\.0|\[::\]):", asked):
        logger.info(
            "%s is every interface of this machine; other machines dial %s, or the same port at another address or "
            "name of it, such as %s",
            asked.partition("?")[0],
            address,
            socket.gethostname(),
        )


_lock = threading.Lock()
_by_address: weakref.WeakValueDictionary[str, Listener] = weakref.WeakValueDictionary()


_ALIKE = ("token", "max_frame", "reconnect_timeout", "liveness", "notice_after")
"""Options that the listener fixes for all of its sessions."""


def take(address: str, options: Options, user: object) -> Listener:
    """Return the listener for ``address``, as requested or as bound, to one more user.

    An existing listener keeps its own bounds on sessions and handshakes.
    """
    with _lock:
        listener = _by_address.get(address)
        if listener is None:
            listener = Listener(address, options)
            _by_address[listener.address] = _by_address[listener.again] = listener
            if not re.search(r":0(\?|$)", address):
                # Each request for a free port gets a port of its own.
                _by_address[address] = listener
            _lifetime.watch(listener)
        for name in _ALIKE:
            if getattr(listener.options, name) != getattr(options, name):
                raise Error(f"another ServerEnv of this process listens at {listener.address} with another {name}")
        listener.users.add(user)
        return listener


def give_back(listener: Listener, user: object) -> None:
    """Remove ``user`` from the users of ``listener``; a user that is collected is removed without this."""
    with _lock:
        listener.users.discard(user)
        if listener.users:
            return
        for address in [a for a, known in _by_address.items() if known is listener]:
            del _by_address[address]
    listener.close()


def _in_child() -> None:
    """Reset in a forked child: the listeners belong to the parent, and so does a thread that holds the lock."""
    global _lock
    _lock = threading.Lock()
    _by_address.clear()


os.register_at_fork(after_in_child=_in_child)

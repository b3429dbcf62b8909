"""Listeners shared by the ServerEnvs of one process that have the same address."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import re
import threading

from rlay import _lifetime, _rlay
from rlay._options import Options
from rlay.errors import AddressError, Error

logger = logging.getLogger("rlay")


_WORKERS = (
    "this is a worker process, as of AsyncVectorEnv, and several processes cannot listen at one port: hold the "
    "ServerEnvs in one process, as SyncVectorEnv does, where they share a listener, or give each worker another port"
)


class Listener:
    """A listening socket with a count of who uses it; the last one closes it."""

    def __init__(self, address: str, options: Options) -> None:
        """Bind ``address``."""
        try:
            self.acceptor = _rlay.Acceptor(address, "agent", options)
        except AddressError as error:
            if "in use" in str(error) and multiprocessing.parent_process() is not None:
                raise AddressError(f"{error}; {_WORKERS}") from None
            raise
        self.options = options
        self.address = self.acceptor.address
        # With the real port, and the options that were asked for: what to listen at once more.
        where, asked = self.address.partition("?")[0], address.partition("?")[2]
        self.again = f"{where}?{asked}" if asked else where
        self.users = 0

    def next(self, timeout: float | None) -> _rlay.Session | None:
        """Return the next environment that dials in, None once closed; raise Timeout at the timeout."""
        try:
            return self.acceptor.next(timeout)
        finally:
            for notice in self.acceptor.notices():
                logger.warning("%s: %s", self.address, notice)

    def _abandon(self) -> None:
        """Leave the listener to the parent: this is a forked child."""
        self.acceptor.abandon()
        if self.acceptor.descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self.acceptor.descriptor)
        _by_address.clear()

    def close(self) -> None:
        """Stop listening."""
        self.acceptor.close()


_lock = threading.Lock()
_by_address: dict[str, Listener] = {}


_ALIKE = ("token", "max_frame", "reconnect_timeout")
"""Options that the listener settles for every session, and of which none can have another."""


def take(address: str, options: Options) -> Listener:
    """Return the listener for ``address``, as it was asked for or as it turned out.

    One that is there already keeps its own bounds on sessions and handshakes.
    """
    with _lock:
        listener = _by_address.get(address)
        if listener is None:
            listener = Listener(address, options)
            _by_address[listener.address] = _by_address[listener.again] = listener
            if not re.search(r":0(\?|$)", address):
                # Whoever asks for a free port gets one of its own.
                _by_address[address] = listener
            _lifetime.watch(listener)
        for name in _ALIKE:
            if getattr(listener.options, name) != getattr(options, name):
                raise Error(f"another ServerEnv of this process listens at {listener.address} with another {name}")
        listener.users += 1
        return listener


def give_back(listener: Listener) -> None:
    """Say that one user of ``listener`` is gone."""
    with _lock:
        listener.users -= 1
        if listener.users > 0:
            return
        for address in [a for a, known in _by_address.items() if known is listener]:
            del _by_address[address]
    listener.close()

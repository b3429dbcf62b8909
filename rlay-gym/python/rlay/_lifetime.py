"""What happens to open endpoints when the process forks or ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from typing import Protocol

from rlay import _rlay


class Endpoint(Protocol):
    """An object that holds a connection or a listener."""

    def _abandon(self) -> None: ...
    def _begin_to_close(self) -> _rlay.RawEnv | None: ...  # the environment that is to be closed beside others
    def close(self) -> None: ...


class ListeningDescriptor:
    """The descriptor of a listener, which a forked child closes: the address is free once the parent has closed it.

    The system reuses the descriptor's number once the listener is closed. So the file that the number names now is
    compared with the file that it named.
    """

    def __init__(self, number: int | None) -> None:
        """Keep the number of an open descriptor; None: there is none."""
        self._number = number
        self._named = None if number is None else _what_is(number)

    def close_in_child(self) -> None:
        """Close the child's copy, unless the number names another file by now."""
        if self._number is not None and self._named is not None and _what_is(self._number) == self._named:
            os.close(self._number)


def _what_is(descriptor: int) -> tuple[int, int] | None:
    """Return the identity of an open descriptor's file or socket; None if the descriptor is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_open: weakref.WeakSet[Endpoint] = weakref.WeakSet()


def watch(endpoint: Endpoint) -> None:
    """Register ``endpoint`` for forks and exit, until it is collected."""
    _open.add(endpoint)


def _in_child() -> None:
    _rlay.forked()
    # The connections belong to the parent. A goodbye from the child would end them.
    endpoints = list(_open)
    _open.clear()
    for endpoint in endpoints:
        with contextlib.suppress(Exception):
            endpoint._abandon()


def _at_exit() -> None:
    # Each close may have to wait for a peer that does not answer, or an environment in a call: all wait side by side.
    endpoints, envs = list(_open), []
    for endpoint in endpoints:
        with contextlib.suppress(Exception, KeyboardInterrupt):
            if (env := endpoint._begin_to_close()) is not None:
                envs.append(env)
    # Ctrl-C ends the wait for one endpoint, not the goodbyes of the others.
    with contextlib.suppress(Exception, KeyboardInterrupt):
        _rlay.close_all(envs)
    for endpoint in endpoints:
        with contextlib.suppress(Exception, KeyboardInterrupt):
            endpoint.close()
    with contextlib.suppress(Exception, KeyboardInterrupt):
        _rlay.await_programs()


os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)

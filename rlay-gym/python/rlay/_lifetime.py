"""What happens to open endpoints when the process forks or ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from typing import Protocol

from rlay import _rlay


class Endpoint(Protocol):
    """Something that holds a connection or a listener."""

    def _abandon(self) -> None: ...
    def close(self) -> None: ...


_open: weakref.WeakSet[Endpoint] = weakref.WeakSet()


def watch(endpoint: Endpoint) -> None:
    """Look after ``endpoint`` until it is collected."""
    _open.add(endpoint)


def _in_child() -> None:
    _rlay.forked()
    # The connections are the parent's. A goodbye from here would end them.
    endpoints = list(_open)
    _open.clear()
    for endpoint in endpoints:
        with contextlib.suppress(Exception):
            endpoint._abandon()


def _at_exit() -> None:
    for endpoint in list(_open):
        with contextlib.suppress(Exception):
            endpoint.close()
    with contextlib.suppress(Exception):
        _rlay.await_programs()


os.register_at_fork(after_in_child=_in_child)
atexit.register(_at_exit)

"""Threads that end together with the object that started them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from rlay.errors import ResourceExhausted

CLOSE_TIME = 1.5
"""How long a close waits for threads that are in a call, in seconds."""


class Threads:
    """Daemon threads of one owner, which asks them to end and then waits for them."""

    def __init__(self, name: str) -> None:
        """Begin without threads; each will be named ``name``."""
        self._name = name
        self._known: list[threading.Thread] = []
        # A signal handler may close an owner that is just starting a thread.
        self._lock = threading.RLock()

    def start(self, target: Callable[..., None], *arguments: Any) -> None:
        """Call ``target`` on a new thread."""
        thread = threading.Thread(target=target, args=arguments, daemon=True, name=self._name)
        with self._lock:
            self._known = [known for known in self._known if known.is_alive()]
            self._known.append(thread)
            try:
                thread.start()
            except RuntimeError as error:
                raise ResourceExhausted(f"cannot start a thread: {error}") from error

    def join(self, asked: float) -> None:
        """Wait for the threads that were asked to end, for a bounded time: one may be in a call that does not end."""
        deadline = asked + CLOSE_TIME
        with self._lock:
            known = list(self._known)
        for thread in known:
            # The thread may be the current one, or one that Ctrl-C kept from starting.
            with contextlib.suppress(RuntimeError):
                thread.join(max(0.0, deadline - time.monotonic()))

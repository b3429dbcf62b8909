"""The process at the other end: hosts environments by name, driven over a pipe."""

from __future__ import annotations

import importlib
import logging
import os
import re
import threading
import warnings
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym

import rlay
from rlay import _values


def resolve(name: str | dict[str, str]) -> Any:
    """Return what is hosted under ``name``, or under each of several.

    That is an environment id (``module:Name-v0`` too), or ``module:attribute`` of a test module, or
    ``module:function:argument`` for what the function returns.
    """
    if isinstance(name, dict):
        return {key: resolve(value) for key, value in name.items()}
    if ":" not in name or re.search(r"-v\d+$", name):
        return name
    module, attribute, *arguments = name.split(":", 2)
    found = getattr(importlib.import_module(module), attribute)
    return found(*arguments) if arguments else found


_choice = ""


def chosen(render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make the environment that was chosen last, so that one backend serves many."""
    source = resolve(_choice)
    if isinstance(source, str):
        return gym.make(source, render_mode=render_mode, disable_env_checker=True)
    return source(render_mode=render_mode)


class Log(logging.Handler):
    """Keeps what was logged, and what was warned about, as lines of text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.add(f"{record.levelname}: {record.getMessage()}")

    def add(self, line: str) -> None:
        """Keep one more line."""
        assert self.lock is not None
        with self.lock:
            self.lines.append(line)

    def take(self) -> list[str]:
        """Return the lines since the last time."""
        assert self.lock is not None
        with self.lock:
            lines, self.lines = self.lines, []
        return lines


class Commands:
    """The commands of a host process."""

    def __init__(self) -> None:
        self.log = Log()
        self.backends: dict[int, Any] = {}
        # Threads that there were when each backend started.
        self._before: dict[int, set[threading.Thread]] = {}

    def serve(self, name: str | dict[str, str], **kwargs: Any) -> tuple[int, str]:
        """Start a ServerBackend and return its number and address."""
        return self._keep(rlay.ServerBackend(resolve(name), **kwargs))

    def dial(self, name: str | dict[str, str], address: str, **kwargs: Any) -> tuple[int, str]:
        """Start a ClientBackend and return its number and address."""
        return self._keep(rlay.ClientBackend(resolve(name), address, **kwargs))

    def _keep(self, backend: Any) -> tuple[int, str]:
        number = len(self.backends)
        self._before[number] = set(threading.enumerate())
        self.backends[number] = backend.start()
        return number, backend.address

    def sessions(self, number: int) -> int:
        """Return the number of sessions of the last started backend, including those that wait to be taken."""
        own = set(threading.enumerate()) - self._before[number]
        return sum(thread.name == "rlay-session" for thread in own) - 1  # One runs the backend.

    def stop(self, number: int) -> None:
        """Close a backend."""
        self.backends[number].close()

    def choose(self, name: str) -> None:
        """Set what `chosen` makes from now on."""
        global _choice
        _choice = name

    def take_log(self) -> list[str]:
        """Return what was logged since the last call, and let one-time warnings be logged again."""
        _values.forget_warnings()
        return self.log.take()

    def call(self, name: str, *args: Any) -> Any:
        """Call a function of a test module in this process."""
        return resolve(name)(*args)

    def facts(self) -> dict[str, Any]:
        """Return facts about this process."""
        return {"pid": os.getpid(), "threads": [thread.name for thread in threading.enumerate()]}


def main(pipe: Connection) -> None:
    """Run commands until the pipe is closed. Then all ends at once; orderly ends of backends are tested elsewhere."""
    commands = Commands()
    logging.getLogger("rlay").addHandler(commands.log)
    warnings.showwarning = lambda message, category, *_: commands.log.add(f"{category.__name__}: {message}")
    warnings.simplefilter("always")
    while True:
        try:
            command, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        try:
            pipe.send((True, getattr(commands, command)(*args, **kwargs)))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))

"""Options: the arguments of every endpoint, as the native module takes them, and their checks."""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import reprlib
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from rlay import _rlay

_FRAMES = range(64 << 10, 2**32 - 1)
"""What `max_frame` can be: a handshake takes 64 KiB, and the length of a frame has 32 bits."""


def shown(name: str, value: object) -> str:
    """Return an argument as error messages show it, cut to a bounded length."""
    return f"{name}={reprlib.repr(value)}"


def _number(value: object) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, bool | np.bool_)


def seconds(name: str, value: Any, without: str = "", *, least: float = 0.0, most: float = math.inf) -> Any:
    """Return ``value`` if it is a time in seconds within bounds; None is one if ``without`` says what that means."""
    if value is None and without:
        return value
    if most < math.inf:
        advice = f"give seconds as a number from {least:g} to {most:g}"
    else:
        advice = f"give seconds as a number, {least:g} or more; "
        advice += f"None: {without}" if without else "math.inf waits for ever"
    if not _number(value):
        raise TypeError(f"{shown(name, value)} is a {type(value).__name__}; {advice}")
    if not least <= float(value) <= most:
        raise ValueError(f"{shown(name, value)}: {advice}")
    return value


def whole(name: str, value: Any, what: str) -> int:
    """Return ``value`` as an int if it is a whole number."""
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{shown(name, value)} is a {type(value).__name__}; give an int: {what}")
    return operator.index(value)


def count(name: str, value: Any, least: int, what: str) -> int:
    """Return ``value`` as an int if it is a whole number from ``least`` on."""
    number = whole(name, value, what)
    if number < least:
        raise ValueError(f"{shown(name, value)}: give {what}, {least} or more")
    return number


def flag(name: str, value: Any, what: str) -> bool:
    """Return ``value`` as a bool if it is one."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{shown(name, value)} is a {type(value).__name__}; give True or False: {what}")
    return bool(value)


def choice(name: str, value: Any, choices: Collection[str]) -> Any:
    """Return ``value`` if it is one of these."""
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        raise ValueError(f"{shown(name, value)}: it is {', '.join(others)} or {last}")
    return value


def text(name: str, value: Any, such_as: str) -> Any:
    """Return ``value`` if it is a str or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{shown(name, value)} is a {type(value).__name__}; give a str such as {such_as!r}, or None")
    return value


def address(value: Any) -> str:
    """Return ``value`` if it is a str; Python checks no more of an address."""
    if isinstance(value, str):
        return value
    such_as = "tcp://127.0.0.1:5005"
    if isinstance(value, PurePath):
        such_as = f"unix://{value}"
    elif isinstance(value, bytes | bytearray):
        such_as = bytes(value).decode(errors="replace")
    elif isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(x, str | int) for x in value):
        such_as = f"tcp://{value[0]}:{value[1]}"
    raise TypeError(f"{shown('address', value)} is a {type(value).__name__}; give a str such as {such_as!r}")


def keywords(value: Any) -> dict[str, Any]:
    """Return the arguments that an agent gives an environment, as a dict of its own."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError(
            f"{shown('env_kwargs', value)}: an agent gives names and values, such as env_kwargs={{'size': 5}}; "
            "names alone, of what agents may give, are for the backend"
        )
    return dict(value)


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of an endpoint, which ignores those of other endpoints. The endpoints document each of them."""

    token: str | None = dataclasses.field(default=None, repr=False)
    max_frame: int | None = None
    reconnect_timeout: float | None = None
    liveness: float = 18.0
    notice_after: float = 10.0
    connect_timeout: float = math.inf
    max_sessions: int = 1
    handshake_timeout: float = 5.0
    max_handshakes: int = 64
    close_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        if self.token is not None and not isinstance(self.token, str):
            # The value is a secret, and must not be logged.
            decoded = ", such as token.decode()" if isinstance(self.token, bytes) else ""
            raise TypeError(f"token is a {type(self.token).__name__}; give a str{decoded}, or None for RLAY_TOKEN")
        what = "bytes, such as 64 << 20, or None for 64 MiB"
        if self.max_frame is not None and whole("max_frame", self.max_frame, what) not in _FRAMES:
            raise ValueError(
                f"max_frame={self.max_frame}: give a number of bytes from {_FRAMES[0]} (64 KiB) to {_FRAMES[-1]}, "
                "or None for 64 MiB"
            )
        seconds("reconnect_timeout", self.reconnect_timeout, "2 s for an agent, 30 s for a backend")
        seconds("liveness", self.liveness, least=1.0, most=86400.0)
        seconds("notice_after", self.notice_after)
        seconds("connect_timeout", self.connect_timeout)
        seconds("handshake_timeout", self.handshake_timeout)
        seconds("close_timeout", self.close_timeout)
        count("max_sessions", self.max_sessions, 1, "how many sessions there may be at a time")
        count("max_handshakes", self.max_handshakes, 1, "how many handshakes there may be at a time")

    def settled(self) -> Options:
        """Return these with the token that ``RLAY_TOKEN`` holds now, if they have none; raise if it cannot be one."""
        token = self.token
        if token is None:
            token = os.environ.get("RLAY_TOKEN") or None
        options = dataclasses.replace(self, token=token)
        _rlay.check(options)
        return options


@dataclasses.dataclass(frozen=True)
class AgentOptions:
    """An agent's further options: `ClientEnv` and `ServerEnv` document each of them."""

    options: Options
    render_mode: str | None
    env_id: str | None
    env_kwargs: dict[str, Any]
    on_loss: str
    log: str | None
    restarts: int


@dataclasses.dataclass(frozen=True)
class HostOptions:
    """A host's further options: `ServerBackend` and `ClientBackend` document each of them."""

    options: Options
    tracebacks: bool
    max_slots: int
    env_ids: list[str]
    env_kwargs: list[str]
    attributes: list[str]

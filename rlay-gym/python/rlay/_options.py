"""Options: what every endpoint is told by its arguments, as the native module takes it."""

from __future__ import annotations

import dataclasses
import math
import operator
import os

from rlay import _rlay

_FRAMES = range(64 << 10, 2**32 - 1)
"""What `max_frame` can be: a handshake takes 64 KiB, and the length of a frame has 32 bits."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What an endpoint is told, and ignores if it does not concern it. The endpoints themselves say what each is."""

    token: str | None = dataclasses.field(default=None, repr=False)
    max_frame: int | None = None
    reconnect_timeout: float | None = None
    connect_timeout: float = math.inf
    max_sessions: int = 1
    handshake_timeout: float = 5.0
    max_handshakes: int = 64
    close_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.max_frame is not None and operator.index(self.max_frame) not in _FRAMES:
            raise ValueError(
                f"max_frame={self.max_frame}: give a number of bytes from {_FRAMES[0]} (64 KiB) to {_FRAMES[-1]}, "
                "or None for 64 MiB"
            )
        if not self.close_timeout >= 0:
            raise ValueError(f"close_timeout={self.close_timeout}: give seconds, 0.0 or more")

    def settled(self) -> Options:
        """Return these with the token that ``RLAY_TOKEN`` holds now, if they have none; raise if it cannot be one."""
        token = self.token
        if token is None:
            token = os.environ.get("RLAY_TOKEN") or None
        options = dataclasses.replace(self, token=token)
        _rlay.check(options)
        return options

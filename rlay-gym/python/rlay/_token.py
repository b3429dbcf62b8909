"""The token of an endpoint: the one it is given, or that of its surroundings."""

from __future__ import annotations

import os

from rlay import _rlay


def resolve(token: str | None) -> str | None:
    """Return ``token``, or what ``RLAY_TOKEN`` holds now; raise if it cannot be a token."""
    if token is None:
        token = os.environ.get("RLAY_TOKEN") or None
    _rlay.check_token(token)
    return token

"""Bytes as a space of a remote environment: what an agent takes, Gymnasium makes within the memory that was counted."""

from __future__ import annotations

import tracemalloc

import atheris

with atheris.instrument_imports(include=["rlay", "gymnasium.spaces", "gymnasium.vector.utils"]):
    from rlay import _rlay, _spaces

import common

from rlay.errors import Error, Incompatible, ProtocolError

MOST = 4 * (64 << 20)
"""Bytes that may be allocated at a time: what is counted, and what NumPy needs on the way to it."""


def target(data: bytes) -> None:
    """Read the bytes as an agent does, and make what they are."""
    try:
        description = _rlay.read_space(data)
    except (ProtocolError, Incompatible):
        return
    tracemalloc.start()
    try:
        _spaces.build(description)
    except Error:
        pass  # Gymnasium has no such space, and said so.
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= MOST, f"{peak} bytes for a space of {len(data)}"


if __name__ == "__main__":
    common.run(target, "space")

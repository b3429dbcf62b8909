"""Bytes as a space of a remote environment: Gymnasium builds an accepted space within the memory counted for it."""

from __future__ import annotations

import tracemalloc

import atheris

with atheris.instrument_imports(include=["rlay", "gymnasium.spaces", "gymnasium.vector.utils"]):
    from rlay import _rlay, _spaces

import common

from rlay.errors import Error, Incompatible, ProtocolError

MOST = 4 * (64 << 20)
"""Bytes that may be allocated at a time: those that are counted, and those that NumPy needs meanwhile."""


def target(data: bytes) -> None:
    """Read the bytes as an agent does, and build the space."""
    try:
        description = _rlay.read_space(data)
    except (ProtocolError, Incompatible):
        return
    tracemalloc.start()
    try:
        _spaces.build(description)
    except Error:
        pass  # Gymnasium has no such space, and raised an error.
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= MOST, f"{peak} bytes for a space of {len(data)}"


if __name__ == "__main__":
    common.run(target, "space")

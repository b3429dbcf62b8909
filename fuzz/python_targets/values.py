"""Bytes as a value: what is read, Python builds in little time, and nothing but RLay's own errors is raised."""

from __future__ import annotations

import time

import atheris

with atheris.instrument_imports(include=["rlay"]):
    from rlay import _rlay

import common

from rlay.errors import ProtocolError

MOST = 0.5
"""Seconds for a value of a few kilobytes; what is made to collide takes longest."""


def target(data: bytes) -> None:
    """Read the bytes as an agent does, and make what they are."""
    began = time.monotonic()
    try:
        _rlay.read_value(data)
    except ProtocolError:
        return
    finally:
        took = time.monotonic() - began
        assert took <= MOST + len(data) / 1e6, f"{took:.1f} s for a value of {len(data)} bytes"


if __name__ == "__main__":
    common.run(target, "value")

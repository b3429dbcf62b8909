"""Fixtures of the tests of vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from host_process import HostProcess
from twins import Twins, twins_of


@pytest.fixture
def twins(host_process: HostProcess) -> Iterator[Callable[..., Twins]]:
    """``twins(source, mode)``: a SyncVectorEnv and a ClientVectorEnv over the same environments."""
    with twins_of(host_process) as function:
        yield function

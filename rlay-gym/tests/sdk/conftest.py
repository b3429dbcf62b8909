"""Fixtures of the tests of clients in other languages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import rlay
from processes import WAIT, Program
from sdk_clients import CLIENTS, Client


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of clients that ``RLAY_SDK_CLIENTS`` does not name, and put those first that begin first."""
    tested = {client.name for client in CLIENTS}
    left_out = [item for item in items if any(mark.args[0] not in tested for mark in item.iter_markers("client"))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("begins_first") is None)


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    """Each client, one after the other."""
    return request.param


class Games:
    """The game programs of one client, each in a process of its own."""

    def __init__(self, client: Client, stack: contextlib.ExitStack) -> None:
        self.client, self._stack = client, stack

    def start(self, *arguments: str) -> Program:
        """Start the program."""
        return self._stack.enter_context(Program(*self.client.game, *arguments))

    def listen(self, *arguments: str, at: str = "tcp://127.0.0.1:0") -> tuple[Program, str]:
        """Start one that listens; return its address, too."""
        program = self.start("--listen", at, *arguments)
        line = program.find("listening at ")
        return program, line.split()[-1]

    def agent(self, paradigm: str, *arguments: str, **kwargs: Any) -> Any:
        """Return an environment that a program with these arguments hosts, or that has dialed in."""
        options = {"connect_timeout": WAIT, **kwargs}
        if paradigm == "client":
            _, address = self.listen(*arguments)
            env: Any = rlay.ClientEnv(address, **options)
        else:
            env = rlay.ServerEnv(**options)
            self.start("--dial", env.address, *arguments)
        self._stack.callback(env.close)
        return env


@pytest.fixture
def games(client: Client) -> Iterator[Games]:
    """Starts programs of one client, which are killed at the end."""
    with contextlib.ExitStack() as stack:
        yield Games(client, stack)

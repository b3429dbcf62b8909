"""Forked children, and what endpoints of the parent say there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

from processes import WAIT

OPEN_IT_IN_THE_CHILD = "parent; open it in the child"
OPEN_THEM_IN_THE_CHILD = "parent; open them in the child"


class Child:
    """A forked child that runs ``body``, reports its result, and lives until the end of the block."""

    def __init__(self, body: Callable[[], object]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()

        def run() -> None:
            try:
                said = repr(body())
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            theirs.send(said)
            theirs.recv()

        self.process = context.Process(target=run, daemon=True)
        self.process.start()

    def said(self) -> str:
        """Return the result of the body, or what it raised."""
        assert self._pipe.poll(WAIT), "the child hangs"
        return str(self._pipe.recv())

    def leave(self) -> None:
        """Let the child end as forked children do."""
        self._pipe.send("leave")
        self.process.join(WAIT)
        assert self.process.exitcode == 0

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.join(WAIT)

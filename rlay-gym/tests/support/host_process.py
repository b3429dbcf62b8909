"""A process that hosts environments, as tests see it, and the agents' ends of what it hosts."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym

import host_main
import rlay
from processes import WAIT, Program

SCHEMES = ("tcp", "tls", "unix", "zmq", "zmq+ipc", "quic", "shm", "ws")

PARADIGMS = ("client", "server")
"""``client``: ClientEnv dials a ServerBackend. ``server``: a ClientBackend dials a ServerEnv."""


Start = Callable[..., Program]
"""Starts one of the Rust programs."""


class HostProcess:
    """A process of its own that hosts environments (see ``host_main.py``)."""

    def __init__(self, fresh: bool = False) -> None:
        # Most fork an interpreter that has imported Gymnasium. A fresh one reads the environment, and shares no memory.
        context = multiprocessing.get_context("spawn" if fresh else "forkserver")
        if not fresh:
            context.set_forkserver_preload(["gymnasium"])
        self._pipe, theirs = context.Pipe()
        self._addresses: dict[Any, str] = {}
        self._listeners: list[rlay.ServerEnv] = []
        self.process = context.Process(target=host_main.main, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def tell(self, command: str, *args: Any, **kwargs: Any) -> Any:
        """Run one of ``host_main.Commands`` and return its answer."""
        self._pipe.send((command, args, kwargs))
        if not self._pipe.poll(WAIT):
            raise TimeoutError(f"the host process did not answer {command}{args} within {WAIT} s")
        good, answer = self._pipe.recv()
        if not good:
            raise RuntimeError(f"the host process: {answer}")
        return answer

    def serve(self, source: str, **kwargs: Any) -> tuple[int, str]:
        """Start a ServerBackend there; return its number and address."""
        return self.tell("serve", source, **kwargs)

    def dial(self, source: str, address: str, **kwargs: Any) -> tuple[int, str]:
        """Start a ClientBackend there; return its number and address."""
        return self.tell("dial", source, address, **kwargs)

    def stop(self, number: int) -> None:
        """Close the backend with this number."""
        self.tell("stop", number)

    def address(self, source: str, paradigm: str, *, chosen: bool = False, **backend: Any) -> str:
        """Return the address of ``source``, for ClientEnv or for ServerEnv.

        Its backend lives as long as the process, for every test that asks for the same. With ``chosen``
        even one backend serves all sources: the environments made there are those chosen last.
        """
        if chosen:
            self.tell("choose", source)
            source = "host_main:chosen"
        key = (source, paradigm, *sorted(backend.items()))
        if key not in self._addresses:
            if paradigm == "client":
                self._addresses[key] = self.serve(source, **backend)[1]
            else:
                # The listener stays open for the next agent; the backend always has a spare session ready.
                listener = rlay.ServerEnv()
                self._listeners.append(listener)
                self._addresses[key] = self.dial(source, listener.address, **backend)[1]
        return self._addresses[key]

    def take_log(self) -> list[str]:
        """Return what was logged and warned about there since the last time."""
        return self.tell("take_log")

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self.process.kill()
        self.process.join(WAIT)

    def close(self) -> None:
        """Let the process end."""
        for listener in self._listeners:
            listener.close()
        self._pipe.close()
        self.process.join(WAIT)
        if self.process.exitcode is None:
            self.kill()


Hosted = Callable[..., Any]


@contextlib.contextmanager
def agents_of(process: HostProcess) -> Iterator[Hosted]:
    """Yield a function that returns environments of ``process``; they are closed at the end of the block."""
    with contextlib.ExitStack() as stack:

        def hosted(
            source: str,
            paradigm: str,
            *,
            chosen: bool = False,
            backend: dict[str, Any] | None = None,
            **kwargs: Any,
        ) -> Any:
            """Return an agent's environment for ``source``, which runs in the other process.

            ``backend`` are arguments for the backend, ``kwargs`` for ClientEnv or ServerEnv;
            for ``chosen`` see `HostProcess.address`.
            """
            cls = rlay.ClientEnv if paradigm == "client" else rlay.ServerEnv
            address = process.address(source, paradigm, chosen=chosen, **(backend or {}))
            env = cls(address, connect_timeout=WAIT, **kwargs)
            stack.callback(quietly_close, env)
            return env

        yield hosted


def make(process: HostProcess, source: str, paradigm: str, *, chosen: bool = False, **kwargs: Any) -> gym.Env[Any, Any]:
    """Return the same through ``gym.make``, with all the wrappers that adds."""
    name = "ClientEnv" if paradigm == "client" else "ServerEnv"
    return gym.make(f"rlay:{name}-v0", address=process.address(source, paradigm, chosen=chosen), **kwargs)


def quietly_close(env: Any) -> None:
    """Close ``env``, whatever its state."""
    with contextlib.suppress(rlay.Error):
        env.close()

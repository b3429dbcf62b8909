"""Opens, watches and releases the scripted environments of a host process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import rlay
import scripted_env
from processes import WAIT, free_address, until


class ScriptedHost:
    """Speaks to the module ``scripted_env`` of a host process (see ``host_process.HostProcess``)."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self._stack = contextlib.ExitStack()
        self._is_dead = False
        self._dialed: int | None = None
        host.tell("call", "scripted_env:forget")
        host.take_log()

    def serve(self, source: str = "scripted_env:ScriptedEnv", **backend: Any) -> str:
        """Start a ServerBackend and return its address. It is closed with the test."""
        number, address = self.host.tell("serve", source, **backend)
        self._stop_at_the_end(number)
        return str(address)

    def dial(self, address: str, source: str = "scripted_env:ScriptedEnv", **backend: Any) -> None:
        """Start a ClientBackend. It is closed with the test."""
        self._dialed, _ = self.host.tell("dial", source, address, **backend)
        self._stop_at_the_end(self._dialed)

    def stop_dialing(self) -> None:
        """Close the last ClientBackend."""
        self.host.tell("stop", self._dialed)

    def wait_for_spare(self) -> None:
        """Wait until the last ClientBackend, which had a session taken, has another that waits for an agent."""
        until(lambda: self.host.tell("sessions", self._dialed) >= 2, "the spare session")

    def _stop_at_the_end(self, number: int) -> None:
        def stop() -> None:
            if not self._is_dead:
                self.host.tell("stop", number)

        self._stack.callback(stop)

    def client(self, address: str, **kwargs: Any) -> Any:
        """Open a ClientEnv. It is closed with the test."""
        return self._keep(rlay.ClientEnv(address, **{"connect_timeout": WAIT, **kwargs}))

    def server(self, address: str = "tcp://127.0.0.1:0", **kwargs: Any) -> Any:
        """Open a ServerEnv. It is closed with the test."""
        return self._keep(rlay.ServerEnv(address, **{"connect_timeout": WAIT, **kwargs}))

    def _keep(self, env: Any) -> Any:
        def close() -> None:
            with contextlib.suppress(rlay.Error):
                env.close()

        self._stack.callback(close)
        return env

    def env(self, paradigm: str = "client", source: str = "scripted_env:ScriptedEnv", **kwargs: Any) -> Any:
        """Open an environment with a backend of its own."""
        if paradigm == "client":
            return self.client(self.serve(source), **kwargs)
        env = self.server(**kwargs)
        self.dial(env.address, source)
        return env

    def first_observation(self, env: Any) -> Any:
        """Reset ``env``, which waits only briefly, until an environment has dialed in."""

        def reset() -> Any:
            with contextlib.suppress(rlay.Timeout):
                return env.reset()

        return until(reset, "an environment to dial in")[0]

    def calls(self) -> list[str]:
        """Return the names of the methods called so far, in order."""
        return [name for name, _ in self.host.tell("call", "scripted_env:journal")]

    def threads(self) -> dict[str, set[int]]:
        """Return by which threads each method was called; the main thread is 0."""
        threads: dict[str, set[int]] = {}
        for name, thread in self.host.tell("call", "scripted_env:journal"):
            threads.setdefault(name, set()).add(thread)
        return threads

    def wait_for(self, name: str, times: int = 1, timeout: float = WAIT) -> None:
        """Wait until the method was called."""
        until(lambda: self.calls().count(name) >= times, f"the host to call {name}", timeout)

    def release(self) -> None:
        """Let the waiting call continue."""
        self.host.tell("call", "scripted_env:release")

    def log(self, text: str) -> str:
        """Wait until the host has logged a line with ``text``, and return it."""
        return line_with(text, self.host.take_log, "the host")

    def disown(self) -> None:
        """Tell the host nothing at the end, for its process is dead."""
        self._is_dead = True


def line_with(text: str, take_log: Callable[[], list[str]], who: str) -> str:
    """Wait until a line with ``text`` is among those that are taken from the log of ``who``, and return it."""
    seen: list[str] = []

    def find() -> str | None:
        seen.extend(take_log())
        return next((line for line in seen if text in line), None)

    line: str = until(find, f"{who} to log {text!r}")
    return line


@contextlib.contextmanager
def scripted_host_of(host: Any) -> Iterator[ScriptedHost]:
    """Yield the `ScriptedHost` of ``host``; what was opened with it ends with the block."""
    scripted_host = ScriptedHost(host)
    with scripted_host._stack:
        yield scripted_host
        with contextlib.suppress(Exception):
            scripted_host.release()


class Agent:
    """An agent in the host process, for environments of this one."""

    def __init__(self, host: Any, paradigm: str, address: str) -> None:
        self._host = host
        self._number = host.tell("call", "remote_agents:open", paradigm, address)

    def __getattr__(self, name: str) -> Callable[..., str]:
        return lambda *arguments: self._host.tell("call", f"remote_agents:{name}", self._number, *arguments)


def backend(paradigm: str, source: Any = scripted_env.ScriptedEnv, **kwargs: Any) -> Any:
    """Make a backend in this process; agents come from another."""
    if paradigm == "client":
        return rlay.ServerBackend(source, **kwargs)
    return rlay.ClientBackend(source, free_address(), **kwargs)

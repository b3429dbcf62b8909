"""Scenarios for faults: a transport, which side dials, a host process, and agents in this one."""

from __future__ import annotations

import abc
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import host_main
import rlay
import scripted_env
from processes import Program, python, thread, until
from raw_peer import HELLO
from scripted_host import ScriptedHost, line_with

Json = Any

LIVENESS = 6.0
"""Within how long the endpoints of a scenario notice a silent peer, in seconds."""

AGENT = f"""
    import sys, rlay
    env = getattr(rlay, sys.argv[1])(sys.argv[2], liveness={LIVENESS})
    print("at", env.address)
    env.reset()
    print("ready")
    while sys.stdin.readline():
        print("step", env.step(0)[0][0])
    """
"""An agent's program: it is told how to find its environment, and then by lines when to step."""


@dataclass
class Seen:
    """The outcome: what was raised at each end (or sent to a peer by hand), and after how many seconds."""

    agent: Exception | str | None = None
    host: Exception | str | None = None
    after: float = 0.0


def see(call: Callable[[], Any]) -> tuple[Exception | None, float]:
    """Call; return what was raised, and after how many seconds."""
    began = time.monotonic()
    try:
        call()
    except Exception as error:
        return error, time.monotonic() - began
    return None, time.monotonic() - began


class Scenario(abc.ABC):
    """A transport, a host process with scripted environments, and another where it ends.

    As a context manager it records the agents' log.
    """

    paradigm: str
    """As in ``conftest.PARADIGMS``."""
    listens: str
    dials: str
    """Which of the two sides of `Seen` listens, and which one dials."""
    hello: Json
    """The first message of a dialer that speaks RLay by hand."""

    def __init__(
        self, scheme: str, scripted_host: ScriptedHost, fresh: Callable[[str], str], another: Callable[[], ScriptedHost]
    ) -> None:
        self.scheme, self.scripted_host, self._fresh, self._another = scheme, scripted_host, fresh, another
        self.address = ""
        self._log = host_main.Log()
        # Agents of other tests may be in this process, each with a thread of its own.
        own = threading.get_ident()
        self._log.addFilter(lambda record: record.thread == own or f"{self.address}:" in record.getMessage())

    def __enter__(self) -> Scenario:
        logging.getLogger("rlay").addHandler(self._log)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.getLogger("rlay").removeHandler(self._log)

    def take_log(self, side: str) -> list[str]:
        """Return what was logged at this side since the last time."""
        return list(self.scripted_host.host.take_log()) if side == "host" else self._log.take()

    def hear(self, side: str, text: str) -> None:
        """Wait until a line with ``text`` was logged at this side."""
        line_with(text, lambda: self.take_log(side), f"the {side}")

    def fresh(self) -> str:
        """Return an address where to listen."""
        return self._fresh(self.scheme)

    def where(self) -> str:
        """Return the address where to listen once more."""
        return self.address.partition("?")[0]

    @abc.abstractmethod
    def env(
        self, source: str = "scripted_env:ScriptedEnv", backend: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Return an environment of the host process; ``backend`` and ``kwargs`` are for the two ends."""

    @abc.abstractmethod
    def agent(self, program: str = AGENT, **backend: Any) -> contextlib.AbstractContextManager[Program]:
        """Run an agent's program against the host process, until it is ready and then until the end of the block."""

    def settle(self) -> None:
        """Wait until no handshake is under way any more after the first session was taken."""

    @abc.abstractmethod
    def door(self) -> contextlib.AbstractContextManager[str]:
        """Start a listener, and yield its address. At the end of the block the first good peer is admitted."""

    @abc.abstractmethod
    def door_elsewhere(self) -> contextlib.AbstractContextManager[str]:
        """The same, with a listener in another process."""

    @abc.abstractmethod
    def listen_at(self, address: str) -> Any:
        """Listen in this process, as the listening side of this scenario does."""

    @abc.abstractmethod
    def dial_wrongly(self, address: str) -> None:
        """Dial as an endpoint that should listen instead."""

    @abc.abstractmethod
    def next_agent(self, **kwargs: Any) -> None:
        """Make sure that the host serves the next agent, at the address of the one before."""

    @abc.abstractmethod
    def other_agent(self) -> None:
        """Make sure that the host serves another agent beside the one that it has."""

    @abc.abstractmethod
    def next_host(self) -> None:
        """Make sure that another host can take the place of the one that is gone."""


def is_well(env: Any) -> bool:
    """Whether an episode begins."""
    return env.reset()[0] in ([0], "a")


class AgentDials(Scenario):
    """The host process serves, agents dial it."""

    paradigm, listens, dials = "client", "host", "agent"
    hello = HELLO

    def _serve(self, source: str = "scripted_env:ScriptedEnv", **backend: Any) -> str:
        self.address = self.scripted_host.serve(source, address=self.fresh(), liveness=LIVENESS, **backend)
        return self.address

    def _client(self, address: str, **kwargs: Any) -> Any:
        return self.scripted_host.client(address, liveness=LIVENESS, **kwargs)

    def env(
        self, source: str = "scripted_env:ScriptedEnv", backend: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        return self._client(self._serve(source, **(backend or {})), **kwargs)

    @contextlib.contextmanager
    def agent(self, program: str = AGENT, **backend: Any) -> Iterator[Program]:
        with python(program, "ClientEnv", self._serve(**backend)) as agent:
            agent.find("ready")
            yield agent

    @contextlib.contextmanager
    def door(self) -> Iterator[str]:
        yield self._serve()
        self.next_agent()

    door_elsewhere = door

    def listen_at(self, address: str) -> Any:
        return rlay.ServerBackend(scripted_env.ScriptedEnv, address)

    def dial_wrongly(self, address: str) -> None:
        rlay.ClientBackend(scripted_env.ScriptedEnv, address).run()

    def next_agent(self, **kwargs: Any) -> None:
        assert is_well(self._client(self.address, **kwargs))

    def other_agent(self) -> None:
        self.next_agent()

    def next_host(self) -> None:
        other = self._another()

        def serve() -> Any:
            try:
                return other.serve(address=self.where(), liveness=LIVENESS)
            except RuntimeError as error:
                # Another process that dials over QUIC may have been given the port by chance.
                if "in use" not in str(error):
                    raise

        until(serve, "the address to be free")
        self.next_agent()


class EnvironmentDials(Scenario):
    """Agents listen, the host process dials in to them."""

    paradigm, listens, dials = "server", "agent", "host"
    hello = HELLO | {"role": "Env"}

    def _server(self, address: str, **kwargs: Any) -> Any:
        return self.scripted_host.server(address, liveness=LIVENESS, **kwargs)

    def _dial(self, source: str = "scripted_env:ScriptedEnv", **backend: Any) -> None:
        self.scripted_host.dial(self.address, source, liveness=LIVENESS, **backend)

    def _listen(self, **kwargs: Any) -> Any:
        env = self._server(self.fresh(), **kwargs)
        self.address = env.address
        return env

    def _listen_again(self, **kwargs: Any) -> Any:
        def listen() -> Any:
            with contextlib.suppress(rlay.AddressError):  # Another process may have the port by chance.
                return self._server(self.where(), **kwargs)

        return until(listen, "the address to be free")

    def env(
        self, source: str = "scripted_env:ScriptedEnv", backend: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        env = self._listen(**kwargs)
        self._dial(source, **(backend or {}))
        return env

    @contextlib.contextmanager
    def agent(self, program: str = AGENT, **backend: Any) -> Iterator[Program]:
        with python(program, "ServerEnv", self.fresh()) as agent:
            self.address = agent.find("at").split()[1]
            self._dial(**backend)
            agent.find("ready")
            yield agent

    def settle(self) -> None:
        self.scripted_host.wait_for_spare()

    @contextlib.contextmanager
    def door(self) -> Iterator[str]:
        env = self._listen()
        with thread(lambda: env.reset()):
            yield self.address
            self._dial()
        assert env.step(0)[0] == [1]

    @contextlib.contextmanager
    def door_elsewhere(self) -> Iterator[str]:
        with python(AGENT, "ServerEnv", self.fresh()) as agent:
            self.address = agent.find("at").split()[1]
            yield self.address
            self._dial()
            agent.find("ready")

    def listen_at(self, address: str) -> Any:
        return rlay.ServerEnv(address, liveness=LIVENESS)

    def dial_wrongly(self, address: str) -> None:
        rlay.ClientEnv(address)

    def next_agent(self, **kwargs: Any) -> None:
        assert is_well(self._listen_again(**kwargs))

    def other_agent(self) -> None:
        env = self.scripted_host.server(self.fresh())
        self.scripted_host.dial(env.address)
        assert is_well(env)

    def next_host(self) -> None:
        env = self._listen_again()
        self._another().dial(self.address, liveness=LIVENESS)
        assert is_well(env)


SCENARIOS: dict[str, type[Scenario]] = {scenario.paradigm: scenario for scenario in (AgentDials, EnvironmentDials)}

"""Messages that made people stop: each as it reads now, and the part of it that says what to do next."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

import moody
import rlay
from conftest import HostProcess
from moods import Agent
from processes import free_address, thread, until


def reads(message: object, pattern: str, advice: str) -> None:
    """Assert that ``message`` reads as ``pattern``, where … stands for any text, and says to do ``advice``."""
    text = str(message)
    expected = ".*".join(re.escape(part) for part in pattern.split("…"))
    assert re.fullmatch(expected, text, re.DOTALL), text
    assert advice in text, f"{text!r} does not say {advice!r}"
    assert len(text) < 2000, f"a message of {len(text)} characters"


def test_a_message_that_advises_nothing_fails() -> None:
    for message, pattern, advice in [("it broke", "it …", "mend"), ("it broke; mend it", "it broke", "mend")]:
        try:
            reads(message, pattern, advice)
        except AssertionError:
            continue
        raise AssertionError(message)


# -- values, spaces, contracts ------------------------------------------------------------------


# -- hosting ------------------------------------------------------------------------------------


def test_a_host_that_does_not_serve_yet() -> None:
    host = rlay.ServerBackend("CartPole-v1")
    with pytest.raises(rlay.Busy) as caught:
        rlay.ClientEnv(host.address, connect_timeout=0.5)
    reads(
        caught.value,
        "no connection to tcp://… within … s (the listener refused the connection: the host listens but does not "
        "serve yet; did it call run() or start()?); raise connect_timeout to wait for longer",
        "did it call run() or start()?",
    )
    host.close()


HOSTS: dict[str, tuple[Any, int | None, str, str]] = {
    "an instance": (
        moody.Moody(),
        None,
        "this host serves one environment, which was made already, and another agent has it; try again later, or "
        "give the host a function that makes environments, to serve several agents at a time",
        "give the host a function",
    ),
    "one": (
        moody.Moody,
        1,
        "the one session there can be is taken; try again later, or raise max_sessions",
        "raise max_sessions",
    ),
    "two": (moody.Moody, 2, "all 2 sessions are taken; try again later, or raise max_sessions", "raise max_sessions"),
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_that_is_full(host_process: HostProcess, name: str) -> None:
    source, most, text, advice = HOSTS[name]
    with rlay.ServerBackend(source, max_sessions=most) as host:
        for _ in range(most or 1):
            Agent(host_process, "client", host.address)
        with pytest.raises(rlay.Busy) as caught:
            rlay.ClientEnv(host.address, connect_timeout=0.5)
    reads(caught.value, f"no connection to tcp://…(the listener refused the connection: {text}); raise …", advice)


def test_a_backend_that_serves_already_or_was_closed() -> None:
    host = rlay.ServerBackend("CartPole-v1").start()
    with pytest.raises(rlay.Error) as caught:
        host.start()
    text = "the backend serves already; call run() or start() once, and make another one for another address"
    reads(caught.value, text, "make another one")
    host.close()
    with pytest.raises(rlay.Error) as caught:
        host.start()
    reads(caught.value, "the backend was closed; make a new one", "make a new one")


def test_how_many_sessions_there_can_be() -> None:
    for number, pattern, advice in [
        (0, "max_sessions=0: give the number of sessions there can be, from 1 on", "from 1 on"),
        ("8", "max_sessions='8': give the number of sessions there can be, an int from 1 on", "an int"),
    ]:
        with pytest.raises((TypeError, ValueError)) as caught:
            rlay.ServerBackend("CartPole-v1", max_sessions=number)  # type: ignore[arg-type]
        reads(caught.value, pattern, advice)
    with pytest.raises(ValueError) as several:
        rlay.ServerBackend(moody.Moody(), max_sessions=2)
    reads(
        several.value,
        "max_sessions=2: an environment that is made already serves one agent at a time; give a function that makes "
        "environments, or leave max_sessions out",
        "give a function",
    )


def test_what_hosts_and_dialers_log(caplog: pytest.LogCaptureFixture, host_process: HostProcess) -> None:
    def said(text: str) -> str:
        def lines() -> list[str]:
            return [record.getMessage() for record in caplog.records if text in record.getMessage()]

        until(lines, f"{text!r} to be logged")
        return lines()[0]

    with caplog.at_level(logging.INFO, "rlay"):
        with rlay.ClientBackend("CartPole-v1", free_address()):
            reads(
                said("no connection"),
                "tcp://…: still no connection (…); trying again for … s more",
                "trying again",
            )
        with rlay.ServerEnv() as env:
            with thread(env.reset):
                reads(
                    said("waiting for an environment"),
                    "waiting for an environment to dial in to tcp://…; start the game or ClientBackend with this …",
                    "start the game",
                )
                game = rlay.ClientBackend("CartPole-v1", env.address).start()
            # Its spare session.
            reads(
                said("connected"),
                "tcp://…: connected; waiting for the agent to ask for an environment, as reset() does there",
                "as reset() does there",
            )
        reads(
            said("the agent left"),
            "tcp://…: the agent left after 0 steps in 1 episode: the agent said goodbye: the agent closed the …",
            "said goodbye",
        )
        game.close()


def test_why_a_session_came_to_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> moody.Moody:
        raise OSError("no display")

    with rlay.ServerBackend(broken) as host, pytest.raises(rlay.EnvError):
        rlay.ClientEnv(host.address)
    (line,) = [record.getMessage() for record in caplog.records]
    reads(
        line,
        "tcp://…: no environment was made for the agent: OSError: no display\nTraceback (most recent call last):…"
        "in broken…OSError: no display",
        'raise OSError("no display")',
    )


# -- launching ----------------------------------------------------------------------------------


# -- arguments and the surface ------------------------------------------------------------------


# -- transports and waits -----------------------------------------------------------------------

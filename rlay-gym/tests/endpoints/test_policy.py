"""serve_policy: a process that answers every environment that dials in."""

from __future__ import annotations

import logging
import time

import pytest

import rlay
import scripted_env
from host_process import Start
from processes import Program, python, until
from scripted_host import ScriptedHost

SERVER = """
    import logging, sys, rlay
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    def policy(observation):
        if observation[0] > float(sys.argv[1]):
            raise RuntimeError("the policy is at its wits' end")
        return 0
    rlay.serve_policy(policy, "tcp://127.0.0.1:0")
    print("ended")
    sys.stdin.readline()
    """


def serve(patience: float) -> tuple[Program, str]:
    """Start a policy server; return it and its address."""
    server = python(SERVER, str(patience))
    return server, server.find("serving the policy at").rsplit(" ", 1)[1]


def test_every_environment_that_dials_in_is_played(scripted_host: ScriptedHost) -> None:
    server, address = serve(1000)
    with server:
        for _ in range(3):
            scripted_host.dial(address, "scripted_env:Short", max_sessions=1)
        until(lambda: len(scripted_host.threads().get("step", ())) == 3, "three environments to be stepped")
        # Episode after episode: an environment ends each episode after three steps.
        until(lambda: scripted_host.calls().count("reset") > 30, "thirty episodes")
        server.interrupt()
        server.find("ended")
        server.say("bye")
        assert server.wait() == 0
    scripted_host.wait_for("close", 3)


def test_an_environment_that_leaves_or_fails_disturbs_no_other(scripted_host: ScriptedHost) -> None:
    server, address = serve(1000)
    with server:
        scripted_host.dial(address, "scripted_env:Short", max_sessions=1)
        scripted_host.dial(address, "scripted_env:Tired", max_sessions=1)
        for _ in range(2):
            server.find("the environment left after 2 steps in 1 episode: RuntimeError: too tired")
        before = scripted_host.calls().count("reset")
        until(lambda: scripted_host.calls().count("reset") > before + 10, "the other one to go on")


def test_a_policy_that_fails_lets_its_environment_go(scripted_host: ScriptedHost) -> None:
    server, address = serve(1)
    with server:
        scripted_host.dial(address, "scripted_env:ScriptedEnv", max_sessions=1)
        server.find("the policy failed")
        server.find("wits' end")
        scripted_host.wait_for("close")
        scripted_host.log("the agent said goodbye: the policy failed: RuntimeError: the policy is at its wits' end")


class Attempts:
    """Counts how often an environment was made, and when."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.at: list[float] = []

    def __call__(self, render_mode: str | None = None) -> scripted_env.ScriptedEnv:
        self.at.append(time.monotonic())
        if self.error is not None:
            raise OSError(self.error)
        return scripted_env.ScriptedEnv(render_mode)

    def back_off(self) -> None:
        """Wait for eight. Between them lie 20 ms, 40 ms and so on; a slow machine can only add to that.

        The first gap may be the one of a session that was dialed before the first attempt had failed.
        """
        until(lambda: len(self.at) >= 8, "eight attempts")
        assert self.at[7] - self.at[0] >= 0.02 * sum(2**n for n in range(6))


FAILURES = {
    "an environment that cannot be made": (
        "no display",
        "no environment was made for the agent: OSError: no display",
        "the environment was not played: OSError: no display",
    ),
    "a policy that raises": (
        None,
        "the agent said goodbye: the policy failed: RuntimeError: the policy is at its wits' end",
        "the policy failed; its environment is let go",
    ),
}


@pytest.mark.parametrize("max_sessions", [1, 64])
@pytest.mark.parametrize("failure", FAILURES)
def test_what_comes_to_nothing_again_and_again_is_said_once(
    caplog: pytest.LogCaptureFixture, failure: str, max_sessions: int
) -> None:
    error, here, there = FAILURES[failure]
    server, address = serve(-1000)
    attempts = Attempts(error)
    with server, rlay.ClientBackend(attempts, address, max_sessions=max_sessions):
        attempts.back_off()
        server.find(there)
        rest = server.printed()
        assert not [line for line in rest if there in line]
        assert sum("Traceback" in line for line in rest) == (0 if error else 1)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    (line,) = [line for line in said if here in line]
    assert error is None or "in __call__" in line, "with the traceback"


def test_a_rust_policy_server_that_does_not_fit(caplog: pytest.LogCaptureFixture, start: Start) -> None:
    attempts = Attempts()
    with start("policy_server", "--listen", "tcp://127.0.0.1:0") as server:
        address = server.line().split()[-1]
        with rlay.ClientBackend(attempts, address):
            attempts.back_off()
        (line,) = [record.getMessage() for record in caplog.records if "before its first step" in record.getMessage()]
        assert "the agent said goodbye: observation_space: a float32 Box was asked for" in line


def test_who_joins_and_who_leaves_is_told(scripted_host: ScriptedHost) -> None:
    server, address = serve(1000)
    with server:
        scripted_host.dial(address, "scripted_env:Short", max_sessions=1)
        scripted_host.wait_for("step", 7)
        scripted_host.stop_dialing()
        server.find("an environment joined")
        left = server.find("the environment left after")
        assert "the environment's host said goodbye: the host is closing" in left


def test_an_environment_that_takes_long_to_make_keeps_no_other_waiting(scripted_host: ScriptedHost) -> None:
    server, address = serve(1000)
    with server:
        scripted_host.dial(address, "scripted_env:hesitant", max_sessions=1)
        scripted_host.wait_for("hesitate")
        scripted_host.dial(address, "scripted_env:Short", max_sessions=1)
        until(lambda: scripted_host.calls().count("reset") > 10, "the other one to be played")
        scripted_host.release()
        scripted_host.wait_for("make", 2)


def test_nobody_is_played_after_ctrl_c(scripted_host: ScriptedHost) -> None:
    server, address = serve(1000)
    with server:
        scripted_host.dial(address, "scripted_env:Short", max_sessions=1, connect_timeout=1.0)
        scripted_host.wait_for("step")
        server.interrupt()
        server.find("ended")
        # The process is alive, but has closed its environment and released its port.
        scripted_host.wait_for("close")
        assert scripted_host.serve(address=address) == address

"""A peer that reads nothing while much is to be sent to it: deadlines, Ctrl-C and close hold all the same."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import gymnasium as gym
import pytest

import rlay
from host_process import SCHEMES
from inject_process_faults import stopped
from processes import WAIT, python, thread, until
from scripted_host import ScriptedHost

NETWORKS = ("tcp", "tls", "zmq", "quic", "ws")
"""Where a session continues over another connection, when its own was left in the middle of a frame."""
LONG = 48 << 20
"""More than any buffer holds, in bytes."""
SOON = 10.0
"""Ten times what is promised, in seconds."""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_deadline(own_scripted_host: ScriptedHost, fresh: Callable[[str], str], scheme: str) -> None:
    env = own_scripted_host.client(
        own_scripted_host.serve("scripted_env:Patient", address=fresh(scheme)), reconnect_timeout=WAIT
    )
    env.reset()
    env.timeout = 0.5
    with stopped(own_scripted_host.host.pid):
        began = time.monotonic()
        with pytest.raises((rlay.Timeout, rlay.ConnectionLost), match="late|did not take the whole request") as raised:
            env.step("a" * LONG)
        assert time.monotonic() - began < SOON
    if scheme not in NETWORKS and raised.type is rlay.ConnectionLost:
        # Half a frame is on its way, and nothing else could follow it.
        own_scripted_host.wait_for("close")
        return
    env.timeout = None
    assert env.late(WAIT)[4] == {"heard": LONG}
    assert env.step("a")[0] == [2], "the step was taken once"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ctrl_c(own_scripted_host: ScriptedHost, fresh: Callable[[str], str], scheme: str) -> None:
    source = f"""
        import sys, rlay
        env = rlay.ClientEnv(sys.argv[1], reconnect_timeout={WAIT})
        env.reset()
        print("ready")
        sys.stdin.readline()
        try:
            print("stepping")
            env.step("a" * {LONG})
        except KeyboardInterrupt:
            print("interrupted")
        sys.stdin.readline()
        try:
            print("reset", env.reset()[0])
            print("step", env.step("a")[4])
        except rlay.ConnectionLost as error:
            print("lost", error)
        env.close()
        """
    with python(source, own_scripted_host.serve("scripted_env:Patient", address=fresh(scheme))) as program:
        program.find("ready")
        with stopped(own_scripted_host.host.pid):
            program.say("step")
            program.find("stepping")
            time.sleep(2.0)
            program.interrupt()
            program.find("interrupted", SOON)
        program.say("go on")
        if scheme in ("unix", "shm"):
            # Half a frame is on its way, and nothing else could follow it.
            assert "did not take the whole request" in program.find("lost")
        else:
            program.find("reset [0]")
            program.find("step {'heard': 1}")
        assert program.wait() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_host_that_closes(own_scripted_host: ScriptedHost, fresh: Callable[[str], str], scheme: str) -> None:
    """Neither the session's thread nor its environment is left behind."""
    source = """
        import sys, scripted_env, rlay
        env = rlay.ClientEnv(sys.argv[1])
        env.reset()
        print("ready")
        env.step(scripted_env.WAIT)
        """
    address = own_scripted_host.serve("scripted_env:Large", address=fresh(scheme))
    with python(source, address) as agent:
        agent.find("ready")
        own_scripted_host.wait_for("step")
        os.kill(agent.pid, signal.SIGSTOP)
        own_scripted_host.release()
        time.sleep(1.0)
        began = time.monotonic()
        own_scripted_host.host.tell("stop", 0)
        assert time.monotonic() - began < SOON
        own_scripted_host.wait_for("close", timeout=SOON)
        until(
            lambda: "rlay-session" not in own_scripted_host.host.tell("facts")["threads"], "the session's thread to end"
        )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_engine_that_closes(fresh: Callable[[str], str], scheme: str) -> None:
    """In the poll form, where a reply waits until the agent has received it."""
    source = """
        import sys, rlay
        env = rlay.ServerEnv(sys.argv[1])
        print("at", env.address)
        env.reset()
        """
    with python(source, fresh(scheme)) as agent:
        world = gym.make("CartPole-v1")
        backend = rlay.ClientBackend(world, agent.find("at").split()[1])
        turn = until(lambda: backend.turn(0.1), "the agent to ask")
        assert isinstance(turn, rlay.Reset)
        observation, _ = world.reset()
        os.kill(agent.pid, signal.SIGSTOP)

        def reply() -> None:
            # Where the whole reply is on its way at once, the call does not block.
            with contextlib.suppress(rlay.Error):
                backend.reply(observation, info={"much": bytes(LONG)})

        with thread(reply):
            time.sleep(1.0)
            began = time.monotonic()
            backend.close()
            assert time.monotonic() - began < SOON
        assert time.monotonic() - began < SOON
        world.close()

"""Failures of the connection, over every transport: kills in the middle of a frame, silence, crowds, wrong pins."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

import rlay
from host_process import SCHEMES, Start
from processes import WAIT, held, python, until
from scripted_host import ScriptedHost

pytestmark = pytest.mark.timeout(900)  # the programs are built first, if they are not built yet

NOTICED = 120.0
"""A side that waits for a dead peer learns of its end within 20 s."""

AGENT = """
    import scripted_env, sys, rlay
    env = rlay.ClientEnv(sys.argv[1])
    print(env.reset())
    try:
        print("a row of", len(env.step(scripted_env.WAIT)[4]["much"]))
    except rlay.ConnectionLost as error:
        print("lost:", error)
    """


@pytest.mark.parametrize("killed", ["host", "agent"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_kill_in_the_middle_of_a_large_frame(
    own_scripted_host: ScriptedHost, fresh: Any, scheme: str, killed: str
) -> None:
    # The environment of an agent that was killed is closed soon, and not half a minute later.
    address = own_scripted_host.serve("scripted_env:Large", address=fresh(scheme), reconnect_timeout=1.0)
    with python(AGENT, address) as agent:
        agent.line()
        own_scripted_host.wait_for("step")
        # The agent reads nothing, so the frame, larger than any buffer, stays half sent.
        os.kill(agent.pid, signal.SIGSTOP)
        own_scripted_host.release()
        time.sleep(1.0)
        if killed == "host":
            own_scripted_host.host.kill()
            os.kill(agent.pid, signal.SIGCONT)
            agent.find("lost:", NOTICED)
            return
        agent.kill()
    own_scripted_host.wait_for("close", timeout=NOTICED)
    with python(AGENT, address) as agent:
        agent.line()
        own_scripted_host.wait_for("step", 2)
        own_scripted_host.release()
        agent.find("a row of")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_clients_that_say_nothing(scripted_host: ScriptedHost, fresh: Any, start: Start, scheme: str) -> None:
    address = scripted_host.serve(address=fresh(scheme), handshake_timeout=2.0)
    good = scripted_host.client(address)
    good.reset()
    with start("silent_client", address, "0") as one, start("silent_client", address, "0") as another:
        one.find("connected")
        another.find("connected")
        assert good.step(0)[0] == 1
        scripted_host.client(address).reset()
        scripted_host.log("handshake failed")
        assert good.step(0)[0] == 2


FEW = 80
"""Mappings that a process may have more: what the allocator keeps for threads. Fewer than any crowd."""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_crowd_leaves_nothing(fresh: Callable[[str], str], start: Start, scheme: str) -> None:
    address = fresh(scheme)
    shared = shared_files()
    with start("transcript", "host", "counting", "--listen", address, "--handshake-timeout", "1") as host:
        address = host.find("listening at").split()[-1]
        with start("silent_client", address, "20") as client:
            client.find("connected")
        descriptors, threads, mappings = until(lambda: settled(host.pid), "the host to settle")
        with start("silent_client", address, "1000") as client:
            before, after = json.loads(client.find("held", 20 * WAIT).removeprefix("held"))
            assert after[0] <= before[0] and after[1] <= before[1] and after[2] <= before[2] + FEW, (before, after)
        now = until(lambda: settled(host.pid), "the host to settle")
        most = (descriptors, threads, mappings + FEW)
        assert all(is_now <= bound for is_now, bound in zip(now, most, strict=True)), (now, most)
    assert shared_files() <= shared


def shared_files() -> set[str]:
    """Return the named shared memory, except what multiprocessing makes in tests beside this one."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith(("sem.mp-", "pym"))}


def settled(pid: int) -> tuple[int, int, int] | None:
    """Return the resources of a process, once they are unchanged for longer than handshakes take."""
    before = held(pid)
    for _ in range(5):
        time.sleep(0.5)
        if held(pid)[:2] != before[:2]:
            return None
    return held(pid)


def test_a_wrong_pin(scripted_host: ScriptedHost, fresh: Any) -> None:
    address = scripted_host.serve(address=fresh("quic"))
    right = re.search(r"pin=(sha256:[0-9a-f]{64})", address)
    assert right is not None
    wrong = address.replace(right[1], "sha256:" + "0" * 64)
    with pytest.raises(rlay.Error, match=f"the certificate there is {right[1]}, not sha256:0000"):
        rlay.ClientEnv(wrong)
    with pytest.raises(rlay.Error, match="is not a pin"):
        rlay.ClientEnv(address.replace("sha256:", "sha256:x"))
    with pytest.raises(rlay.Error, match="whose certificate"):
        rlay.ClientEnv(address.split("?")[0])
    scripted_host.client(address).reset()

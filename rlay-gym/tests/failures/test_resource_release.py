"""Dropped or open endpoints are released: nothing stays behind, and at exit the interpreter does not add up waits."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable

import pytest

import rlay
import scripted_env
from processes import held, python, until

HOST = """
    import sys, scripted_env, rlay
    host = rlay.ServerBackend(scripted_env.ScriptedEnv, max_sessions=64).start()
    print(host.address)
    input()
    """


def test_the_end_of_the_interpreter_waits_for_all_at_once() -> None:
    source = """
        import sys, time, atexit
        atexit.register(lambda: print("end", time.monotonic()))
        import rlay
        envs = [rlay.ClientEnv(sys.argv[1]) for _ in range(8)]
        for env in envs:
            env.reset()
        print("open")
        input()
        print("begin", time.monotonic())
        """
    with python(HOST) as host, python(source, host.line()) as agent:
        agent.find("open")
        os.kill(host.pid, signal.SIGSTOP)
        agent.say("")
        began = float(agent.find("begin").split()[1])
        ended = float(agent.find("end").split()[1])
    assert ended - began < 8.0, "eight times two seconds"


def test_the_end_of_the_interpreter_waits_for_busy_environments_at_once() -> None:
    source = """
        import sys, time, atexit
        atexit.register(lambda: print("end", time.monotonic()))
        import rlay, scripted_env
        hosts = [rlay.ServerBackend(scripted_env.ScriptedEnv).start() for _ in range(8)]
        print(*[host.address for host in hosts])
        input()
        print("begin", time.monotonic())
        """
    with python(source) as hosts:
        envs = [rlay.ClientEnv(address, timeout=0.2) for address in hosts.line().split()]
        for env in envs:
            env.reset()
            with pytest.raises(rlay.Timeout):
                env.step(scripted_env.WAIT)
        hosts.say("")
        began = float(hosts.find("begin").split()[1])
        ended = float(hosts.find("end").split()[1])
        for env in envs:
            with contextlib.suppress(rlay.Error):
                env.close()
    assert ended - began < 6.0, "eight times a second and a half"


def no_more_than(before: tuple[int, ...]) -> bool:
    """Whether this process has no more descriptors and threads; those of other tests may have gone meanwhile."""
    return all(now <= then for now, then in zip(held(os.getpid())[:2], before, strict=True))


@pytest.mark.parametrize("scheme", ["tcp", "unix", "shm"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_server_env_that_is_dropped_gives_back_all_it_had(
    scheme: str, count: int, fresh: Callable[[str], str]
) -> None:
    address = fresh(scheme)
    rlay.ServerEnv(address).close()
    before = held(os.getpid())[:2]
    envs = [rlay.ServerEnv(address)]
    address = envs[0].address
    envs += [rlay.ServerEnv(address) for _ in range(count - 1)]
    with rlay.ClientBackend(scripted_env.ScriptedEnv, address, max_sessions=1):
        envs[0].reset()
    del envs
    gc.collect()
    until(lambda: no_more_than(before), "descriptors and threads to go", 5.0)
    rlay.ServerBackend(scripted_env.ScriptedEnv, address).close()


def test_a_backend_that_is_dropped_before_it_serves_gives_back_all_it_had() -> None:
    before = held(os.getpid())[:2]
    host = rlay.ServerBackend(scripted_env.ScriptedEnv)
    address = host.address
    del host
    gc.collect()
    until(lambda: no_more_than(before), "descriptors and threads to go", 5.0)
    rlay.ServerBackend(scripted_env.ScriptedEnv, address).close()


def test_a_backend_that_was_started_serves_on_whoever_holds_it() -> None:
    address = rlay.ServerBackend(scripted_env.ScriptedEnv).start().address
    gc.collect()
    time.sleep(0.1)
    env = rlay.ClientEnv(address)
    assert env.reset()[0] == [0]
    env.close()


def test_a_game_that_is_dropped_while_an_engine_polls_it_leaves() -> None:
    before = held(os.getpid())[:2]
    with rlay.ServerEnv() as env:
        game = rlay.ClientBackend(scripted_env.ScriptedEnv(), env.address)
        game.turn(0.5)
        del game
        gc.collect()
    until(lambda: no_more_than(before), "descriptors and threads to go", 5.0)

"""A listener without a descriptor left says so, at both ends, does not spin, and continues once it has some."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rlay
import scripted_env
from error_texts import reads
from host_process import SCHEMES, quietly_close
from processes import WAIT, Program, python, thread, until

LISTENER = """
    import logging, os, resource, sys
    import scripted_env, rlay
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    if sys.argv[1] == "host":
        here = rlay.ServerBackend(scripted_env.ScriptedEnv, sys.argv[2], max_sessions=1000).start()
    elif sys.argv[1] == "agent":
        here = rlay.ServerEnv(sys.argv[2])
    if sys.argv[1] in ("host", "agent"):
        print(here.address)
    spent = []
    for line in sys.stdin:
        if line == "spend\\n":
            most = 8 + max(int(name) for name in os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            try:
                while True:
                    spent.append(os.open("/dev/null", os.O_RDONLY))
            except OSError as error:
                for descriptor in spent[-int(sys.argv[3]):] if sys.argv[3:] else []:
                    os.close(spent.pop())
                print(error)
        elif line == "reset\\n":
            print("first", here.reset()[0])
        elif line == "dial\\n":
            try:
                rlay.ClientEnv(sys.argv[2], connect_timeout=1.0).close()
                print("in")
            except rlay.Error as error:
                print(type(error).__name__, error)
        elif line == "serve\\n":
            served = rlay.ClientBackend(scripted_env.ScriptedEnv, sys.argv[2], connect_timeout=60.0).start()
        else:
            for descriptor in spent:
                os.close(descriptor)
            spent = []
            print("free")
    """

WORDS = ("no connection to …the listener has no descriptors left (…)…", "raise its limit of open files")
FEW = ("sh", "-c", 'ulimit -n 48 && exec "$@"', "sh")
"""Runs a command that may have few descriptors."""


def seconds_of_work(pid: int) -> float:
    """Return the processor time of a process, in seconds."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / 100


@contextlib.contextmanager
def dialers(address: str, count: int) -> Iterator[None]:
    """Run ``count`` agents that dial in vain meanwhile."""
    over: list[bool] = []

    def dial() -> None:
        while not over:
            with contextlib.suppress(rlay.Error):
                rlay.ClientEnv(address, connect_timeout=1.0).close()

    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(thread(dial))
        try:
            yield
        finally:
            over.append(True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_host_without_descriptors(scheme: str, fresh: Callable[[str], str]) -> None:
    with python(LISTENER, "host", fresh(scheme)) as host:
        address = host.line()
        agent = rlay.ClientEnv(address)
        assert agent.reset()[0] == [0]
        host.say("spend")
        assert "Too many open files" in host.line()
        with pytest.raises(rlay.Busy) as caught:
            rlay.ClientEnv(address, connect_timeout=2.0)
        reads(caught.value, *WORDS)
        host.find("no descriptors left")
        assert agent.step(0)[0] == [1], "what is open goes on"
        with dialers(address, 4):
            before, began = seconds_of_work(host.pid), time.monotonic()
            time.sleep(2.0)
            worked, took = seconds_of_work(host.pid) - before, time.monotonic() - began
        assert worked < 0.5 * took, f"it spins: {worked} s of work in {took} s"
        host.say("free")
        host.find("free")
        assert agent.step(0)[0] == [2]
        again = rlay.ClientEnv(address, connect_timeout=WAIT)
        assert again.reset()[0] == [0]
        again.close()
        agent.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_agent_that_listens_without_descriptors(
    scheme: str, fresh: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    with python(LISTENER, "agent", fresh(scheme)) as agent:
        address = agent.line()
        agent.say("spend")
        assert "Too many open files" in agent.line()
        game = rlay.ClientBackend(scripted_env.ScriptedEnv, address, max_sessions=1, connect_timeout=2.0)
        with pytest.raises(rlay.Busy) as caught:
            game.run()
        reads(caught.value, *WORDS)
        agent.say("free")
        agent.find("free")
        with rlay.ClientBackend(scripted_env.ScriptedEnv, address, max_sessions=1):
            agent.say("reset")
            agent.find("first [0]")


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "quic"])
def test_a_rust_host_without_descriptors(scheme: str, fresh: Callable[[str], str], programs: Path) -> None:
    """The host's sessions use up the descriptors. Sessions over QUIC have none of their own."""
    command = (str(programs / "cartpole_server"), "--listen", fresh(scheme), "--max-sessions", "1000")
    with Program(*FEW, *command) as host:
        address, agents = host.line().split()[-1], []
        try:
            with pytest.raises(rlay.Busy) as caught:
                for _ in range(100):
                    agents.append(rlay.ClientEnv(address, connect_timeout=2.0))
                    agents[-1].reset()
            reads(caught.value, *WORDS)
            until(lambda: any("no descriptors left" in line for line in host.errors), "the host to say so")
            for agent in agents:
                agent.step(0)
        finally:
            for agent in agents:
                quietly_close(agent)
        again = rlay.ClientEnv(address, connect_timeout=WAIT)
        again.reset()
        again.close()


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_dialer_without_descriptors(scheme: str, left: int, fresh: Callable[[str], str]) -> None:
    with rlay.ServerBackend(scripted_env.ScriptedEnv, fresh(scheme)) as host:
        with python(LISTENER, "dialer", host.address, *([str(left)] if left else [])) as dialer:
            dialer.say("dial")
            assert dialer.line() == "in"
            dialer.say("spend")
            assert "Too many open files" in dialer.line()
            dialer.say("dial")
            text = dialer.line()
            if not (text == "in" and left):
                assert text.startswith("ResourceExhausted ")
                reads(
                    text, "ResourceExhausted …Too many open files…",
                    "raise this process's limit of open files (ulimit -n)",
                )  # fmt: skip
            dialer.say("free")
            dialer.find("free")
            dialer.say("dial")
            assert dialer.line() == "in"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_game_goes_on_where_its_spare_session_has_no_descriptors(scheme: str, fresh: Callable[[str], str]) -> None:
    with rlay.ServerEnv(fresh(scheme), connect_timeout=WAIT) as env:
        with python(LISTENER, "dialer", env.address) as game:
            game.say("serve")
            assert env.reset()[0] == [0]
            env.step(0)
            game.say("spend")
            assert "Too many open files" in game.line()
            second = rlay.ServerEnv(env.address, connect_timeout=WAIT)
            # The spare session is taken, if it has dialed before; then the next one cannot dial.
            with thread(second.reset):
                time.sleep(1.0)
                assert env.step(0)[0] == [2], "it plays on"
                game.say("free")
                game.find("free")
            third = rlay.ServerEnv(env.address, connect_timeout=WAIT)
            assert third.reset()[0] == [0]
            second.close()
            third.close()


REFUSED = """
    import os, resource, sys
    import rlay
    host = rlay.ServerBackend("CartPole-v1")
    def attempts():
        yield lambda: rlay.ServerBackend("CartPole-v1")
        yield lambda: rlay.ServerEnv()
        yield lambda: rlay.launch(["true"])
        yield host.start
    if sys.argv[1] == "threads":
        # The limit does not bind root.
        if os.geteuid() == 0:
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    else:
        most = 1 + max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            pass
    for attempt in list(attempts())[: 4 if sys.argv[1] == "threads" else 3]:
        try:
            attempt()
            print("no error")
        except OSError as error:
            print(type(error).__name__, isinstance(error, rlay.Error), error)
    os._exit(0)
    """


@pytest.mark.parametrize(
    ("what", "says"), [("threads", "cannot start a thread: "), ("descriptors", "Too many open files")]
)
def test_what_the_system_refuses_is_an_error_of_its_own(what: str, says: str) -> None:
    with python(REFUSED, what) as program:
        for _ in range(4 if what == "threads" else 3):
            line = program.line()
            assert line.startswith("ResourceExhausted True ") and says in line
        assert program.wait() == 0


LAUNCHER = """
    import os, resource, sys
    import rlay
    most = int(sys.argv[1]) + 1 + max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        rlay.launch(["true"], connect_timeout=10.0)
    except rlay.Error as error:
        print(type(error).__name__, error)
    """


def test_a_launch_without_descriptors() -> None:
    """However many descriptors there are: one case for each step of a launch at which they can run out."""
    words = []
    for left in range(20):
        with python(LAUNCHER, str(left)) as program:
            line = program.line()
        words.append(line.split()[0])
        if words[-1] != "ResourceExhausted":
            assert line.startswith("ConnectionLost before it dialed in, true ended")
            break
        assert "Too many open files" in line
    assert words[-1] == "ConnectionLost" and len(words) > 5, words

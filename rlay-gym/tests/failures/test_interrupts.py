"""Ctrl-C ends every wait soon and leaves the session usable."""

from __future__ import annotations

import contextlib
import signal
import socket

import pytest

import rlay
import scripted_env
from processes import Program, free_address, python, thread
from scripted_host import ScriptedHost

SOON = 20.0
"""Ten times what is promised for a wait to end after Ctrl-C."""
HANDSHAKE = 5.0
"""How long a listener may take to answer."""


def interrupt(program: Program, answer: str = "interrupted", within: float = SOON) -> None:
    """Press Ctrl-C in ``program``, which then says ``answer``."""
    program.interrupt()
    program.find(answer, within)


CALLS = {
    "reset": ("env.reset(options={'wait_in': 'reset'})", "0"),
    "step": ("env.step(scripted_env.WAIT)", "1"),
    "render": ("env.reset(options={'wait_in': 'render'}); env.render()", "step 0"),
}


@pytest.mark.parametrize("go_on", ["late", "reset"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_interrupted(scripted_host: ScriptedHost, call: str, go_on: str) -> None:
    source = f"""
        import sys, scripted_env, rlay
        env = rlay.ClientEnv(sys.argv[1], render_mode="ansi")
        env.reset()
        try:
            {CALLS[call][0]}
        except KeyboardInterrupt:
            print("interrupted")
        try:
            env.step(0)
        except rlay.Busy:
            print("busy")
        sys.stdin.readline()
        if sys.argv[2] == "late":
            late = env.late(20)
            print("late", late if isinstance(late, str) else late[0][0])
        print("reset", env.reset()[0][0])
        print("step", env.step(0)[0][0])
        env.close()
        """
    with python(source, scripted_host.serve(), go_on) as program:
        scripted_host.wait_for(call, 2 if call == "reset" else 1)
        interrupt(program)
        assert program.line() == "busy"
        scripted_host.release()
        program.say("go on")
        if go_on == "late":
            assert program.line() == f"late {CALLS[call][1]}"
        assert [program.line(), program.line()] == ["reset 0", "step 1"]
        assert program.wait() == 0


def test_late_that_is_interrupted(scripted_host: ScriptedHost) -> None:
    source = """
        import sys, scripted_env, rlay
        env = rlay.ClientEnv(sys.argv[1])
        env.reset()
        env.timeout = 0.1
        try:
            env.step(scripted_env.WAIT)
        except rlay.Timeout:
            pass
        try:
            print("late")
            env.late()
        except KeyboardInterrupt:
            print("interrupted")
        sys.stdin.readline()
        print(env.late(20)[0][0])
        """
    with python(source, scripted_host.serve()) as program:
        program.find("late")
        interrupt(program)
        scripted_host.release()
        program.say("go on")
        assert program.line() == "1"


DIAL = """
    import sys, rlay
    try:
        print("dialing")
        rlay.ClientEnv(sys.argv[1], connect_timeout=60)
    except KeyboardInterrupt:
        print("interrupted")
    """


def test_dialing_where_nobody_listens_is_interrupted() -> None:
    with python(DIAL, free_address()) as program:
        program.find("dialing")
        interrupt(program)


def test_dialing_where_somebody_says_nothing_is_interrupted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with python(DIAL, f"tcp://127.0.0.1:{listener.getsockname()[1]}") as program:
            peer, _ = listener.accept()
            with peer:
                assert peer.recv(4), "it says Hello and waits for an answer"
                interrupt(program, within=HANDSHAKE - 0.5)


def test_dialing_where_nobody_accepts_is_interrupted() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        # The queue of connections is full; the kernel leaves further ones without an answer.
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        program = stack.enter_context(python(DIAL, f"tcp://127.0.0.1:{address[1]}"))
        program.find("dialing")
        interrupt(program, within=HANDSHAKE - 0.5)


def test_waiting_for_an_environment_is_interrupted(scripted_host: ScriptedHost) -> None:
    source = """
        import rlay
        env = rlay.ServerEnv()
        try:
            print(env.address)
            env.reset()
        except KeyboardInterrupt:
            print("interrupted")
        print("reset", env.reset()[0][0])
        print("step", env.step(0)[0][0])
        env.close()
        """
    with python(source) as program:
        address = program.line()
        interrupt(program)
        scripted_host.dial(address)
        assert [program.line(), program.line()] == ["reset 0", "step 1"]


@pytest.mark.parametrize("what", ["scripted_env.ScriptedEnv", "scripted_env.ScriptedEnv('ansi')"])
def test_a_server_backend_that_runs_ends_with_ctrl_c(what: str) -> None:
    source = f"""
        import scripted_env, rlay
        host = rlay.ServerBackend({what})
        print(host.address)
        host.run()
        print("ended", [name for name, _ in scripted_env.journal()])
        """
    with python(source) as program:
        env = rlay.ClientEnv(program.line())
        env.reset()
        interrupt(program, "ended")
        with pytest.raises(rlay.ConnectionLost):
            env.reset()
        assert program.wait() == 0


def test_ctrl_c_reaches_the_code_of_an_environment_on_the_main_thread() -> None:
    source = """
        import scripted_env, rlay
        class Loud(scripted_env.ScriptedEnv):
            def step(self, action):
                print("in step")
                return super().step(action)
        host = rlay.ServerBackend(Loud())
        print(host.address)
        host.run()
        print("ended")
        """
    with python(source) as program:
        env = rlay.ClientEnv(program.line())
        env.reset()

        def step() -> None:
            with pytest.raises(rlay.Error) as caught:
                env.step(scripted_env.WAIT)
            assert caught.value.remote_type == "KeyboardInterrupt"  # type: ignore[attr-defined]

        with thread(step):
            program.find("in step")
            interrupt(program, "ended")
        assert program.wait() == 0


def test_a_client_backend_that_runs_ends_with_ctrl_c() -> None:
    source = """
        import sys, scripted_env, rlay
        rlay.ClientBackend(scripted_env.ScriptedEnv, sys.argv[1]).run()
        print("ended")
        """
    env = rlay.ServerEnv(connect_timeout=20)
    with python(source, env.address) as program:
        env.reset()
        interrupt(program, "ended")
        with pytest.raises(rlay.ConnectionLost):
            env.reset()
        assert program.wait() == 0
    env.close()


def test_a_client_backend_ends_though_the_signal_ends_no_wait() -> None:
    """As when Ctrl-C comes just before a wait begins: then only Python's flag is set."""
    source = """
        import _thread, sys, threading, scripted_env, rlay
        def press():
            sys.stdin.readline()
            _thread.interrupt_main()
        threading.Thread(target=press, daemon=True).start()
        rlay.ClientBackend(scripted_env.ScriptedEnv, sys.argv[1], max_sessions=1).run()
        print("ended")
        """
    with rlay.ServerEnv(connect_timeout=20) as env, python(source, env.address) as program:
        env.reset()
        program.say("press")
        program.find("ended", SOON)
        assert program.wait() == 0


def test_ctrl_c_while_a_long_wait_is_logged(scripted_host: ScriptedHost) -> None:
    source = """
        import logging, signal, sys, scripted_env, rlay
        class Press(logging.Handler):
            def emit(self, record):
                signal.raise_signal(signal.SIGINT)
        env = rlay.ClientEnv(sys.argv[1])
        env.reset()
        logging.getLogger("rlay").addHandler(Press())
        try:
            env.step(scripted_env.WAIT)
        except KeyboardInterrupt:
            print("interrupted")
        """
    with python(source, scripted_host.serve()) as program:
        program.find("interrupted")
        scripted_host.release()
        assert program.wait() == 0


def test_a_client_backend_that_dials_ends_with_ctrl_c() -> None:
    source = """
        import sys, scripted_env, rlay
        rlay.ClientBackend(scripted_env.ScriptedEnv, sys.argv[1]).run()
        print("ended")
        """
    with contextlib.ExitStack() as stack:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            program = stack.enter_context(python(source, f"tcp://127.0.0.1:{listener.getsockname()[1]}"))
            listener.accept()[0].close()
        # The program has dialed, and now redials an address that has no listener any more.
        interrupt(program, "ended")
        assert program.wait() == 0


def test_a_turn_that_waits_is_interrupted() -> None:
    source = """
        import sys, scripted_env, rlay
        host = rlay.ClientBackend(scripted_env.ScriptedEnv, sys.argv[1])
        try:
            print("waiting")
            host.turn(60)
        except KeyboardInterrupt:
            print("interrupted")
        print("turn", host.turn(20))
        """
    with rlay.ServerEnv(connect_timeout=20) as env, python(source, env.address) as program:
        program.find("waiting")
        interrupt(program)
        with contextlib.suppress(rlay.ConnectionLost):  # it ends without an answer
            env.reset(seed=5)
        assert program.line() == "turn Reset(seed=5, options=None, slot=0)"


def test_a_signal_handler_that_raises_something_else(scripted_host: ScriptedHost) -> None:
    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    env = scripted_host.env()
    env.reset()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Alarm):
            env.step(scripted_env.WAIT)
    finally:
        signal.signal(signal.SIGALRM, before)
    scripted_host.release()
    assert env.late(20)[0] == [1]


ACCEPTING = {
    "policy": 'rlay.serve_policy(lambda observation: 0, "tcp://127.0.0.1:0")',
    "backend": """
        host = rlay.ServerBackend(scripted_env.ScriptedEnv)
        print("at", host.address)
        host.run()""",
}


@pytest.mark.parametrize("server", ACCEPTING)
def test_ctrl_c_before_the_thread_of_a_session_has_started(scripted_host: ScriptedHost, server: str) -> None:
    source = f"""
        import logging, os, signal, sys, threading, scripted_env, rlay
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
        start = threading.Thread.start
        def interrupted(thread):
            if thread.name.startswith("rlay-"):
                os.kill(os.getpid(), signal.SIGINT)
            start(thread)
        threading.Thread.start = interrupted
        {ACCEPTING[server]}
        print("ended")
        """
    with python(source) as program:
        address = program.find("at ").split()[-1]
        if server == "policy":
            scripted_host.dial(address)
        else:
            with contextlib.suppress(rlay.Error):
                scripted_host.client(address)
        program.find("ended")
        assert program.wait() == 0

"""What the two backends host, and on which thread it lives."""

from __future__ import annotations

import json
import signal
import traceback
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest

import misbehaving_envs
import rlay
import scripted_env
from host_process import PARADIGMS, HostProcess
from processes import WAIT, free_address, python, until
from rlay import _hosting
from scripted_host import Agent, ScriptedHost, backend

SOURCES: dict[str, Callable[[], Any]] = {
    "an id": lambda: "CartPole-v1",
    "an EnvSpec": lambda: gym.spec("CartPole-v1"),
    "a class": lambda: scripted_env.ScriptedEnv,
    "a function with render_mode": lambda: scripted_env.with_mode,
    "a function without render_mode": lambda: scripted_env.without_mode,
    "a lambda": lambda: lambda: scripted_env.ScriptedEnv(),
    "a lambda that takes anything": lambda: lambda **kwargs: scripted_env.ScriptedEnv(**kwargs),
    "an instance": scripted_env.ScriptedEnv,
}


@pytest.mark.gymnasium
@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("name", SOURCES)
def test_what_can_be_hosted(host_process: HostProcess, name: str, paradigm: str) -> None:
    with backend(paradigm, SOURCES[name]()) as host:
        assert Agent(host_process, paradigm, host.address).step(0).startswith("[")


@pytest.mark.gymnasium
@pytest.mark.parametrize("source", [7, None, object(), "NoSuchEnvironment-v0"])
def test_what_cannot_be_hosted_is_refused_at_once(source: Any) -> None:
    with pytest.raises((TypeError, gym.error.Error)):
        rlay.ServerBackend(source)


@pytest.mark.gymnasium
@pytest.mark.parametrize(("source", "mode"), [("with_mode", "ansi"), ("ScriptedEnv", "ansi"), ("without_mode", None)])
def test_a_callable_is_told_the_render_mode_if_it_takes_one(
    scripted_host: ScriptedHost, source: str, mode: str | None
) -> None:
    env = scripted_host.env(source=f"scripted_env:{source}", render_mode="ansi")
    env.reset()
    if mode is not None:
        assert (env.render_mode, env.render()) == (mode, "step 0")


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_environment_lives_on_one_thread(scripted_host: ScriptedHost, paradigm: str) -> None:
    env = scripted_host.env(paradigm, render_mode="ansi")
    env.reset()
    env.step(0)
    env.render()
    env.close()
    scripted_host.wait_for("close")
    threads = scripted_host.threads()
    assert set(threads) == {"make", "reset", "step", "render", "close"}
    assert len(set.union(*threads.values())) == 1


def test_sessions_have_environments_and_threads_of_their_own(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve()
    first, second = scripted_host.client(address), scripted_host.client(address)
    first.reset()
    second.reset()
    assert first.step(0)[0] == [1] and first.step(0)[0] == [2] and second.step(0)[0] == [1]
    assert scripted_host.calls().count("make") == 2
    assert len(scripted_host.threads()["step"]) == 2


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_instance_is_served_on_the_thread_that_runs_and_is_not_closed(paradigm: str) -> None:
    source = """
        import sys, scripted_env, rlay
        from processes import thread
        env = scripted_env.ScriptedEnv("ansi")
        name, address = sys.argv[1:]
        host = rlay.ServerBackend(env) if name == "client" else rlay.ClientBackend(env, address)
        print(host.address)
        with thread(lambda: (sys.stdin.readline(), host.close())):
            host.run()
        print(*(f"{name}:{'main' if on == 0 else 'another'}" for name, on in scripted_env.journal()))
        """
    holder = rlay.ServerEnv()
    with python(source, paradigm, holder.address) as program:
        address = program.line()
        for _ in range(2):  # one agent after the other
            env = rlay.ClientEnv(address) if paradigm == "client" else rlay.ServerEnv(address, connect_timeout=WAIT)
            env.reset()
            env.step(0)
            assert env.render() == "step 1"
            env.close()
        program.say("close")
        calls = program.line().split()
        assert calls == ["make:main", *["reset:main", "step:main", "render:main"] * 2]
        assert program.wait() == 0
    holder.close()


def test_an_instance_has_one_session_at_a_time() -> None:
    source = """
        import sys, scripted_env, rlay
        with rlay.ServerBackend(scripted_env.ScriptedEnv()) as host:
            print(host.address)
            sys.stdin.readline()
        """
    with python(source) as program:
        address = program.line()
        env = rlay.ClientEnv(address)
        with pytest.raises(rlay.Busy, match="serves one environment, which was made already"):
            rlay.ClientEnv(address, connect_timeout=1.0)
        env.close()
        rlay.ClientEnv(address, connect_timeout=WAIT).close()


REFUSED = {
    "Refused": (rlay.Error, "a space of class misbehaving_envs.OwnSpace", True),
    "Spaceless": (AttributeError, "the world is not loaded", True),
    "Stepless": (AttributeError, "no attribute 'step'", True),
    "Tidy": (rlay.Error, "a space of class misbehaving_envs.OwnSpace", False),
}


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("name", REFUSED)
def test_why_an_environment_is_refused_is_not_hidden_by_its_close(
    scripted_host: ScriptedHost, paradigm: str, name: str
) -> None:
    """The environment is closed, since it was made for this session; an error of its close is shown with the reason."""
    error, text, is_stuck = REFUSED[name]
    with pytest.raises(error) as caught:
        scripted_host.env(paradigm, f"misbehaving_envs:{name}").reset()
    assert isinstance(caught.value, rlay.Error)
    assert text in str(caught.value) and "the window is stuck" not in str(caught.value)
    assert ("the window is stuck" in caught.value.remote_traceback) == is_stuck  # type: ignore[attr-defined]
    assert name in scripted_host.host.tell("call", "misbehaving_envs:closings")


def test_an_instance_that_is_refused_is_not_closed() -> None:
    misbehaving_envs.closings()
    with pytest.raises(rlay.Error, match="OwnSpace"):
        _hosting.maker(misbehaving_envs.Refused())(None, None, {}, 1)
    assert misbehaving_envs.closings() == []


def test_the_story_of_two_errors_is_told_in_order() -> None:
    """Whatever each was raised from, and where its own ``raise`` suppresses that."""

    def fail(text: str, quietly: bool) -> BaseException:
        try:
            try:
                raise KeyError(f"before {text}")
            except KeyError as error:
                if quietly:
                    raise ValueError(text) from None
                raise ValueError(text) from (error if text == "one" else None)
        except ValueError as error:
            return error

    for quietly in (True, False):
        why, besides = fail("one", quietly), fail("two", quietly)

        class Stuck:
            def close(self, besides: BaseException = besides) -> None:
                raise besides

        try:
            raise why
        except ValueError:
            _hosting.let_go(Stuck(), True, why)
        told = "".join(traceback.format_exception(why))
        assert told.index("ValueError: two") < told.index("ValueError: one")
        assert ("before one" in told) == (not quietly) and told.count("ValueError: two") == 1
        before = why.__context__
        _hosting.let_go(Stuck(), False, why)
        assert why.__context__ is before, "it is not closed, for it is not its host's own"

        class Same:
            def close(self, why: BaseException = why) -> None:
                raise why

        _hosting.let_go(Same(), True, why)
        assert "".join(traceback.format_exception(why)).count("ValueError: one") == 1


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", True, None])
@pytest.mark.parametrize("source", ["callable", "instance"])
def test_how_many_sessions_there_can_be(source: str, number: Any) -> None:
    env: Any = scripted_env.ScriptedEnv if source == "callable" else scripted_env.ScriptedEnv()
    for make in (rlay.ServerBackend, lambda env, **kwargs: rlay.ClientBackend(env, free_address(), **kwargs)):
        if number is None:
            make(env, max_sessions=None).close()
            continue
        with pytest.raises((TypeError, ValueError), match="how many sessions"):
            make(env, max_sessions=number)
    if number is not None:
        with pytest.raises((TypeError, ValueError), match="max_sessions"):
            rlay.ServerEnv(max_sessions=number)


THREAD = """
    import asyncio, json, signal, sys, threading, scripted_env, rlay

    class OnMain(scripted_env.ScriptedEnv):
        def __init__(self, render_mode=None):
            super().__init__(render_mode)
            signal.signal(signal.SIGUSR1, lambda *_: host.close())
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
            assert asyncio.get_event_loop() is self.loop

    import gymnasium
    gymnasium.register("OnMain-v0", OnMain)
    sources = {"id": "OnMain-v0", "callable": OnMain, "dict": {"only": OnMain}}
    paradigm, source, address, end = sys.argv[1:]
    source = sources[source]
    if paradigm == "client":
        host = rlay.ServerBackend(source, max_sessions=1)
    else:
        host = rlay.ClientBackend(source, address, max_sessions=1)
    print(host.address)
    def close():
        if end == "thread":
            sys.stdin.readline()
            host.close()
            print("closed", [name for name, _ in scripted_env.journal()].count("close"))
    closer = threading.Thread(target=close)
    closer.start()
    host.run()
    closer.join()
    print(json.dumps(sorted({(name, on) for name, on in scripted_env.journal()})))
    """


@pytest.mark.parametrize("end", ["thread", "signal", "ctrl-c"])
@pytest.mark.parametrize("source", ["id", "callable", "dict"])
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_one_environment_at_a_time_lives_on_the_thread_that_runs(paradigm: str, source: str, end: str) -> None:
    """The environment may use what needs a main thread: signal handlers, an event loop, a window."""
    env_id = "only" if source == "dict" else None
    holder = rlay.ServerEnv(connect_timeout=WAIT, env_id=env_id)
    with python(THREAD, paradigm, source, holder.address, end) as program:
        address = program.line()
        for last in (False, True):  # one agent after the other
            kwargs: Any = {"env_id": env_id, "connect_timeout": WAIT}
            env = (rlay.ClientEnv if paradigm == "client" else rlay.ServerEnv)(address, **kwargs)
            env.reset()
            assert env.step(0)[0] == [1]
            if not last:
                env.close()
        match end:
            case "thread":
                program.say("close")
                program.find("closed 2")  # two environments, by the time that `run` returns
            case "signal":
                program.process.send_signal(signal.SIGUSR1)
            case "ctrl-c":
                program.interrupt()
        called = json.loads(program.find("["))
        assert called == [["close", 0], ["make", 0], ["reset", 0], ["step", 0]]
        assert program.wait() == 0
        with pytest.raises(rlay.ConnectionLost):
            env.step(0)
        env.close()
    holder.close()


def test_a_full_host_of_one_session_says_so_while_it_serves() -> None:
    source = """
        import scripted_env, rlay
        host = rlay.ServerBackend(scripted_env.ScriptedEnv())
        print(host.address)
        host.run()
        """
    with python(source) as program:
        address = program.line()
        env = rlay.ClientEnv(address)
        env.reset()
        with pytest.raises(rlay.Busy, match="give the host a function that makes environments"):
            rlay.ClientEnv(address, connect_timeout=2.0)

        def said() -> list[str]:
            # The first agent may have dialed between print() and run().
            return [line for line in program.errors if "does not serve yet" not in line]

        until(said, "the host to say so")
        assert len(said()) == 1, program.errors
        assert "this host serves one environment" in said()[0]
        env.close()

"""Deadlines and late answers: a call that waits too long fails alone, and its answer never serves another call."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

import rlay
import scripted_env
from host_process import PARADIGMS
from processes import WAIT, free_address, thread, until
from scripted_host import ScriptedHost

SOON = 0.3


@pytest.fixture
def env(scripted_host: ScriptedHost) -> Any:
    env = scripted_host.env()
    env.reset()
    return env


def test_a_timeout_is_an_argument_and_an_attribute(paradigm: str, scripted_host: ScriptedHost) -> None:
    env = scripted_host.env(paradigm, timeout=2.0)
    assert env.timeout == 2.0
    env.reset()
    with pytest.raises(rlay.Timeout, match="late"):
        env.step(scripted_env.WAIT)
    env.timeout = None
    scripted_host.release()
    assert env.late()[0] == [1]
    with thread(lambda: (scripted_host.wait_for("step", 2), scripted_host.release())):
        assert env.step(scripted_env.WAIT)[0] == [2]


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01])
def test_a_timeout_of_nothing_asks_and_does_not_wait(env: Any, scripted_host: ScriptedHost, timeout: float) -> None:
    env.timeout = timeout
    with pytest.raises(rlay.Timeout):
        env.step(scripted_env.WAIT)
    scripted_host.wait_for("step")
    scripted_host.release()
    assert env.late(20)[0] == [1]


@pytest.mark.parametrize("call", ["reset", "step", "render"])
def test_the_late_answer_is_what_the_call_would_have_returned(scripted_host: ScriptedHost, call: str) -> None:
    env = scripted_host.env("client", render_mode="ansi")
    env.reset(options={} if call == "reset" else {"wait_in": call})
    env.timeout = SOON
    calls = {
        "reset": lambda: env.reset(options={"wait_in": "reset"}),
        "step": lambda: env.step(0),
        "render": env.render,
    }
    with pytest.raises(TimeoutError):
        calls[call]()
    with pytest.raises(rlay.Timeout):  # late() may time out, too, any number of times
        env.late(SOON)
    scripted_host.release()
    answer = env.late(20)
    expected = {
        "reset": lambda: answer[0] == [0] and answer[1] == {},
        "step": lambda: answer[0] == [1] and answer[1:4] == (1.0, False, False),
        "render": lambda: answer == "step 0",
    }
    assert expected[call]()
    with pytest.raises(rlay.Error, match="no answer is late"):
        env.late()


def test_while_an_answer_is_late_other_calls_are_refused(scripted_host: ScriptedHost) -> None:
    env = scripted_host.env(render_mode="ansi")
    env.reset()
    env.timeout = SOON
    with pytest.raises(rlay.Timeout):
        env.step(scripted_env.WAIT)
    for call in (lambda: env.step(0), env.render):
        with pytest.raises(rlay.Busy, match=r"late\(\) fetches it, reset\(\) waits for it and drops it"):
            call()
    scripted_host.release()
    # The answer arrives while no call waits for it, and still serves nothing but late().
    scripted_host.wait_for("step")
    with pytest.raises(rlay.Busy):
        env.step(0)
    assert env.late(20)[0] == [1]
    assert env.step(0)[0] == [2]


def test_reset_drops_a_late_answer(env: Any, scripted_host: ScriptedHost) -> None:
    env.timeout = SOON
    with pytest.raises(rlay.Timeout):
        env.step(scripted_env.WAIT)
    with pytest.raises(rlay.Timeout):  # the environment is still at it
        env.reset()
    scripted_host.release()
    env.timeout = 20
    assert env.reset()[0] == [0]
    assert env.step(0)[0] == [1]


def test_reset_drops_a_late_failure(env: Any, scripted_host: ScriptedHost) -> None:
    env.reset(options={"wait_in": "step", "raise_in": "step"})
    env.timeout = SOON
    with pytest.raises(rlay.Timeout):
        env.step(0)
    scripted_host.release()
    env.timeout = 20
    assert env.reset()[0] == [0]
    assert env.step(0)[0] == [1]


def test_a_late_failure_is_raised_by_late(env: Any, scripted_host: ScriptedHost) -> None:
    env.reset(options={"wait_in": "step", "raise_in": "step"})
    env.timeout = SOON
    with pytest.raises(rlay.Timeout):
        env.step(0)
    scripted_host.release()
    with pytest.raises(ValueError, match="step went wrong"):
        env.late(20)
    env.timeout = 20
    assert env.reset()[0] == [0]


def test_close_does_not_wait_for_a_late_answer(env: Any, scripted_host: ScriptedHost) -> None:
    env.timeout = SOON
    with pytest.raises(rlay.Timeout):
        env.step(scripted_env.WAIT)
    env.close()
    assert "close" not in scripted_host.calls(), "it is in a call"
    scripted_host.release()
    scripted_host.wait_for("close")


def test_a_second_thread_is_told_that_the_environment_is_busy(env: Any, scripted_host: ScriptedHost) -> None:
    results: list[Any] = []
    with thread(lambda: results.append(env.step(scripted_env.WAIT))):
        scripted_host.wait_for("step")
        for call in (lambda: env.step(0), env.reset, env.late, env.close):
            with pytest.raises(rlay.Busy, match="another thread"):
                call()
        scripted_host.release()
    assert results[0][0] == [1]
    assert env.step(0)[0] == [2], "the session is as it was"
    env.close()
    assert scripted_host.calls()[-1] == "close"


def test_two_threads_that_wait_for_one_environment(
    scripted_host: ScriptedHost, caplog: pytest.LogCaptureFixture
) -> None:
    env = scripted_host.server()
    with thread(env.reset):
        until(lambda: "waiting for an environment" in caplog.text, "the thread to wait")
        for call in (env.reset, lambda: env.metadata):
            with pytest.raises(rlay.Busy, match="another thread waits"):
                call()
        scripted_host.dial(env.address)
    assert env.step(0)[0] == [1]


def test_close_ends_a_wait_for_an_environment(scripted_host: ScriptedHost, caplog: pytest.LogCaptureFixture) -> None:
    env = scripted_host.server()

    def wait() -> None:
        with pytest.raises(rlay.Error, match="closed"):
            env.reset()

    with thread(wait):
        until(lambda: "waiting for an environment" in caplog.text, "the thread to wait")
        env.close()


def test_nobody_listens() -> None:
    address = free_address()
    with pytest.raises(rlay.ConnectionLost, match="no connection to") as caught:
        rlay.ClientEnv(address, connect_timeout=SOON)
    assert address in str(caught.value) and "start the other side first" in str(caught.value)
    assert isinstance(caught.value, ConnectionError)


def test_somebody_listens_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(rlay.ConnectionLost, match="is it an RLay endpoint") as caught:
            rlay.ClientEnv(address, connect_timeout=SOON)
    assert address in str(caught.value)


def test_nobody_dials() -> None:
    env = rlay.ServerEnv(connect_timeout=SOON)
    with pytest.raises(rlay.Timeout, match="no environment dialed in") as caught:
        env.reset()
    assert env.address in str(caught.value) and "0.3 s" in str(caught.value)
    with pytest.raises(rlay.Timeout):
        _ = env.observation_space
    env.close()


def test_who_comes_late_is_still_welcome(scripted_host: ScriptedHost) -> None:
    env = scripted_host.server(connect_timeout=SOON)
    with pytest.raises(rlay.Timeout):
        env.reset()
    scripted_host.dial(env.address)
    assert scripted_host.first_observation(env) == [0]


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_environment_that_is_not_made_within_connect_timeout(scripted_host: ScriptedHost, paradigm: str) -> None:
    with pytest.raises(rlay.Timeout, match="did not make the environment within connect_timeout") as caught:
        scripted_host.env(paradigm, "scripted_env:hesitant", connect_timeout=1.0, timeout=WAIT).reset()
    assert str(caught.value).endswith("raise connect_timeout")
    scripted_host.release()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_timeout_of_calls_does_not_bound_how_long_an_environment_is_made(
    scripted_host: ScriptedHost, paradigm: str
) -> None:
    made: list[Any] = []
    if paradigm == "client":
        address, cls = scripted_host.serve("scripted_env:hesitant"), rlay.ClientEnv
    else:
        address, cls = scripted_host.server().address, rlay.ServerEnv
        scripted_host.dial(address, "scripted_env:hesitant")

    def make() -> None:
        env = cls(address, timeout=SOON, connect_timeout=WAIT)
        assert env.observation_space is not None
        made.append(env)

    with thread(make) as beside:
        scripted_host.wait_for("hesitate")
        # Much longer than a call may take.
        beside.join(4 * SOON)
        assert not made
        scripted_host.release()
    made[0].timeout = WAIT
    assert made[0].reset()[0] == [0]
    made[0].close()


def test_a_program_that_is_launched_has_connect_timeout_too(tmp_path: Path) -> None:
    game = "import time, rlay; rlay.ClientBackend(lambda: time.sleep(600), None).run()"
    with pytest.raises(rlay.Timeout, match="did not make the environment within connect_timeout"):
        rlay.launch([sys.executable, "-c", game], connect_timeout=10.0, timeout=WAIT, log=tmp_path / "log")

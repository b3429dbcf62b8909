"""Every wait lets other Python threads run: if one held the interpreter, the thread that has to end it could not."""

from __future__ import annotations

import re

import pytest

import rlay
import scripted_env
from processes import free_address, thread, until
from scripted_host import ScriptedHost

SOON = 20.0
"""A wait that is not ended by the test is over after this."""


def test_other_threads_run_while_an_answer_is_awaited(scripted_host: ScriptedHost) -> None:
    env = scripted_host.env(render_mode="ansi")
    for call in (lambda: env.reset(options={"wait_in": "reset"}), lambda: env.step(scripted_env.WAIT)):
        with thread(lambda: (until(scripted_host.calls, "a call"), scripted_host.release())):
            call()
        scripted_host.host.tell("call", "scripted_env:forget")


def test_other_threads_run_while_an_environment_dials(scripted_host: ScriptedHost) -> None:
    address = free_address()
    with thread(lambda: scripted_host.serve(address=address)):
        env = rlay.ClientEnv(address, connect_timeout=SOON)
    env.close()


def test_other_threads_run_while_an_environment_is_awaited(scripted_host: ScriptedHost) -> None:
    env = scripted_host.server(connect_timeout=SOON)
    with thread(lambda: scripted_host.dial(env.address)):
        env.reset()


def test_other_threads_run_while_a_turn_is_awaited(scripted_host: ScriptedHost) -> None:
    address = free_address()
    backend = rlay.ClientBackend(scripted_env.ScriptedEnv, address)
    with thread(lambda: scripted_host.host.tell("call", "remote_agents:listen_and_reset", address)):
        assert backend.turn(SOON) == rlay.Reset(seed=3, options=None)
        backend.reply(scripted_env.np.array([0]))
        assert isinstance(backend.turn(SOON), rlay.Close)
    backend.close()


def test_a_long_wait_says_what_it_is_for(own_scripted_host: ScriptedHost, caplog: pytest.LogCaptureFixture) -> None:
    env = own_scripted_host.env(timeout=3.0, notice_after=1.0)
    env.reset()
    with pytest.raises(rlay.Timeout):
        env.step(scripted_env.WAIT)
    (text,) = [record.getMessage() for record in caplog.records if "still waiting" in record.getMessage()]
    said = r"still waiting for the answer to step; the last that came from it was the answer to reset, [1-3] s ago"
    assert re.search(said, text)
    own_scripted_host.release()
    env.late(SOON)

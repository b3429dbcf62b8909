"""Failures at the other end: environments that raise, processes that die, calls that make no sense."""

from __future__ import annotations

import gymnasium as gym
import pytest

import rlay
import scripted_env
from host_process import PARADIGMS
from processes import WAIT, python, thread
from scripted_host import ScriptedHost

# -- environments that raise ----------------------------------------------------------------------


@pytest.mark.gymnasium
@pytest.mark.parametrize("call", ["reset", "step", "render"])
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_what_an_environment_raises_is_raised_here(scripted_host: ScriptedHost, paradigm: str, call: str) -> None:
    env = scripted_host.env(paradigm, render_mode="ansi")
    env.reset(options={} if call == "reset" else {"raise_in": call})
    with pytest.raises(ValueError) as caught:
        {"reset": lambda: env.reset(options={"raise_in": "reset"}), "step": lambda: env.step(0), "render": env.render}[
            call
        ]()
    error = caught.value
    assert isinstance(error, rlay.EnvError) and error.remote_type == "ValueError"
    assert str(error) == f"{call} went wrong"
    assert "scripted_env.py" in error.remote_traceback and f"in {call}" in error.remote_traceback
    assert env.reset()[0] == [0], "the session is usable afterwards"
    assert env.step(0)[0] == [1]
    assert env.render() == "step 1"


@pytest.mark.gymnasium
@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("ValueError", (ValueError,)),
        ("KeyError", (KeyError,)),
        ("gymnasium.error.InvalidAction", (gym.error.InvalidAction,)),
        ("scripted_env.OwnError", ()),
    ],
)
def test_the_class_is_the_remote_one_if_it_is_known_here(
    scripted_host: ScriptedHost, name: str, bases: tuple[type, ...]
) -> None:
    env = scripted_host.env()
    env.reset(options={"raise_in": "step", "error": name})
    with pytest.raises(rlay.EnvError) as caught:
        env.step(0)
    assert caught.value.remote_type == name
    assert all(isinstance(caught.value, base) for base in bases)
    assert not isinstance(caught.value, scripted_env.OwnError), "classes are not looked up by name"
    assert "step went wrong" in str(caught.value)


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_environment_that_cannot_be_made(scripted_host: ScriptedHost, paradigm: str) -> None:
    with pytest.raises(OSError, match="no display for None") as caught:
        scripted_host.env(paradigm, "scripted_env:broken").reset()
    assert isinstance(caught.value, rlay.EnvError)
    assert "scripted_env.py" in caught.value.remote_traceback and "in broken" in caught.value.remote_traceback


def test_a_failure_to_make_gives_its_place_back(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve("scripted_env:broken", max_sessions=1)
    for _ in range(3):
        with pytest.raises(OSError, match="no display"):
            scripted_host.client(address)


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_what_close_raises_is_raised_by_close(scripted_host: ScriptedHost, paradigm: str) -> None:
    env = scripted_host.env(paradigm)
    env.reset(options={"raise_in": "close"})
    with pytest.raises(ValueError, match="^close went wrong"):
        env.close()
    env.close()


def test_tracebacks_stay_at_the_host_if_it_says_so(scripted_host: ScriptedHost) -> None:
    env = scripted_host.client(scripted_host.serve(tracebacks=False))
    env.reset(options={"raise_in": "step"})
    with pytest.raises(ValueError, match="^step went wrong") as caught:
        env.step(0)
    assert isinstance(caught.value, rlay.EnvError)
    assert (caught.value.remote_type, caught.value.remote_traceback) == ("ValueError", "")


# -- processes that die ---------------------------------------------------------------------------


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_environment_that_ends_its_process(own_scripted_host: ScriptedHost, paradigm: str) -> None:
    env = own_scripted_host.env(paradigm)
    env.reset()
    with pytest.raises(rlay.ConnectionLost, match="killed or crashed") as caught:
        env.step(scripted_env.DIE)
    assert isinstance(caught.value, ConnectionError)
    with pytest.raises(rlay.ConnectionLost):
        env.reset()
    env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_host_that_is_killed_while_an_answer_is_awaited(own_scripted_host: ScriptedHost, paradigm: str) -> None:
    env = own_scripted_host.env(paradigm)
    env.reset()
    with (
        thread(lambda: (own_scripted_host.wait_for("step"), own_scripted_host.host.kill())),
        pytest.raises(rlay.ConnectionLost),
    ):
        env.step(scripted_env.WAIT)


def test_a_host_that_is_killed_between_two_calls(own_scripted_host: ScriptedHost) -> None:
    env = own_scripted_host.env()
    env.reset()
    own_scripted_host.host.kill()
    with pytest.raises(rlay.ConnectionLost):
        env.step(0)


PLAYER = """
    import sys, scripted_env, rlay
    name, address = sys.argv[1:]
    env = rlay.ClientEnv(address) if name == "client" else rlay.ServerEnv(address)
    print(env.address)
    env.reset()
    print("ready")
    env.step(scripted_env.WAIT if sys.stdin.readline() == "wait\\n" else scripted_env.WALK)
    sys.stdin.readline()
    """


@pytest.mark.parametrize("state", ["idle", "wait"])
def test_an_agent_that_is_killed_makes_room(scripted_host: ScriptedHost, state: str) -> None:
    address = scripted_host.serve(max_sessions=1)
    with python(PLAYER, "client", address) as player:
        player.find("ready")
        if state == "wait":
            player.say("wait")
            scripted_host.wait_for("step")
        player.kill()
    if state == "wait":
        scripted_host.release()
    # The agent's environment is kept, in case the agent comes back, but not if another agent needs the permit.
    assert scripted_host.client(address).reset()[0] == [0]
    scripted_host.wait_for("close")


def test_a_listening_agent_that_is_killed_lets_the_game_go(scripted_host: ScriptedHost) -> None:
    with python(PLAYER, "server", "tcp://127.0.0.1:0") as player:
        address = player.line()
        scripted_host.dial(address)
        player.find("ready")
        player.kill()
    scripted_host.wait_for("close")
    assert scripted_host.server(address).reset()[0] == [0], "and the next listener there gets it"


def test_an_agent_that_forgets_to_close_says_goodbye_all_the_same(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve(max_sessions=1)
    with python("import rlay, sys; rlay.ClientEnv(sys.argv[1]).reset()", address) as player:
        assert player.wait() == 0
    scripted_host.wait_for("close")
    env = rlay.ClientEnv(address, connect_timeout=WAIT)
    env.reset()
    del env
    scripted_host.wait_for("close", 2)
    assert not any("crashed" in line for line in scripted_host.host.take_log())

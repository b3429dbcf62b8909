"""Messages at which users got stuck: each with its current text, and the part that says what to do next."""

from __future__ import annotations

import inspect
import logging
import math
import multiprocessing
import re
import shlex
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rlay
import scripted_env
from error_texts import reads
from host_process import Hosted, HostProcess, Start
from launcher import GAME, game, script
from processes import WAIT, free_address, thread, until
from rlay import _spaces, errors
from scripted_host import Agent
from value_envs import Capsule, Learning


def test_a_message_that_advises_nothing_fails() -> None:
    for message, pattern, advice in [("it broke", "it …", "mend"), ("it broke; mend it", "it broke", "mend")]:
        try:
            reads(message, pattern, advice)
        except AssertionError:
            continue
        raise AssertionError(message)


# -- values, spaces, contracts ------------------------------------------------------------------

ADVICE = "give numbers, text, bytes, arrays, or lists, tuples and dicts of these"


def _refused(hosted: Hosted, call: Callable[[Any], Any]) -> BaseException:
    """Return what ``call`` raises of an environment that records actions of any structure."""
    env = hosted("value_envs:Values", "client")
    env.reset()
    with pytest.raises(rlay.Error) as caught:
        call(env)
    return caught.value


@pytest.mark.gymnasium
@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (lambda env: env.step({"goal": [0, {1}]}), 'action["goal"][1]: a set cannot be sent; …'),
        (
            lambda env: env.step(np.array([None, "x"])),
            "action: an array of shape (2,) and dtype object cannot be sent; …",
        ),
        (
            lambda env: env.step([Learning([1.0])]),
            "action[0]: a value_envs.Learning gives no array (RuntimeError: Can't call numpy() on Tensor that requires "
            "grad. Use tensor.detach().numpy() instead.); …",
        ),
        (
            lambda env: env.reset(options={"level": Capsule([1.0], device=2)}),
            'options["level"]: a value_envs.Capsule does not lie in the memory of the CPU; copy it there first; …',
        ),
        (
            lambda env: env.reset(options={"name": "a\ud800"}),
            'options["name"]: a str has a lone surrogate, which no text has; …',
        ),
        (
            lambda env: env.reset(options={"x": [rlay.Opaque("Engine", "<Engine>")]}),
            'options["x"][0]: a stand-in (rlay.Opaque) for an object of type Engine cannot be sent; …',
        ),
        (lambda env: env.reset(options={frozenset(): 1}), "options: of its keys, a frozenset cannot be sent; …"),
        (
            lambda env: rlay.ClientEnv(env.address, env_kwargs={"size": object()}),
            'env_kwargs["size"]: an object cannot be sent; …',
        ),
    ],
)
def test_what_cannot_be_sent_to_an_environment(hosted: Hosted, call: Callable[[Any], Any], pattern: str) -> None:
    reads(_refused(hosted, call), pattern, ADVICE)


@pytest.mark.gymnasium
@pytest.mark.parametrize(
    ("result", "pattern", "advice"),
    [
        (
            (np.zeros((84, 84, 3), np.uint8), 0.0, False, {}),
            "step returned a tuple of 4 (an array of shape (84, 84, 3) and dtype uint8, a float, a bool, a dict of 0) "
            "where a tuple of 5 was due; return (observation, reward, terminated, truncated, info); …",
            "an environment of the old Gym, with one flag, has to be wrapped",
        ),
        (
            np.zeros((84, 84, 3), np.uint8),
            "step returned an array of shape (84, 84, 3) and dtype uint8 where a tuple of 5 was due; …",
            "return (observation, reward, terminated, truncated, info)",
        ),
        (
            (0, np.zeros(1000), False, False, {}),
            "the reward is an array of shape (1000,) and dtype float64, which is not a number; …",
            "return a float",
        ),
        (
            (0, 0.0, False, False, ["x" * 10_000]),
            "step returned an info that is a list of 1 and no dict; …",
            "return {}",
        ),
        (
            (0, 0.0, np.zeros(1000), False, {}),
            "terminated is an array of shape (1000,) and dtype float64, which is neither true nor false (…); …",
            "return a bool",
        ),
        (
            ({"pos": [SimpleNamespace(x=1)]}, 0.0, False, False, {}),
            'observation["pos"][0]: a types.SimpleNamespace cannot be sent; …',
            ADVICE,
        ),
    ],
)
def test_what_an_environment_may_not_return(result: Any, pattern: str, advice: str) -> None:
    with rlay.ServerBackend(Returns(result)) as host:
        env = rlay.ClientEnv(host.address)
        env.reset()
        with pytest.raises(rlay.EnvError) as caught:
            env.step(0)
        reads(caught.value, pattern, advice)
        env.close()


class Returns(gym.Env[Any, Any]):
    """Returns whatever it was given from its step."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def __init__(self, result: Any) -> None:
        self.result = result

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> Any:
        return self.result


_LARGE = spaces.Dict({f"camera {i}": spaces.Box(np.arange(7500, dtype=np.float32), np.inf) for i in range(9)})
_POSE = spaces.Dict({"pos": spaces.Box(-1, 1, (2,)), "lives": spaces.Discrete(4)})


def _pose(**changes: Any) -> dict[str, Any]:
    return {"lives": 3, "pos": np.zeros(2, np.float32), **changes}


@pytest.mark.gymnasium
@pytest.mark.parametrize(
    ("space", "observation", "pattern"),
    [
        (_POSE, _pose(pos=np.zeros(2)), '…: observation["pos"] is not in Box(-1.0, 1.0, (2,), float32): dtype float64 '
                                        "where float32 was declared; …"),
        (_POSE, _pose(pos=np.zeros(3, np.float32)), '…: observation["pos"] is not in …: shape (3,) where (2,) was '
                                                    "declared; …"),
        (_POSE, _pose(pos=np.float32([0, 7])), '…: observation["pos"] is not in …: element [1] is 7.0, above 1.0; …'),
        (_POSE, _pose(pos=[0.5, -3.0]), '…: observation["pos"] is not in …: element [1] is -3.0, below -1.0; …'),
        (_POSE, {"lives": 3}, "…: observation is not in Dict('lives': Discrete(4), …): the key \"pos\" is missing; …"),
        (_POSE, _pose(gun=1), '…: observation is not in Dict(…): the key "gun" was not declared; …'),
        (_POSE, _pose(lives=4), '…: observation["lives"] is not in Discrete(4): it is 4; …'),
        (_POSE, None, "…: observation is not in Dict(…): it is None; …"),
        (_LARGE, {"x" * 5000: 1}, '…: observation is not in Dict(…: the key "camera 0" is missing; …'),
    ],
)  # fmt: skip
def test_an_observation_that_is_not_in_its_space(
    caplog: pytest.LogCaptureFixture, space: Any, observation: Any, pattern: str
) -> None:
    env_there = Returns((observation, 0.0, False, False, {}))
    env_there.observation_space = space
    with rlay.ServerBackend(env_there) as host:
        env = rlay.ClientEnv(host.address)
        env.reset()
        caplog.clear()
        env.step(0)
        text = caplog.records[0].getMessage()
        reads(
            text,
            pattern,
            "mend the environment (make a new session if its spaces change in reset), or set contract to 'off'",
        )
        assert text.startswith("the environment broke its contract: observation")
        env.contract = "strict"
        with pytest.raises(rlay.Error) as caught:
            env.step(0)
        reads(
            caught.value,
            pattern,
            "mend the environment (make a new session if its spaces change in reset), or set contract to 'warn'",
        )
        env.close()


@pytest.mark.gymnasium
def test_a_space_that_cannot_be_sent() -> None:
    class Camera(spaces.Box):
        """A subclass of one of Gymnasium's own."""

    with pytest.raises(rlay.Error) as caught:
        _spaces.describe(spaces.Dict({"left": Camera(0, 1)}), "observation_space")
    reads(
        caught.value,
        'observation_space["left"]: a space of class …Camera is not one of Gymnasium\'s own; say how to send it with …',
        "Camera, lambda space: gymnasium.spaces.Box(space.low, space.high, dtype=space.dtype))",
    )


# -- hosting ------------------------------------------------------------------------------------


def test_a_host_that_does_not_serve_yet() -> None:
    host = rlay.ServerBackend("CartPole-v1")
    with pytest.raises(rlay.Busy) as caught:
        rlay.ClientEnv(host.address, connect_timeout=0.5)
    reads(
        caught.value,
        "no connection to tcp://… within … s (the listener refused the connection: the host listens but does not "
        "serve yet; did it call run() or start()?); raise connect_timeout to wait for longer",
        "did it call run() or start()?",
    )
    host.close()


HOSTS: dict[str, tuple[Any, int | None, str, str]] = {
    "an instance": (
        scripted_env.ScriptedEnv(),
        None,
        "this host serves one environment, which was made already, and another agent has it; try again later, or "
        "give the host a function that makes environments, to serve several agents at a time",
        "give the host a function",
    ),
    "one": (
        scripted_env.ScriptedEnv,
        1,
        "the one session there can be is taken; try again later, or raise max_sessions",
        "raise max_sessions",
    ),
    "two": (
        scripted_env.ScriptedEnv,
        2,
        "all 2 sessions are taken; try again later, or raise max_sessions",
        "raise max_sessions",
    ),
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_that_is_full(host_process: HostProcess, name: str) -> None:
    source, most, text, advice = HOSTS[name]
    with rlay.ServerBackend(source, max_sessions=most) as host:
        for _ in range(most or 1):
            Agent(host_process, "client", host.address)
        with pytest.raises(rlay.Busy) as caught:
            rlay.ClientEnv(host.address, connect_timeout=0.5)
    reads(caught.value, f"no connection to tcp://…(the listener refused the connection: {text}); raise …", advice)


def test_a_backend_that_serves_already_or_was_closed() -> None:
    host = rlay.ServerBackend("CartPole-v1").start()
    with pytest.raises(rlay.Error) as caught:
        host.start()
    text = "the backend serves already; call run() or start() once, and make another one for another address"
    reads(caught.value, text, "make another one")
    host.close()
    with pytest.raises(rlay.Error) as caught:
        host.start()
    reads(caught.value, "the backend was closed; make a new one", "make a new one")


def test_what_hosts_and_dialers_log(caplog: pytest.LogCaptureFixture, host_process: HostProcess) -> None:
    def said(text: str) -> str:
        def lines() -> list[str]:
            return [record.getMessage() for record in caplog.records if text in record.getMessage()]

        until(lines, f"{text!r} to be logged")
        return lines()[0]

    with caplog.at_level(logging.INFO, "rlay"):
        with rlay.ClientBackend("CartPole-v1", free_address()):
            reads(
                said("no connection"),
                "tcp://…: still no connection (…); trying again for … s more",
                "trying again",
            )
        with rlay.ServerEnv() as env:
            with thread(env.reset):
                reads(
                    said("waiting for an environment"),
                    "waiting for an environment to dial in to tcp://…; start the game or ClientBackend with this …",
                    "start the game",
                )
                game = rlay.ClientBackend("CartPole-v1", env.address).start()
            # Its spare session.
            reads(
                said("connected"),
                "tcp://…: connected; waiting for the agent to ask for an environment, as reset() does there",
                "as reset() does there",
            )
        reads(
            said("the agent left"),
            "tcp://…: the agent left after 0 steps in 1 episode: the agent said goodbye: the agent closed the …",
            "said goodbye",
        )
        game.close()


def test_why_a_session_came_to_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> scripted_env.ScriptedEnv:
        raise OSError("no display")

    with rlay.ServerBackend(broken) as host, pytest.raises(rlay.EnvError):
        rlay.ClientEnv(host.address)
    (line,) = [record.getMessage() for record in caplog.records]
    reads(
        line,
        "tcp://…: no environment was made for the agent: OSError: no display\n  Traceback (most recent call last):…"
        "in broken…OSError: no display",
        'raise OSError("no display")',
    )


# -- launching ----------------------------------------------------------------------------------


def test_commands_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"plain": "", "bad": "#!/no/such/python\n", "game.py": "import rlay\n", "tool": "#!/bin/sh\n", "sad.py": ""}
    for name, text in files.items():
        Path(name).write_text(text)
        if name not in ("plain", "sad.py"):
            Path(name).chmod(0o755)
    Path("levels").mkdir()
    Path("link").symlink_to("nowhere")
    for command, pattern, advice in [
        ("no-such-game", "…command not found; none of the directories in PATH …", "install it, or give its path"),
        ("tool", "…command not found; …", "the one in the working directory is ./tool"),
        ("./no-such-game", "…no such file in the working directory, …", f"{tmp_path}; give the whole path"),
        ("/no/such/game", "cannot launch \"/no/such/game\": there is no such file; …", "check the path"),
        ("./plain", "…it is not executable; …", "chmod +x ./plain"),
        ("./sad.py", "…not executable; …", "launch it by its interpreter, as in python3 ./sad.py"),
        ("./game.py", "…its first line does not say what runs it; …", "launch it by that, as in python3 ./game.py"),
        ("./bad", "…its first line, \"#!/no/such/python\", names an interpreter that is not …", "correct that line"),
        ("./link", "…it is a link to what is not there; …", "correct that"),
        ("./levels", "…it is a directory; …", "name the program in it"),
    ]:  # fmt: skip
        with pytest.raises(rlay.Error) as raised:
            rlay.launch([command])
        reads(raised.value, pattern, advice)
    for address, pattern, advice in [
        ("exec:", '"exec:" names no command, …', "as in exec:./game"),
        ("exec:./game --name O'Neill", "…a quotation mark or backslash is not closed; …", "put a backslash before one"),
    ]:
        with pytest.raises(rlay.AddressError) as raised_by_address:
            rlay.ClientEnv(address)
        reads(raised_by_address.value, pattern, advice)


def test_programs_that_are_no_environment(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    background = script(tmp_path, shlex.join([*GAME, "late", str(gate)]) + " &\necho on its way")
    for command, kind, pattern, advice in [
        (["true"], rlay.ConnectionLost, "before it dialed in, true ended, but it must dial in …; it printed nothing…",
         "by exec ./game"),
        (["sh", "-c", "echo no display; exit 3"], rlay.ConnectionLost,
         "before it dialed in, sh -c …ended with exit code 3; it printed last:\n  no display…", "all of it: /"),
        ([background], rlay.ConnectionLost,
         f"before it dialed in, {background} ended, and what it had put into the background was ended with it: …",
         "by exec ./game without &"),
        ([*GAME, "never"], rlay.Timeout,
         "…launched_game.py never did not dial in to tcp://…\n  thinking\n  (all of it: …)",
         "does it host an environment, as with ClientBackend? or raise connect_timeout"),
    ]:  # fmt: skip
        with pytest.raises(kind) as raised:
            rlay.launch(command, connect_timeout=5.0)
        reads(raised.value, pattern, advice)
        assert re.search(r"all of it: (\S+)\)", str(raised.value)), "there is a log to read"


def test_what_a_launched_game_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with game("hang", timeout=2.0, close_timeout=0.1) as env:
        env.reset()
        env.step(0)
        env.step(0)
        with pytest.raises(rlay.Timeout) as raised:
            env.step(0)
    reads(
        raised.value,
        "the environment did not answer before the timeout; …; it printed last:\n  about to hang\n  (all of it: …)",
        "late() fetches it, reset() drops it",
    )
    reads(
        caplog.messages[-1],
        "…launched_game.py hang: it still runs 100ms after its environment was closed; …; sending SIGTERM (…)",
        "raise close_timeout if it needs longer",
    )
    caplog.clear()
    with game("deaf", close_timeout=0.0) as env:
        env.reset()
    reads(
        caplog.messages[-1],
        "…launched_game.py deaf: it still runs 5s after SIGTERM; sending SIGKILL, what it has not saved is lost (…)",
        f"what it printed: {env.log}",
    )
    with game("afterwards", "/no/such/directory") as env:
        env.reset()
    reads(
        caplog.messages[-1],
        "…: it ended with exit code 1 while its environment was closed (…)",
        f"what it printed: {env.log}",
    )


def test_the_poll_form_of_a_launched_game(tmp_path: Path) -> None:
    with game("poll", str(tmp_path / "said")) as env:
        env.reset()
    message = (tmp_path / "said").read_text().splitlines()[-1]
    reads(message, "tcp://…: the agent that launched this program has closed the environment; …", "end it")


# -- arguments and the surface ------------------------------------------------------------------

ADDRESSES: list[tuple[Any, str, str]] = [
    (None, "address=None is a NoneType; …", "give a str such as 'tcp://127.0.0.1:5005'"),
    (7, "address=7 is a int; …", "give a str such as 'tcp://127.0.0.1:5005'"),
    (Path("/tmp/x.sock"), "address=PosixPath('/tmp/x.sock') is a PosixPath; …", "'unix:///tmp/x.sock'"),
    (("10.0.0.5", 5005), "address=('10.0.0.5', 5005) is a tuple; …", "'tcp://10.0.0.5:5005'"),
    (
        b"tcp://127.0.0.1:5005",
        "address=b'tcp://127.0.0.1:5005' is a bytes; …",
        "give a str such as 'tcp://127.0.0.1:50",
    ),
    ("localhost:5005", '"localhost:5005" is not an address: it has no ://; …', 'write "tcp://localhost:5005"'),
    ("/tmp/x.sock", '"/tmp/x.sock" is not an address: it has no ://; …', 'write "unix:///tmp/x.sock"'),
    ("http://127.0.0.1:80", 'http://127.0.0.1:80: no transport for "http"; …', "there are: mem, quic, shm, tcp"),
]


@pytest.mark.parametrize(("address", "pattern", "advice"), ADDRESSES)
@pytest.mark.parametrize("endpoint", ["ClientEnv", "ServerEnv", "ServerBackend", "ClientBackend", "serve_policy"])
def test_an_address_that_is_none(
    endpoint: str, address: Any, pattern: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RLAY_ADDRESS", raising=False)
    make = getattr(rlay, endpoint)
    with pytest.raises((TypeError, rlay.AddressError, rlay.Error)) as caught:
        make(address) if endpoint.endswith("Env") else make("CartPole-v1" if "Back" in endpoint else str, address)
    if endpoint == "ClientBackend" and address is None:
        pattern, advice = "where to dial? …", "give an address, or start this program by rlay.launch"
    reads(caught.value, pattern, advice)


ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    ({"timeout": "5"}, TypeError, "timeout='5' is a str; …", "give seconds as a number, 0 or more; None: as long"),
    ({"timeout": True}, TypeError, "timeout=True is a bool; …", "give seconds as a number"),
    ({"timeout": np.False_}, TypeError, "timeout=… is a bool; …", "give seconds as a number"),
    ({"timeout": timedelta(seconds=1)}, TypeError, "timeout=… is a timedelta; …", "give seconds as a number"),
    ({"timeout": -1}, ValueError, "timeout=-1: …", "give seconds as a number, 0 or more; None: as long as the peer is"),
    ({"timeout": math.nan}, ValueError, "timeout=nan: …", "give seconds as a number, 0 or more"),
    ({"connect_timeout": None}, TypeError, "connect_timeout=None is a NoneType; …", "math.inf waits for ever"),
    ({"connect_timeout": -0.5}, ValueError, "connect_timeout=-0.5: …", "math.inf waits for ever"),
    ({"connect_timeout": "soon"}, TypeError, "connect_timeout='soon' is a str; …", "give seconds as a number"),
    ({"connect_timeout": math.nan}, ValueError, "connect_timeout=nan: …", "give seconds as a number"),
    ({"reconnect_timeout": -1}, ValueError, "reconnect_timeout=-1: …", "None: 2 s for an agent, 30 s for a backend"),
    ({"reconnect_timeout": "0"}, TypeError, "reconnect_timeout='0' is a str; …", "give seconds as a number"),
    ({"liveness": 0}, ValueError, "liveness=0: …", "give seconds as a number from 1 to 86400"),
    ({"liveness": math.inf}, ValueError, "liveness=inf: …", "give seconds as a number from 1 to 86400"),
    ({"liveness": None}, TypeError, "liveness=None is a NoneType; …", "give seconds as a number from 1 to 86400"),
    ({"notice_after": -1}, ValueError, "notice_after=-1: …", "math.inf waits for ever"),
    ({"notice_after": None}, TypeError, "notice_after=None is a NoneType; …", "give seconds as a number, 0 or more"),
    ({"contract": "strikt"}, ValueError, "contract='strikt': …", "it is 'strict', 'warn' or 'off'"),
    ({"contract": None}, ValueError, "contract=None: …", "it is 'strict', 'warn' or 'off'"),
    ({"on_loss": "wait"}, ValueError, "on_loss='wait': …", "it is 'raise', 'replace' or 'truncate'"),
    ({"render_mode": True}, TypeError, "render_mode=True is a bool; …", "give a str such as 'rgb_array', or None"),
    ({"render_mode": ["ansi"]}, TypeError, "render_mode=['ansi'] is a list; …", "give a str such as 'rgb_array'"),
    ({"env_id": 7}, TypeError, "env_id=7 is a int; …", "give a str such as 'maze', or None"),
    ({"token": b"secret"}, TypeError, "token is a bytes; …", "give a str, such as token.decode()"),
    ({"token": 12345}, TypeError, "token is a int; …", "give a str, or None for RLAY_TOKEN"),
    ({"token": ""}, rlay.Error, "the token, …, has less than eight visible characters; …", "secrets.token_urlsafe(24)"),
    (
        {"token": "secret"},
        rlay.Error,
        "the token, …, has less than eight visible characters; …",
        "secrets.token_urlsafe(24)",
    ),
    ({"max_frame": "64M"}, TypeError, "max_frame='64M' is a str; …", "give an int: bytes, such as 64 << 20"),
    ({"max_frame": 1e6}, TypeError, "max_frame=1000000.0 is a float; …", "give an int: bytes, such as 64 << 20"),
    ({"max_frame": 1000}, ValueError, "max_frame=1000: …", "give a number of bytes from 65536 (64 KiB)"),
    ({"env_kwargs": ["size"]}, TypeError, "env_kwargs=['size']: …", "names and values, such as env_kwargs={'size': 5}"),
    ({"env_kwargs": {1: 2}}, TypeError, "env_kwargs={1: 2}: …", "names and values, such as env_kwargs={'size': 5}"),
    ({"env_kwargs": "size"}, TypeError, "env_kwargs='size': …", "names and values, such as env_kwargs={'size': 5}"),
]
"""Invalid arguments of an agent."""

OF_LISTENERS: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    ({"handshake_timeout": None}, TypeError, "handshake_timeout=None is a NoneType; …", "give seconds as a number"),
    ({"max_handshakes": 0}, ValueError, "max_handshakes=0: …", "how many handshakes there may be at a time, 1 or more"),
    ({"max_handshakes": 2.5}, TypeError, "max_handshakes=2.5 is a float; …", "give an int: how many handshakes"),
    ({"max_sessions": 0}, ValueError, "max_sessions=0: …", "how many sessions there may be at a time, 1 or more"),
    ({"max_sessions": "4"}, TypeError, "max_sessions='4' is a str; …", "give an int: how many sessions"),
]
"""Invalid arguments of listeners."""

OF_PROGRAMS: list[tuple[dict[str, Any], type[Exception], str, str]] = [
    ({"restarts": -1}, ValueError, "restarts=-1: …", "how often reset() may start the program again, 0 or more"),
    ({"restarts": "3"}, TypeError, "restarts='3' is a str; …", "give an int: how often reset()"),
    ({"close_timeout": None}, TypeError, "close_timeout=None is a NoneType; …", "math.inf waits for ever"),
    ({"close_timeout": -1}, ValueError, "close_timeout=-1: …", "give seconds as a number, 0 or more"),
    ({"log": 1}, TypeError, "log=1 is a int; …", "give the path of a file, or None"),
    ({"log": sys.stderr}, TypeError, "log=<…", "give the path of a file, or None"),
]
"""Invalid arguments of an agent that starts a program."""


@pytest.mark.parametrize(("given", "error", "pattern", "advice"), ARGUMENTS + OF_PROGRAMS)
def test_an_argument_of_a_client_env(given: Any, error: type[Exception], pattern: str, advice: str) -> None:
    with pytest.raises(error) as caught:
        rlay.ClientEnv("tcp://127.0.0.1:1", **{"connect_timeout": 0.1, **given})
    reads(caught.value, pattern, advice)
    with pytest.raises(error) as caught:
        rlay.launch(["/bin/true"], **{"connect_timeout": 0.1, **given})
    reads(caught.value, pattern, advice)


@pytest.mark.parametrize(("given", "error", "pattern", "advice"), ARGUMENTS + OF_LISTENERS)
def test_an_argument_of_a_server_env(given: Any, error: type[Exception], pattern: str, advice: str) -> None:
    with pytest.raises(error) as caught:
        rlay.ServerEnv(**given)
    reads(caught.value, pattern, advice)


@pytest.mark.gymnasium
@pytest.mark.parametrize(("given", "error", "pattern", "advice"), ARGUMENTS + OF_LISTENERS)
def test_an_argument_of_a_backend(given: Any, error: type[Exception], pattern: str, advice: str) -> None:
    """For both backends, as far as each has the argument; backends take names of arguments, agents take values."""
    for cls in (rlay.ServerBackend, rlay.ClientBackend):
        if given.keys() <= inspect.signature(cls).parameters.keys() - {"env_kwargs"}:
            with pytest.raises(error) as caught:
                cls("CartPole-v1", "tcp://127.0.0.1:0", **given)  # type: ignore[operator]
            reads(caught.value, pattern, advice)


@pytest.mark.parametrize("name", ["timeout", "contract", "on_loss", "render_mode"])
def test_an_attribute_is_checked_as_the_argument_is(name: str) -> None:
    with rlay.ServerEnv() as env:
        before = getattr(env, name)
        for given, error, pattern, advice in ARGUMENTS:
            if name in given:
                with pytest.raises(error) as caught:
                    setattr(env, name, given[name])
                reads(caught.value, pattern, advice)
                assert getattr(env, name) == before


@pytest.mark.parametrize("value", [5, 0, np.float32(2.5), np.int64(3), np.array(1.5), math.inf, Fraction(1, 2)])
def test_what_is_a_number_of_seconds(value: Any) -> None:
    with rlay.ServerEnv(timeout=value, connect_timeout=value) as env:
        assert env.timeout == value


@pytest.mark.parametrize("command", ["./game --headless", b"./game", [], ["./game", 7], None, 7])
def test_a_command_that_is_none(command: Any) -> None:
    with pytest.raises(TypeError) as caught:
        rlay.launch(command)
    reads(caught.value, "command=…", "the command is a list of words, such as ['./game', '--headless']")


def test_a_backend_takes_names_of_arguments_and_no_values() -> None:
    for given, pattern, advice in [
        (
            {"size": 5},
            "env_kwargs={'size': 5}: a backend takes the names that agents may give, such as …",
            "['size']; to",
        ),
        (7, "env_kwargs=7: …", "give names of keyword arguments, such as ['size']"),
        ([7], "env_kwargs=[7]: …", "give names of keyword arguments, such as ['size']"),
        ("size", "env_kwargs are names, …", "such as ('size',)"),
    ]:
        with pytest.raises(TypeError) as caught:
            rlay.ServerBackend("CartPole-v1", env_kwargs=given)  # type: ignore[arg-type]
        reads(caught.value, pattern, advice)


class Zoo:
    """The interface of PettingZoo's environments, parallel or not: spaces of each agent, and the agents' names."""

    def __init__(self) -> None:
        self.possible_agents = ["cat", "mouse"]

    def observation_space(self, agent: str) -> gym.spaces.Space[Any]:
        return gym.spaces.Discrete(3)

    action_space = observation_space


class ZooWrapper:
    """The interface of PettingZoo's wrappers."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)


class Traffic(gym.Env[Any, Any]):
    """A single-agent environment with other players, which it calls agents."""

    observation_space = action_space = gym.spaces.Discrete(3)
    agents = possible_agents = ("car", "bus")


class Stack:
    """A vector of environments of another library than Gymnasium."""

    observation_space = action_space = gym.spaces.Discrete(3)
    num_envs = 2


def stack() -> Any:
    return Stack()


NOT_ONE: dict[str, tuple[Callable[[], Any], str]] = {
    "vector": (stack, "a vector of environments"),
    "several agents": (Zoo, "several agents"),
    "a wrapper around them": (lambda: ZooWrapper(Zoo()), "several agents"),
}


@pytest.mark.gymnasium
@pytest.mark.parametrize("name", NOT_ONE)
def test_what_is_more_than_one_environment(name: str) -> None:
    make, what = NOT_ONE[name]
    advice = "agents make as many as they want" if "vector" in what else "give a gymnasium.Env for one of them"
    with pytest.raises(TypeError) as caught:
        rlay.ServerBackend(make())
    reads(caught.value, f"cannot host …, which …{what}…", advice)
    with rlay.ServerBackend(make) as host, pytest.raises(rlay.EnvError) as refused:
        rlay.ClientEnv(host.address)
    assert isinstance(refused.value, TypeError)
    reads(refused.value, f"cannot host …, which …{what}…", advice)


@pytest.mark.gymnasium
def test_one_agent_that_knows_others_is_one() -> None:
    with rlay.ServerBackend(Traffic()) as host, rlay.ClientEnv(host.address) as env:
        assert env.observation_space == gym.spaces.Discrete(3)


@pytest.mark.gymnasium
def test_worker_processes_that_listen_at_one_port() -> None:
    address = free_address()
    with rlay.ServerEnv(address):
        with pytest.raises(rlay.AddressError) as caught:
            rlay.ServerBackend("CartPole-v1", address)
        reads(caught.value, f"{address}: address in use by another listener; …", "close it, or choose another")
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            text = pool.apply(why_not, (address,))
    reads(
        text,
        f"{address}: address in use by another listener; …worker process, as of AsyncVectorEnv, …",
        "SyncVectorEnv",
    )
    assert "or give each worker another port" in text


def why_not(address: str) -> str:
    """Return why no ServerEnv can listen at ``address``."""
    try:
        rlay.ServerEnv(address).close()
    except rlay.AddressError as error:
        return str(error)
    return "it can"


@pytest.mark.gymnasium
def test_what_a_host_does_not_offer() -> None:
    with rlay.ServerBackend("CartPole-v1") as host:
        for asked, pattern, advice in [
            (
                {"env_kwargs": {"size": 5}},
                'this host offers no keyword argument "size"; agents may ask for none; …',
                'ServerBackend(..., env_kwargs=["size"])',
            ),
            (
                {"env_id": "maze"},
                'this host offers no environment "maze"; agents may ask for none; leave env_id out, or …',
                'ServerBackend({"maze": ...})',
            ),
            (
                {"render_mode": "ascii"},
                "the environment does not render in mode 'ascii'; it declares […]; …",
                "choose one of these",
            ),
        ]:
            with pytest.raises(rlay.Error) as caught:
                rlay.ClientEnv(host.address, **asked)  # type: ignore[arg-type]
            reads(caught.value, pattern, advice)


def test_a_policy_that_is_none() -> None:
    with pytest.raises(TypeError) as caught:
        rlay.serve_policy(7, "tcp://127.0.0.1:0")  # type: ignore[arg-type]
    reads(caught.value, "policy=7: …", "give a function of an observation that returns an action")


class Quitter(gym.Env[Any, Any]):
    """Ends itself."""

    observation_space = action_space = gym.spaces.Discrete(4)

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        return 0, {}

    def step(self, action: Any) -> Any:
        sys.exit([None, 2, "no such level", "x" * 5000][action])


def test_an_environment_that_ends_programs() -> None:
    with rlay.ServerBackend(Quitter) as host:
        env = rlay.ClientEnv(host.address)
        env.reset()
        for action, call in enumerate(["sys.exit()", "sys.exit(2)", "sys.exit('no such level')", "sys.exit('xx…xx')"]):
            with pytest.raises(rlay.EnvError) as caught:
                env.step(action)
            assert caught.value.remote_type == "SystemExit"
            reads(caught.value, f"the environment called {call}, which ended this call; …", "let it raise an error")
    for interrupt, says in [(KeyboardInterrupt(), "its host; …"), (KeyboardInterrupt("x"), "its host (x); …")]:
        text = errors.describe(interrupt)[1]
        reads(text, f"the environment was interrupted in this call, as by Ctrl-C at {says}", "start the host again")


def test_an_environment_that_is_not_made_in_time() -> None:
    never = threading.Event()

    def wait() -> Any:
        never.wait(WAIT)
        raise ValueError("too late")

    with rlay.ServerBackend(wait) as host:
        with pytest.raises(rlay.Timeout) as caught:
            rlay.ClientEnv(host.address, connect_timeout=0.5)
        never.set()
    reads(
        caught.value, f"{host.address} did not make the environment within connect_timeout, …", "raise connect_timeout"
    )


# -- transports and waits -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialed", "listening", "pattern", "advice", "noted"),
    [
        ("tcp", "zmq", "tcp://…: a ZeroMQ peer on an RLay port; …", "use zmq:// at both ends", "speaks no ZeroMQ"),
        ("tls", "zmq", "tls://…: a ZeroMQ peer, not a TLS peer; …", "use zmq:// at both ends", "speaks no ZeroMQ"),
        ("zmq", "tls", "zmq://…: a TLS peer, which speaks no …", "use tls:// at both ends", "a ZeroMQ peer, not a TLS"),
        ("tcp", "tls", "tcp://…: a TLS peer on an RLay port; …", "use tls:// at both ends", "an RLay peer without TLS"),
        ("zmq", "tcp", "…hung up when it was greeted as ZeroMQ does; …", "dial it as tcp or tls", "a ZeroMQ peer on"),
    ],
)
def test_transports_that_speak_another_protocol_are_recognized(
    caplog: pytest.LogCaptureFixture, dialed: str, listening: str, pattern: str, advice: str, noted: str
) -> None:
    with rlay.ServerBackend("CartPole-v1", f"{listening}://127.0.0.1:0") as host:
        place = host.address.partition("://")[2].partition("?")[0]
        option = "?insecure_skip_verification=yes" if dialed == "tls" else ""
        with pytest.raises(rlay.Error) as caught:
            rlay.ClientEnv(f"{dialed}://{place}{option}", connect_timeout=1.0 if "hung up" in pattern else 30.0)
        reads(caught.value, pattern, advice)
        until(lambda: noted in caplog.text, "the host to note who dialed")


@pytest.mark.parametrize("endpoint", ["ServerBackend", "ServerEnv"])
@pytest.mark.parametrize("scheme", ["tcp", "tls", "zmq", "quic", "ws", "wss"])
@pytest.mark.parametrize("every", ["0.0.0.0", "[::]"])
def test_a_listener_on_every_interface_says_where_to_dial(
    caplog: pytest.LogCaptureFixture, endpoint: str, scheme: str, every: str
) -> None:
    address = f"{scheme}://{every}:0?insecure_allow_remote=yes"
    caplog.set_level(logging.INFO, "rlay")
    if endpoint == "ServerBackend":
        with rlay.ServerBackend("CartPole-v1", address) as host:
            env: rlay.RemoteEnv = rlay.ClientEnv(host.address)
            env.reset()
    else:
        env = rlay.ServerEnv(address)
        with rlay.ClientBackend("CartPole-v1", env.address):
            env.reset()
        # Listening again, as by gym.make with the spec, is on every interface again.
        assert env.spec is not None
        again = env.spec.kwargs["address"]
        assert again.startswith(f"{scheme}://{every}:") and not again.partition("?")[0].endswith(":0")
        assert again.endswith("?insecure_allow_remote=yes")
    (line,) = [record.message for record in caplog.records if "every interface" in record.message]
    reads(line, f"{scheme}://{every}:0 is every interface …", f"other machines dial {env.address}, or the same port")
    env.close()


@pytest.mark.timeout(900)  # builds the programs first, unless they are there
def test_a_rust_program_that_fails_prints_a_sentence(start: Start) -> None:
    with start("agent", "--connect", "127.0.0.1:5005") as agent:
        assert agent.wait() == 1
        until(lambda: bool(agent.errors), "what it prints")
        reads(
            "\n".join(agent.errors), 'Error: "127.0.0.1:5005" is not an address: …', "looks like tcp://127.0.0.1:5005"
        )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("paradigm", ["client", "server"])
def test_a_rust_host_that_ends_by_ctrl_c_says_goodbye(start: Start, paradigm: str) -> None:
    if paradigm == "client":
        host = start("cartpole_server", "--listen", "tcp://127.0.0.1:0")
        env: rlay.RemoteEnv = rlay.ClientEnv(host.find("listening at").split()[-1])
    else:
        env = rlay.ServerEnv()
        host = start("cartpole_server", "--dial", env.address)
    with host:
        env.reset()
        host.interrupt()
        assert host.find("served 0 steps")
        assert host.wait() == 0
        with pytest.raises(rlay.Error) as caught:
            env.step(0)
        reads(
            caught.value,
            "the environment's host said goodbye: the host is closing; …",
            "once it runs again, make a new environment",
        )
        env.close()


@pytest.mark.timeout(900)
def test_a_rust_policy_that_ends_by_ctrl_c_says_goodbye(start: Start) -> None:
    with start("policy_server", "--listen", "tcp://127.0.0.1:0") as server:
        pole = gym.make("CartPole-v1")
        game = rlay.ClientBackend(pole, server.find("listening at").split()[-1])
        steps = 0
        while not isinstance(turn := game.turn(1.0), rlay.Close):
            match turn:
                case rlay.Reset(seed=seed):
                    game.reply(pole.reset(seed=seed)[0])
                case rlay.Step(action=action):
                    game.reply(*pole.step(action))
                    steps += 1
            if steps == 100:
                server.interrupt()
        reads(turn.reason, "the agent said goodbye…", "")
        game.close()
        assert steps >= 100
        assert server.wait() == 0


@pytest.mark.timeout(900)
def test_a_panic_in_rust_arrives_with_file_and_line(start: Start) -> None:
    with start("transcript", "host", "broken", "--listen", "tcp://127.0.0.1:0") as host:
        with pytest.raises(rlay.EnvError) as caught:
            rlay.ClientEnv(host.find("listening at").split()[-1])
        assert caught.value.remote_type == "panic"
        reads(caught.value, "there is no level 7; …", "choose one below 7")
        assert re.fullmatch(r"panicked at \S*transcript\.rs:\d+:\d+", caught.value.remote_traceback)

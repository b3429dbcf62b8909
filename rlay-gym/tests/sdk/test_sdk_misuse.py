"""A wrong call of a client fails with an error that says so, and the program goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import rlay
from processes import WAIT, Program
from sdk_clients import BUILT, JAVA, OCTAVE, SDK, of_each

PROGRAMS = {
    "cpp": (f"{BUILT}/cpp/misuse",),
    "cpp-sanitized": (f"{BUILT}/cpp-sanitized/misuse",),
    "csharp": ("mono", f"{BUILT}/csharp/misuse.exe"),
    "java": ("java", "-cp", JAVA, "Misuse"),
    "javascript": ("node", f"{SDK}/javascript/tests/misuse.mjs"),
    "lua": ("lua5.4", f"{SDK}/lua/tests/misuse.lua"),
    "matlab": (*OCTAVE, "misuse"),
}
"""The programs that make the mistakes, of the clients that have one."""

UNITS = {
    "cpp": (f"{BUILT}/cpp/unit",),
    "cpp-sanitized": (f"{BUILT}/cpp-sanitized/unit",),
    "java": ("java", "-cp", JAVA, "rlay.Units"),
    "javascript": ("npm", "--prefix", f"{SDK}/javascript", "test"),
}
"""What no agent can see."""

MISTAKES = {
    "make throws": "make",
    "make gives nothing": "make",
    "no space": "make",
    "reset throws": "reset",
    "reset gives nothing": "reset",
    "step throws": "step",
    "step throws what cannot be shown": "step",
    "step gives nothing": "step",
    "step cannot be sent": "step",
    "render throws": "render",
    "render cannot be sent": "render",
    "close throws": "close",
}
"""What is wrong with an environment, and the request that fails."""

OF_A_STRUCT = {"reset gives nothing", "step gives nothing"}
"""What a client cannot do whose results are structs."""

STRUCTS = ("csharp", "cpp", "cpp-sanitized")
"""The clients whose results are structs."""

ONE_THREAD = {"lua", "matlab"}
"""The clients that have one thread."""


@pytest.fixture(params=of_each(PROGRAMS))
def host(request: pytest.FixtureRequest) -> Iterator[tuple[str, Program, str]]:
    """The name of a client, and its program that hosts wrong environments, with its address."""
    with Program(*PROGRAMS[request.param], "--listen", "tcp://127.0.0.1:0") as program:
        yield request.param, program, program.find("listening at ").split()[-1]


@pytest.mark.parametrize("name", of_each(PROGRAMS))
def test_a_wrong_caller_gets_errors(name: str) -> None:
    ended = subprocess.run(PROGRAMS[name], capture_output=True, text=True, timeout=WAIT)
    assert (ended.returncode, ended.stdout) == (0, "all mistakes are errors\n"), ended.stderr


@pytest.mark.parametrize("name", of_each(UNITS))
def test_units(name: str) -> None:
    ended = subprocess.run(UNITS[name], capture_output=True, text=True, timeout=WAIT)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def request(env: Any, kind: str) -> None:
    """Ask for what a mistake is about."""
    match kind:
        case "reset":
            env.reset()
        case "step":
            env.step(0)
        case "render":
            env.render()
        case "close":
            env.close()


def test_wrong_environments(host: tuple[str, Program, str]) -> None:
    """The request that is wrong fails at the agent; the session and the program go on, though the log throws, too."""
    name, program, address = host

    def dial(how: str) -> rlay.ClientEnv:
        return rlay.ClientEnv(address, env_id=how, render_mode="ansi", connect_timeout=WAIT, timeout=WAIT)

    for how, kind in MISTAKES.items():
        if name in STRUCTS and how in OF_A_STRUCT:
            continue
        if kind == "make":
            with pytest.raises(rlay.EnvError):
                dial(how)
            continue
        env = dial(how)
        if kind != "reset":
            env.reset()
        with pytest.raises(rlay.EnvError):
            request(env, kind)
        if kind not in ("reset", "close"):
            env.reset()
        env.close()
        assert program.process.poll() is None, how
    with dial("nothing is wrong") as env:
        env.reset()
        env.step(1)
        assert env.render() == "frame"


def test_a_step_that_closes_the_backend(host: tuple[str, Program, str]) -> None:
    _, program, address = host
    with rlay.ClientEnv(address, env_id="step closes the backend", connect_timeout=WAIT, timeout=WAIT) as env:
        env.reset()
        with pytest.raises(rlay.Error):
            # The first may still be answered.
            for _ in range(2):
                env.step(0)
    assert program.find("closed") == "closed"
    assert program.wait() == 0


@pytest.mark.parametrize("host", of_each(sorted(PROGRAMS.keys() - ONE_THREAD)), indirect=True)
def test_a_step_that_hangs_while_another_thread_closes(host: tuple[str, Program, str]) -> None:
    _, program, address = host
    with rlay.ClientEnv(address, env_id="step hangs", connect_timeout=WAIT, timeout=WAIT) as env:
        env.reset()
        with pytest.raises(rlay.Error):
            env.step(0)
    assert program.find("closed beside") == "closed beside a step"
    assert program.wait() == 0

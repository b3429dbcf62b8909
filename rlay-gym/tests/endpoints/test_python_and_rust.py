"""Python agents with Rust environments, Rust agents with Python environments, in both paradigms."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from host_process import PARADIGMS, Start
from processes import WAIT, python, until
from scripted_host import ScriptedHost

# The programs are built first, if they are not built yet.
pytestmark = pytest.mark.timeout(900)
STEPS = 20_000


def push(pole: Any) -> int:
    """Balance the pole."""
    return int(pole[2] + 0.3 * pole[3] + 0.02 * pole[0] + 0.04 * pole[1] > 0)


def number(line: str) -> int:
    """Return the only number in ``line``."""
    (found,) = re.findall(r"\d+", line)
    return int(found)


@pytest.mark.gymnasium
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_python_agent_balances_a_rust_pole(start: Start, paradigm: str) -> None:
    if paradigm == "client":
        server = start("cartpole_server", "--listen", "tcp://127.0.0.1:0", "--until-stdin-closes")
        env: Any = rlay.ClientEnv(server.find("listening at").split()[-1])
    else:
        env = rlay.ServerEnv(connect_timeout=WAIT)
        server = start("cartpole_server", "--dial", env.address, "--until-stdin-closes")
    with server:
        assert isinstance(env.observation_space, gym.spaces.Box) and env.observation_space.shape == (4,)
        assert env.observation_space.dtype == np.float32
        assert env.action_space == gym.spaces.Discrete(2)
        pole, info = env.reset(seed=1)
        assert info["total_steps"] == 0
        lengths, length = [], 0
        for _ in range(STEPS):
            pole, reward, terminated, truncated, _ = env.step(push(pole))
            assert reward == 1.0 and env.observation_space.contains(pole)
            length += 1
            if terminated or truncated:
                lengths.append(length)
                pole, info = env.reset()
                assert info["total_steps"] == sum(lengths), "not a step is lost or done twice"
                length = 0
        env.close()
        assert number(server.find("a session ended after")) == STEPS
        server.end_input()
        assert number(server.find("served")) == STEPS
        assert server.wait() == 0
    assert np.mean(lengths) > 400, "the pole is balanced"


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_a_rust_agent_balances_a_python_pole(start: Start, scripted_host: ScriptedHost, paradigm: str) -> None:
    before = scripted_host.host.tell("call", "scripted_env:cartpole_steps")
    if paradigm == "client":
        agent = start("agent", "--connect", scripted_host.serve("scripted_env:counted_cartpole"), "--steps", str(STEPS))
    else:
        agent = start("agent", "--listen", "tcp://127.0.0.1:0", "--steps", str(STEPS))
        scripted_host.dial(agent.find("listening at").split()[-1], "scripted_env:counted_cartpole")
    with agent:
        episodes, mean = re.findall(r"(\d+) episodes, mean return ([\d.]+)", agent.find("episodes", 120))[0]
        assert agent.wait() == 0
    assert scripted_host.host.tell("call", "scripted_env:cartpole_steps") - before == STEPS
    assert STEPS / 500 <= int(episodes) <= STEPS / 400 and float(mean) > 400


@pytest.mark.gymnasium
def test_the_same_episode_twice(start: Start) -> None:
    with start("cartpole_server", "--listen", "tcp://127.0.0.1:0") as server:
        address = server.find("listening at").split()[-1]
        envs = [gym.make("rlay:ClientEnv-v0", address=address) for _ in range(2)]
        first, second = ([env.reset(seed=5)[0], *(env.step(i % 2)[0] for i in range(8))] for env in envs)
        assert np.array_equal(first, second)
        for env in envs:
            env.close()


@pytest.mark.gymnasium
def test_a_rust_environment_judges_actions(start: Start) -> None:
    with start("cartpole_server", "--listen", "tcp://127.0.0.1:0") as server:
        env = rlay.ClientEnv(server.find("listening at").split()[-1], render_mode="ansi")
        env.reset(seed=1)
        for action in ("left", 1.5, None, [0], np.zeros(3)):
            with pytest.raises(rlay.errors.InvalidAction):
                env.step(action)
        assert env.step(np.int64(1))[1] == 1.0, "and the episode goes on"
        assert "degrees" in env.render()
        with pytest.raises(rlay.Error, match=r"does not render in mode \"human\"; it declares \[.*ansi"):
            rlay.ClientEnv(env.address, render_mode="human")
        env.close()


def test_a_rust_environment_that_is_killed(start: Start) -> None:
    with start("cartpole_server", "--listen", "tcp://127.0.0.1:0") as server:
        env = rlay.ClientEnv(server.find("listening at").split()[-1])
        env.reset()
        server.kill()
        with pytest.raises(rlay.ConnectionLost):
            env.step(0)


def test_a_rust_policy_plays_a_python_environment(start: Start, scripted_host: ScriptedHost) -> None:
    with start("policy_server", "--listen", "tcp://127.0.0.1:0") as server:
        address = server.find("listening at").split()[-1]
        before = scripted_host.host.tell("call", "scripted_env:cartpole_steps")
        scripted_host.dial(address, "scripted_env:counted_cartpole", connect_timeout=1.0)
        until(
            lambda: scripted_host.host.tell("call", "scripted_env:cartpole_steps") > before + 1000, "a thousand steps"
        )


def test_a_python_policy_plays_a_rust_environment(start: Start) -> None:
    source = """
        import logging, sys, rlay
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
        steps = 0
        def policy(pole):
            global steps
            steps += 1
            if steps == 1000:
                print("a thousand steps")
            return int(pole[2] + 0.3 * pole[3] + 0.02 * pole[0] + 0.04 * pole[1] > 0)
        rlay.serve_policy(policy, "tcp://127.0.0.1:0")
        print("ended")
        """
    with python(source) as server:
        address = server.find("serving the policy at").split()[-1]
        with start("cartpole_server", "--dial", address):
            server.find("a thousand steps")
            server.interrupt()
            server.find("ended")

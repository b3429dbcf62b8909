"""Messages that made people stop: each as it reads now, and the part of it that says what to do next."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rlay
from conftest import Hosted, Start
from processes import until
from rlay import _spaces
from value_envs import Capsule, Learning


def reads(message: object, pattern: str, advice: str) -> None:
    """Assert that ``message`` reads as ``pattern``, where … stands for any text, and says to do ``advice``."""
    text = str(message)
    expected = ".*".join(re.escape(part) for part in pattern.split("…"))
    assert re.fullmatch(expected, text, re.DOTALL), text
    assert advice in text, f"{text!r} does not say {advice!r}"
    assert len(text) < 2000, f"a message of {len(text)} characters"


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


# -- launching ----------------------------------------------------------------------------------


# -- arguments and the surface ------------------------------------------------------------------


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
@pytest.mark.parametrize("scheme", ["tcp", "tls", "zmq", "quic"])
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
        # Asked for once more, as by a copy, it is every interface again.
        again = env._address_again()
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

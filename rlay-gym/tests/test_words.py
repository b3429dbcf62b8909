"""Messages that made people stop: each as it reads now, and the part of it that says what to do next."""

from __future__ import annotations

import logging
import re

import gymnasium as gym
import pytest

import rlay
from conftest import Start
from processes import until


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


@pytest.mark.timeout(900)  # the programs are built first, if nobody has done that yet
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

"""The frame limit, as Python sets it: what it refuses, what it passes, and which values are invalid."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import raw_peer
import rlay
import scripted_env
from host_process import SCHEMES
from inject_process_faults import LIMIT
from processes import SUPPORT, WAIT, free_address, thread
from scripted_host import ScriptedHost

MUCH = 70 << 20
"""More bytes than a frame may have by default."""

RAISED = 80 << 20

Fresh = Callable[[str], str]


def meet(
    scripted_host: ScriptedHost, paradigm: str, address: str, source: str, agent: Any = None, host: Any = None
) -> Any:
    """Return an environment; the arguments limit the agent's and the host's frames."""
    if paradigm == "client":
        return scripted_host.client(scripted_host.serve(source, address=address, max_frame=host), max_frame=agent)
    env = scripted_host.server(address, max_frame=agent)
    scripted_host.dial(env.address, source, max_frame=host)
    return env


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_raised_limit_lets_more_through(
    scripted_host: ScriptedHost, fresh: Fresh, scheme: str, paradigm: str
) -> None:
    env = meet(scripted_host, paradigm, fresh(scheme), "scripted_env:Endless", RAISED, RAISED)
    env.contract = "off"  # it would check every letter
    env.reset(options={"size": MUCH})
    assert len(env.step(0)[0]) == MUCH
    assert env.step(0)[0] == "a"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_observation_larger_than_the_limit(scripted_host: ScriptedHost, fresh: Fresh, scheme: str) -> None:
    """A host that dials; one that listens is a row of ``fault_table.py``."""
    env = meet(scripted_host, "server", fresh(scheme), "scripted_env:Endless", LIMIT)
    env.reset()
    with pytest.raises(rlay.Error, match=r"answer of 500000.. bytes is larger than the frame limit.*raise .*max_frame"):
        env.step(0)
    assert env.step(0)[:2] == ("a", 2.0)


@pytest.mark.parametrize(("agent", "host"), [(RAISED, LIMIT), (LIMIT, RAISED), (RAISED, None)])
def test_the_smaller_limit_counts(
    scripted_host: ScriptedHost, paradigm: str, agent: int | None, host: int | None
) -> None:
    env = meet(scripted_host, paradigm, "tcp://127.0.0.1:0", "scripted_env:Endless", agent, host)
    env.reset(options={"size": MUCH})
    smaller = min(agent or 64 << 20, host or 64 << 20)
    with pytest.raises(rlay.Error, match=f"larger than the frame limit of {smaller}"):
        env.step(0)
    assert env.step(0)[:2] == ("a", 2.0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_action_larger_than_the_limit(scripted_host: ScriptedHost, fresh: Fresh, scheme: str, paradigm: str) -> None:
    env = meet(scripted_host, paradigm, fresh(scheme), "scripted_env:Patient", host=LIMIT)
    env.reset()
    with pytest.raises(rlay.errors.InvalidAction, match=f"larger than the frame limit of {LIMIT}; raise .*max_frame"):
        env.step("a" * 17_000_000)
    assert "step" not in scripted_host.calls(), "nothing was sent"
    assert env.step("a" * 15_000_000)[-1] == {"heard": 15_000_000}


def test_options_larger_than_the_limit(scripted_host: ScriptedHost, paradigm: str) -> None:
    env = meet(scripted_host, paradigm, "tcp://127.0.0.1:0", "scripted_env:ScriptedEnv", LIMIT)
    with pytest.raises(rlay.Error, match=f"the reset of .* larger than the frame limit of {LIMIT}; raise"):
        env.reset(options={"map": bytes(17_000_000)})
    assert "reset" not in scripted_host.calls(), "nothing was sent"
    assert env.reset(options={"map": bytes(15_000_000)})[0] == [0]


def test_a_space_larger_than_the_limit(scripted_host: ScriptedHost, paradigm: str) -> None:
    """No observation could ever arrive; the error comes before the first one is requested."""
    text = f"the observation space of 50000000 bytes is larger than the frame limit of {LIMIT}; raise"
    with pytest.raises(rlay.Incompatible, match=text):
        meet(scripted_host, paradigm, "tcp://127.0.0.1:0", "scripted_env:Panorama", LIMIT).reset()
    scripted_host.wait_for("close")


def test_an_engine_that_says_too_much() -> None:
    seen: list[Any] = []
    with rlay.ServerEnv(connect_timeout=WAIT) as env:
        engine = rlay.ClientBackend(scripted_env.Endless(), env.address, max_frame=LIMIT)
        with thread(lambda: seen.append(outcome(env.reset))):
            assert engine.turn(WAIT) == rlay.Reset(None, None)
            with pytest.raises(rlay.Error, match="larger than the frame limit"):
                engine.reply("a" * 50_000_000)
        assert "larger than the frame limit" in str(seen[0])
        engine.close()


def outcome(call: Callable[[], Any]) -> Any:
    """Return what ``call`` returns or raises."""
    try:
        return call()
    except rlay.Error as error:
        return error


def test_a_game_that_is_launched() -> None:
    imports = f"import sys; sys.path.append({str(SUPPORT)!r}); import scripted_env, rlay"
    game = f"{imports}; rlay.ClientBackend(scripted_env.Endless).run()"
    env = rlay.launch([sys.executable, "-c", game], connect_timeout=WAIT, max_frame=LIMIT)
    env.reset()
    with pytest.raises(rlay.Error, match=f"larger than the frame limit of {LIMIT}"):
        env.step(0)
    env.close()


@pytest.mark.parametrize("limit", [65536, np.int64(1 << 20), (1 << 32) - 2])
def test_limits_that_can_be(scripted_host: ScriptedHost, paradigm: str, limit: int) -> None:
    env = meet(
        scripted_host,
        paradigm,
        "tcp://127.0.0.1:0",
        "scripted_env:ScriptedEnv",
        limit,
        None if limit > 65536 else limit,
    )
    assert env.reset()[0] == [0]
    assert env.step(0)[0] == [1]


def test_a_frame_announced_beyond_the_limit(scripted_host: ScriptedHost) -> None:
    """Nothing of the frame is read."""
    with raw_peer.dial(scripted_host.serve(max_frame=LIMIT)) as foreign_peer:
        foreign_peer.send("Hello", raw_peer.HELLO)
        assert foreign_peer.receive()["body"]["max_frame"] == LIMIT
        foreign_peer.socket.sendall(struct.pack("<I", LIMIT + 1))
        assert f"larger than the limit of {LIMIT}" in foreign_peer.receive()["body"]["failure"]["message"]


NOWHERE = "tcp://127.0.0.1:1"

ENDPOINTS: dict[str, Callable[[Any], Any]] = {
    "ClientEnv": lambda limit: rlay.ClientEnv(NOWHERE, max_frame=limit),
    "ServerEnv": lambda limit: rlay.ServerEnv(max_frame=limit),
    "ServerBackend": lambda limit: rlay.ServerBackend("CartPole-v1", max_frame=limit),
    "ClientBackend": lambda limit: rlay.ClientBackend("CartPole-v1", NOWHERE, max_frame=limit),
    "launch": lambda limit: rlay.launch(["true"], max_frame=limit),
    "serve_policy": lambda limit: rlay.serve_policy(lambda _: 0, free_address(), max_frame=limit),
    "register": lambda limit: rlay.register("TooLarge-v0", NOWHERE, kwargs={"max_frame": limit}),
    "gym.make": lambda limit: gym.make("rlay:ClientEnv-v0", address=NOWHERE, max_frame=limit),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_limits_that_cannot_be(name: str) -> None:
    for limit in (0, -1, (64 << 10) - 1, (1 << 32) - 1, 1 << 70):
        with pytest.raises(ValueError, match=rf"max_frame={limit}: give .* from 65536 \(64 KiB\) to 4294967294"):
            ENDPOINTS[name](limit)
    for limit in (1e6, "16 MB", False):
        with pytest.raises(TypeError, match="give an int: bytes"):
            ENDPOINTS[name](limit)


def test_one_address_has_one_limit() -> None:
    with rlay.ServerEnv(max_frame=LIMIT) as env:
        with pytest.raises(rlay.Error, match="with another max_frame"):
            rlay.ServerEnv(env.address)
        rlay.ServerEnv(env.address, max_frame=LIMIT).close()


def test_environments_that_wait_are_sessions(scripted_host: ScriptedHost) -> None:
    env = scripted_host.server(max_sessions=1)
    scripted_host.dial(env.address)
    assert env.reset()[0] == [0]
    with pytest.raises(rlay.Busy, match="the one session there can be is taken"):
        rlay.ClientBackend(scripted_env.ScriptedEnv, env.address, connect_timeout=0.5).run()
    assert env.step(0)[0] == [1]

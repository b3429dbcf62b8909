"""What no frame may hold is refused before it is sent, in words, and the session goes on."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import rlay
from processes import thread

SMALLEST = 65536
"""The smallest frame limit."""

SLOTS = 80


class Chatty(gym.Env[Any, Any]):
    """Says in its infos what the options of its reset ask for."""

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}
    observation_space: spaces.Space[Any] = spaces.Discrete(2)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None, text: str = "") -> None:
        self.render_mode = render_mode
        self.says: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.says = (options or {}).get("says")
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        infos: dict[Any, Any] = {
            None: {},
            "many keys": {"many": dict.fromkeys(range(100_000, 100_100))},
            "tuples": {"many": {(i,): None for i in range(100)}},
            "many values": {"many": [0] * 20_000},
        }
        return 0, 1.0, False, False, infos[self.says]


class Wide(Chatty):
    """Has long actions."""

    action_space = spaces.Box(-1, 1, (102,), np.float64)


class Rough(Chatty):
    """Has a space whose description is long, for each element has bounds of its own."""

    observation_space = spaces.Box(np.arange(10_000.0), np.arange(10_000.0) + 1, dtype=np.float64)


class Learned(Chatty):
    """Has more metadata than fit a frame."""

    metadata = {"render_modes": [], "many": [0] * (1 << 20)}


@pytest.mark.parametrize("says", ["many keys", "tuples", "many values"])
def test_infos_of_many_slots(says: str) -> None:
    with rlay.ServerBackend(Chatty) as host, rlay.ClientVectorEnv(host.address, SLOTS) as envs:
        envs.reset(options={"says": says})
        text = "more than 1048576 values" if says == "many values" else "more than 4096 keys of dicts"
        with pytest.raises(rlay.Error, match=f"the answer has {text}") as caught:
            envs.step(np.zeros(SLOTS, np.int64))
        assert not isinstance(caught.value, rlay.errors.ProtocolError)
        envs.reset(options={"says": None})
        assert envs.step(np.zeros(SLOTS, np.int64))[1].tolist() == [1.0] * SLOTS


def test_seeds_of_many_slots() -> None:
    with (
        rlay.ServerBackend(Chatty, max_frame=SMALLEST) as host,
        rlay.ClientVectorEnv(host.address, SLOTS) as envs,
    ):
        with pytest.raises(rlay.Error, match=f"the reset of .* bytes is larger than the frame limit of {SMALLEST}"):
            envs.reset(seed=[1 << 8 * 1000] * SLOTS)
        envs.reset(seed=3)


def test_actions_of_many_slots() -> None:
    with (
        rlay.ServerBackend(Wide, max_frame=SMALLEST) as host,
        rlay.ClientVectorEnv(host.address, SLOTS) as envs,
    ):
        envs.reset()
        with pytest.raises(rlay.errors.InvalidAction, match=f"larger than the frame limit of {SMALLEST}"):
            # The actions alone would fit; with the numbers of the slots they do not.
            envs.step(np.zeros((SLOTS, 102)))
        envs.reset()


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Rough, f"the description of the environment of .* bytes is larger than the frame limit of {SMALLEST}; raise"),
        (Learned, "the description of the environment has more than 1048576 values|larger than the frame limit"),
    ],
)
def test_an_environment_whose_description_is_too_long(made: type[Chatty], text: str) -> None:
    with rlay.ServerBackend(made, max_frame=SMALLEST) as host, pytest.raises(rlay.Error, match=text):
        rlay.ClientEnv(host.address).reset()


def test_metadata_of_too_many_values() -> None:
    text = "the description of the environment has more than 1048576 values"
    with rlay.ServerBackend(Learned) as host, pytest.raises(rlay.Error, match=text):
        rlay.ClientEnv(host.address).reset()


def test_a_request_that_is_too_long() -> None:
    with rlay.ServerBackend(Chatty, max_frame=SMALLEST, env_kwargs=["text"]) as host:
        for kwargs, text in (
            (
                {"env_kwargs": {"text": "a" * SMALLEST}},
                "request to make an environment of .* larger than the frame limit",
            ),
            ({"env_id": "a" * 1025}, "env_id has 1025 bytes, where 1024 are the most"),
            ({"render_mode": "a" * 257}, "render mode has 257 bytes, where 256 are the most"),
        ):
            with pytest.raises(rlay.Error, match=text) as caught:
                rlay.ClientEnv(host.address, **kwargs).reset()
            assert not isinstance(caught.value, rlay.errors.ProtocolError)
        rlay.ClientEnv(host.address, env_kwargs={"text": "short"}).close()


def test_an_environment_with_a_long_name() -> None:
    class Named(Chatty):
        spec = gym.envs.registration.EnvSpec("a" * 1100 + "-v0")

    with rlay.ServerBackend(Named) as host, pytest.raises(rlay.Error, match="env_id has 1103 bytes"):
        rlay.ClientEnv(host.address).reset()


class Keyed(Chatty):
    """Has infos and metadata of more keys than a value may have."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[Any, Any]]:
        return 0, dict.fromkeys(range(100_000, 102_049)) if options else {}


class Learnt(Chatty):
    """Has metadata of more keys than a value may have."""

    metadata: dict[Any, Any] = dict.fromkeys(range(100_000, 102_049))


def test_an_info_of_too_many_keys() -> None:
    with rlay.ServerBackend(Keyed) as host:
        with rlay.ClientEnv(host.address) as env:
            with pytest.raises(TypeError, match="info: .* more than 2048 keys of dicts"):
                env.reset(options={"many": True})
            assert env.reset()[1] == {}
        with rlay.ClientVectorEnv(host.address, 2) as envs:
            with pytest.raises(TypeError, match="info: .* more than 2048 keys of dicts"):
                envs.reset(options={"many": True})
            envs.reset()


def test_an_engine_with_an_info_of_too_many_keys() -> None:
    seen: list[Any] = []
    with rlay.ServerEnv(connect_timeout=60) as env:
        engine = rlay.ClientBackend(Chatty(), env.address)
        with thread(lambda: seen.append(env.reset())):
            assert engine.turn(60) == rlay.Reset(None, None)
            with pytest.raises(TypeError, match="info: .* more than 2048 keys of dicts"):
                engine.reply(0, info=dict.fromkeys(range(100_000, 102_049)))
            engine.reply(0)
        assert seen == [(0, {})]
        engine.close()


def test_metadata_of_too_many_keys() -> None:
    text = "metadata: .* more than 2048 keys of dicts"
    with rlay.ServerBackend(Learnt) as host, pytest.raises((rlay.Error, TypeError), match=text):
        rlay.ClientEnv(host.address).reset()


def test_attributes_of_many_slots() -> None:
    class Holder(Chatty):
        held: Any = None

    many = {(i,): None for i in range(1500)}
    with (
        rlay.ServerBackend(Holder, attributes=["held"]) as host,
        rlay.ClientVectorEnv(host.address, 2) as envs,
    ):
        envs.set_attr("held", [many, many])
        assert envs.get_attr("held") == (many, many)

"""What happens to a vector when one of its environments fails or hangs, or the host of all is killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rlay
from processes import free_address, python, until

NOTHING, RAISE, HANG = range(3)
SLOW = 2.0
"""How long a frame takes, in seconds."""
NUMBER = 3


class FaultyEnv(gym.Env[Any, Any]):
    """Counts its steps; fails or hangs when it is told to."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012  Gymnasium's own way to declare them
    observation_space = gym.spaces.Box(0, np.inf, (1,), np.float64)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        """Render in this mode."""
        self.render_mode = render_mode

    def render(self) -> str:
        """Draw the count, slowly."""
        time.sleep(SLOW / NUMBER)
        return str(self.count)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin to count."""
        self.count = 0
        return np.zeros(1), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Count."""
        self.count += 1
        if action == RAISE:
            raise KeyError("no such door")
        if action == HANG:
            time.sleep(2.0)
        return np.array([self.count], np.float64), 1.0, False, False, {}


@contextlib.contextmanager
def vector(paradigm: str, **options: Any) -> Iterator[rlay.RemoteVectorEnv]:
    """Yield three environments, of one host or of three that dial in."""
    with contextlib.ExitStack() as stack:
        if paradigm == "client":
            host = stack.enter_context(rlay.ServerBackend(FaultyEnv))
            yield stack.enter_context(rlay.ClientVectorEnv(host.address, num_envs=NUMBER, **options))
            return
        envs = stack.enter_context(contextlib.closing(rlay.ServerVectorEnv(num_envs=NUMBER, **options)))
        for _ in range(NUMBER):
            stack.enter_context(rlay.ClientBackend(FaultyEnv, envs.address, max_sessions=1))
        yield envs


def told(slot: int, action: int) -> Any:
    """Return actions of which one is ``action``."""
    actions = np.zeros(NUMBER, dtype=np.int64)
    actions[slot] = action
    return actions


@pytest.mark.parametrize("paradigm", ["client", "server"])
def test_one_that_raises_leaves_the_others_usable(paradigm: str) -> None:
    with vector(paradigm) as envs:
        envs.reset(seed=1)
        with pytest.raises(KeyError, match="no such door") as caught:
            envs.step(told(1, RAISE))
        assert isinstance(caught.value, rlay.EnvError)
        # Each has taken that step, the one that raised included.
        assert envs.step(told(0, NOTHING))[0].ravel().tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("paradigm", ["client", "server"])
def test_one_that_hangs_past_the_deadline_is_late(paradigm: str) -> None:
    with vector(paradigm) as envs:
        envs.reset(seed=1)
        envs.timeout = 0.5
        with pytest.raises(rlay.Timeout, match=r"late\(\) fetches it"):
            envs.step(told(2, HANG))
        with pytest.raises(rlay.Busy):
            envs.step(told(0, NOTHING))
        observations, rewards, *_ = envs.late(timeout=30.0)
        assert observations.ravel().tolist() == [1.0, 1.0, 1.0] and rewards.tolist() == [1.0, 1.0, 1.0]
        with pytest.raises(rlay.Timeout):
            envs.step(told(1, HANG))
        envs.timeout = None
        assert envs.reset(seed=1)[0].ravel().tolist() == [0.0, 0.0, 0.0]
        assert envs.step(told(0, NOTHING))[0].ravel().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("paradigm", ["client", "server"])
def test_frames_that_are_late(paradigm: str) -> None:
    with vector(paradigm, render_mode="ansi") as envs:
        envs.reset(seed=1)
        envs.step(told(0, NOTHING))
        envs.timeout = 0.05
        with pytest.raises(rlay.Timeout):
            envs.render()
        assert envs.late(timeout=30.0) == ("1", "1", "1")


def test_a_host_makes_as_many_as_it_says() -> None:
    with rlay.ServerBackend(FaultyEnv, max_slots=2) as host:
        with pytest.raises(rlay.Error, match="asks for 3 environments, and this host makes 2 at most"):
            rlay.ClientVectorEnv(host.address, num_envs=3)
        with rlay.ClientVectorEnv(host.address, num_envs=2) as envs:
            assert envs.reset(seed=1)[0].shape == (2, 1)


def test_rows_that_fit_no_frame_are_refused_at_once() -> None:
    class Camera(FaultyEnv):
        observation_space = gym.spaces.Box(0, 255, (1 << 20,), np.uint8)

    with rlay.ServerBackend(Camera) as host:
        with pytest.raises(rlay.Incompatible, match="the batch of all observations of 104857600 bytes is larger"):
            rlay.ClientVectorEnv(host.address, num_envs=100)


HOST = """
    import sys

    import rlay
    from test_vector_failures import FaultyEnv

    with rlay.ServerBackend(FaultyEnv, sys.argv[1]) as host:
        print("ready", flush=True)
        sys.stdin.read()
    """


@pytest.mark.parametrize("on_loss", ["raise", "truncate"])
def test_the_host_of_all_is_killed(on_loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    monkeypatch.setenv("PYTHONPATH", __file__.rpartition("/")[0], prepend=":")
    address = free_address()
    with python(HOST, address) as host:
        host.find("ready")
        envs = rlay.ClientVectorEnv(address, num_envs=NUMBER, on_loss=on_loss, reconnect_timeout=0.0)
        with contextlib.closing(envs):
            envs.reset(seed=1)
            before = envs.step(told(0, NOTHING))[0]
            host.kill()
            if on_loss == "raise":
                for _ in range(2):
                    with pytest.raises(rlay.ConnectionLost, match="killed or crashed"):
                        envs.step(told(0, NOTHING))
                return
            observations, rewards, _, truncations, infos = envs.step(told(0, NOTHING))
            assert observations.tolist() == before.tolist() and not rewards.any() and truncations.all()
            assert infos["vacant"].all() and "killed or crashed" in infos["lost"][0]
            with python(HOST, address) as another:
                another.find("ready")
                until(lambda: (envs.step(told(0, NOTHING)), not envs.vacant.any())[1], "another host")
                counts = envs.step(told(0, NOTHING))[0].ravel()
                assert (counts == counts[0]).all() and counts[0] >= 1.0

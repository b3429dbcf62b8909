"""The component for Unity, driven by a loop that calls FixedUpdate, as far as it can be tested without Unity."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import rlay
from processes import WAIT
from sdk_clients import BUILT, of

pytestmark = of("csharp")

LOOP = BUILT / "csharp" / "unity.exe"


class Loop:
    """The program, and the lines that it has printed."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        """Start it with these arguments and environment variables."""
        command = ["mono", str(LOOP), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)

    def find(self, text: str) -> str:
        """Return the first line that has this text."""
        while text not in (line := self.lines.get(timeout=WAIT)):
            pass
        return line


@pytest.fixture
def loops() -> Iterator[list[Loop]]:
    """Programs that are killed at the end."""
    started: list[Loop] = []
    yield started
    for loop in started:
        loop.process.kill()
        loop.process.wait()


def play(env: rlay.ClientEnv | rlay.ServerEnv) -> None:
    """Check a step of two physics steps of 0.02 s, by hand, and the rest of what the component does."""
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3)
    assert first.tolist() == again.tolist()
    observation, reward, terminated, truncated, _ = env.step(np.array([1], np.float32))
    assert observation[1] == pytest.approx(2 * 4 * 0.02)
    assert observation[0] == pytest.approx(first[0] + 0.08 * 0.02 + 0.16 * 0.02, rel=1e-5)
    assert reward == pytest.approx(1 - abs(observation[0]) / 5, rel=1e-5) and not terminated and not truncated
    assert env.render().startswith("x=")
    with pytest.raises(rlay.EnvError, match="not a push"):
        env.step(np.array([np.nan], np.float32))
    steps = 0
    env.reset()
    while not truncated:
        *_, truncated, _ = env.step(np.zeros(1, np.float32))
        steps += 1
    assert steps == 200


def test_the_game_listens_for_one_agent_after_another(loops: list[Loop]) -> None:
    """Two agents dial, and the time scale is that of playing."""
    loops.append(Loop("listen"))
    address = loops[0].find("listening at").split()[-1]
    for _ in range(2):
        with rlay.ClientEnv(address, render_mode="ansi", connect_timeout=WAIT) as env:
            play(env)
        assert "at time scale 20" in loops[0].find("left after")


def test_the_game_dials(loops: list[Loop]) -> None:
    """The address is that of the launcher."""
    with rlay.ServerEnv(render_mode="ansi", connect_timeout=WAIT) as env:
        loops.append(Loop(RLAY_ADDRESS=env.address))
        play(env)
    loops[0].find("left after")


def test_a_component_that_is_disabled_amid_a_step_plays_again(loops: list[Loop]) -> None:
    """The agent of that step is told, and the next one finds an environment."""
    with rlay.ServerEnv(connect_timeout=WAIT) as env:
        loops.append(Loop("toggle", RLAY_ADDRESS=env.address))
        env.reset()
        with pytest.raises(rlay.Error):
            env.step(np.zeros(1, np.float32))
    with rlay.ServerEnv(env.address, render_mode="ansi", connect_timeout=WAIT) as env:
        play(env)


def test_steps_make_little_garbage(loops: list[Loop]) -> None:
    """So little that Mono's smallest generation is hardly ever collected."""
    loops.append(Loop("listen"))
    with rlay.ClientEnv(loops[0].find("listening at").split()[-1], connect_timeout=WAIT) as env:
        env.reset()
        action = np.zeros(1, np.float32)
        for _ in range(5600):
            env.step(action)
    # Two physics steps each. The program of the test itself makes none in between.
    assert int(loops[0].find("collections in").split()[-1]) <= 1

"""The plugin for Unreal, driven by a loop that ticks its component, as far as it can be tested without Unreal."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rlay
from processes import ROOT, WAIT, Program, free_address
from sdk_clients import BUILT

LOOP = BUILT / "unreal" / "loop"
TICK = 1 / 60
TICKS_PER_STEP = 3


@pytest.fixture
def programs() -> Iterator[contextlib.ExitStack]:
    """Programs that are killed at the end."""
    with contextlib.ExitStack() as stack:
        yield stack


def play(env: rlay.ClientEnv | rlay.ServerEnv) -> None:
    """Check a step of three ticks, by hand, and the rest of what the component does."""
    first, _ = env.reset(seed=3)
    again, _ = env.reset(seed=3)
    assert first.tolist() == again.tolist()
    observation, reward, terminated, truncated, _ = env.step(np.array([1], np.float32))
    x, speed = float(first[0]), 0.0
    for _ in range(TICKS_PER_STEP):
        speed += 4 * TICK
        x += speed * TICK
    assert observation.tolist() == pytest.approx([x, speed], rel=1e-5)
    assert reward == pytest.approx(1 - (x / 5) ** 2, rel=1e-5) and not terminated and not truncated
    assert env.render() == f"x={observation[0]:.6f}"
    with pytest.raises(rlay.EnvError, match="a push is an array of one number"):
        env.step(np.array([np.nan], np.float32))
    steps = 0
    env.reset()
    while not truncated:
        *_, truncated, _ = env.step(np.zeros(1, np.float32))
        steps += 1
    assert steps == 100


def test_the_game_listens_for_one_agent_after_another(programs: contextlib.ExitStack) -> None:
    """Ticks are of one length while an agent plays, and no longer."""
    loop = programs.enter_context(Program(str(LOOP), "listen"))
    address = loop.find("LogRlay: Log: listening at").split()[-1]
    for _ in range(2):
        with rlay.ClientEnv(address, render_mode="ansi", connect_timeout=WAIT) as env:
            play(env)
            assert loop.find("ticks of") == "ticks of 0.01667 s"
        # In either order: the session may end in the tick of the close, or in a later one.
        ends = {"ticks of 0.00100 s", f"LogRlay: Log: {address}: the agent left after 101 steps in 3 episodes"}
        while ends:
            line = loop.line()
            ends -= {end for end in ends if line.startswith(end)}
    loop.end_input()
    loop.find("the ball is at")
    assert loop.wait() == 0


def test_the_game_dials(programs: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher's address takes the place of the component's, also of one that listens."""
    with rlay.ServerEnv(render_mode="ansi", connect_timeout=WAIT) as env:
        monkeypatch.setenv("RLAY_ADDRESS", env.address)
        loop = programs.enter_context(Program(str(LOOP), "listen"))
        loop.find(f"dialing {env.address}")
        play(env)
        loop.find("LogRlay: Warning: a push is an array of one number")
    loop.find("the agent left")


def test_the_learner_of_the_page_learns(
    programs: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``docs/engines/unreal.md`` says this command, with another port and folder."""
    page = (ROOT / "docs" / "engines" / "unreal.md").read_text("utf-8")
    command = "python examples/train.py --listen tcp://127.0.0.1:5005 --num-envs 4 --target 90"
    assert command in page
    address = free_address()
    arguments = command.replace("tcp://127.0.0.1:5005", address).split()[2:]
    files = ["--plot", str(tmp_path / "training.png"), "--save", str(tmp_path / "policy.npz")]
    learner = programs.enter_context(Program(sys.executable, str(ROOT / "examples" / "train.py"), *arguments, *files))
    monkeypatch.setenv("RLAY_ADDRESS", address)
    for _ in range(4):
        programs.enter_context(Program(str(LOOP)))
    learned = float(learner.find("the learned policy returns", 10 * WAIT).split()[4])
    assert learner.wait() == 0 and learned > 90


def test_an_address_that_cannot_be_used_is_logged(
    programs: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The game goes on without an agent."""
    monkeypatch.setenv("RLAY_ADDRESS", "shm://arena")
    loop = programs.enter_context(Program(str(LOOP)))
    assert "the C++ client speaks TCP alone" in loop.find("LogRlay: Error")
    loop.end_input()
    assert loop.wait() == 0


def test_the_code_on_the_page_is_that_of_the_sample() -> None:
    """So it compiles, and does what the tests above check."""
    page = (ROOT / "docs" / "engines" / "unreal.md").read_text("utf-8")
    sample = (ROOT / "sdk/unreal/Source/Rlay/Private/RlaySlider.cpp").read_text("utf-8")
    blocks = re.findall(r"^```cpp\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        assert block in sample

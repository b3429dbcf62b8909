"""The plugin for Bevy: its page as it is written, and its example in both paradigms."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlay
from judge import failures, judge, listening
from processes import ROOT, WAIT, Program, free_address, until
from sdk_clients import BUILT, SDK, of

# A compiler on a slow machine.
pytestmark = [pytest.mark.timeout(900), of("rust")]

GAME = str(BUILT / "bevy" / "debug" / "examples" / "cartpole")
PAGE = (ROOT / "docs" / "engines" / "bevy.md").read_text("utf-8")
ADDRESS = "tcp://127.0.0.1:5005"
"""That of the page."""
LONGEST = 600.0
"""Bounds what compiles or trains."""

Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program, which is killed at the end."""
    with ExitStack() as stack:
        yield lambda *command: stack.enter_context(Program(*command))


def listen(start: Start, *arguments: str) -> tuple[Program, str]:
    """Start a game that listens; return its address, too."""
    game = start(GAME, "--listen", "tcp://127.0.0.1:0", *arguments)
    return game, game.find("listening at ").split()[-1]


def blocks(language: str) -> list[str]:
    """Return the page's blocks of code in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Project:
    """The project that the page makes, and the page's commands in it."""

    def __init__(self, folder: Path, start: Start) -> None:
        self.folder, self.start, self.address = folder, start, free_address()

    def command(self, beginning: str) -> list[str]:
        """Return the only command of the page that begins so, at a free address."""
        lines = {line for block in blocks("sh") for line in block.splitlines() if line.startswith(beginning)}
        assert len(lines) == 1, (beginning, lines)
        words = shlex.split(lines.pop().replace(ADDRESS, self.address), comments=True)
        return {"python": [sys.executable], "rlay": [sys.executable, "-m", "rlay"]}.get(words[0], words[:1]) + words[1:]

    def run(self, beginning: str) -> Program:
        """Start it."""
        return self.start(*self.command(beginning))

    def python(self, name: str) -> Program:
        """Start the page's program that begins with a comment of this name."""
        (source,) = [block for block in blocks("python") if block.startswith(f"# {name}")]
        return self.start(sys.executable, "-c", source.replace(ADDRESS, self.address))


@pytest.fixture
def project(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Make the project as the page says, with the crates that the example was built of."""
    monkeypatch.setenv("CARGO_TARGET_DIR", str(BUILT / "bevy"))
    monkeypatch.setenv("CARGO_NET_OFFLINE", "true")
    monkeypatch.setenv("CARGO_PROFILE_DEV_DEBUG", "line-tables-only")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "rlay-gym" / "python"))
    project = Project(tmp_path / "poles", start)
    subprocess.run(project.command("cargo new"), cwd=tmp_path, check=True, capture_output=True)
    (manifest,) = blocks("toml")
    (project.folder / "Cargo.toml").write_text(manifest.replace("../rlay", str(ROOT)), "utf-8")
    (project.folder / "src" / "main.rs").write_text("\n".join(blocks("rust")), "utf-8")
    shutil.copy(SDK / "bevy" / "Cargo.lock", project.folder)
    (tmp_path / "rlay").symlink_to(ROOT)
    monkeypatch.chdir(project.folder)
    return project


def test_the_page_shows_the_game() -> None:
    assert "\n".join(blocks("rust")) == (SDK / "bevy" / "examples" / "cartpole.rs").read_text("utf-8")


def test_the_page_from_an_empty_project_to_a_trained_agent(project: Project) -> None:
    game = project.run(f"cargo run -- --listen {ADDRESS}  #")
    game.find("listening at ", LONGEST)
    player = project.python("play.py")
    assert player.wait() == 0, player.errors
    judged = project.run("rlay check")
    assert judged.wait(LONGEST) == 0, judged.printed()
    assert " 0 failed" in judged.printed()[-1]
    game.interrupt()
    assert game.wait() == 130

    game = project.run(f"cargo run -- --listen {ADDRESS} --num-envs 16")
    game.find("listening at ", LONGEST)
    learner = project.run(f"python ../rlay/examples/train.py {ADDRESS}")
    assert learner.wait(LONGEST) == 0, learner.errors
    assert (project.folder / "out" / "policy.npz").is_file()
    game.interrupt()
    assert game.wait() == 130

    game = project.run(f"cargo run -- --listen {ADDRESS} --realtime")
    game.find("listening at ", LONGEST)
    watcher = project.python("watch.py")
    assert watcher.find("[").endswith("]")


def test_the_game_of_the_page_dials(project: Project) -> None:
    learner = project.run("python ../rlay/examples/train.py --listen")
    project.run("cargo run -- --dial")
    assert learner.wait(LONGEST) == 0, learner.errors


@pytest.mark.parametrize("paradigm", ["client", "server"])
def test_gymnasium_accepts_it(paradigm: str, start: Start) -> None:
    if paradigm == "client":
        env: Any = rlay.ClientEnv(listen(start)[1], render_mode="ansi", connect_timeout=WAIT)
    else:
        env = rlay.ServerEnv(render_mode="ansi", connect_timeout=WAIT)
        start(GAME, "--dial", env.address)
    with env:
        check_env(env, skip_render_check=True, skip_close_check=True)  # its close check wants a second agent
        assert re.fullmatch(r"\[_*[|/\\]_*\]", env.render())
        assert env.spec.max_episode_steps == 500
        env.reset()
        with pytest.raises(rlay.EnvError, match="not in Discrete"):
            env.step(2)
        assert env.step(1)[1] == 1.0


def test_it_passes_the_judge(start: Start) -> None:
    report = judge(listen(start)[1])
    assert failures(report) == []
    assert report["passed"] > 140
    with listening() as judging:
        start(GAME, "--dial", judging.address)
        report = judging.report()
    assert failures(report) == []
    assert report["passed"] > 80


def test_equal_seeds_give_equal_episodes_in_every_slot(start: Start) -> None:
    actions = np.random.default_rng(1).integers(2, size=60)

    def transcript(*arguments: str) -> list[Any]:
        number = int(arguments[-1])
        with rlay.ClientVectorEnv(listen(start, *arguments)[1], num_envs=number, connect_timeout=WAIT) as envs:
            rows = [envs.reset(seed=[3] * number)[0]]
            rows += [envs.step(np.full(number, action))[0] for action in actions]
            assert all((row == row[0]).all() for row in rows)
            return [row[0].tolist() for row in rows]

    assert transcript("--num-envs", "1") == transcript("--num-envs", "3")


def test_a_pole_waits_for_its_agent(start: Start) -> None:
    def episode(*arguments: str, pause: float = 0.0) -> list[Any]:
        with rlay.ClientEnv(listen(start, *arguments)[1], connect_timeout=WAIT) as env:
            rows = [env.reset(seed=3)[0]]
            for _ in range(5):
                time.sleep(pause)
                rows.append(env.step(1)[0])
            return [row.tolist() for row in rows]

    at_once = episode()
    # Longer than a headless tick waits for a request; and so many ticks that no request comes with most of them.
    assert episode(pause=0.25) == at_once
    assert episode("--realtime", pause=0.1) == at_once


def test_an_episode_is_gymnasiums(start: Start) -> None:
    import gymnasium as gym

    with rlay.ClientEnv(listen(start)[1], connect_timeout=WAIT) as ours:
        theirs: Any = gym.make("CartPole-v1").unwrapped
        theirs.reset()
        theirs.state = ours.reset(seed=5)[0].astype(np.float64)
        for _ in range(30):
            observation, reward, terminated, _, _ = ours.step(1)
            expected, expected_reward, expected_end, *_ = theirs.step(1)
            np.testing.assert_allclose(observation, expected, rtol=1e-4, atol=1e-6)
            assert (reward, terminated) == (expected_reward, expected_end)
            if terminated:
                return
    raise AssertionError("no pole fell")


def test_a_token_is_asked_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAY_TOKEN", "a long random text")
    _, address = listen(start)
    with pytest.raises(rlay.Unauthorized, match="token"):
        rlay.ClientEnv(address, token="another long text", connect_timeout=WAIT)
    with rlay.ClientEnv(address, connect_timeout=WAIT) as env:
        env.reset()


def test_frames_go_on_without_an_agent(start: Start) -> None:
    """In real time no frame waits: the game ends on Ctrl-C while its agent holds a session and asks for nothing."""
    game, address = listen(start, "--realtime")
    with rlay.ClientEnv(address, connect_timeout=WAIT) as env:
        env.reset(seed=1)
        env.step(1)
        game.interrupt()
        assert game.wait() == 130
        with pytest.raises(rlay.Error):
            env.step(1)


def test_an_idle_game_waits(start: Start) -> None:
    """A headless game without requests blocks; one that polls without a pause takes all of a core."""
    game, address = listen(start)

    def seconds() -> float:
        fields = Path(f"/proc/{game.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with rlay.ClientEnv(address, connect_timeout=WAIT) as env:
        env.reset()
        before, began = seconds(), time.monotonic()
        time.sleep(2.0)
        assert seconds() - before < (time.monotonic() - began) / 4


def test_without_environments_it_says_what_to_spawn(start: Start) -> None:
    game = start(GAME, "--listen", "tcp://127.0.0.1:0", "--num-envs", "0")
    game.find("spawn entities with Slot(0)")
    assert game.wait() == 1


def test_an_address_that_is_taken_ends_the_game(start: Start) -> None:
    _, address = listen(start)
    game = start(GAME, "--listen", address)
    assert game.wait() == 1
    until(lambda: "in use" in "\n".join(game.printed()), "the reason")

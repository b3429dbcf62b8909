"""The pages of docs/engines for Unity, Godot and browsers: their files are those of sdk/, and their commands train."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from browsers import browser, site
from judge import failures, judge
from processes import ROOT, Program, free_address
from sdk_clients import BUILT, GODOT4, SDK, of

PAGES = ROOT / "docs" / "engines"
TRAINED = 300.0
"""Bounds a training on a busy machine, in seconds."""
pytestmark = pytest.mark.timeout(3 * TRAINED)

Start = Callable[..., Program]


def blocks(page: str) -> list[str]:
    """Return the blocks of code on a page, as long as their fences stand at the left."""
    text = (PAGES / f"{page}.md").read_text("utf-8")
    return re.findall(r"^```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def block(page: str, start: str) -> str:
    """Return the block that starts so, as long as there is one."""
    found = [code for code in blocks(page) if code.startswith(start)]
    assert len(found) == 1, f"{len(found)} blocks of {page}.md start with {start!r}"
    return found[0]


FILES = {
    "browser": ["javascript/examples/lander/lander.mjs", "javascript/examples/lander/index.html"],
    "godot": ["godot/sample/world.gd", "godot/sample/agent.gd", "godot/sample/catch.tscn", "godot/project.godot"],
    "unity": ["csharp/Samples~/Slider/SliderEnvironment.cs"],
}


@pytest.mark.parametrize(("page", "file"), [(page, file) for page, files in FILES.items() for file in files])
def test_the_page_has_the_whole_file(page: str, file: str) -> None:
    text = (SDK / file).read_text("utf-8")
    # In a project of one's own the client lies beside the game.
    assert text.replace("../../rlay.mjs", "./rlay.mjs") in blocks(page)


def play_and_train(page: str, address: str, folder: Path, start: Start) -> None:
    """Start a game, and run in the folder what the page has: ``first.py``, the training, and what shows the policy."""

    def adapted(code: str) -> str:
        return re.sub(r"(tcp|ws)://127\.0\.0\.1:5005", address, code)

    def run(command: list[str], timeout: float = TRAINED) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    training, playing = [code.split() for code in blocks(page) if code.startswith("python rlay/examples/train.py")]
    target = float(training[training.index("--target") + 1])
    (folder / "rlay").symlink_to(ROOT)
    first = block(page, "# first.py")
    (folder / "first.py").write_text(adapted(first), "utf-8")
    with start(address):
        said = run([sys.executable, "first.py"]).strip()
        assert f"print(env.observation_space, env.action_space)  # {said}\n" in first
        said = run([sys.executable, *map(adapted, training[1:])])
        assert "learning curve: out/training.png   policy: out/policy.npz" in said
        assert (folder / "out" / "training.png").read_bytes().startswith(b"\x89PNG")
        said = run([sys.executable, *map(adapted, playing[1:])])
        returns = [float(line.split()[1]) for line in said.splitlines() if line.startswith("return ")]
        assert len(returns) == 10 and sum(returns) / 10 >= target


@of("csharp")
def test_unity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train what plays the part of Unity, compiled from the sample."""

    def start(address: str) -> Program:
        monkeypatch.setenv("RLAY_ADDRESS", address)
        return Program("mono", f"{BUILT}/csharp/unity.exe")

    play_and_train("unity", free_address(), tmp_path, start)


@of("godot4")
def test_godot4(tmp_path: Path) -> None:
    """Train the sample in a web build of Godot 4."""

    def start(address: str) -> Program:
        return Program("node", f"{SDK}/godot/tests/godot4/run.mjs", GODOT4, "sample", "--listen", address)

    play_and_train("godot", free_address(), tmp_path, start)


@of("godot")
def test_godot(tmp_path: Path) -> None:
    """Make the project of the page's blocks, translate it, and train it in Godot 3."""
    project, address = tmp_path / "catch", free_address()
    shutil.copytree(SDK / "godot" / "addons", project / "addons")
    (project / "sample").mkdir()
    for file in FILES["godot"]:
        name = file.removeprefix("godot/")
        code = block("godot", (SDK / file).read_text("utf-8").splitlines()[0])
        # Sets in the scene what the inspector would.
        (project / name).write_text(code + (f'address = "{address}"\n' if name.endswith(".tscn") else ""), "utf-8")
    translate = [sys.executable, str(SDK / "godot" / "tests" / "to_godot3.py"), "catch", "catch3"]
    subprocess.run(translate, cwd=tmp_path, check=True)
    assert "godot --headless --fixed-fps 60 --path catch\n" in blocks("godot")

    def start(_: str) -> Program:
        return Program("godot3-server", "--no-window", "--fixed-fps", "60", "--path", str(tmp_path / "catch3"))

    play_and_train("godot", address, tmp_path, start)
    with start(address):
        assert failures(judge(address)) == []


@of("javascript")
def test_browser(tmp_path: Path) -> None:
    """Make the folder of the page's blocks, serve it, and train it in headless Chromium."""
    chromium = browser()
    folder = tmp_path / "lander"
    folder.mkdir()
    shutil.copy(SDK / "javascript" / "rlay.mjs", folder)
    (folder / "lander.mjs").write_text(block("browser", "/** A lander"), "utf-8")
    (folder / "index.html").write_text(block("browser", "<!doctype html>"), "utf-8")
    with site("127.0.0.1", folder) as origin:

        def start(address: str) -> Program:
            return chromium(f"{origin}/?games=5&address={address}", tmp_path / "profile")

        play_and_train("browser", free_address().replace("tcp://", "ws://"), tmp_path, start)

"""What the READMEs of the clients begin with, and loops of engines: built, started and played as the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import rlay
from processes import ROOT, WAIT, Program, free_address, python
from sdk_clients import BUILT, SDK, of_each

# A compiler on a slow machine.
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Readme:
    """What stands in the README of one client."""

    language: str
    """That of the block with the program."""
    file: str
    build: str
    """The command that builds it, as on the page."""
    run: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Files and folders to have beside the program."""
    second: str = ""
    """The file that the next block of the language is, where the program takes two."""
    prepares: str = ""
    """What tests do to it that is not on the page."""
    loop: int = 0
    """Which block of the language is a program with a loop of its own, counted from 0; 0: none."""


READMES = {
    "cpp": Readme("cpp", "coin.cpp", "g++ -std=c++17 -pthread -I rlay/sdk/cpp/include coin.cpp -o coin", ("./coin",)),
    "csharp": Readme(
        "csharp",
        "Guess.cs",
        "mcs -r:System.Numerics.dll -out:guess.exe Guess.cs Rlay/*.cs",
        ("mono", "guess.exe"),
        (f"{SDK}/csharp/Runtime/Rlay",),
    ),
    "java": Readme(
        "java",
        "Walk.java",
        "javac -cp rlay.jar Walk.java",
        ("java", "-cp", "rlay.jar:.", "Walk"),
        (f"{BUILT}/java/rlay.jar",),
    ),
    "javascript": Readme("js", "walk.mjs", "", ("node", "walk.mjs"), (f"{SDK}/javascript/rlay.mjs",)),
    "lua": Readme("lua", "walk.lua", "", ("lua5.4", "walk.lua"), (f"{SDK}/lua/rlay.lua",), loop=1),
    "matlab": Readme("matlab", "Walk.m", "", ("octave-cli", "serve.m"), second="serve.m", loop=2),
    "godot": Readme(
        "gdscript",
        "walk.gd",
        "",
        ("godot3-server", "--no-window", "--path", "in-godot-3", "-s", "walk.gd"),
        (f"{SDK}/godot/addons", f"{SDK}/godot/project.godot"),
        prepares=f"{sys.executable} rlay/sdk/godot/tests/to_godot3.py . in-godot-3",
    ),
}


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", of_each(READMES))
def test_the_first_environment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = READMES[name]
    page = (SDK / name / "README.md").read_text("utf-8")
    files = [readme.file, readme.second] if readme.second else [readme.file]
    programs = blocks(page, readme.language)[: len(files)]
    assert sum(len(program.splitlines()) for program in programs) < 40
    address = free_address()
    for file, program in zip(files, programs, strict=True):
        (tmp_path / file).write_text(program.replace("tcp://127.0.0.1:5005", address), "utf-8")
    (tmp_path / "rlay").symlink_to(ROOT)
    for needed in map(Path, readme.needs):
        copy = shutil.copytree if needed.is_dir() else shutil.copy
        copy(needed, tmp_path / needed.name)
    monkeypatch.chdir(tmp_path)
    assert readme.build in page
    assert readme.build or readme.prepares or " ".join(readme.run) in page
    for command in filter(None, (readme.prepares, readme.build)):
        subprocess.run(command, shell=True, check=True)
    agent = blocks(page, "python")[0].replace("tcp://127.0.0.1:5005", address)
    with Program(*readme.run) as game, python(agent) as played:
        assert played.wait() == 0, (played.errors, game.errors)
        for printed in re.findall(r"^print\(.*\)  # (.*)$", agent, re.MULTILINE):
            assert played.line() == printed
        with rlay.ClientEnv(address, connect_timeout=WAIT) as env:
            # Gymnasium's default, which its checker wants.
            assert env.metadata == {"render_modes": []}


@pytest.mark.parametrize("name", of_each(name for name in READMES if READMES[name].loop))
def test_the_loop_of_an_engine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = READMES[name]
    for needed in readme.needs:
        shutil.copy(needed, tmp_path)
    (tmp_path / "rlay").symlink_to(ROOT)
    monkeypatch.chdir(tmp_path)
    program = blocks((SDK / name / "README.md").read_text("utf-8"), readme.language)[readme.loop]
    file = Path("car").with_suffix(Path(readme.file).suffix)
    with rlay.ServerEnv(connect_timeout=WAIT) as env:
        file.write_text(program.replace("tcp://127.0.0.1:5005", env.address), "utf-8")
        with Program(readme.run[0], str(file)):
            observation, _ = env.reset()
            assert observation.tolist() == [1.0, 0.0]
            observation, reward, terminated, _, _ = env.step(2)
            assert observation[0] > 1.0
            assert reward == pytest.approx(-observation[0])
            assert not terminated

"""The first environment of each client's README: built, started and played as the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from processes import ROOT, Program, free_address, python
from sdk_clients import BUILT, SDK

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
}


def block(page: str, language: str) -> str:
    """Return the first block of code in this language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None, language
    return found[1]


@pytest.mark.parametrize("name", READMES)
def test_the_first_environment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = READMES[name]
    page = (SDK / name / "README.md").read_text("utf-8")
    program = block(page, readme.language)
    assert len(program.splitlines()) < 40
    address = free_address()
    (tmp_path / readme.file).write_text(program.replace("tcp://127.0.0.1:5005", address), "utf-8")
    (tmp_path / "rlay").symlink_to(ROOT)
    for needed in map(Path, readme.needs):
        copy = shutil.copytree if needed.is_dir() else shutil.copy
        copy(needed, tmp_path / needed.name)
    monkeypatch.chdir(tmp_path)
    if readme.build:
        assert readme.build in page
        subprocess.run(readme.build, shell=True, check=True)
    with Program(*readme.run) as game, python(block(page, "python").replace("tcp://127.0.0.1:5005", address)) as agent:
        assert agent.wait() == 0, (agent.errors, game.errors)

"""What the pages of the clients for C#, Java and JavaScript say besides their first environment: run as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rlay
from processes import ROOT, WAIT, Program, free_address
from sdk_clients import BUILT, SDK, of, of_each

# Compilers on a slow machine.
pytestmark = pytest.mark.timeout(600)

HERE = "tcp://127.0.0.1:5005"
"""The address on the pages."""

COMMAND = re.compile(r"`((?:sh|npm|pip|python|node|java|javac|mcs|mono|make) (?!->)[^`]*)`")

KNOWN = {
    "csharp": {
        "mcs -r:System.Numerics.dll -out:guess.exe Guess.cs Rlay/*.cs": "test_sdk_readmes.py",
        "mono guess.exe": "test_sdk_readmes.py",
        "sh build.sh": "here",
    },
    "java": {
        "javac -cp rlay.jar Walk.java": "test_sdk_readmes.py",
        "java -cp rlay.jar:. Walk": "test_sdk_readmes.py",
        "python agent.py": "test_sdk_readmes.py",
        "java -cp target/sdk/java/rlay.jar:target/sdk/java/tests rlay.Units": "here",
        "sh build.sh": "here",
        "pip install ./rlay-gym": "not at all: it compiles RLay, as `make build` does",
    },
    "javascript": {
        "node walk.mjs": "test_sdk_readmes.py",
        "python agent.py": "test_sdk_readmes.py",
        "npm install path/to/rlay/sdk/javascript": "here",
        "npm test": "test_sdk_misuse.py",
        "sh build.sh": "here",
        "pip install ./rlay-gym": "not at all: it compiles RLay, as `make build` does",
    },
}
"""Every command on the pages, and what runs it."""

PAGES = {name: (SDK / name / "README.md").read_text("utf-8") for name in KNOWN}


def blocks(name: str, language: str) -> list[str]:
    """Return the blocks of code in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[name], re.MULTILINE | re.DOTALL)


def has(name: str, text: str) -> str:
    """Return what is said on the page."""
    assert text in PAGES[name]
    return text


def shell(command: str, where: Path) -> None:
    """Run a command of a page as it stands there."""
    subprocess.run(command, shell=True, check=True, cwd=where, timeout=WAIT * 10)


@pytest.mark.parametrize("name", of_each(KNOWN))
def test_every_command_is_known(name: str) -> None:
    lines = [line for block in blocks(name, "sh") for line in block.splitlines()]
    assert {line.partition("  ")[0] for line in lines} | set(COMMAND.findall(PAGES[name])) == set(KNOWN[name])


@pytest.mark.parametrize("name", of_each(KNOWN))
def test_the_build(name: str, tmp_path: Path) -> None:
    """In a copy, for other tests use what is built."""
    copy = tmp_path / "sdk" / name
    shutil.copytree(SDK / name, copy)
    shell(has(name, "sh build.sh"), copy)
    if name == "java":
        shell(has(name, "java -cp target/sdk/java/rlay.jar:target/sdk/java/tests rlay.Units"), tmp_path)


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts programs in a folder of its own, which end with the test."""
    monkeypatch.chdir(tmp_path)
    started: list[Program] = []

    def begin(*command: str) -> Program:
        started.append(Program(*command))
        return started[-1]

    yield begin
    for program in started:
        program.__exit__()


def plays(env: Any, steps: int = 3) -> None:
    """Play for a while."""
    with env:
        env.reset(seed=7)
        for _ in range(steps):
            env.step(env.action_space.sample())


def listening(address: str, **kwargs: Any) -> Any:
    """Return the environment that dials in."""
    return rlay.ServerEnv(address, connect_timeout=WAIT, timeout=WAIT, **kwargs)


# The programs that listen on the pages, with another end in place of theirs.


def csharp(end: str) -> None:
    """Build the first environment."""
    (program, *_) = blocks("csharp", "csharp")
    main = program.index("        var backend = ")
    Path("Guess.cs").write_text(program[:main] + f"        {end};\n    }}\n}}\n", "utf-8")
    shutil.copytree(SDK / "csharp" / "Runtime" / "Rlay", "Rlay")
    shell(has("csharp", "mcs -r:System.Numerics.dll -out:guess.exe Guess.cs Rlay/*.cs"), Path())


def java(end: str) -> None:
    """Build the first environment."""
    (program, *_) = blocks("java", "java")
    main = program.index("        ServerBackend host = ")
    Path("Walk.java").write_text(program[:main] + f"        {end};\n    }}\n}}\n", "utf-8")
    shutil.copy(BUILT / "java" / "rlay.jar", ".")
    shell(has("java", "javac -cp rlay.jar Walk.java"), Path())


def javascript(end: str) -> None:
    """Write the first environment."""
    (program, *_) = blocks("javascript", "js")
    program = program[: program.index("const host = ")].replace("ServerBackend", "ClientBackend")
    Path("walk.mjs").write_text(f"{program}const make = () => new Walk();\n{end};\n", "utf-8")
    shutil.copy(SDK / "javascript" / "rlay.mjs", ".")


def dial(address: str, name: str, statement: str) -> str:
    """Return a statement of the page that dials, with this address."""
    return has(name, statement).replace(HERE, address)


@of("csharp")
def test_csharp_dials(start: Start) -> None:
    address = free_address()
    csharp(dial(address, "csharp", f'new ClientBackend(make => new Guess(), "{HERE}").Run()'))
    start("mono", "guess.exe")
    plays(listening(address))


@of("csharp")
def test_csharp_is_launched(start: Start) -> None:
    options = "new Options { Token = Options.LaunchedToken }"
    csharp(has("csharp", f"new ClientBackend(make => new Guess(), Options.LaunchedAddress, {options}).Run()"))
    has("csharp", 'rlay.launch(["mono", "guess.exe"])')
    plays(rlay.launch(["mono", "guess.exe"]))


LOOP = """
using System;
using System.Threading;
using Rlay;

static class Loop {{
    static PolledEnv host;
    static bool isOver;

    static ResetResult StartEpisode(Seed seed) => new ResetResult(0);
    static StepResult Play(object action) => new StepResult(1, 1);
    static object DrawFrame() => "frame";

    static void Main() {{
        EnvSpace observationSpace = new DiscreteSpace(2), actionSpace = new DiscreteSpace(2);
        {dial}
        while (!isOver) {{
            EachFrame();
            Thread.Sleep(5);
        }}
        host.Close();
    }}

    static {each}
}}
"""
"""What an engine has around the lines of the page."""


@of("csharp")
def test_csharp_in_the_loop_of_an_engine(start: Start) -> None:
    address = free_address()
    lines = blocks("csharp", "csharp")[1].replace(HERE, address)
    dialing, each = lines.split("\n\n", 1)
    each = each.replace("case TurnKind.Close: break;", "case TurnKind.Close: isOver = true; break;")
    each = each.replace("\n", "\n    ").rstrip()
    Path("Loop.cs").write_text(LOOP.format(dial=dialing.removeprefix("var "), each=each), "utf-8")
    shutil.copytree(SDK / "csharp" / "Runtime" / "Rlay", "Rlay")
    shell("mcs -r:System.Numerics.dll -out:loop.exe Loop.cs Rlay/*.cs", Path())
    program = start("mono", "loop.exe")
    plays(listening(address))
    assert program.wait() == 0, program.errors


@of("java")
def test_java_dials(start: Start) -> None:
    address = free_address()
    java(dial(address, "java", f'new ClientBackend(make -> new Walk(), "{HERE}", new Options()).run()'))
    start("java", "-cp", "rlay.jar:.", "Walk")
    plays(listening(address))


@of("java")
def test_java_is_launched(start: Start) -> None:
    java(has("java", "new ClientBackend(make -> new Walk(), new Options()).run()"))
    has("java", 'rlay.launch(["java", "-cp", "rlay.jar:.", "Walk"])')
    plays(rlay.launch(["java", "-cp", "rlay.jar:.", "Walk"]))


@of("java")
def test_java_in_the_loop_of_an_engine(start: Start) -> None:
    address = free_address()
    Path("Car.java").write_text(blocks("java", "java")[1].replace(HERE, address), "utf-8")
    shutil.copy(BUILT / "java" / "rlay.jar", ".")
    shell("javac -cp rlay.jar Car.java", Path())
    start("java", "-cp", "rlay.jar:.", "Car")
    plays(rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT))
    plays(rlay.ClientEnv(address, connect_timeout=WAIT, timeout=WAIT))


@of("javascript")
def test_javascript_dials(start: Start) -> None:
    address = free_address()
    javascript(dial(address, "javascript", f'new ClientBackend(make, "{HERE}")') + ".run()")
    start("node", "walk.mjs")
    plays(listening(address))


@of("javascript")
def test_javascript_is_launched(start: Start) -> None:
    javascript(has("javascript", "new ClientBackend(make).run()"))
    has("javascript", 'rlay.launch(["node", "walk.mjs"])')
    plays(rlay.launch(["node", "walk.mjs"]))


@of("javascript")
def test_javascript_in_the_loop_of_an_engine(start: Start) -> None:
    address = free_address()
    (car,) = [block for block in blocks("javascript", "js") if "everyFrame" in block]
    Path("car.mjs").write_text(car.replace(HERE, address), "utf-8")
    shutil.copy(SDK / "javascript" / "rlay.mjs", ".")
    start("node", "car.mjs")
    plays(listening(address))
    plays(listening(address))


@of("javascript")
def test_javascript_from_npm(start: Start) -> None:
    """Without the network: the package is a folder and has no dependencies."""
    os.symlink(ROOT, "rlay")
    command = has("javascript", "npm install path/to/rlay/sdk/javascript").replace("path/to/", "./")
    shell(f"{command} --offline --no-audit --no-fund", Path())
    Path("names.mjs").write_text('import * as rlay from "rlay";\nconsole.log(typeof rlay.ServerBackend);\n', "utf-8")
    assert start("node", "names.mjs").line() == "function"

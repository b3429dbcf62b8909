"""The clients of ``sdk/``: how the programs that tests play with are started. ``make sdk`` builds them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from processes import ROOT

SDK = ROOT / "sdk"
BUILT = ROOT / "target" / "sdk"
JAVA = f"{BUILT}/java/rlay.jar:{BUILT}/java/tests"
EXAMPLES = os.environ.get("RLAY_EXAMPLES", f"{os.environ.get('CARGO_TARGET_DIR', ROOT / 'target')}/release/examples")
"""Where the game in Rust is, see ``tests/programs/game``."""
OCTAVE = ("octave-cli", "--no-gui", "--quiet", "--norc", f"{SDK}/matlab/tests/main.m")


@dataclass(frozen=True)
class Client:
    """One client: the commands of its programs, see ``sdk/tests/GAME.md``."""

    name: str
    game: tuple[str, ...]
    vectors: tuple[str, ...] | None
    """``None``: it is RLay's own library, whose reading of the vectors ``rlay-core`` tests."""
    transports: tuple[str, ...] = ("tcp",)
    """The schemes of the addresses that the game takes."""
    judged_timeout: float = 3.0
    """How long the judge waits for an answer, in seconds."""
    steps: int = 1000
    """How many steps the longest test takes."""
    resets: bool = True
    """Whether it can reset a connection to itself. Else nothing can listen at that port for a minute."""
    takes_any_seed: bool = True
    """Whether seeds may be of any size. Environments in Rust take those below 2^64."""
    hosts_slots: bool = False
    """Whether one session of the game can have several environments."""


CLIENTS = [
    Client(
        "rust",
        (f"{EXAMPLES}/game",),
        None,
        transports=("tcp", "unix", "shm", "zmq"),
        takes_any_seed=False,
        hosts_slots=True,
    ),
    Client("javascript", ("node", f"{SDK}/javascript/tests/game.mjs"), ("node", f"{SDK}/javascript/tests/vectors.mjs")),
    Client("cpp", (f"{BUILT}/cpp/game",), (f"{BUILT}/cpp/vectors",)),
    # The same with checks of memory and undefined behavior, which end it at the first fault. Memory that was freed is
    # kept to notice its use; 256 MB of it, the default, would pass for memory of the game where a test measures that.
    Client(
        "cpp-sanitized",
        ("env", "ASAN_OPTIONS=quarantine_size_mb=16", f"{BUILT}/cpp-sanitized/game"),
        (f"{BUILT}/cpp-sanitized/vectors",),
        steps=300,
    ),
    Client(
        "c",
        (f"{BUILT}/c/game",),
        None,
        transports=("tcp", "unix", "shm", "zmq"),
        hosts_slots=True,
    ),
    Client(
        "cpp-ffi",
        (f"{BUILT}/c/game-cpp",),
        None,
        transports=("tcp", "unix", "shm"),
        hosts_slots=True,
    ),
    Client("csharp", ("mono", f"{BUILT}/csharp/game.exe"), ("mono", f"{BUILT}/csharp/vectors.exe")),
    Client("lua", ("lua5.4", f"{SDK}/lua/tests/game.lua"), ("lua5.4", f"{SDK}/lua/tests/vectors.lua")),
    Client(
        "matlab",
        (*OCTAVE, "game"),
        (*OCTAVE, "vectors"),
        judged_timeout=10.0,
        resets=False,
    ),
    Client("java", ("java", "-cp", JAVA, "Game"), ("java", "-cp", JAVA, "rlay.Vectors")),
    Client(
        "godot",
        ("godot3-server", "--no-window", "--path", f"{BUILT}/godot", "-s", "tests/game.gd", "--"),
        ("sh", f"{SDK}/godot/tests/vectors.sh"),
        resets=False,
    ),
]

GODOT4 = os.environ.get("RLAY_GODOT4_WEB", "")
"""A folder with a web build of Godot 4, see sdk/godot/tests/godot4/run.mjs; without it Godot 4 is not tested."""

if GODOT4:
    run = ("node", f"{SDK}/godot/tests/godot4/run.mjs", GODOT4)
    CLIENTS.append(Client("godot4", (*run, "game"), (*run, "vectors"), resets=False))

if os.environ.get("RLAY_SDK_WINDOWS", ""):
    # Built by `sdk/cpp/cross.sh windows`.
    windows = BUILT / "cpp-windows"
    wine = ("env", f"WINEPREFIX={windows}/wine", "WINEDEBUG=-all", "/usr/lib/wine/wine64")
    CLIENTS.append(
        Client("cpp-windows", (*wine, f"{windows}/game.exe"), (*wine, f"{windows}/vectors.exe"), resets=False)
    )

ONLY = os.environ.get("RLAY_SDK_CLIENTS", "")
"""Names of the clients to test, with commas between them; all unless given."""

if ONLY:
    CLIENTS = [client for client in CLIENTS if client.name in ONLY.split(",")]


def of(name: str) -> pytest.MarkDecorator:
    """Mark tests of one client. Where it is not tested they are left out, rather than skipped."""
    return pytest.mark.client(name)


def of_each(names: Iterable[str]) -> list[Any]:
    """Return parameters of tests, each marked as one of the client of this name."""
    return [pytest.param(name, marks=of(name)) for name in names]

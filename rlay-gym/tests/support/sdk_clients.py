"""The clients of ``sdk/``: how the programs that tests play with are started. ``make sdk`` builds them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from processes import ROOT

SDK = ROOT / "sdk"
BUILT = ROOT / "target" / "sdk"
JAVA = f"{BUILT}/java/rlay.jar:{BUILT}/java/tests"


@dataclass(frozen=True)
class Client:
    """One client: the commands of its programs, see ``sdk/tests/GAME.md``."""

    name: str
    game: tuple[str, ...]
    vectors: tuple[str, ...] | None
    """``None``: it is RLay's own library, whose reading of the vectors ``rlay-core`` tests."""
    paradigms: tuple[str, ...] = ("client", "server")
    """``client``: ClientEnv dials the game. ``server``: the game dials ServerEnv."""
    lingers: bool = False
    """Whether it cannot set how its sockets linger: one that was connected to itself holds its port for a minute."""
    transports: tuple[str, ...] = ("tcp",)
    """The schemes of the addresses that the game takes."""


CLIENTS = [
    Client("javascript", ("node", f"{SDK}/javascript/tests/game.mjs"), ("node", f"{SDK}/javascript/tests/vectors.mjs")),
    Client("cpp", (f"{BUILT}/cpp/game",), (f"{BUILT}/cpp/vectors",)),
    Client("c", (f"{BUILT}/c/game",), None, transports=("tcp", "unix", "shm", "zmq")),
    Client("csharp", ("mono", f"{BUILT}/csharp/game.exe"), ("mono", f"{BUILT}/csharp/vectors.exe")),
    Client("java", ("java", "-cp", JAVA, "Game"), ("java", "-cp", JAVA, "rlay.Vectors")),
    Client(
        "godot",
        ("godot3-server", "--no-window", "--path", f"{BUILT}/godot", "-s", "tests/game.gd", "--"),
        ("sh", f"{SDK}/godot/tests/vectors.sh"),
        lingers=True,
    ),
]

GODOT4 = os.environ.get("RLAY_GODOT4_WEB", "")
"""A folder with a web build of Godot 4, see sdk/godot/tests/godot4/run.mjs; without it Godot 4 is not tested."""

if GODOT4:
    run = ("node", f"{SDK}/godot/tests/godot4/run.mjs", GODOT4)
    CLIENTS.append(Client("godot4", (*run, "game"), (*run, "vectors"), lingers=True))

ONLY = os.environ.get("RLAY_SDK_CLIENTS", "")
"""Names of the clients to test, with commas between them; all unless given."""

if ONLY:
    CLIENTS = [client for client in CLIENTS if client.name in ONLY.split(",")]

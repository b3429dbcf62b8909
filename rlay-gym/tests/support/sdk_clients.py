"""The clients of ``sdk/``: how the programs that tests play with are started. ``make sdk`` builds them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from processes import ROOT

SDK = ROOT / "sdk"
BUILT = ROOT / "target" / "sdk"


@dataclass(frozen=True)
class Client:
    """One client: the commands of its programs, see ``sdk/tests/GAME.md``."""

    name: str
    game: tuple[str, ...]
    vectors: tuple[str, ...] | None
    """``None``: it is RLay's own library, whose reading of the vectors ``rlay-core`` tests."""
    paradigms: tuple[str, ...] = ("client", "server")
    """``client``: ClientEnv dials the game. ``server``: the game dials ServerEnv."""
    transports: tuple[str, ...] = ("tcp",)
    """The schemes of the addresses that the game takes."""
    hosts_slots: bool = False
    """Whether one session of the game can have several environments."""


CLIENTS = [
    Client("javascript", ("node", f"{SDK}/javascript/tests/game.mjs"), ("node", f"{SDK}/javascript/tests/vectors.mjs")),
    Client("cpp", (f"{BUILT}/cpp/game",), (f"{BUILT}/cpp/vectors",)),
    Client("c", (f"{BUILT}/c/game",), None, transports=("tcp", "unix", "shm", "zmq"), hosts_slots=True),
    Client("csharp", ("mono", f"{BUILT}/csharp/game.exe"), ("mono", f"{BUILT}/csharp/vectors.exe")),
    Client("java", ("java", "-cp", f"{BUILT}/java", "Game"), ("java", "-cp", f"{BUILT}/java", "Vectors")),
]

ONLY = os.environ.get("RLAY_SDK_CLIENTS", "")
"""Names of the clients to test, with commas between them; all unless given."""

if ONLY:
    CLIENTS = [client for client in CLIENTS if client.name in ONLY.split(",")]

"""Launches ``launched_game.py``, directly or from a script."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rlay
from processes import SUPPORT, WAIT

GAME = [sys.executable, str(SUPPORT / "launched_game.py")]


def game(*arguments: str, **kwargs: Any) -> Any:
    """Launch the game."""
    return rlay.launch([*GAME, *arguments], **{"connect_timeout": WAIT, **kwargs})


def script(directory: Path, text: str) -> str:
    """Write a launcher script."""
    path = directory / "start.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)

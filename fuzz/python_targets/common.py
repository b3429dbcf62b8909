"""Shared code of the targets in Python: a corpus made of the golden vectors, slightly changed bytes, and the loop."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

VECTORS = Path(__file__).resolve().parents[2] / "docs" / "vectors"


def seed(corpus: Path, what: str) -> None:
    """Write the golden vectors of a kind into the corpus, refused ones included."""
    corpus.mkdir(parents=True, exist_ok=True)
    vectors = [vector for file in VECTORS.glob("*.json") for vector in json.loads(file.read_text("utf-8"))]
    for vector in vectors:
        if vector["what"] == what:
            (corpus / vector["name"].replace("/", "-")).write_bytes(bytes.fromhex(vector["hex"]))


def run(target: Callable[[bytes], None], what: str) -> None:
    """Fuzz ``target`` as the command line says; its first argument is the folder of the corpus."""
    seed(Path(sys.argv[1]), what)
    # Long inputs from the beginning, for costly values are large.
    atheris.Setup([sys.argv[0], "-len_control=0", "-max_len=4096", *sys.argv[1:]], target)
    atheris.Fuzz()

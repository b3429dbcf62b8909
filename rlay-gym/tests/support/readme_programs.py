"""The Python programs in the README and in the page on many environments."""

from __future__ import annotations

import re
from pathlib import Path

from processes import ROOT

README = ROOT / "README.md"
TRAIN_ON_MANY = ROOT / "docs" / "train-on-many.md"


def program(name: str, address: str | None = None, page: Path = README) -> str:
    """Return the program of the page that is named by its own first line, with this address in place of its own."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}:")]
    if address is None:
        return block
    (there,) = set(re.findall(r"\w+://[^\"\s]+(?=\")", block))
    return block.replace(there, address)

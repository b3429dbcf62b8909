"""The Python programs in the README."""

from __future__ import annotations

import re

from processes import ROOT

README = ROOT / "README.md"


def program(name: str, address: str) -> str:
    """Return the program of the README that is named by its own first line."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}:")]
    (there,) = set(re.findall(r"\w+://[^\"\s]+(?=\")", block))
    return block.replace(there, address)

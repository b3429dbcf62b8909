"""The Python programs in the README."""

from __future__ import annotations

import re

from processes import ROOT

README = ROOT / "README.md"


def program(name: str, address: str | None = None) -> str:
    """Return the program of the README that is named by its own first line, with this address in place of its own."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}:")]
    if address is None:
        return block
    (there,) = set(re.findall(r"\w+://[^\"\s]+(?=\")", block))
    return block.replace(there, address)

"""The README's Python programs run as they stand there, but for the address."""

from __future__ import annotations

import re
from pathlib import Path

from processes import python

README = Path(__file__).resolve().parents[2] / "README.md"
ADDRESS = "tcp://127.0.0.1:5005"


def program(name: str, address: str) -> str:
    """Return the program of the README whose first line names it."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {name}:")]
    assert ADDRESS in block
    return block.replace(ADDRESS, address)


def test_every_program_of_the_readme_is_tested_here() -> None:
    assert README.read_text().count("```python\n") == 2


def test_agent_and_host() -> None:
    with python(program("host.py", "tcp://127.0.0.1:0")) as host:
        address = host.find("agents may dial ").split()[-1]
        with python(program("agent.py", address)) as agent:
            assert agent.wait() == 0, agent.errors

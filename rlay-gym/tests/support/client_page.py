"""What stands on the page that builds a client: programs, commands, output and frames, by steps."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from processes import ROOT

PAGE = ROOT / "docs" / "a-client-in-an-afternoon.md"
STEPS = range(1, 7)
_GAP = "…"


class Dump(NamedTuple):
    """A frame as the page shows it."""

    side: str
    number: int
    hex: str
    is_whole: bool

    def misfit(self, frame: bytes) -> str | None:
        """Return what is not as in this frame; ``..`` on the page is any byte."""
        sent = frame.hex()
        if len(sent) < len(self.hex) or (self.is_whole and len(sent) > len(self.hex)):
            return f"the page has {len(self.hex) // 2} bytes, and {len(sent) // 2} were sent"
        for at in range(0, len(self.hex), 2):
            if self.hex[at] != "." and self.hex[at : at + 2] != sent[at : at + 2]:
                return f"at {at // 2:#x} the page has {self.hex[at:]}, and {sent[at:]} was sent"
        return None


class Step:
    """The section of a step."""

    def __init__(self, number: int) -> None:
        text = PAGE.read_text()
        (section,) = re.findall(rf"^## Step {number}: .*?(?=^## )", text, re.MULTILINE | re.DOTALL)
        self._blocks: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)

    def _of(self, language: str) -> list[str]:
        return [text for known, text in self._blocks if known == language]

    @property
    def client(self) -> list[str]:
        """The blocks of the client's program."""
        return [text for text in self._of("python") if not re.match(r"# (?!client)\w+\.py\n", text)]

    def programs(self, name: str) -> list[str]:
        """Return the other programs of this name."""
        return [text for text in self._of("python") if text.startswith(f"# {name}\n")]

    @property
    def judgements(self) -> list[tuple[list[str], str]]:
        """The commands of the judge: their arguments, and what they print."""
        commands = re.findall(r"^rlay (check .*)$", "\n".join(self._of("sh")), re.MULTILINE)
        texts = [text for text in self._of("text") if re.search(r"^tcp://\S+ \d+ passed", text, re.MULTILINE)]
        assert len(commands) == len(texts)
        return [(command.split(), text) for command, text in zip(commands, texts, strict=True)]

    def after(self, start: str) -> str:
        """Return the block behind the one that starts so."""
        (at,) = [at for at, (_, text) in enumerate(self._blocks) if text.startswith(start)]
        return self._blocks[at + 1][1]

    @property
    def dumps(self) -> list[Dump]:
        """The frames."""
        dumps = []
        for text in self._of("text"):
            title, *lines = text.splitlines()
            if found := re.fullmatch(r"(agent|client), frame (\d+): \w+", title):
                is_whole = lines[-1] != _GAP
                digits = ""
                for line in lines if is_whole else lines[:-1]:
                    place, part = re.fullmatch(r"([0-9a-f]{2,3})  ([0-9a-f.]*)(?:  +\S.*)?", line).groups()
                    assert int(place, 16) * 2 == len(digits), line
                    digits += part
                dumps.append(Dump(found[1], int(found[2]), digits, is_whole))
        return dumps


def program(number: int) -> str:
    """Return the client after this step, put together by the rules of the page."""
    blocks, end = [], ""
    for step in STEPS[:number]:
        *more, last = Step(step).client
        is_end = last.startswith("if __name__")
        blocks += more if is_end else [*more, last]
        end = last if is_end else end
    text = "\n\n".join(blocks)
    lines = text.split("\n")
    newest: dict[str, ast.FunctionDef] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            if old := newest.get(node.name):
                lines[old.lineno - 1 : old.end_lineno] = [""] * (old.end_lineno - old.lineno + 1)
            newest[node.name] = node
    return "\n".join(lines) + "\n\n" + end


def lines(source: str) -> int:
    """Count the lines that are not empty."""
    return sum(bool(line.strip()) for line in source.splitlines())


def is_excerpt(excerpt: str, output: str) -> bool:
    """Return whether the output is this one, but for addresses, times, and the lines that are left out."""

    def stable(text: str) -> str:
        return re.sub(r"in \d+\.\d s$", "in T s", re.sub(r"tcp://[0-9.]+:\d+", "ADDRESS", text), flags=re.MULTILINE)

    parts = [r"(?:.*\n)+?" if line == _GAP else re.escape(line) + r"\n" for line in stable(excerpt).splitlines()]
    return re.fullmatch("".join(parts), stable(output)) is not None

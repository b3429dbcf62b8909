"""Every client reads the golden vectors, writes the same bytes again, and refuses what is malformed."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from processes import ROOT, WAIT, environment
from sdk_clients import CLIENTS, Client
from wire_reference import encode

VECTORS: list[dict[str, Any]] = [
    vector
    for file in sorted((ROOT / "docs" / "vectors").glob("*.json"))
    for vector in json.loads(file.read_text("utf-8"))
]

READERS = [client for client in CLIENTS if client.vectors is not None]

NOT_RECEIVED = {"Spec", "Result", "Frames", "Returned", "Closed", "StepAgents", "ResultAgents"}
"""Kinds of frames that an env need not read."""


def line(vector: dict[str, Any]) -> str:
    """Return the question about a vector."""
    what, data = vector["what"], vector["hex"]
    if what != "payload":
        return f"{what} {data}"
    return f"payload {encode('space', vector['space']).hex()} {vector['rows']} {data}"


@pytest.mark.parametrize("client", READERS, ids=lambda client: client.name)
def test_the_golden_vectors(client: Client) -> None:
    assert client.vectors is not None
    asked = [vector for vector in VECTORS if vector["hex"]]
    answered = subprocess.run(
        client.vectors,
        input="".join(line(vector) + "\n" for vector in asked).encode(),
        capture_output=True,
        timeout=10 * WAIT,
        env=environment(),
    )
    assert answered.returncode == 0, answered.stderr.decode("utf-8", "replace")
    answers = answered.stdout.decode("utf-8").splitlines()
    assert len(answers) == len(asked), answered.stderr.decode("utf-8", "replace")
    wrong = []
    for vector, answer in zip(asked, answers, strict=True):
        kind = vector["json"]["kind"] if vector["what"] == "frame" and "json" in vector else None
        if answer == "unread":
            # A refused frame may be of a kind that is not read.
            if not (kind in NOT_RECEIVED or (kind is None and vector["what"] == "frame")):
                wrong.append((vector["name"], answer))
        elif "why" in vector:
            if not answer.startswith("refused "):
                wrong.append((vector["name"], answer[:200]))
        elif vector["what"] == "stream":
            state = "closed" if vector["json"]["closed"] else "open"
            if answer != f"ok {','.join(vector['json']['frames'])} {state}":
                wrong.append((vector["name"], answer[:200]))
        else:
            word, _, rest = answer.partition(" ")
            text, _, data = rest.rpartition(" ")
            if word != "ok" or json.loads(text) != vector["json"] or data != vector["hex"]:
                wrong.append((vector["name"], answer[:400]))
    assert not wrong, "\n".join(map(str, wrong))


# Without a client there is no test, rather than one that is skipped.
test_the_golden_vectors.__test__ = bool(READERS)  # type: ignore[attr-defined]

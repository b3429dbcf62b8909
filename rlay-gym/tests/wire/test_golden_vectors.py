"""The golden vectors, read by a second implementation of the specification that shares no code with the first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from processes import ROOT
from wire_reference import WireError, decode, encode

VECTORS = ROOT / "docs" / "vectors"
FILES = sorted(VECTORS.glob("*.json"))
ALL: list[dict[str, Any]] = [vector for file in FILES for vector in json.loads(file.read_text("utf-8"))]
POSITIVE = [vector for vector in ALL if "json" in vector]
NEGATIVE = [vector for vector in ALL if "why" in vector]


def name(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def read(vector: dict[str, Any], data: bytes) -> Any:
    return decode(vector["what"], data, vector.get("space"), vector.get("rows", 1))


def test_there_are_vectors() -> None:
    assert len(POSITIVE) >= 60
    assert len(NEGATIVE) >= 40
    assert len(POSITIVE) + len(NEGATIVE) == len(ALL) == len(set(map(name, ALL)))


@pytest.mark.parametrize("vector", POSITIVE, ids=name)
def test_a_positive_vector_reads_as_its_json_and_writes_the_same_bytes(vector: dict[str, Any]) -> None:
    assert read(vector, bytes.fromhex(vector["hex"])) == vector["json"]
    assert encode(vector["what"], vector["json"], vector.get("space")).hex() == vector["hex"]


@pytest.mark.parametrize("vector", NEGATIVE, ids=name)
def test_a_negative_vector_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        read(vector, bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", POSITIVE, ids=name)
def test_every_truncation_is_refused_or_canonical(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    for n in range(len(data)):
        try:
            meaning = read(vector, data[:n])
        except WireError:
            continue
        assert encode(vector["what"], meaning, vector.get("space")) == data[:n]

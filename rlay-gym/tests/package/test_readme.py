"""The README's Python programs run unchanged, except for the address."""

from __future__ import annotations

import re

import pytest

from processes import python
from readme_programs import README, TRAIN_ON_MANY, program

pytestmark = pytest.mark.gymnasium


def test_every_program_of_the_readme_is_tested_here() -> None:
    assert README.read_text().count("```python\n") == 6


def test_agent_and_host() -> None:
    with python(program("host.py", "tcp://127.0.0.1:0")) as host:
        address = host.find("agents may dial ").split()[-1]
        with python(program("agent.py", address)) as agent:
            assert agent.wait() == 0, agent.errors


@pytest.mark.parametrize("name", ["many.py", "arena.py"])
def test_many_environments(name: str) -> None:
    with python(program(name)) as learner:
        assert learner.wait() == 0, learner.errors


@pytest.mark.parametrize(
    "name",
    [
        "one_host.py",
        "images.py",
        "attributes.py",
        "many_games.py",
        "first_ready.py",
        "many_arenas.py",
        "many_machines.py",
    ],
)
def test_train_on_many(name: str) -> None:
    # Two more run in ray_tests.
    assert TRAIN_ON_MANY.read_text().count("```python\n") == 7 + 2
    with python(program(name, page=TRAIN_ON_MANY)) as learner:
        assert learner.wait(60.0) == 0, learner.errors


def test_two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here both machines are one, at the address that the host prints; ``test_two_machines.py`` has two."""
    monkeypatch.setenv("RLAY_TOKEN", "a long random text")
    with python(program("far_host.py", "tls://0.0.0.0:0")) as host:
        address = host.find("tls://")
        assert re.fullmatch(r"tls://[0-9.]+:[1-9][0-9]*\?pin=sha256:[0-9a-f]{64}", address)
        with python(program("far_agent.py", address)) as agent:
            assert agent.wait() == 0, agent.errors
        monkeypatch.setenv("RLAY_TOKEN", "another long text")
        with python(program("far_agent.py", address)) as other:
            assert other.wait() != 0
            assert "the token is wrong" in "\n".join(other.errors)

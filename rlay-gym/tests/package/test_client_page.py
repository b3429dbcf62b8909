"""The page that builds a client keeps its word: at each step the judge, the bytes and the output are as it says."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import client_page
from client_page import PAGE, STEPS, Step
from judge import RLAY, run
from processes import ROOT, WAIT, Program, free_address, until
from recording_link import RecordingLink

TOKEN = "an example of a token"


def written(step: int, folder: Path) -> Path:
    """Write the client of this step into a file."""
    file = folder / "client.py"
    file.write_text(client_page.program(step))
    return file


@contextlib.contextmanager
def listening(step: int, folder: Path) -> Iterator[str]:
    """Host the client of this step and yield its address."""
    with Program(sys.executable, str(written(step, folder)), "0") as client:
        yield client.find("listening at ").split()[-1]


def judged(step: int, folder: Path) -> str:
    """Return what the judge prints about the client of this step."""
    arguments, _ = Step(step).judgements[0]
    assert arguments[1] == "tcp://127.0.0.1:5005"
    with listening(step, folder) as address:
        return run("check", address, *arguments[2:]).stdout


@pytest.fixture(scope="module")
def judgements(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What the judge prints at each step. It mostly waits, so several run side by side."""
    longest_first = list(reversed(STEPS))
    folders = [tmp_path_factory.mktemp(f"step{step}") for step in longest_first]
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(longest_first, pool.map(judged, longest_first, folders), strict=True))


def compare(step: int, link: RecordingLink, is_dialed: bool = True) -> None:
    """Compare the frames of the page with those that have crossed."""
    dumps = Step(step).dumps
    assert dumps
    for dump in dumps:
        side = "dialer" if (dump.side == "agent") == is_dialed else "listener"
        assert dump.misfit(link.frames(side)[dump.number - 1]) is None, (dump.side, dump.number)


def test_the_table_counts_the_lines() -> None:
    rows = re.findall(r"^\| (\d) \|.*?\| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert [int(count) for _, count in rows] == [client_page.lines(client_page.program(step)) for step in STEPS]


def test_blocks_are_short() -> None:
    assert all(client_page.lines(block) <= 50 for step in STEPS for block in Step(step).client)


@pytest.mark.parametrize("step", STEPS)
def test_the_judge_prints_what_the_page_says(judgements: dict[int, str], step: int) -> None:
    _, excerpt = Step(step).judgements[0]
    assert client_page.is_excerpt(excerpt, judgements[step]), judgements[step]


def test_the_judge_finds_nothing_where_the_client_dials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, (arguments, excerpt) = Step(6).judgements
    assert arguments == ["check", "--listen", "tcp://127.0.0.1:5006"]
    with Program(*RLAY, "check", "--listen", "tcp://127.0.0.1:0", "--connect-timeout", str(WAIT)) as judge:
        lines = until(lambda: [line for line in judge.errors if "listening at " in line], "the judge to listen")
        monkeypatch.setenv("RLAY_ADDRESS", lines[0].split()[-1])
        with Program(sys.executable, str(written(6, tmp_path))) as client:
            output = [judge.line()]
            while " passed, " not in output[-1]:
                output.append(judge.line())
            assert client.wait() == 0, client.errors
    assert client_page.is_excerpt(excerpt, "\n".join(output) + "\n"), output


def test_with_a_token_fewer_checks_do_not_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAY_TOKEN", TOKEN)
    with listening(6, tmp_path) as address:
        ended = run("check", address, "--level", "handshake")
        assert ended.returncode == 0, ended.stdout
        assert "ok    a dialer with another token" in ended.stdout


@pytest.mark.parametrize("step", [1, 2])
def test_bytes_of_an_inspection(step: int, tmp_path: Path) -> None:
    with listening(step, tmp_path) as address, RecordingLink(address) as link:
        ended = run("inspect", link.address)
        compare(step, link)
    if step == 1:
        assert "this client cannot do that yet" in ended.stderr
    else:
        excerpt = Step(step).after("rlay inspect")
        assert client_page.is_excerpt(excerpt, ended.stdout), ended.stdout


@pytest.mark.parametrize("step", [3, 4, 5])
def test_bytes_and_output_of_an_agent(step: int, tmp_path: Path) -> None:
    (agent,) = Step(step).programs("agent.py")
    with listening(step, tmp_path) as address, RecordingLink(address) as link:
        source = agent.replace("tcp://127.0.0.1:5005", link.address)
        assert source != agent
        ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=WAIT)
        assert ended.stdout == Step(step).after("# agent.py"), ended.stderr
        compare(step, link)


def test_bytes_of_a_client_that_dials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAY_TOKEN", TOKEN)
    agent, _ = Step(6).programs("agent.py")
    address = free_address()
    source = agent.replace("tcp://127.0.0.1:5006", address)
    with RecordingLink(address) as link, Program(sys.executable, "-c", source) as learner:
        monkeypatch.setenv("RLAY_ADDRESS", link.address)
        with Program(sys.executable, str(written(6, tmp_path))):
            assert learner.wait() == 0, learner.errors
        compare(6, link, is_dialed=False)


@pytest.mark.gymnasium
def test_gymnasium_checks_a_launched_client(tmp_path: Path) -> None:
    _, agent = Step(6).programs("agent.py")
    source = agent.replace('"client.py"', repr(str(written(6, tmp_path))))
    assert source != agent
    ended = subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=WAIT)
    assert ended.returncode == 0, ended.stderr


def test_golden_vectors(tmp_path: Path) -> None:
    written(5, tmp_path)
    (program,) = Step(5).programs("vectors.py")
    (tmp_path / "vectors.py").write_text(program)
    command = [sys.executable, "vectors.py", str(ROOT / "docs" / "vectors")]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=WAIT)
    assert ended.stdout == Step(5).after("python vectors.py"), ended.stderr

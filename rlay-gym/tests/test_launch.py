"""rlay.launch and exec: addresses: a game as a child process, its end, and what is left of it."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import rlay
from processes import HERE, WAIT, python, until

GAME = [sys.executable, str(HERE / "launched.py")]


def is_running(pid: int) -> bool:
    """Whether there is such a process, other than as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def game(*arguments: str, **kwargs: Any) -> Any:
    """Launch the game."""
    return rlay.launch([*GAME, *arguments], **{"connect_timeout": WAIT, **kwargs})


def play(env: Any, steps: int) -> None:
    """Step so often, after a reset."""
    env.reset()
    for _ in range(steps):
        env.step(0)


@pytest.fixture
def playing() -> Iterator[Any]:
    """A game that goes on."""
    env = game()
    yield env
    env.close()


def test_a_launched_game_is_an_environment(playing: Any) -> None:
    info = playing.reset(seed=1)[1]
    assert info["address"].startswith("tcp://127.0.0.1:") and is_running(info["pid"])
    assert playing.step(1)[:2] == (1, 1.0)
    playing.close()
    until(lambda: not is_running(info["pid"]), "the game to end")


def test_through_gym_make_each_has_its_own() -> None:
    address = "exec:" + shlex.join(GAME)
    make = {"address": address, "connect_timeout": WAIT}
    envs = gym.vector.SyncVectorEnv([lambda: gym.make("rlay:ClientEnv-v0", **make) for _ in range(2)])
    _, infos = envs.reset()
    assert infos["pid"][0] != infos["pid"][1]
    envs.close()
    until(lambda: not any(map(is_running, infos["pid"])), "the games to end")


def test_a_copy_launches_another(playing: Any) -> None:
    with pickle.loads(pickle.dumps(playing)) as copy:
        assert copy.reset()[1]["pid"] != playing.reset()[1]["pid"]


def test_arguments_are_split_without_a_shell() -> None:
    spaced = "exec:'" + sys.executable + "'   " + shlex.quote(GAME[1]) + " '$(touch /nowhere); `false` | *'"
    with rlay.ClientEnv(spaced, connect_timeout=WAIT) as env:
        env.reset()
    for bad, text in {"exec:": "names no command", "exec:a 'b": "not closed"}.items():
        with pytest.raises(rlay.AddressError, match=text):
            rlay.ClientEnv(bad)
    with pytest.raises(TypeError, match="list of words"):
        rlay.launch("./game --headless")
    with pytest.raises(rlay.Error, match="cannot launch"):
        rlay.launch(["./no-such-game"])


ENDS = {
    "exit": "ended with exit code 3",
    "crash": "was killed by SIGABRT",
    "babble": "ended with exit code 4",
}


@pytest.mark.parametrize("mood", ENDS)
def test_how_it_ended_is_said(mood: str, tmp_path: Path) -> None:
    log = tmp_path / "game.log"
    with game(mood, log=log) as env:
        play(env, 2)
        with pytest.raises(rlay.ConnectionLost) as raised:
            env.step(0)
        text = str(raised.value)
        assert ENDS[mood] in text and str(log) in text
        assert ("so much to say 99999" if mood == "babble" else f"about to {mood}") in text
        assert len(text) < 10_000
        with pytest.raises(rlay.ConnectionLost, match=ENDS[mood]):
            env.reset()
    assert f"about to {mood}" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_kill_is_said(playing: Any) -> None:
    pid = playing.reset()[1]["pid"]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(rlay.ConnectionLost, match="was killed by SIGKILL"):
        while True:
            playing.step(0)


def test_one_that_does_not_even_dial_in_says_why() -> None:
    began = time.monotonic()
    with pytest.raises(rlay.ConnectionLost, match=r"before it dialed in, .* exit code 1;(.|\n)*no graphics card"):
        game("early")
    assert time.monotonic() - began < WAIT, "it is not waited for"


def test_one_that_never_dials_in_is_waited_for_and_ended() -> None:
    with pytest.raises(rlay.Timeout, match="RLAY_ADDRESS") as raised:
        game("never", connect_timeout=2.0)
    assert raised.value.__traceback__ is not None
    until(lambda: not games("never"), "the game to end")


def games(mood: str) -> list[int]:
    """The processes of the game in this mood, started by this one."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if GAME[1].encode() in words and mood.encode() in words and parent == os.getpid():
            found.append(int(directory.name))
    return found


def test_it_is_started_again_as_often_as_is_allowed() -> None:
    with game("exit", restarts=2) as env:
        pids = set()
        for _ in range(3):
            pids.add(env.reset()[1]["pid"])
            env.step(0)
            env.step(0)
            with pytest.raises(rlay.ConnectionLost):
                env.step(0)
            with pytest.raises(rlay.ConnectionLost):
                env.step(0)
        assert len(pids) == 3
        with pytest.raises(rlay.ConnectionLost, match="exit code 3"):
            env.reset()


def test_a_token_reaches_it() -> None:
    with game(token="for the two of us") as env:
        assert env.reset()[1]["token"] == "for the two of us"


def test_its_own_children_end_with_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with game("family", log=log) as env:
        env.reset()
        found = until(lambda: re.search(r"child (\d+)", log.read_text()), "the game to say so")
        assert is_running(int(found[1]))
    until(lambda: not is_running(int(found[1])), "the game's own child to end")


def test_a_full_disk_does_not_stop_it() -> None:
    with game("babble", log="/dev/full") as env:
        play(env, 2)
        with pytest.raises(rlay.ConnectionLost, match="so much to say 99999"):
            env.step(0)


def test_it_does_not_outlive_its_parent() -> None:
    source = (
        f"import rlay; e = rlay.launch({GAME!r}, connect_timeout={WAIT}); print('pid', e.reset()[1]['pid']); input()"
    )
    with python(source) as parent:
        pid = int(parent.find("pid").split()[-1])
        assert is_running(pid)
        parent.process.kill()
        until(lambda: not is_running(pid), "the game to end")


def test_a_thread_that_launched_it_may_end() -> None:
    """The kernel counts the end of the thread that started a child as the end of its parent."""
    import threading

    envs: list[Any] = []
    thread = threading.Thread(target=lambda: envs.append(game()))
    thread.start()
    thread.join(WAIT)
    play(envs[0], 5)
    envs[0].close()


def test_a_backend_without_an_address_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLAY_ADDRESS", raising=False)
    with pytest.raises(rlay.Error, match=r"rlay\.launch"):
        rlay.ClientBackend("CartPole-v1")

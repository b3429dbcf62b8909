"""rlay.launch and exec: addresses: a game as a child process, its end, and what is left of it."""

from __future__ import annotations

import contextlib
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

import raw_peer
import rlay
from launcher import GAME, game, script
from processes import SUPPORT, WAIT, python, thread, until


def is_running(pid: int) -> bool:
    """Whether there is such a process, other than as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def play(env: Any, steps: int) -> None:
    """Step so often, after a reset."""
    env.reset()
    for _ in range(steps):
        env.step(0)


@pytest.fixture
def playing() -> Iterator[Any]:
    """A game that continues to run."""
    env = game()
    yield env
    env.close()


def test_a_launched_game_is_an_environment(playing: Any) -> None:
    info = playing.reset(seed=1)[1]
    assert info["address"].startswith("tcp://127.0.0.1:") and is_running(info["pid"])
    assert playing.step(1)[:2] == (1, 1.0)
    playing.close()
    until(lambda: not is_running(info["pid"]), "the game to end")


@pytest.mark.gymnasium
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
    with rlay.launch([Path(sys.executable), Path(GAME[1])], connect_timeout=WAIT) as env:
        env.reset()


ENDS = {
    "exit": "ended with exit code 3",
    "crash": "was killed by SIGABRT",
    "babble": "ended with exit code 4",
}


@pytest.mark.parametrize("case", ENDS)
def test_how_it_ended_is_said(case: str, tmp_path: Path) -> None:
    log = tmp_path / "game.log"
    with game(case, log=log) as env:
        play(env, 2)
        with pytest.raises(rlay.ConnectionLost) as raised:
            env.step(0)
        text = str(raised.value)
        assert ENDS[case] in text and str(log) in text
        assert ("so much to say 99999" if case == "babble" else f"about to {case}") in text
        assert len(text) < 10_000
        with pytest.raises(rlay.ConnectionLost, match=ENDS[case]):
            env.reset()
    assert f"about to {case}" in log.read_text()
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
        game("never", connect_timeout=8.0)
    assert raised.value.__traceback__ is not None
    until(lambda: not games("never"), "the game to end")


def games(case: str) -> list[int]:
    """The processes of the game in this case, started by this one."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if GAME[1].encode() in words and case.encode() in words and parent == os.getpid():
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


def test_a_log_keeps_what_the_one_before_has_printed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with game("exit", restarts=1, log=log) as env:
        env.reset()
        with pytest.raises(rlay.ConnectionLost):
            for _ in range(3):
                env.step(0)
        before = log.read_text()
        assert before
        env.reset()
        assert log.read_text().startswith(before)


LINGERS = """
import atexit, time
atexit.register(time.sleep, 3.0)  # runs after the goodbye, which the package says at exit
import scripted_env, rlay
game = rlay.ClientBackend(scripted_env.ScriptedEnv())
while not isinstance(game.turn(1.0), rlay.Reset):
    pass
game.reply([0])
while not isinstance(game.turn(1.0), rlay.Step):
    pass
raise RuntimeError("no more levels")
"""


def test_one_that_runs_on_is_said_to_have_ended_once_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
    with rlay.launch([sys.executable, "-c", LINGERS], connect_timeout=WAIT) as env:
        env.reset()

        def said() -> str:
            with pytest.raises(rlay.ConnectionLost, match="no more levels") as caught:
                env.step(0)
            return str(caught.value)

        until(lambda: "ended with exit code 1" in said(), "it to end")


def test_what_it_does_at_its_end_is_waited_for(tmp_path: Path) -> None:
    for case, saved in {"save": ["saved"], "afterwards": ["after run", "at exit"]}.items():
        file = tmp_path / case
        with game(case, str(file)) as env:
            play(env, 1)
        assert file.read_text().splitlines() == saved


def test_the_poll_form_learns_that_no_other_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    with game("poll", str(file), close_timeout=WAIT) as env:
        play(env, 1)
    closed, over = file.read_text().splitlines()
    assert "the agent closed the environment" in closed and "launched this program" in over


def test_its_environments_error_at_the_end_is_raised() -> None:
    with game("sorry") as env:
        play(env, 1)
        with pytest.raises(rlay.EnvError, match="the disk is full"):
            env.close()
    assert env.log is not None and not Path(env.log).exists(), "it did end in good order"


def test_one_that_does_not_end_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "saved"
    with game("stay", str(file), close_timeout=0.5) as env:
        play(env, 1)
    assert file.read_text() == "stopped\n"
    assert "sending SIGTERM" in caplog.messages[-1] and env.log in caplog.messages[-1]
    assert Path(env.log).exists(), "that was no end in good order"
    with game("deaf", close_timeout=0.0) as env:
        pid = env.reset()[1]["pid"]
    assert not is_running(pid)
    said = [message for message in caplog.messages if "launched_game.py deaf" in message]
    assert ["sending SIGTERM" in said[0], "sending SIGKILL" in said[1], len(said)] == [True, True, 2]


def test_an_end_in_disorder_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with game("afterwards", "/no/such/directory") as env:
        play(env, 1)
    assert "it ended with exit code 1" in caplog.messages[-1] and env.log in caplog.messages[-1]
    assert "No such file" in Path(env.log).read_text()


def test_ctrl_c_ends_the_wait_for_its_end() -> None:
    source = f"""
        import rlay
        env = rlay.launch({GAME!r} + ["deaf"], connect_timeout={WAIT}, close_timeout={2 * WAIT})
        print("pid", env.reset()[1]["pid"])
        try:
            print("closing")
            env.close()
        except KeyboardInterrupt:
            print("interrupted")
        """
    with python(source) as program:
        pid = int(program.find("pid").split()[-1])
        program.find("closing")
        time.sleep(0.5)  # until the close waits
        program.interrupt()
        program.find("interrupted")
        assert not is_running(pid)
        assert program.wait() == 0


def test_ctrl_c_ends_a_launch_and_the_wait_at_exit(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    source = f"""
        import rlay
        env = rlay.launch({GAME!r} + ["deaf"], connect_timeout={WAIT}, close_timeout={2 * WAIT})
        print("pid", env.reset()[1]["pid"])
        try:
            print("launching")
            rlay.launch({GAME!r} + ["late", {str(gate)!r}], connect_timeout={2 * WAIT}, log={str(tmp_path / "log")!r})
        except KeyboardInterrupt:
            print("interrupted")
        """
    with python(source) as program:
        pid = int(program.find("pid").split()[-1])
        until(lambda: "loading" in (tmp_path / "log").read_text() if (tmp_path / "log").exists() else "", "the launch")
        program.interrupt()
        program.find("interrupted")
        assert is_running(pid)
        time.sleep(0.5)  # until the exit waits for the first game
        program.interrupt()
        program.wait()
        until(lambda: not is_running(pid), "the game to end")


def test_programs_end_side_by_side(tmp_path: Path) -> None:
    """Each of six takes 2 s to save. In a row they take 12 s."""
    files = [tmp_path / str(number) for number in range(6)]
    address = [f"exec:{shlex.join([*GAME, 'save', str(file)])}" for file in files]
    make = [lambda a=a: gym.make("rlay:ClientEnv-v0", address=a, connect_timeout=WAIT) for a in address]
    envs = gym.vector.SyncVectorEnv(make)
    _, infos = envs.reset()
    began = time.monotonic()
    envs.close()
    took = time.monotonic() - began
    assert all(file.read_text() == "saved\n" for file in files), "the last one waits for all"
    assert not any(map(is_running, infos["pid"]))
    assert took < 2.0 * len(files), f"they end one after the other, in {took} s"


EXITS = {
    "open": "",
    "forgotten": "del envs, env",
    "closed, where another is open": "envs.pop().close(); env = None",
}


@pytest.mark.parametrize("way", EXITS)
def test_the_end_of_the_interpreter_waits_for_all(way: str, tmp_path: Path) -> None:
    source = f"""
        import rlay
        envs = [
            rlay.launch({GAME!r} + ["save", {str(tmp_path)!r} + "/" + str(number)], connect_timeout={WAIT})
            for number in range(3)
        ]
        for env in envs:
            env.reset()
        {EXITS[way]}
        """
    with python(source) as program:
        assert program.wait() == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1", "2"]


def test_a_forgotten_one_ends_without_keeping_anyone_waiting(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    env = game("save", str(file))
    env.reset()
    del env
    assert not file.exists(), "the interpreter stands still for the two seconds that this takes"
    until(file.exists, "the game to save")


def test_a_forked_child_leaves_it_to_its_parent(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    source = f"""
        import os, rlay
        env = rlay.launch({GAME!r} + ["save", {str(file)!r}], connect_timeout={WAIT})
        env.reset()
        if not (child := os.fork()):
            own = rlay.launch({GAME!r}, connect_timeout={WAIT})
            own.reset()
            own.close()
            env.close()
            del env
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("step", env.step(0)[0])
        env.close()
        """
    with python(source) as program:
        program.find("step 1")
        assert program.wait() == 0
    assert file.read_text() == "saved\n"


def test_its_log_is_public(playing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "listening" not in Path(playing.log).read_text()
    folder = Path(playing.log).parent
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, Path(playing.log))] == [0o700, 0o600]
    assert len(folder.name) > 40, "it can be foretold"
    play(playing, 1)
    playing.close()
    assert not folder.exists(), "nobody asked for it"
    wanted = tmp_path / "log"
    with game(log=wanted) as env:
        play(env, 1)
    assert env.log == str(wanted) and wanted.exists()
    with rlay.ServerBackend("CartPole-v1") as host, rlay.ClientEnv(host.address) as other:
        assert other.log is None


def test_a_timeout_tells_what_it_printed_last() -> None:
    with game("hang", timeout=2.0, close_timeout=0.0) as env:
        play(env, 2)
        with pytest.raises(rlay.Timeout, match=f"about to hang(.|\n)*{env.log}"):
            env.step(0)
        with pytest.raises(rlay.Timeout, match="about to hang"):
            env.late(0.1)
    with pytest.raises(rlay.Timeout, match="thinking"):
        game("never", connect_timeout=8.0)


def test_a_script_that_becomes_the_game(tmp_path: Path) -> None:
    with rlay.launch([script(tmp_path, "exec " + shlex.join(GAME))], connect_timeout=WAIT) as env:
        play(env, 1)


def test_a_script_that_waits_for_the_game(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    start = script(tmp_path, shlex.join([*GAME, "save", str(file)]) + "\necho over")
    with rlay.launch([start], connect_timeout=WAIT) as env:
        play(env, 1)
    assert file.read_text() == "saved\n"
    # Asked to end, the shell is gone at once, and the game may take its time.
    start = script(tmp_path, shlex.join([*GAME, "stay", str(file)]) + "\necho over")
    with rlay.launch([start], connect_timeout=WAIT, close_timeout=0.2) as env:
        pid = env.reset()[1]["pid"]
    assert file.read_text() == "saved\nstopped\n"
    until(lambda: not is_running(pid), "the game to end")


def test_a_script_that_puts_the_game_into_the_background(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with pytest.raises(rlay.ConnectionLost, match=r"exec \./game without &(.|\n)*on its way"):
        rlay.launch([script(tmp_path, shlex.join([*GAME, "late", str(gate)]) + " &\necho on its way")])
    until(lambda: not games("late"), "the game to end")
    # A child of the script that dials in first is an environment for as long as the script stays, and no longer.
    start = script(tmp_path, shlex.join(GAME) + f" &\nwhile [ -e {shlex.quote(str(gate))} ]; do sleep 0.05; done")
    with rlay.launch([start], connect_timeout=WAIT) as env:
        pid = env.reset()[1]["pid"]
        gate.unlink()
        with pytest.raises(rlay.ConnectionLost, match=r"exec \./game without &"):
            while True:
                env.step(0)
        until(lambda: not is_running(pid), "the game to end")


def test_a_token_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLAY_TOKEN", raising=False)
    with game(token="for the two of us") as env:
        assert env.reset()[1]["token"] == "for the two of us"
    with game(restarts=1) as env:
        tokens = {env.reset()[1]["token"]}
        os.kill(env.reset()[1]["pid"], signal.SIGKILL)
        with contextlib.suppress(rlay.ConnectionLost):
            env.reset()
        tokens.add(env.reset()[1]["token"])
        assert len(tokens) == 2 and all(len(token) >= 32 for token in tokens), "each launch has its own"
        assert not any(token in repr(env) + Path(env.log).read_text() for token in tokens)
    assert "RLAY_TOKEN" not in os.environ
    monkeypatch.setenv("RLAY_TOKEN", "between all of us")
    with game() as env:
        assert env.reset()[1]["token"] == "between all of us"


def test_nobody_else_becomes_the_environment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told, go = tmp_path / "told", tmp_path / "go"
    start = f"echo $RLAY_ADDRESS > {told}.new; mv {told}.new {told}; while [ ! -e {go} ]; do sleep 0.02; done; "
    envs: list[Any] = []
    start = script(tmp_path, start + "exec " + shlex.join(GAME))
    with thread(lambda: envs.append(rlay.launch([start], connect_timeout=WAIT))):
        until(told.exists, "the program to be told where to dial")
        address = told.read_text().strip()
        for token in (None, "a guess of somebody's"):
            intruder = rlay.ClientBackend("CartPole-v1", address, token=token)
            with pytest.raises(rlay.Unauthorized):
                intruder.turn(WAIT)
            intruder.close()
        with raw_peer.dial(address) as foreign_peer:
            foreign_peer.send("Hello", raw_peer.HELLO | {"role": "Env"})
            answer = foreign_peer.receive()
            assert answer is not None and answer["kind"] == "Reject" and answer["body"]["code"] == 13
        go.touch()
        until(lambda: envs, "the program to dial in")
    with envs[0] as env:
        assert is_running(env.reset()[1]["pid"])
    assert "a token is needed here" in caplog.text and "the token is wrong" in caplog.text


def test_one_that_dials_without_the_token_is_told_of(tmp_path: Path) -> None:
    for end, kind in {"exit 3": rlay.ConnectionLost, "exec sleep 60": rlay.Timeout}.items():
        start = script(tmp_path, f"env -u RLAY_TOKEN {shlex.join(GAME)}\n{end}")
        with pytest.raises(kind, match="dialed without the launch's token") as caught:
            rlay.launch([start], connect_timeout=5.0, close_timeout=0.0)
        assert "a token is needed here" in str(caught.value), "the program was told, and said so"


def test_a_log_that_is_none_of_this_users_files_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "theirs").touch()
    rows = {"fifo": "it is a FIFO", "link": "it is a link", "": "it is a directory", "no/log": "No such file"}
    if os.geteuid() == 0:
        os.chown(tmp_path / "theirs", 65534, -1)
        rows["theirs"] = "it is a file of user 65534"
    for name, why in rows.items():
        began = time.monotonic()
        with pytest.raises(rlay.Error, match=f"{re.escape(str(tmp_path / name))}.*{why}"):
            rlay.launch(["sleep", "60"], log=tmp_path / name, connect_timeout=1.0)
        assert time.monotonic() - began < 10.0


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

"""Messages that made people stop: each as it reads now, and the part of it that says what to do next."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import rlay
from test_launch import GAME, game, script


def reads(message: object, pattern: str, advice: str) -> None:
    """Assert that ``message`` reads as ``pattern``, where … stands for any text, and says to do ``advice``."""
    text = str(message)
    expected = ".*".join(re.escape(part) for part in pattern.split("…"))
    assert re.fullmatch(expected, text, re.DOTALL), text
    assert advice in text, f"{text!r} does not say {advice!r}"
    assert len(text) < 2000, f"a message of {len(text)} characters"


def test_a_message_that_advises_nothing_fails() -> None:
    for message, pattern, advice in [("it broke", "it …", "mend"), ("it broke; mend it", "it broke", "mend")]:
        try:
            reads(message, pattern, advice)
        except AssertionError:
            continue
        raise AssertionError(message)


# -- values, spaces, contracts ------------------------------------------------------------------


# -- hosting ------------------------------------------------------------------------------------


# -- launching ----------------------------------------------------------------------------------


def test_commands_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"plain": "", "bad": "#!/no/such/python\n", "game.py": "import rlay\n", "tool": "#!/bin/sh\n", "sad.py": ""}
    for name, text in files.items():
        Path(name).write_text(text)
        if name not in ("plain", "sad.py"):
            Path(name).chmod(0o755)
    Path("levels").mkdir()
    Path("link").symlink_to("nowhere")
    for command, pattern, advice in [
        ("no-such-game", "…command not found; none of the directories in PATH has it: …", "install it, or give its path"),
        ("tool", "…command not found; …", "the one in the working directory is ./tool"),
        ("./no-such-game", "…no such file in the working directory, …", f"{tmp_path}; give the whole path"),
        ("/no/such/game", "cannot launch \"/no/such/game\": there is no such file; …", "check the path"),
        ("./plain", "…it is not executable; …", "chmod +x ./plain"),
        ("./sad.py", "…it is not executable; chmod +x ./sad.py, or …", "launch it by its interpreter, as in python3 ./sad.py"),
        ("./game.py", "…its first line does not say what runs it; …", "launch it by that, as in python3 ./game.py"),
        ("./bad", "…its first line, \"#!/no/such/python\", names an interpreter that is not there; …", "correct that line"),
        ("./link", "…it is a link to what is not there; …", "correct that"),
        ("./levels", "…it is a directory; …", "name the program in it"),
    ]:  # fmt: skip
        with pytest.raises(rlay.Error) as raised:
            rlay.launch([command])
        reads(raised.value, pattern, advice)
    for address, pattern, advice in [
        ("exec:", '"exec:" names no command, …', "as in exec:./game"),
        ("exec:./game --name O'Neill", "…a quotation mark or backslash is not closed; …", "put a backslash before one"),
    ]:
        with pytest.raises(rlay.AddressError) as raised_by_address:
            rlay.ClientEnv(address)
        reads(raised_by_address.value, pattern, advice)
    for wrong in ("./game --headless", Path("./game"), b"./game"):
        with pytest.raises(TypeError) as raised_by_type:
            rlay.launch(wrong)  # type: ignore[arg-type]
        reads(raised_by_type.value, "the command is a list of words, such as …", "['./game', '--headless']")
    with pytest.raises(TypeError) as raised_by_type:
        rlay.launch(["./game", 5])  # type: ignore[list-item]
    reads(raised_by_type.value, "the command is a list of words, such as …; …", "5 is of type int: give '5'")
    with pytest.raises(ValueError) as raised_by_value:
        rlay.launch(["true"], close_timeout=-1.0)
    reads(raised_by_value.value, "close_timeout=-1.0: …", "give seconds, 0.0 or more")


def test_programs_that_are_no_environment(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    background = script(tmp_path, shlex.join([*GAME, "late", str(gate)]) + " &\necho on its way")
    for command, kind, pattern, advice in [
        (["true"], rlay.ConnectionLost, "before it dialed in, true ended, but it must dial in …; it printed nothing…",
         "by exec ./game"),
        (["sh", "-c", "echo no display; exit 3"], rlay.ConnectionLost,
         "before it dialed in, sh -c …ended with exit code 3; it printed last:\n  no display…", "all of it: /"),
        ([background], rlay.ConnectionLost,
         f"before it dialed in, {background} ended, and what it had put into the background was ended with it: …",
         "by exec ./game without &"),
        ([*GAME, "never"], rlay.Timeout, "…launched.py never did not dial in to tcp://…\n  thinking\n(all of it: …)",
         "does it host an environment, as with ClientBackend? or raise connect_timeout"),
    ]:  # fmt: skip
        with pytest.raises(kind) as raised:
            rlay.launch(command, connect_timeout=5.0)
        reads(raised.value, pattern, advice)
        assert re.search(r"all of it: (\S+)\)", str(raised.value)), "there is a log to read"


def test_what_a_launched_game_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with game("hang", timeout=2.0, close_timeout=0.1) as env:
        env.reset()
        env.step(0)
        env.step(0)
        with pytest.raises(rlay.Timeout) as raised:
            env.step(0)
    reads(
        raised.value,
        "the environment did not answer before the timeout; …; it printed last:\n  about to hang\n(all of it: …)",
        "late() fetches it, reset() drops it",
    )
    reads(
        caplog.messages[-1],
        "…launched.py hang: it still runs 100ms after its environment was closed; …; sending SIGTERM (what it printed: …)",
        "raise close_timeout if it needs longer",
    )
    caplog.clear()
    with game("deaf", close_timeout=0.0) as env:
        env.reset()
    reads(
        caplog.messages[-1],
        "…launched.py deaf: it still runs 5s after SIGTERM; sending SIGKILL, what it has not saved is lost (…)",
        f"what it printed: {env.log}",
    )
    with game("afterwards", "/no/such/directory") as env:
        env.reset()
    reads(
        caplog.messages[-1],
        "…: it ended with exit code 1 while its environment was closed (…)",
        f"what it printed: {env.log}",
    )


def test_the_poll_form_of_a_launched_game(tmp_path: Path) -> None:
    with game("poll", str(tmp_path / "said")) as env:
        env.reset()
    message = (tmp_path / "said").read_text().splitlines()[-1]
    reads(message, "tcp://…: the agent that launched this program has closed the environment; …", "end it")


# -- arguments and the surface ------------------------------------------------------------------


# -- transports and waits -----------------------------------------------------------------------

"""The command: version, pin, inspect, bench, serve, their exit codes, and Ctrl-C."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
from pathlib import Path

import pytest

import rlay
from judge import RLAY, run
from processes import WAIT, Program, environment


def test_version() -> None:
    ended = run("version")
    assert (ended.returncode, ended.stdout) == (0, f"rlay {rlay.__version__}\n")


def test_help_names_every_command_and_the_exit_codes() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for word in ("check", "inspect", "bench", "serve", "pin", "version", "130 Ctrl-C"):
        assert word in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no-such-command",),
        ("check",),
        ("check", "127.0.0.1:5005"),
        ("inspect", "pigeon://roof"),
        ("pin", "/no/file"),
    ],
)
def test_arguments_that_make_no_sense(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).returncode == 2


def test_nothing_listens() -> None:
    for command in ("check", "inspect", "bench"):
        ended = run(command, "tcp://127.0.0.1:1", "--connect-timeout", "0.1")
        assert ended.returncode == 3, ended.stderr
        assert ended.stderr.startswith("rlay: ")


def test_nothing_dials() -> None:
    ended = run("check", "--listen", "tcp://127.0.0.1:0", "--connect-timeout", "0.1")
    assert ended.returncode == 3
    assert "start the peer with this address" in ended.stderr


def test_pin(tmp_path: Path) -> None:
    with rlay.ServerBackend("CartPole-v1", "tls://127.0.0.1:0") as host:
        pin = host.address.partition("pin=")[2]
        port = int(host.address.partition("?")[0].rpartition(":")[2])
        file = tmp_path / "certificate.pem"
        file.write_text(ssl.get_server_certificate(("127.0.0.1", port)))
    ended = run("pin", str(file))
    assert (ended.returncode, ended.stdout.strip()) == (0, pin)
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    assert pin == f"sha256:{hashlib.sha256(der).hexdigest()}"


def test_inspect() -> None:
    with rlay.ServerBackend("CartPole-v1", attributes=["gravity"]) as host:
        shown = json.loads(run("inspect", "--json", host.address).stdout)
        text = run("inspect", host.address).stdout
    assert shown["action_space"] == "Discrete(2)"
    assert shown["details"]["max_episode_steps"] == 500
    assert shown["metadata"]["render_modes"] == ["human", "rgb_array"]
    assert shown["attributes"] == ["gravity"] and shown["resumable"] and shown["round_trip_ms"] > 0
    assert shown["peer"] == f"rlay {rlay.__version__}"
    assert "Discrete(2)" in text and "gravity" in text


def test_bench() -> None:
    with rlay.ServerBackend("CartPole-v1") as host:
        ended = run("bench", host.address, "--duration", "0.2", "--json")
    assert ended.returncode == 0, ended.stderr
    shown = json.loads(ended.stdout)
    for what in ("step", "ping", "echo"):
        assert shown[what]["count"] > 0 and shown[what]["p50_us"] <= shown[what]["max_us"]


def test_serve_and_ctrl_c() -> None:
    with Program(*RLAY, "serve", "CartPole-v1", "--num-envs", "2") as host:
        address = host.find("serving at ").split()[-1]
        with rlay.ClientVectorEnv(address, num_envs=2) as envs:
            envs.reset(seed=1)
        assert run("check", address, "--level", "contract").returncode == 0
        host.interrupt()
        assert host.wait() == 0


def test_serve_several_and_a_class(tmp_path: Path) -> None:
    (tmp_path / "my_game.py").write_text("from gymnasium.envs.toy_text import FrozenLakeEnv as Lake\n")
    read, write = os.pipe()
    command = (*RLAY, "serve", "CartPole-v1", "my_game:Lake", "--ready-fd", str(write))
    process = subprocess.Popen(command, cwd=tmp_path, pass_fds=(write,), env=environment(), stdout=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as ready:
            address = ready.readline().strip()
        for name, actions in (("CartPole-v1", 2), ("my_game:Lake", 4)):
            with rlay.ClientEnv(address, env_id=name, connect_timeout=WAIT) as env:
                assert env.action_space.n == actions
    finally:
        process.kill()
        process.wait(WAIT)


def test_serve_dials() -> None:
    with rlay.ServerEnv(connect_timeout=WAIT) as env:
        with Program(*RLAY, "serve", "CartPole-v1", "--dial", env.address, "--max-sessions", "1"):
            env.reset(seed=1)


def test_serve_what_there_is_not() -> None:
    for env in ("NoSuchGame-v0", "no_such_module:Game", "json:NoSuchClass"):
        assert run("serve", env).returncode == 2


def test_ctrl_c_ends_the_judge() -> None:
    with Program(*RLAY, "check", "--listen", "tcp://127.0.0.1:0", "--connect-timeout", "600") as judging:
        while not judging.errors:
            assert judging.process.poll() is None
        judging.interrupt()
        assert judging.wait() == -2

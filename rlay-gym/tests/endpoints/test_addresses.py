"""Addresses: schemes, taken ports, Unix sockets, and which endpoint may listen where."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rlay
from host_process import PARADIGMS
from processes import free_address, python
from scripted_host import ScriptedHost

LISTENERS: dict[str, Callable[[str], Any]] = {
    "ServerBackend": lambda address: rlay.ServerBackend("CartPole-v1", address),
    "ServerEnv": lambda address: rlay.ServerEnv(address),
}
DIALERS: dict[str, Callable[[str], Any]] = {
    "ClientEnv": lambda address: rlay.ClientEnv(address, connect_timeout=0.3),
    "ClientBackend": lambda address: rlay.ClientBackend("CartPole-v1", address, connect_timeout=0.3).run(),
    "turn": lambda address: rlay.ClientBackend("CartPole-v1", address, connect_timeout=0.3).turn(),
}
ENDPOINTS = LISTENERS | DIALERS


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_unknown_scheme_lists_what_there_is(name: str) -> None:
    with pytest.raises(
        rlay.AddressError, match='no transport for "pigeon"; there are: mem, quic, shm, tcp, tls, unix, ws, wss, zmq'
    ) as caught:
        ENDPOINTS[name]("pigeon://roof")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:5005", "tcp:/127.0.0.1:5", "TCP://127.0.0.1:5", "tcp://\n", "tcp://nowhere"]
)
@pytest.mark.parametrize("name", LISTENERS)
def test_an_address_that_is_none(name: str, address: str) -> None:
    with pytest.raises(rlay.AddressError):
        LISTENERS[name](address)


@pytest.mark.parametrize("name", LISTENERS)
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_an_address_that_is_taken(scripted_host: ScriptedHost, tmp_path: Path, scheme: str, name: str) -> None:
    address = scripted_host.serve(address="tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{tmp_path}/rlay")
    with pytest.raises(rlay.AddressError, match="in use by another listener") as caught:
        LISTENERS[name](address)
    assert address in str(caught.value)
    assert scripted_host.client(address).reset()[0] == [0], "the first listener is undisturbed"


@pytest.mark.parametrize("name", LISTENERS)
@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_other_machines_are_kept_out(name: str, host: str) -> None:
    with pytest.raises(rlay.AddressError, match="can be reached by other machines") as caught:
        LISTENERS[name](f"tcp://{host}:0")
    assert "insecure_allow_remote=yes" in str(caught.value)


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_unix_sockets(scripted_host: ScriptedHost, tmp_path: Path, paradigm: str) -> None:
    path = tmp_path / "rlay.sock"
    address = f"unix://{path}"
    if paradigm == "client":
        env: Any = scripted_host.client(scripted_host.serve(address=address))
    else:
        env = scripted_host.server(address)
        scripted_host.dial(address)
    assert env.address == address
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, "for this user alone"
    assert env.reset()[0] == [0]
    assert env.step(0)[0] == [1]
    env.close()


@pytest.mark.parametrize("name", LISTENERS)
def test_closing_removes_the_file_of_a_unix_socket(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rlay.sock"
    listener = LISTENERS[name](f"unix://{path}")
    assert path.exists()
    listener.close()
    assert not path.exists()


def test_a_file_that_a_killed_listener_left_behind(scripted_host: ScriptedHost, tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/rlay.sock"
    source = """
        import sys, scripted_env, rlay
        host = rlay.ServerBackend(scripted_env.ScriptedEnv, sys.argv[1])
        print(host.address)
        sys.stdin.readline()
        """
    with python(source, address) as program:
        assert program.line() == address
        program.kill()
    assert (tmp_path / "rlay.sock").exists()
    assert scripted_host.client(scripted_host.serve(address=address)).reset()[0] == [0]


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("years of work")
    with pytest.raises(rlay.AddressError, match="not a socket"):
        rlay.ServerEnv(f"unix://{path}")
    assert path.read_text() == "years of work"


def test_both_ends_in_one_role_are_told_apart(scripted_host: ScriptedHost) -> None:
    agent = scripted_host.server()
    with pytest.raises(rlay.Incompatible, match="connect with ClientBackend, not ClientEnv"):
        rlay.ClientEnv(agent.address)
    with pytest.raises(rlay.Incompatible, match="connect with ClientEnv, not ClientBackend"):
        rlay.ClientBackend("CartPole-v1", scripted_host.serve()).run()


@pytest.mark.parametrize("name", ["ClientEnv", "ClientBackend"])  # turn() waits as long as it takes
def test_nobody_is_there(name: str) -> None:
    address = free_address()
    with pytest.raises(rlay.ConnectionLost, match=address):
        DIALERS[name](address)

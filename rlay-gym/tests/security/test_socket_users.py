"""Two users: a Unix socket is for one, even where the mode of its file says otherwise."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import rlay
from processes import python
from scripted_host import ScriptedHost

NOBODY = 65534
FOREIGN = "the process at the other end runs as user {}"

# All modules are imported before the process gives up its rights, which imports may need.
AS_NOBODY = f"""
    import os, sys, gymnasium, scripted_env, rlay
    rlay.ServerBackend(scripted_env.ScriptedEnv).close()
    os.setgid({NOBODY})
    os.setuid({NOBODY})
    """


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder that every user may write to."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("scheme", ["unix", "zmq+ipc"])
def test_a_listener_of_another_user_is_not_believed(place: Path, scheme: str) -> None:
    source = (
        AS_NOBODY
        + """
    host = rlay.ServerBackend(scripted_env.ScriptedEnv, sys.argv[1]).start()
    os.chmod(sys.argv[1].split("://")[1], 0o666)
    print("listening")
    sys.stdin.readline()
    """
    )
    address = f"{scheme}://{place}/socket"
    with python(source, address) as program:
        program.find("listening")
        with pytest.raises(rlay.Incompatible, match=FOREIGN.format(NOBODY)):
            rlay.ClientEnv(address)


def test_a_dialer_of_another_user_is_not_let_in(place: Path, scripted_host: ScriptedHost) -> None:
    source = (
        AS_NOBODY
        + """
    import socket, time
    try:
        rlay.ClientEnv(sys.argv[1])
    except rlay.Incompatible as error:
        print("refused", error)
    # And by hand, without a look at who listens.
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(sys.argv[1].split("://")[1])
        plain.settimeout(20)
        print("heard", plain.recv(1))
    """
    )
    address = scripted_host.serve(address=f"unix://{place}/socket")
    (place / "socket").chmod(0o666)
    with python(source, address) as program:
        assert FOREIGN.format(0) in program.find("refused")
        assert program.find("heard") == "heard b''"
    scripted_host.log(FOREIGN.format(NOBODY))
    scripted_host.client(address).reset()

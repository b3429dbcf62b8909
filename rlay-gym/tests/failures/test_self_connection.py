"""A dialer whose port the kernel takes for itself, where nothing listens yet: it is not its own peer."""

from __future__ import annotations

import pytest

from network_namespaces import namespaces, obstacle
from processes import WAIT

# One of the two ports that the kernel gives dialers there: in some attempts the dialer's own.
DIAL = """
    import pathlib, sys, rlay
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001")
    address = f"{sys.argv[1]}://127.0.0.1:40000"
    for _ in range(12):
        try:
            rlay.ClientEnv(address, connect_timeout=0.1)
        except rlay.Error as error:
            print(type(error).__name__, error)
    print("listening")
    backend = rlay.ServerBackend("CartPole-v1", address).start()
    backend.close()
    print("over")
    """


@pytest.mark.parametrize("scheme", ["tcp", "zmq"])
def test_nothing_listens_there(scheme: str) -> None:
    if obstacle():
        pytest.skip("there are no network namespaces here")
    with namespaces() as hosts, hosts.game.python(DIAL, scheme) as program:
        for _ in range(12):
            line = program.line(10 * WAIT)
            assert line.startswith("ConnectionLost") and "refused" in line, line
        program.find("over")
        assert program.wait() == 0

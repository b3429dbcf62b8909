"""A name server that is silent, or late: a dialer keeps its deadline and heeds Ctrl-C, and uses what it is told."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from network_namespaces import Host, namespaces, obstacle
from processes import WAIT

PIN = "?pin=sha256:" + "0" * 64
ADDRESSES = [
    f"{way}://game.example:5005{pin}"
    for way, pin in (("tcp", ""), ("tls", PIN), ("zmq", ""), ("quic", PIN), ("ws", ""))
]
LATE = 4.0
"""How long a late name server takes, in seconds: longer than one attempt to connect."""

SERVER = """
    import socket, struct, sys, time
    late = float(sys.argv[1])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    print("at port 53")
    while True:
        question, asker = server.recvfrom(512)
        print("asked")
        if late < 0:
            continue
        time.sleep(late)
        late = 0
        # RFC 1035, section 4: the question again, and 127.0.0.1 for who asks for an address of IPv4.
        end = question.index(0, 12) + 5
        kind = struct.unpack("!H", question[end - 4 : end - 2])[0]
        answer = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 60, 4, 127, 0, 0, 1) if kind == 1 else b""
        head = question[:2] + struct.pack("!5H", 0x8180, 1, bool(answer), 0, 0)
        server.sendto(head + question[12:end] + answer, asker)
    """
DIAL = """
    import sys, time, rlay
    endpoint, address, patience = sys.argv[1:]
    start = time.monotonic()
    try:
        print("dialing")
        if endpoint == "ClientEnv":
            env = rlay.ClientEnv(address, connect_timeout=float(patience))
            print("reset", env.reset(seed=3)[0].shape)
        else:
            rlay.ClientBackend("CartPole-v1", address, connect_timeout=float(patience)).run()
    except rlay.Error as error:
        print(f"{time.monotonic() - start:.2f}", type(error).__name__, error)
    except KeyboardInterrupt:
        pass
    print("over")
    """
HOST = """
    import sys, rlay
    print("at", rlay.ServerBackend("CartPole-v1", sys.argv[1]).start().address)
    sys.stdin.readline()
    """


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with a name server on its loopback device that takes half a minute to be given up."""
    if obstacle():
        pytest.skip("there are no network namespaces here")
    with namespaces() as hosts, contextlib.ExitStack() as stack:
        # What `ip netns exec` puts in the place of the files in /etc.
        folder = Path("/etc/netns", hosts.game.namespace)
        folder.mkdir(parents=True)
        stack.callback(shutil.rmtree, folder)
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")
        yield hosts.game


def test_a_deadline_is_kept(host: Host) -> None:
    def dial(endpoint: str, address: str) -> None:
        with host.python(DIAL, endpoint, address, "3") as program:
            said = program.find("game.example")
            seconds, kind = said.split()[:2]
            assert kind == "ConnectionLost", said
            assert "its host is still being looked up; is the name server reachable?" in said
            assert 2.9 < float(seconds) < 15.0, said

    with host.python(SERVER, "-1") as server, ThreadPoolExecutor() as pool:
        server.find("at")
        cases = [(endpoint, address) for endpoint in ("ClientEnv", "ClientBackend") for address in ADDRESSES]
        list(pool.map(lambda case: dial(*case), cases))
        for _ in range(2 * len(cases)):
            server.find("asked")
        assert "asked" not in server.printed()


@pytest.mark.parametrize("endpoint", ["ClientEnv", "ClientBackend"])
def test_an_interrupt_is_heeded(host: Host, endpoint: str) -> None:
    with host.python(SERVER, "-1") as server:
        server.find("at port")
        with host.python(DIAL, endpoint, "tcp://game.example:5005", "60") as program:
            server.find("asked")
            start = time.monotonic()
            program.interrupt()
            program.find("over")
            assert program.wait() == 0
            assert time.monotonic() - start < 15.0


def test_a_late_answer_is_used(host: Host) -> None:
    with host.python(SERVER, str(LATE)) as server, host.python(HOST, "tcp://127.0.0.1:0") as listener:
        server.find("at port")
        address = listener.find("at").split()[1].replace("127.0.0.1", "game.example")
        with host.python(DIAL, "ClientEnv", address, str(WAIT)) as program:
            assert program.find("reset") == "reset (4,)"
        # For an address of IPv4 and for one of IPv6, once though it has tried more than once.
        for _ in range(2):
            server.find("asked")
        assert "asked" not in server.printed()

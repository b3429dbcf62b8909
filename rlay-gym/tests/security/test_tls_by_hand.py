"""TLS that is not RLay's at either end: Python's OpenSSL and the ``openssl`` command talk to hosts and agents."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rlay
from processes import WAIT, thread
from raw_peer import DISCRETE, HELLO, MAKE, RESET, SPEC, WELCOME, RawPeer, result
from scripted_host import ScriptedHost
from wire_reference import decode, encode

Fresh = Callable[[str], str]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA (``ca``) and certificates that it signed for 127.0.0.1 and "game", each with its key."""
    folder = tmp_path_factory.mktemp("papers")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=WAIT)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ours")
    for name, subject in {"learner": "IP:127.0.0.1", "game": "DNS:game"}.items():
        openssl("req", "-new", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "extensions").write_text(f"subjectAltName={subject}\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "extensions")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    return folder


def pin(certificate: Path) -> str:
    """The fingerprint, computed by Python."""
    return f"sha256:{hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()}"


def at(address: str) -> tuple[str, int]:
    """Host and port of an address."""
    host, port = address.partition("://")[2].partition("?")[0].rsplit(":", 1)
    return host, int(port)


def believing(papers: Path, *, protocol: bool = True) -> ssl.SSLContext:
    """The TLS context of a client by hand: the newest TLS, trusting the CA."""
    context = ssl.create_default_context(cafile=str(papers / "ca.pem"))
    if protocol:
        context.set_alpn_protocols(["rlay"])
    return context


@contextlib.contextmanager
def dial(address: str, context: ssl.SSLContext) -> Iterator[RawPeer]:
    """Connect to a tls address by hand."""
    with (
        socket.create_connection(at(address), WAIT) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as wrapped,
    ):
        yield RawPeer(wrapped)


def listening(papers: Path, more: str = "") -> str:
    """An address to listen at with the CA's certificate."""
    return f"tls://127.0.0.1:0?cert={papers}/learner.pem&key={papers}/learner.key{more}"


def play(foreign_peer: RawPeer) -> None:
    """Play a step of an episode of the scripted environment."""
    foreign_peer.send("Hello", HELLO)
    assert foreign_peer.receive()["kind"] == "Welcome"
    foreign_peer.send("Make", MAKE)
    assert foreign_peer.receive()["kind"] == "Spec"
    foreign_peer.send("Reset", RESET)
    assert foreign_peer.receive()["kind"] == "Result"
    foreign_peer.send("Goodbye", {"code": 0, "message": "done"})
    assert foreign_peer.receive() is None


@pytest.mark.parametrize("protocol", [True, False], ids=["alpn", "no-alpn"])
def test_a_client_by_hand_is_served(scripted_host: ScriptedHost, papers: Path, protocol: bool) -> None:
    address = scripted_host.serve(address=listening(papers))
    assert address.endswith(pin(papers / "learner.pem"))
    with dial(address, believing(papers, protocol=protocol)) as foreign_peer:
        assert foreign_peer.socket.version() == "TLSv1.3"
        play(foreign_peer)


def test_a_client_without_a_certificate_is_told_so(scripted_host: ScriptedHost, papers: Path) -> None:
    address = scripted_host.serve(address=listening(papers, f"&ca={papers}/ca.pem"))
    context = believing(papers)
    with dial(address, context) as foreign_peer, pytest.raises(ssl.SSLError, match="certificate required"):
        foreign_peer.send("Hello", HELLO)
        foreign_peer.receive()
    scripted_host.log("the dialer showed no certificate")
    context.load_cert_chain(papers / "game.pem", papers / "game.key")
    with dial(address, context) as foreign_peer:
        play(foreign_peer)
    rlay.ClientEnv(f"{address}&cert={papers}/game.pem&key={papers}/game.key").close()


def test_old_tls_and_other_protocols_are_refused(scripted_host: ScriptedHost, papers: Path) -> None:
    address = scripted_host.serve(address=listening(papers))
    old = believing(papers)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="protocol version"), dial(address, old):
        pass
    scripted_host.log("does not speak TLS 1.3")
    web = believing(papers, protocol=False)
    web.set_alpn_protocols(["h2", "http/1.1"])
    with pytest.raises(ssl.SSLError, match="no application protocol"), dial(address, web):
        pass
    scripted_host.log("not RLay inside")
    rlay.ClientEnv(address).close()


def test_the_openssl_command_is_served(scripted_host: ScriptedHost, papers: Path) -> None:
    address = scripted_host.serve(address=listening(papers, f"&ca={papers}/ca.pem"))
    host, port = at(address)
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-quiet", "-alpn", "rlay", "-tls1_3"]
    command += [
        "-CAfile",
        "ca.pem",
        "-verify_return_error",
        "-verify_ip",
        host,
        "-cert",
        "game.pem",
        "-key",
        "game.key",
    ]
    with subprocess.Popen(command, cwd=papers, stdin=-1, stdout=-1, stderr=-1) as client:
        try:
            frame = encode("frame", {"kind": "Hello", "seq": 0, "ack": 0, "re": 0, "body": HELLO})
            assert client.stdin and client.stdout
            client.stdin.write(struct.pack("<I", len(frame)) + frame)
            client.stdin.flush()
            (length,) = struct.unpack("<I", client.stdout.read(4))
            assert decode("frame", client.stdout.read(length))["kind"] == "Welcome"
        finally:
            client.kill()


@contextlib.contextmanager
def serve_by_hand(papers: Path, name: str = "learner", *, client_ca: bool = False) -> Iterator[str]:
    """Yield the address of a host by hand, without the CA or pin that a dialer must trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers / f"{name}.pem", papers / f"{name}.key")
    context.set_alpn_protocols(["rlay"])
    if client_ca:
        context.load_verify_locations(papers / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED

    def accept() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as wrapped:
                host_an_episode(RawPeer(wrapped))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)
        with thread(accept):
            yield f"tls://127.0.0.1:{listener.getsockname()[1]}"


def host_an_episode(foreign_peer: RawPeer) -> None:
    """Answer an agent that resets once and leaves."""
    assert foreign_peer.receive()["kind"] == "Hello"
    foreign_peer.send("Welcome", WELCOME)
    foreign_peer.receive()
    foreign_peer.send("Spec", SPEC, re=1)
    foreign_peer.receive()
    foreign_peer.send("Result", re=2, **result(True, b"\1" + bytes(15)))
    while message := foreign_peer.receive():
        if message["kind"] == "Close":
            foreign_peer.send("Closed", [], re=message["seq"])


def test_a_host_by_hand_is_played(papers: Path) -> None:
    with serve_by_hand(papers) as address, rlay.ClientEnv(f"{address}?ca={papers}/ca.pem") as env:
        assert env.observation_space.n == DISCRETE["Discrete"]["n"]
        assert env.reset()[0] == 1
    with serve_by_hand(papers) as address, rlay.ClientEnv(f"{address}?pin={pin(papers / 'learner.pem')}") as env:
        assert env.reset()[0] == 1


def test_a_host_by_hand_sees_the_certificate_it_asks_for(papers: Path) -> None:
    mine = f"cert={papers}/game.pem&key={papers}/game.key"
    with (
        serve_by_hand(papers, client_ca=True) as address,
        rlay.ClientEnv(f"{address}?ca={papers}/ca.pem&{mine}") as env,
    ):
        assert env.reset()[0] == 1
    with serve_by_hand(papers, client_ca=True) as address, pytest.raises(rlay.Unauthorized, match="who signed"):
        rlay.ClientEnv(f"{address}?ca={papers}/ca.pem")


def test_another_name_is_not_believed(papers: Path) -> None:
    with serve_by_hand(papers, "game") as address, pytest.raises(rlay.Unauthorized, match=r"is for .*game.*, not for"):
        rlay.ClientEnv(f"{address}?ca={papers}/ca.pem")
    with serve_by_hand(papers, "game") as address, rlay.ClientEnv(f"{address}?ca={papers}/ca.pem&name=game") as env:
        assert env.reset()[0] == 1


def test_a_certificate_without_its_key_is_an_error(papers: Path, fresh: Fresh) -> None:
    with pytest.raises(rlay.Error, match=r"learner\.pem cannot be used"):
        rlay.ServerBackend("CartPole-v1", f"{fresh('tls')}?cert={papers}/learner.pem&key={papers}/game.key")
    with pytest.raises(rlay.Error, match="no private key"):
        rlay.ServerBackend("CartPole-v1", f"{fresh('tls')}?cert={papers}/learner.pem")


def test_a_copy_of_a_listener_asks_for_the_same_certificates(papers: Path) -> None:
    with rlay.ServerEnv(listening(papers, f"&ca={papers}/ca.pem"), max_handshakes=3) as env:
        copied = pickle.dumps(env)
        with pickle.loads(copied) as shared:
            assert shared.address == env.address
        address = env.address
    with pickle.loads(copied) as copy:
        assert copy.address == address
        with (
            dial(address, believing(papers)) as foreign_peer,
            pytest.raises(ssl.SSLError, match="certificate required"),
        ):
            foreign_peer.send("Hello", HELLO)
            foreign_peer.receive()


def test_openssl_is_there() -> None:
    assert shutil.which("openssl"), "the tests of TLS need the command openssl; install Debian's package of that name"

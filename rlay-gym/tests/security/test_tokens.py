"""Tokens: the right one admits a peer, over every transport and in both paradigms; it is never sent or shown."""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import raw_peer
import rlay
from host_process import PARADIGMS, SCHEMES
from processes import ROOT, python
from scripted_host import ScriptedHost
from wire_reference import decode, encode

SECRET = "between the two of us"
OTHER = "between the three of us"

REFUSED = {
    "wrong": (SECRET, OTHER, "the token is wrong"),
    "missing at the dialer": (SECRET, None, "a token is needed here"),
    "missing at the listener": (None, SECRET, "the listener has none"),
}
"""The listener's token, the dialer's, and the error at both ends."""


def meet(
    scripted_host: ScriptedHost, paradigm: str, address: str, listener: str | None, dialer: str | None, **kwargs: Any
) -> Any:
    """Return an environment with these tokens at its two ends."""
    if paradigm == "client":
        return scripted_host.client(scripted_host.serve(address=address, token=listener), token=dialer, **kwargs)
    env = scripted_host.server(address, token=listener, **kwargs)
    scripted_host.dial(env.address, token=dialer)
    return env


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_right_token(scripted_host: ScriptedHost, fresh: Callable[[str], str], scheme: str, paradigm: str) -> None:
    env = meet(scripted_host, paradigm, fresh(scheme), SECRET, SECRET)
    env.reset()
    assert env.step(0)[0] == 1
    assert SECRET not in repr(env) and SECRET not in str(scripted_host.host.take_log())


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_token_that_is_not_right(
    scripted_host: ScriptedHost,
    fresh: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    scheme: str,
    paradigm: str,
    name: str,
) -> None:
    listener, dialer, text = REFUSED[name]
    if paradigm == "client":
        with pytest.raises(rlay.Unauthorized, match=text) as caught:
            meet(scripted_host, paradigm, fresh(scheme), listener, dialer)
        shown = str(caught.value) + scripted_host.log(text)
    else:
        env = meet(scripted_host, paradigm, fresh(scheme), listener, dialer, connect_timeout=0.2)
        shown = scripted_host.log(text)
        with caplog.at_level(logging.WARNING, "rlay"), pytest.raises(rlay.Timeout, match="no environment dialed in"):
            env.reset()
        assert text in caplog.text
        shown += caplog.text
    assert SECRET not in shown and OTHER not in shown


def test_the_token_of_the_surroundings(scripted_host: ScriptedHost) -> None:
    source = """
        import os, sys, rlay
        os.environ["RLAY_TOKEN"] = sys.argv[3]
        for token in (None, sys.argv[2]):
            try:
                env = rlay.ClientEnv(sys.argv[1], token=token)
                print("in", env.reset()[0])
                env.close()
            except rlay.Unauthorized as error:
                print("out", error)
        """
    address = scripted_host.serve(token=SECRET)
    with python(source, address, OTHER, SECRET) as program:
        assert program.line().startswith("in")
        assert program.line().startswith("out")


def test_a_copy_has_the_token(scripted_host: ScriptedHost) -> None:
    env = meet(scripted_host, "client", "tcp://127.0.0.1:0", SECRET, SECRET)
    copy = pickle.loads(pickle.dumps(env))
    copy.reset()
    copy.close()


def test_one_address_has_one_token() -> None:
    with rlay.ServerEnv(token=SECRET) as env:
        with pytest.raises(rlay.Error, match="another token"):
            rlay.ServerEnv(env.address, token=OTHER)
        rlay.ServerEnv(env.address, token=SECRET).close()


def test_the_token_is_settled_when_an_endpoint_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAY_TOKEN", SECRET)
    with rlay.ServerEnv(connect_timeout=20) as env:
        rlay.ServerEnv(env.address, token=SECRET).close()
        game = rlay.ClientBackend("CartPole-v1", env.address)
        monkeypatch.delenv("RLAY_TOKEN")
        with pytest.raises(rlay.Error, match="another token"):
            rlay.ServerEnv(env.address)
        with game:
            env.reset()


WEAK = ["", " ", "12345678 "[:7], "        ", "1 2 3 4 5 6 7", "\0" * 16, "four\n\n\n\n"]
"""Invalid tokens: with less than eight visible characters."""


@pytest.mark.parametrize("token", WEAK)
def test_a_weak_token_is_refused(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Callable[..., Any]] = [
        lambda **given: rlay.ClientEnv("tcp://127.0.0.1:1", **given),
        lambda **given: rlay.ServerEnv(**given),
        lambda **given: rlay.ServerBackend("CartPole-v1", **given),
        lambda **given: rlay.ClientBackend("CartPole-v1", "tcp://127.0.0.1:1", **given),
        lambda **given: rlay.serve_policy(lambda observation: 0, "tcp://127.0.0.1:0", **given),
        lambda **given: rlay.launch(["true"], **given),
    ]
    for call in calls:
        with pytest.raises(rlay.Error, match="less than eight visible characters.*secrets.token_urlsafe"):
            call(token=token)
        if token and "\0" not in token:
            monkeypatch.setenv("RLAY_TOKEN", token)
            with pytest.raises(rlay.Error, match="RLAY_TOKEN.*less than eight visible characters"):
                call()
            monkeypatch.delenv("RLAY_TOKEN")


def test_tokens_that_differ_in_what_hmac_pads_are_two(scripted_host: ScriptedHost) -> None:
    address = scripted_host.serve(token=SECRET)
    for other in (SECRET + "\0", SECRET + "\0" * 8):
        with pytest.raises(rlay.Unauthorized, match="the token is wrong"):
            rlay.ClientEnv(address, token=other)


def test_other_machines_may_dial_where_there_is_a_token() -> None:
    with pytest.raises(rlay.AddressError, match="RLAY_TOKEN"):
        rlay.ServerBackend("CartPole-v1", "tcp://0.0.0.0:0")
    rlay.ServerBackend("CartPole-v1", "tcp://0.0.0.0:0", token=SECRET).close()


def test_a_proof_is_that_of_the_specification() -> None:
    docs = ROOT / "docs"
    frames = {vector["name"]: vector for vector in json.loads((docs / "vectors" / "frames.json").read_text("utf-8"))}
    hello, challenge = (bytes.fromhex(frames[f"frame/{name}"]["hex"]) for name in ("hello/with-a-token", "challenge"))
    page = (docs / "wire.md").read_text("utf-8")
    for who in ("dialer", "listener"):
        proof = raw_peer.proof("an example of a token", f"rlay {who}".encode(), hello, challenge)
        assert f"| the {who}'s proof | `{proof.hex()}` |" in page


def test_a_proof_made_by_hand(scripted_host: ScriptedHost) -> None:
    with raw_peer.dial(scripted_host.serve(token=SECRET)) as foreign_peer:
        body = raw_peer.HELLO | {"auth": 1, "nonce": list(os.urandom(32))}
        hello = encode("frame", {"kind": "Hello", "seq": 0, "ack": 0, "re": 0, "body": body})
        foreign_peer.send_bytes(hello)
        challenge = foreign_peer.receive_bytes()
        assert challenge is not None and decode("frame", challenge)["kind"] == "Challenge"
        foreign_peer.send("Proof", {"proof": list(raw_peer.proof(SECRET, b"rlay dialer", hello, challenge))})
        welcome = foreign_peer.receive()
        assert welcome["kind"] == "Welcome"
        assert welcome["body"]["proof"] == list(raw_peer.proof(SECRET, b"rlay listener", hello, challenge))
        foreign_peer.send("Make", raw_peer.MAKE)
        assert foreign_peer.receive()["kind"] == "Spec"

"""A page in a browser is an environment: Chromium dials ``ws://``, and what the page plays is what Python plays."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

import rlay
from browsers import START, browser, site
from equal import difference
from processes import WAIT, Program
from sdk_clients import of
from sdk_game import Drift

pytestmark = of("javascript")

Open = Callable[..., Program]


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Open]:
    """Open the page of the game Drift in browsers, which are killed at the end."""
    chromium = browser()
    with contextlib.ExitStack() as stack:

        def browse(origin: str, address: str, *options: str) -> Program:
            page = f"{origin}/tests/browser/index.html?address={quote(address, safe=':/')}"
            profile = tmp_path / f"profile-{len(list(tmp_path.iterdir()))}"
            return stack.enter_context(chromium(page, profile, *options))

        yield browse


def same(local: Any, remote: Any, what: str) -> None:
    """Compare results by types and bits."""
    assert (found := difference(local, remote, what)) is None, found


def test_a_thousand_steps(browse: Open) -> None:
    local = Drift("rgb_array")
    with (
        site("127.0.0.1") as origin,
        rlay.ServerEnv("ws://127.0.0.1:0", connect_timeout=START, render_mode="rgb_array") as remote,
    ):
        browse(origin, remote.address)
        same(local.observation_space, remote.observation_space, "observation space")
        same(local.action_space, remote.action_space, "action space")
        rng = np.random.default_rng(5)
        steps = episode = 0
        while steps < 1000:
            seed = [int(rng.integers(2**31)), 2**64 + 12345, None][episode % 3]
            options = [None, {"level": episode}][episode % 2]
            episode += 1
            same(
                local.reset(seed=seed, options=options), remote.reset(seed=seed, options=options), f"episode {episode}"
            )
            done = False
            while not done:
                action = int(rng.integers(3))
                here, there = local.step(action), remote.step(action)
                same(here, there, f"step {steps}")
                if steps % 100 == 0:
                    same(local.render(), remote.render(), f"frame {steps}")
                done = here[2] or here[3]
                steps += 1


def test_a_page_from_elsewhere_is_refused(browse: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "rlay")
    with site("127.0.0.2") as origin:
        with rlay.ServerEnv("ws://127.0.0.1:0", connect_timeout=1.0) as env:
            browse(origin, env.address)
            deadline = time.monotonic() + START
            while f"a page from {origin} was refused" not in caplog.text:
                assert time.monotonic() < deadline, "the log does not tell that a page was refused"
                with pytest.raises(rlay.Timeout):
                    env.reset()
        assert f"listen with the option origin={origin}" in caplog.text
        with rlay.ServerEnv(f"ws://127.0.0.1:0?origin={origin}", connect_timeout=START) as env:
            browse(origin, env.address)
            same(Drift().reset(seed=3), env.reset(seed=3), "reset")


def test_a_page_dials_wss_where_it_trusts_the_certificate(
    browse: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate is the one that RLay makes on first use; Chromium is told its public key."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    caplog.set_level("WARNING", "rlay")
    with site("127.0.0.1") as origin, rlay.ServerEnv("wss://127.0.0.1:0", connect_timeout=1.0) as env:
        browse(origin, env.address.split("?")[0])
        deadline = time.monotonic() + START
        while "it refuses this end's certificate" not in caplog.text:
            assert time.monotonic() < deadline, "the log does not tell that the certificate was refused"
            with pytest.raises(rlay.Timeout):
                env.reset()
    public = ["openssl", "x509", "-in", str(tmp_path / "state" / "rlay" / "certificate.pem"), "-pubkey", "-noout"]
    pem = subprocess.run(public, check=True, capture_output=True, timeout=WAIT).stdout
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "der"], input=pem, check=True, capture_output=True, timeout=WAIT
    ).stdout
    trusted = base64.b64encode(hashlib.sha256(der).digest()).decode()
    with site("127.0.0.1") as origin, rlay.ServerEnv("wss://127.0.0.1:0", connect_timeout=START) as env:
        browse(origin, env.address.split("?")[0], f"--ignore-certificate-errors-spki-list={trusted}")
        same(Drift().reset(seed=3), env.reset(seed=3), "reset")

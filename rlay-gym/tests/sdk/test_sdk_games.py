"""A game in another language does what the same game in Python does, to the bit, in both paradigms."""

from __future__ import annotations

import contextlib
import math
import socket
import subprocess
import threading
import time
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlay
from cutting_link import CuttingLink
from equal import difference
from host_process import PARADIGMS
from network_namespaces import namespaces, obstacle
from processes import WAIT, Program
from sdk_game import CASES, Drift, Echo

TOKEN = "a token of the tests"

DTYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")

VALUES: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": (0, -1, 2**63 - 1, -(2**63)),
    "big": [2**63, -(2**63) - 1, 2**200, -(2**200)],
    "floats": [0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324],
    "text": "é漢🎲\n\0",
    "bytes": bytes(range(256)),
    "nested": {"list": [{"tuple": (1, (2,), [])}], 5: "an int as key", (1, "a"): "a tuple as key", True: "a bool"},
    "arrays": [np.arange(6, dtype=name).reshape(2, 3) for name in DTYPES],
    "flags": np.array([True, False]),
    "big-endian": np.array([1.5, -2.5], ">f4"),
    "empty": np.zeros((0, 3), np.float32),
    "no dimensions": np.array(7),
    "scalars": [np.float32(1.5), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True), np.float16(0.5)],
}


def same(local: Any, remote: Any, what: str) -> None:
    """Compare results by types and bits."""
    assert (found := difference(local, remote, what)) is None, found


def test_many_steps(games: Any, paradigm: str) -> None:
    local, remote = Drift("rgb_array"), games.agent(paradigm, render_mode="rgb_array")
    same(local.observation_space, remote.observation_space, "observation space")
    same(local.action_space, remote.action_space, "action space")
    assert remote.metadata == Drift.metadata
    rng = np.random.default_rng(5)
    steps = episode = 0
    while steps < games.client.steps:
        large = [2**64 + 12345, 2**200 + episode] if games.client.takes_any_seed else [2**64 - 1, 2**63 + episode]
        seed = [None, int(rng.integers(2**31)), *large][episode % 4]
        options = [None, {}, {"level": episode}][episode % 3]
        episode += 1
        same(local.reset(seed=seed, options=options), remote.reset(seed=seed, options=options), f"episode {episode}")
        done = False
        while not done:
            drawn = rng.integers(0, 3)
            action: Any = int(drawn) if steps % 3 else drawn
            here, there = local.step(action), remote.step(action)
            same(here, there, f"step {steps}")
            if steps % 50 == 0:
                same(local.render(), remote.render(), f"frame {steps}")
            done = here[2] or here[3]
            steps += 1


def test_a_step_after_the_end_and_the_other_mode(games: Any, paradigm: str) -> None:
    local, remote = Drift("ansi"), games.agent(paradigm, render_mode="ansi")
    same(local.reset(seed=3), remote.reset(seed=3), "reset")
    for step in range(130):
        same(local.step(step % 3), remote.step(step % 3), f"step {step}")
    same(local.render(), remote.render(), "frame")


@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_space(games: Any, case: int) -> None:
    paradigm = PARADIGMS[case % 2]
    local = Echo(case)
    remote = games.agent(paradigm, env_id="Echo", env_kwargs={"case": case})
    same(local.observation_space, remote.observation_space, "space")
    same(local.reset(), remote.reset(), "reset")
    remote.action_space.seed(case)
    for number in range(30):
        action = remote.action_space.sample()
        same(local.step(action), remote.step(action), f"step {number}")


def test_actions_that_are_not_packed(games: Any) -> None:
    remote = games.agent("client", env_id="Echo", env_kwargs={"case": 3})
    remote.reset()
    for action in (1, np.int64(-2), 2**40, np.int64(2**40), np.int8(1)):
        same((action, 0.5, False, False, {}), remote.step(action), repr(action))


def test_values_of_every_type(games: Any, paradigm: str) -> None:
    remote = games.agent(paradigm)
    for name, value in VALUES.items():
        options = {name: value}
        same({"seeded": False, "options": options}, remote.reset(options=options)[1], name)
    same({"seeded": True, "options": VALUES}, remote.reset(seed=0, options=VALUES)[1], "all")


def test_gymnasiums_own_checker(games: Any, paradigm: str) -> None:
    # To check how it closes, it makes a second environment while it has the first.
    check_env(games.agent(paradigm, "--sessions", "2", render_mode="rgb_array"), skip_render_check=True)


def test_errors_of_the_environment(games: Any, paradigm: str) -> None:
    env = games.agent(paradigm)
    with pytest.raises(rlay.ResetNeeded):
        env.step(0)
    env.reset(seed=1)
    with pytest.raises(rlay.EnvError, match="an action from 0 to 2, not 7"):
        env.step(7)
    env.step(1)
    env.reset()


@pytest.mark.parametrize("kwargs", [{"env_id": "Pong"}, {"render_mode": "human"}, {"env_kwargs": {"size": 3}}])
def test_what_it_cannot_make(games: Any, kwargs: dict[str, Any]) -> None:
    _, address = games.listen()
    with pytest.raises(rlay.Error) as caught:
        rlay.ClientEnv(address, connect_timeout=WAIT, **kwargs)
    if "env_id" in kwargs:
        # The game's own error, or its host's where that has a list of names.
        assert isinstance(caught.value, rlay.EnvError) or "Pong" in str(caught.value)
    else:
        assert isinstance(caught.value, rlay.EnvError) == ("env_kwargs" not in kwargs)
    rlay.ClientEnv(address, connect_timeout=WAIT).close()


def test_sessions_one_after_another_and_at_once(games: Any) -> None:
    _, address = games.listen("--sessions", "3")
    for _ in range(3):
        envs = [rlay.ClientEnv(address, connect_timeout=WAIT) for _ in range(3)]
        for seed, env in enumerate(envs):
            same(Drift().reset(seed=seed), env.reset(seed=seed), "reset")
        for env in envs:
            env.close()
    with rlay.ServerVectorEnv(num_envs=3, connect_timeout=WAIT) as vector:
        games.start("--dial", vector.address, "--sessions", "3")
        observations, _ = vector.reset(seed=[5, 6, 7])
        for row, seed in enumerate((5, 6, 7)):
            assert observations["position"][row].tolist() == Drift().reset(seed=seed)[0]["position"].tolist()
        for _ in range(50):
            vector.step(np.ones(3, np.int64))
    with rlay.ServerEnv(vector.address, connect_timeout=WAIT) as again:
        # It has dialed anew.
        same(Drift().reset(seed=9), again.reset(seed=9), "reset")


def test_a_token(games: Any, paradigm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLAY_TOKEN", TOKEN)
    if paradigm == "server":
        with rlay.ServerEnv(connect_timeout=WAIT, token=TOKEN) as env:
            games.start("--dial", env.address)
            same(Drift().reset(seed=4), env.reset(seed=4), "reset")
        with rlay.ServerEnv(connect_timeout=1.0, token="another token of tests") as env:
            games.start("--dial", env.address)
            with pytest.raises(rlay.Error):
                env.reset()
        return
    _, address = games.listen()
    with rlay.ClientEnv(address, connect_timeout=WAIT, token=TOKEN) as env:
        same(Drift().reset(seed=4), env.reset(seed=4), "reset")
    with pytest.raises(rlay.Unauthorized):
        rlay.ClientEnv(address, connect_timeout=WAIT, token="another token of tests")
    monkeypatch.delenv("RLAY_TOKEN")
    with pytest.raises(rlay.Unauthorized):
        rlay.ClientEnv(address, connect_timeout=WAIT)


def test_a_connection_that_is_cut_is_resumed(games: Any, paradigm: str) -> None:
    local = Drift()
    with contextlib.ExitStack() as stack:
        if paradigm == "client":
            _, target = games.listen()
            link = stack.enter_context(CuttingLink(target))
            env: Any = rlay.ClientEnv(link.address, connect_timeout=WAIT, reconnect_timeout=WAIT)
        else:
            env = rlay.ServerEnv(connect_timeout=WAIT, reconnect_timeout=WAIT)
            link = stack.enter_context(CuttingLink(env.address))
            games.start("--dial", link.address)
        stack.callback(env.close)
        same(local.reset(seed=8), env.reset(seed=8), "reset")
        for step in range(400):
            if step % 40 == 20:
                link.cut()
            elif step % 40 == 30:
                # While a step is under way.
                threading.Timer(0.0005, link.cut).start()
            same(local.step(step % 3), env.step(step % 3), f"step {step}")
        assert link.connections > 10


def test_a_peer_that_breaks_the_protocol_is_refused_and_the_next_is_served(games: Any) -> None:
    _, address = games.listen()
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(200), b"\xff\xff\xff\x7f", bytes(4096)):
        with socket.create_connection((host, int(port)), WAIT) as peer:
            peer.sendall(garbage)
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(WAIT)
            with contextlib.suppress(ConnectionError):
                while peer.recv(4096):
                    pass
    with rlay.ClientEnv(address, connect_timeout=WAIT) as env:
        same(Drift().reset(seed=4), env.reset(seed=4), "reset")


LISTEN = """
    import rlay
    with rlay.ServerEnv("tcp://127.0.0.1:40000", connect_timeout=30.0) as env:
        print("reset", env.reset(seed=3)[0]["position"].tolist())
    """


def test_a_dialer_is_not_its_own_peer(games: Any) -> None:
    if obstacle():
        pytest.skip("there are no network namespaces here")
    with namespaces() as hosts:
        within = ("ip", "netns", "exec", hosts.game.namespace)
        ports = "/proc/sys/net/ipv4/ip_local_port_range"
        subprocess.run((*within, "sh", "-c", f"echo 40000 40001 > {ports}"), check=True)
        with Program(*within, *games.client.game, "--dial", "tcp://127.0.0.1:40000") as game:
            # Nothing listens at first, and in some attempts the kernel would connect the game to itself.
            time.sleep(1.5)
            assert game.process.poll() is None
            if not games.client.resets:
                return
            with hosts.game.python(LISTEN) as agent:
                assert agent.find("reset") == f"reset {Drift().reset(seed=3)[0]['position'].tolist()}"
                assert agent.wait() == 0

"""A connection that is lost: the session continues over another, or the user chooses what happens to the episode."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import PassiveEnvChecker

import raw_peer
import rlay
from equal import difference
from host_process import PARADIGMS, HostProcess
from processes import WAIT, free_address, thread, until
from scripted_host import scripted_host_of

PATIENCE = 60.0
"""How long both ends wait for another connection, where it must come."""


class Relay:
    """Stands between a dialer and a TCP listener, and drops their connections when it is told to."""

    def __init__(self, target: str, address: str = "tcp://127.0.0.1:0") -> None:
        (host, port), (_, own) = (text.removeprefix("tcp://").split(":") for text in (target, address))
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", int(own)))
        self._ends: list[socket.socket] = []
        self.open = threading.Event()
        self.open.set()
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                self.open.wait()
                try:
                    there = socket.create_connection(self._to)
                except OSError:
                    here.close()
                    continue
                self._ends += [here, there]
                for a, b in ((here, there), (there, here)):
                    threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(a: socket.socket, b: socket.socket) -> None:
        with a, contextlib.suppress(OSError):
            while data := a.recv(1 << 16):
                b.sendall(data)
        with contextlib.suppress(OSError):
            b.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Drop the current connections; new ones are accepted."""
        assert self._ends, "there is nothing to cut"
        # A dialer may be back before all of them are cut.
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no further connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def relay() -> Iterator[Callable[[str], Relay]]:
    """Makes relays, which are closed at the end."""
    with contextlib.ExitStack() as stack:

        def to(target: str) -> Relay:
            return stack.enter_context(contextlib.closing(Relay(target)))

        yield to


def walk(env: Any, cut: Callable[[], None]) -> None:
    """Step in step with a local environment, with a cut before every tenth step."""
    local = gym.make("CartPole-v1")
    assert difference(env.reset(seed=4), local.reset(seed=4)) is None
    for step in range(60):
        if step % 10 == 9:
            cut()
        result = env.step(step % 2)
        assert difference(result, local.step(step % 2)) is None, step
        if result[2]:
            assert difference(env.reset(), local.reset()) is None
    env.close()


def test_cuts_cost_only_time_where_the_agent_dials(relay: Callable[[str], Relay]) -> None:
    with rlay.ServerBackend("CartPole-v1", reconnect_timeout=PATIENCE) as host:
        line = relay(host.address)
        walk(rlay.ClientEnv(line.address, reconnect_timeout=PATIENCE), line.cut)


def test_both_ends_are_told_in_the_log(relay: Callable[[str], Relay], caplog: pytest.LogCaptureFixture) -> None:
    with rlay.ServerBackend("CartPole-v1", reconnect_timeout=PATIENCE) as host:
        line = relay(host.address)
        env = rlay.ClientEnv(line.address, reconnect_timeout=PATIENCE)
        env.reset()
        line.cut()
        env.step(0)
        env.close()
    said = [record.getMessage() for record in caplog.records if record.name == "rlay"]
    assert sum("waiting for another connection" in line for line in said) == 2, said
    assert sum("the session goes on over another connection" in line for line in said) == 2, said


def test_cuts_cost_only_time_where_the_environment_dials(relay: Callable[[str], Relay]) -> None:
    env = rlay.ServerEnv(reconnect_timeout=PATIENCE)
    line = relay(env.address)
    with rlay.ClientBackend("CartPole-v1", line.address, max_sessions=1, reconnect_timeout=PATIENCE):
        walk(env, line.cut)


def test_cuts_cost_only_time_where_an_engine_polls(relay: Callable[[str], Relay]) -> None:
    env = rlay.ServerEnv(reconnect_timeout=PATIENCE)
    line = relay(env.address)
    is_over = threading.Event()

    def engine() -> None:
        world = gym.make("CartPole-v1")
        backend = rlay.ClientBackend(world, line.address, reconnect_timeout=PATIENCE)
        while not is_over.is_set():
            match backend.turn(0.05):
                case rlay.Reset(seed=seed, options=options):
                    observation, info = world.reset(seed=seed, options=options)
                    backend.reply(observation, info=info)
                case rlay.Step(action=action):
                    observation, reward, terminated, truncated, info = world.step(action)
                    backend.reply(observation, float(reward), terminated, truncated, info)
                case rlay.Close():
                    break
        backend.close()

    thread = threading.Thread(target=engine)
    thread.start()
    try:
        walk(env, line.cut)
    finally:
        is_over.set()
        thread.join(WAIT)


@pytest.mark.gymnasium
@pytest.mark.parametrize("when", ["after reset", "after a step", "after a late reset"])
@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_what_an_episode_that_is_lost_ends_with_is_nobody_elses(
    spawn_host: Callable[[], HostProcess], paradigm: str, when: str
) -> None:
    """The last observation once more, as a new object and as received, whatever was done to the first object."""
    with scripted_host_of(spawn_host()) as scripted_host:
        env = scripted_host.env(paradigm, on_loss="truncate")
        checked = PassiveEnvChecker(env)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if when == "after a late reset":
                env.timeout = 0.2
                with pytest.raises(rlay.Timeout):
                    env.reset(options={"wait_in": "reset"})
                scripted_host.release()
                env.timeout = WAIT
                observation = env.late(WAIT)[0]
            else:
                observation = checked.reset()[0]
            if when == "after a step":
                observation = checked.step(0)[0]
            expected = observation.copy()
            observation += 100
            scripted_host.host.kill()
            scripted_host.disown()
            last, reward, terminated, truncated, info = (checked if when != "after a late reset" else env).step(0)
        assert np.array_equal(last, expected) and last.dtype == expected.dtype
        assert not np.shares_memory(last, observation)
        assert (reward, terminated, truncated) == (0.0, False, True) and "lost" in info
        with pytest.raises(rlay.ConnectionLost):
            env.step(0)


@pytest.mark.parametrize("on_loss", ["raise", "replace", "truncate"])
@pytest.mark.parametrize("paradigm", ["ClientEnv", "ServerEnv"])
def test_an_environment_that_was_killed(spawn_host: Callable[[], HostProcess], paradigm: str, on_loss: str) -> None:
    def host(address: str) -> HostProcess:
        process = spawn_host()
        if paradigm == "ClientEnv":
            process.serve("CartPole-v1", address=address)
        else:
            process.dial("CartPole-v1", address)
        return process

    kwargs: dict[str, Any] = {"on_loss": on_loss, "connect_timeout": WAIT}
    if paradigm == "ClientEnv":
        address = free_address()
        game = host(address)
        env: Any = rlay.ClientEnv(address, **kwargs)
    else:
        env = rlay.ServerEnv(**kwargs)
        address = env.address
        game = host(address)
    env.reset(seed=1)
    last = env.step(1)[0]
    game.kill()
    began = time.monotonic()
    if on_loss == "truncate":
        observation, reward, terminated, truncated, info = env.step(1)
        assert np.array_equal(observation, last)
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert "lost" in info["lost"] or "closed" in info["lost"] or "connection" in info["lost"], info
    with pytest.raises(rlay.ConnectionLost):
        env.step(1)
    # An agent that dialed finds no listener at the address; an agent that listened waits a little.
    assert time.monotonic() - began < 20
    game = host(address)
    if on_loss == "raise":
        with pytest.raises(rlay.ConnectionLost):
            env.reset(seed=1)
    else:
        with gym.make("CartPole-v1") as local:
            assert difference(env.reset(seed=5), local.reset(seed=5)) is None
            assert difference(env.step(0), local.step(0)) is None
    env.close()


def test_a_wait_for_a_connection_is_bounded_by_the_timeout(relay: Callable[[str], Relay]) -> None:
    with rlay.ServerBackend("CartPole-v1", reconnect_timeout=PATIENCE) as host, gym.make("CartPole-v1") as local:
        line = relay(host.address)
        env = rlay.ClientEnv(line.address, reconnect_timeout=PATIENCE)
        assert difference(env.reset(seed=1), local.reset(seed=1)) is None
        line.open.clear()
        line.cut()
        env.timeout = 0.5
        with pytest.raises(rlay.Timeout):
            env.step(0)
        env.timeout = None
        line.open.set()
        # The request is not lost.
        assert difference(env.late(PATIENCE), local.step(0)) is None
        assert difference(env.step(1), local.step(1)) is None
        env.close()


@pytest.mark.parametrize("patience", [None, PATIENCE])
def test_a_relay_that_is_restarted_is_waited_for_if_that_is_wanted(
    relay: Callable[[str], Relay], patience: float | None
) -> None:
    with rlay.ServerBackend("CartPole-v1") as host:
        line = relay(host.address)
        env = rlay.ClientEnv(line.address, reconnect_timeout=patience)
        env.reset(seed=1)
        line.close()
        line.cut()
        if patience is None:
            with pytest.raises(rlay.ConnectionLost, match="refused"):
                env.step(0)
        else:
            with thread(lambda: (time.sleep(1.0), Relay(host.address, line.address))):
                env.step(0)
        env.close()


def test_a_reset_goes_on_with_another_environment_at_once(spawn_host: Callable[[], HostProcess]) -> None:
    env = rlay.ServerEnv(on_loss="truncate", connect_timeout=WAIT)
    game = spawn_host()
    game.dial("CartPole-v1", env.address)
    env.reset(seed=1)
    game.kill()
    spawn_host().dial("CartPole-v1", env.address)
    with gym.make("CartPole-v1") as local:
        assert difference(env.reset(seed=2), local.reset(seed=2)) is None
    env.close()


@pytest.mark.gymnasium
def test_another_environment_has_the_same_spaces(spawn_host: Callable[[], HostProcess]) -> None:
    env = rlay.ServerEnv(on_loss="replace", connect_timeout=WAIT)
    game = spawn_host()
    game.dial("CartPole-v1", env.address)
    env.reset(seed=1)
    game.kill()
    other = spawn_host()
    number, _ = other.dial("FrozenLake-v1", env.address)
    with pytest.raises(
        rlay.Incompatible,
        match=r"another observation_space than before: Box.* is not Discrete\(16\); make a new environment",
    ):
        env.reset()
    other.stop(number)
    spawn_host().dial("CartPole-v1", env.address)
    # The other one may dial in once more before it stops.
    with contextlib.suppress(rlay.Incompatible):
        env.reset(seed=1)
    with gym.make("CartPole-v1") as local:
        assert difference(env.reset(seed=1), local.reset(seed=1)) is None
    env.close()


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_close_ends_the_wait_for_another_environment(
    spawn_host: Callable[[], HostProcess], paradigm: str, caplog: pytest.LogCaptureFixture
) -> None:
    game = spawn_host()
    if paradigm == "client":
        _, address = game.serve("CartPole-v1")
        env: rlay.RemoteEnv = rlay.ClientEnv(address, on_loss="replace", connect_timeout=math.inf)
    else:
        env = rlay.ServerEnv(on_loss="replace", connect_timeout=math.inf)
        game.dial("CartPole-v1", env.address)
    env.reset()
    game.kill()

    def wait() -> None:
        with pytest.raises(rlay.Closed, match="the environment was closed; make a new one"):
            env.reset()

    with thread(wait):
        until(lambda: any("the environment is lost" in record.getMessage() for record in caplog.records), "the loss")
        env.close()
    assert "closed" in repr(env)


def test_zero_means_that_a_session_ends_with_its_connection(relay: Callable[[str], Relay]) -> None:
    with rlay.ServerBackend("CartPole-v1", reconnect_timeout=0) as host:
        line = relay(host.address)
        env = rlay.ClientEnv(line.address)
        env.reset()
        line.cut()
        with pytest.raises(rlay.ConnectionLost):
            env.step(0)
        env.close()


def test_what_to_do_about_a_loss_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="'raise', 'replace' or 'truncate'"):
        rlay.ServerEnv(on_loss="ignore")  # type: ignore[arg-type]


def test_a_host_that_drops_whoever_comes_back_is_not_dialed_without_pause(caplog: pytest.LogCaptureFixture) -> None:
    dropped: list[float] = []

    def drop(listener: socket.socket) -> None:
        """Make one environment, which is gone at once, and admit eight dialers for nothing."""
        for number in range(9):
            with listener.accept()[0] as connection:
                peer = raw_peer.RawPeer(connection)
                if number == 0:
                    raw_peer.host(peer)
                    continue
                peer.receive()
                peer.send("Welcome", raw_peer.WELCOME)
            dropped.append(time.monotonic())

    with socket.create_server(("127.0.0.1", 0)) as listener, thread(lambda: drop(listener)):
        listener.settimeout(WAIT)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        env = rlay.ClientEnv(address, on_loss="replace", connect_timeout=5.0)
        while len(dropped) < 8:
            with pytest.raises(rlay.ConnectionLost):
                env.reset()
    # Between them lie 20 ms, 40 ms and so on; a slow machine can only add to that.
    assert dropped[7] - dropped[0] >= 0.02 * sum(2**n for n in range(6))
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "the environment is lost" in line]) == 1

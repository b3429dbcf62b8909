"""Two hosts: the agent and its environment have different addresses, and the link between them may be bad or break."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import gymnasium as gym
import pytest

import transcripts
from failure_page import LINK_DOWN, MEASURED
from host_main import resolve
from host_process import PARADIGMS
from network_namespaces import DELAY, Host, Hosts, Link, link_between, two_hosts
from processes import Program, until
from readme_programs import program

SCHEMES_ACROSS = ("quic", "tls")
"""The transports that are meant for networks."""
NETWORKS = ("tcp", "tls", "zmq", "quic", "ws")
"""Those that can be used in one."""

ENDPOINTS = {"client": ("ServerBackend", "ClientEnv"), "server": ("ServerEnv", "ClientBackend")}
"""The class that listens, and the class that dials."""

GAME = """
    import os, sys, host_main, rlay
    endpoint, address, source = sys.argv[1:]
    try:
        env = host_main.resolve(source)
        reconnect, liveness = os.environ.get("RECONNECT", "1"), os.environ.get("LIVENESS", "18")
        waits = {"reconnect_timeout": float(reconnect), "liveness": float(liveness)}
        backend = getattr(rlay, endpoint)(env, address, max_sessions=1, **waits)
        print("at", backend.address)
        backend.run()
    except rlay.Error as error:
        print(type(error).__name__, error)
    """
LEARNER = """
    import os, sys, rlay, transcripts
    endpoint, address, times = sys.argv[1:]
    try:
        reconnect, liveness = os.environ.get("RECONNECT", "1"), os.environ.get("LIVENESS", "18")
        waits = {"reconnect_timeout": float(reconnect), "liveness": float(liveness)}
        env = getattr(rlay, endpoint)(address, **waits)
        print("at", env.address)
        for _ in range(int(times)):
            print(transcripts.play(env))
            if "PACED" in os.environ:
                sys.stdin.readline()
        env.close()
    except rlay.Error as error:
        print(type(error).__name__, error)
    """

SECRET = "between the two hosts"
OTHER = "between three hosts"

FOR_EVER = 1_000_000
LIVENESS = 5.0
"""Within how long a peer from which nothing arrives is given up, where links go down."""
NOTICED = 40.0
DOWN = 2 * LIVENESS
"""How long a link is down that is restored later."""
SILENCE = "nothing was heard for too long"
UNHEARD, TIMED_OUT = f"nothing was acknowledged for {LIVENESS:g}s", "timed out"
LOST = {
    "tcp": (UNHEARD, TIMED_OUT),
    "tls": (UNHEARD, TIMED_OUT),
    "zmq": (f"nothing was heard for {LIVENESS:g}s",) * 2,
    "quic": (SILENCE, SILENCE),
    "ws": (SILENCE, SILENCE),
}
"""The errors of the side that waits for an answer, and of the side that waits for a request."""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs find the token in their environment variables."""
    monkeypatch.setenv("RLAY_TOKEN", SECRET)


Record = Callable[[str, object], None]


@pytest.fixture
def hosts(record_property: Record) -> Iterator[Hosts]:
    """Two hosts for this test alone. The summary of the run says how they were made, see ``conftest.py``."""
    with two_hosts() as hosts:
        record_property("two hosts", hosts.how)
        yield hosts


def place(hosts: Hosts, endpoint: str) -> Host:
    """Return where this endpoint lives."""
    return hosts.learner if endpoint.endswith("Env") else hosts.game


def begin(hosts: Hosts, endpoint: str, address: str, source: str = "cartpole", times: int = 1) -> Program:
    """Start a learner that plays so many times, or a game."""
    if endpoint.endswith("Env"):
        return hosts.learner.python(LEARNER, endpoint, address, str(times))
    return hosts.game.python(GAME, endpoint, address, transcripts.SOURCES[source])


def port_at(hosts: Hosts, scheme: str, paradigm: str) -> str:
    """Return the address to listen at."""
    insists = "?insecure_allow_remote=yes" if scheme == "zmq" else ""
    return f"{scheme}://{place(hosts, ENDPOINTS[paradigm][0]).address}:0{insists}"


@contextlib.contextmanager
def session(
    hosts: Hosts, link: Link, scheme: str, paradigm: str, source: str, times: int
) -> Iterator[tuple[Program, Program]]:
    """Yield the learner and the game of a session over ``link``."""
    listener, dialer = ENDPOINTS[paradigm]
    with begin(hosts, listener, port_at(hosts, scheme, paradigm), source, times) as listening:
        address = link.lead(place(hosts, dialer), listening.find("at").split()[1])
        with begin(hosts, dialer, address, source, times) as dialing:
            yield (dialing, listening) if paradigm == "client" else (listening, dialing)


def transcripts_here() -> Iterator[str]:
    """Yield the output of a learner with a CartPole in its own process."""
    env = gym.make(transcripts.SOURCES["cartpole"], disable_env_checker=True)
    while True:
        yield transcripts.play(env)


def played(source: str, times: int) -> list[str]:
    """Return the output of a learner with the environment in its own process."""
    made = resolve(transcripts.SOURCES[source])
    env = gym.make(made, disable_env_checker=True) if isinstance(made, str) else made()
    return [transcripts.play(env) for _ in range(times)]


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", SCHEMES_ACROSS)
def test_a_game_on_another_host_is_the_same(hosts: Hosts, scheme: str, paradigm: str) -> None:
    with link_between(hosts, scheme) as link, session(hosts, link, scheme, paradigm, "cartpole", 3) as (learner, _):
        assert [learner.find("transcript") for _ in range(3)] == played("cartpole", 3)
        assert learner.wait() == 0


# Plain tcp may cross a network, too, where there is a token.
@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", [*SCHEMES_ACROSS, "tcp"])
def test_a_slow_link_that_loses_changes_nothing(
    hosts: Hosts, record_property: Record, scheme: str, paradigm: str
) -> None:
    """With frames of many packets."""
    with link_between(hosts, scheme, is_bad=True) as link:
        record_property("a bad link", link.how)
        with session(hosts, link, scheme, paradigm, "picture", 1) as (learner, _):
            begun = time.monotonic()
            assert [learner.find("transcript")] == played("picture", 1)
            assert time.monotonic() - begun > 2 * DELAY * transcripts.STEPS, "every step was late, there and back"
            assert link.lost() > 0 or not link.is_lossy
            assert learner.wait() == 0


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("scheme", SCHEMES_ACROSS)
def test_a_wrong_token_opens_nothing(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, scheme: str, paradigm: str) -> None:
    listener, dialer = ENDPOINTS[paradigm]
    with begin(hosts, listener, port_at(hosts, scheme, paradigm)) as listening:
        address = listening.find("at").split()[1]
        monkeypatch.setenv("RLAY_TOKEN", OTHER)
        with begin(hosts, dialer, address) as dialing:
            assert "the token is wrong" in dialing.find("Unauthorized")


@pytest.mark.parametrize("endpoint", [listener for listener, _ in ENDPOINTS.values()])
@pytest.mark.parametrize("scheme", SCHEMES_ACROSS)
def test_nobody_listens_for_other_hosts_without_a_token(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, scheme: str, endpoint: str
) -> None:
    monkeypatch.delenv("RLAY_TOKEN")
    with begin(hosts, endpoint, f"{scheme}://{place(hosts, endpoint).exposed}:0") as program:
        refusal = program.line()
        assert refusal.startswith("AddressError") and "set a token (RLAY_TOKEN" in refusal


@pytest.mark.timeout(300)
def test_both_ends_notice_that_the_link_is_down(
    hosts: Hosts, record_property: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all networks and in both paradigms at once, for each takes long."""
    monkeypatch.setenv("PACED", "")
    monkeypatch.setenv("LIVENESS", str(LIVENESS))
    with contextlib.ExitStack() as stack:
        links = {scheme: stack.enter_context(link_between(hosts, scheme)) for scheme in NETWORKS}
        sessions = [
            (scheme, paradigm, *stack.enter_context(session(hosts, link, scheme, paradigm, "cartpole", FOR_EVER)))
            for scheme, link in links.items()
            for paradigm in PARADIGMS
            if link.can_fall_silent(scheme)
        ]
        for _, _, learner, _ in sessions:
            learner.find("transcript")
        for link in links.values():
            record_property("a link that goes down", link.how)
            link.cut()
        began = time.monotonic()
        for _, _, learner, _ in sessions:
            learner.say("and once more")

        def notice(scheme: str, paradigm: str, learner: Program, game: Program) -> None:
            found, told = LOST[scheme]
            assert found in learner.find("ConnectionLost", NOTICED)
            until(lambda: any(told in line for line in game.errors), f"the game to notice over {scheme}", NOTICED)
            record_property(MEASURED, (LINK_DOWN, paradigm, scheme, time.monotonic() - began))

        with ThreadPoolExecutor(len(sessions)) as pool:
            for noticed in [pool.submit(notice, *each) for each in sessions]:
                noticed.result()


@pytest.mark.timeout(300)
def test_sessions_outlast_a_link_that_is_down_for_long(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Down for longer than either side tolerates silence. Over both transports and in both paradigms at once."""
    monkeypatch.setenv("RECONNECT", "90")
    monkeypatch.setenv("LIVENESS", str(LIVENESS))
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(link_between(hosts, scheme)) for scheme in ("quic", "tls")]
        # A program that drops bytes on the way leaves no stream to continue.
        lasting = [(link, scheme) for link, scheme in zip(links, ("quic", "tls"), strict=True) if link.can_mend(scheme)]
        learners = [
            stack.enter_context(session(hosts, link, scheme, paradigm, "cartpole", FOR_EVER))[0]
            for link, scheme in lasting
            for paradigm in PARADIGMS
        ]
        expected = [transcripts_here() for _ in learners]
        for learner, here in zip(learners, expected, strict=True):
            assert learner.find("transcript") == next(here)
        for link in links:
            link.cut()
        time.sleep(DOWN)
        for learner, here in zip(learners, expected, strict=True):
            for line in learner.printed():
                assert line == next(here)
        time.sleep(1.0)
        assert [learner.printed() for learner in learners] == [[] for _ in learners], "nobody plays on without a link"
        for link in links:
            link.mend()
        for learner, here in zip(learners, expected, strict=True):
            assert [learner.line(NOTICED) for _ in range(3)] == [next(here) for _ in range(3)]
            assert any("goes on over another connection" in line for line in learner.errors)


def test_the_recipe_of_the_readme(hosts: Hosts) -> None:
    """A host without a route to other networks does not know the address at which it is dialed; the test does."""
    with hosts.game.python(program("far_host.py", "tls://0.0.0.0:0")) as host:
        port_and_pin = host.find("tls://").rpartition("tls://")[2].partition(":")[2]
        address = f"tls://{hosts.game.address}:{port_and_pin}"
        with hosts.learner.python(program("far_agent.py", address)) as agent:
            assert agent.wait() == 0, agent.errors

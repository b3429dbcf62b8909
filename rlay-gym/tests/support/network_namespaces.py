"""Two hosts and the link between them: network namespaces, or a stand-in on the loopback device where those cannot be.

With the environment variable ``RLAY_TEST_LOOPBACK`` the stand-in is taken anyway.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from processes import WAIT, Program, python

DELAY = 0.005
"""How late all arrives over a bad link, in seconds, in each direction."""
LOSS = 0.02
"""How much of it does not arrive, in each direction."""

DEVICE = "veth"
"""What the network device of each namespace is called there."""

_numbers = itertools.count()


@dataclass(frozen=True)
class Host:
    """A place for programs."""

    address: str
    exposed: str
    """The address to listen at for others."""
    namespace: str = ""

    def python(self, source: str, *arguments: str) -> Program:
        """Start a Python program here."""
        within = ("ip", "netns", "exec", self.namespace) if self.namespace else ()
        return python(source, *arguments, within=within)


@dataclass(frozen=True)
class Hosts:
    """The host that learns, and the host that runs the game."""

    learner: Host
    game: Host
    how: str


class Link(Protocol):
    """What connects the two."""

    how: str
    is_lossy: bool

    def lead(self, dialer: Host, address: str) -> str:
        """Return what ``dialer`` has to dial to reach ``address`` over this link."""

    def lost(self) -> int:
        """Return how many packets were lost on the way."""

    def cut(self) -> None:
        """Drop all traffic from now on, without telling either program."""

    def mend(self) -> None:
        """Pass all traffic again."""

    def can_mend(self, scheme: str) -> bool:
        """Whether traffic over ``scheme`` is carried after `mend` as it was before the cut."""

    def can_fall_silent(self, scheme: str) -> bool:
        """Whether nothing answers to ``scheme`` any more once the link is cut."""


def run(command: str) -> str:
    """Run a command to its end and return what it printed; OSError says what it complained about."""
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=WAIT)
    if done.returncode != 0:
        raise OSError(f"{command.split()[0]}: {' '.join(done.stderr.split())}")
    return done.stdout


@contextlib.contextmanager
def namespaces() -> Iterator[Hosts]:
    """Make two namespaces and the pair of devices that connects them; after the block they are gone."""
    number = next(_numbers)
    learner, game = (
        Host(address, address, f"rlay-{os.getpid()}-{number}-{end}")
        for address, end in (("10.77.0.1", "learner"), ("10.77.0.2", "game"))
    )
    with contextlib.ExitStack() as stack:
        for host in (learner, game):
            run(f"ip netns add {host.namespace}")
            stack.callback(run, f"ip netns del {host.namespace}")
        # Made inside, the devices are removed with the namespaces, and no other device has the same name.
        peer = f"peer name {DEVICE} netns {game.namespace}"
        run(f"ip link add name {DEVICE} netns {learner.namespace} type veth {peer}")
        for host in (learner, game):
            run(f"ip -n {host.namespace} address add {host.address}/30 dev {DEVICE}")
            for device in ("lo", DEVICE):
                run(f"ip -n {host.namespace} link set dev {device} up")
        yield Hosts(learner, game, "network namespaces")


@functools.cache
def obstacle() -> str:
    """Return why there can be no namespaces here, or nothing."""
    if "RLAY_TEST_LOOPBACK" in os.environ:
        return "RLAY_TEST_LOOPBACK is set"
    try:
        with namespaces() as hosts:
            run(f"ip netns exec {hosts.game.namespace} true")
    except OSError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Make two hosts: namespaces, or else two addresses of this one."""
    if why := obstacle():
        learner, game = (Host(address, "0.0.0.0") for address in ("127.0.0.1", "127.0.0.2"))
        yield Hosts(learner, game, f"two addresses of the loopback device, for there are no namespaces ({why})")
    else:
        with namespaces() as hosts:
            yield hosts


class Wire:
    """The pair of devices, which the kernel makes bad."""

    def __init__(self, hosts: Hosts, is_bad: bool) -> None:
        if not hosts.learner.namespace:
            raise OSError("the loopback device is not ours alone")
        self._hosts = (hosts.learner, hosts.game)
        self.is_lossy = is_bad
        self.how = "the device goes down"
        if is_bad:
            self.how = f"netem delay {DELAY * 1000:g}ms loss {LOSS * 100:g}%"
            for host in self._hosts:
                run(f"tc -n {host.namespace} qdisc add dev {DEVICE} root {self.how}")

    def lead(self, dialer: Host, address: str) -> str:
        return address

    def lost(self) -> int:
        shown = (run(f"tc -n {host.namespace} -s -j qdisc show dev {DEVICE}") for host in self._hosts)
        return sum(qdisc["drops"] for text in shown for qdisc in json.loads(text))

    def cut(self) -> None:
        # One end is enough: the learner has no route any more, and the game's route leads nowhere.
        run(f"ip -n {self._hosts[0].namespace} link set dev {DEVICE} down")

    def mend(self) -> None:
        run(f"ip -n {self._hosts[0].namespace} link set dev {DEVICE} up")

    def can_mend(self, _: str) -> bool:
        return True

    def can_fall_silent(self, _: str) -> bool:
        return True


class Relay:
    """Programs beside the dialers that degrade their connections: see ``bad_link.py``."""

    def __init__(self, scheme: str, is_bad: bool, why: str, stack: contextlib.ExitStack) -> None:
        self._kind = "datagrams" if scheme == "quic" else "streams"
        self._delay = DELAY if is_bad else 0.0
        # No byte of a TCP stream is ever lost, and the packets below it belong to the kernel.
        self._loss = LOSS if is_bad and self._kind == "datagrams" else 0.0
        self._programs: list[Program] = []
        self._stack = stack
        self.is_lossy = self._loss > 0
        does = f"delays {self._kind} by {DELAY * 1000:g} ms" + f" and loses {LOSS * 100:g}%" * self.is_lossy
        self.how = f"a program that {does if is_bad else 'falls silent'} ({why})"

    def lead(self, dialer: Host, address: str) -> str:
        found = re.search(r"//([\d.]+:\d+)", address)
        assert found is not None, address
        source = "import bad_link; bad_link.main()"
        program = dialer.python(source, self._kind, found[1], str(self._delay), str(self._loss))
        self._programs.append(self._stack.enter_context(program))
        return address.replace(found[1], program.find("at").split()[1])

    def lost(self) -> int:
        return sum(self._tell("lost"))

    def cut(self) -> None:
        self._tell("cut")

    def mend(self) -> None:
        self._tell("mend")

    def can_mend(self, scheme: str) -> bool:
        return scheme == "quic"

    def can_fall_silent(self, scheme: str) -> bool:
        # The kernel answers TCP's own probes, whatever the program does.
        return scheme in ("quic", "zmq", "ws")

    def _tell(self, word: str) -> list[int]:
        for program in self._programs:
            program.say(word)
        return [int(program.find("lost").split()[1]) for program in self._programs]


@contextlib.contextmanager
def link_between(hosts: Hosts, scheme: str, is_bad: bool = False) -> Iterator[Link]:
    """Yield the link for sessions over ``scheme``; a bad one is slow and loses packets."""
    with contextlib.ExitStack() as stack:
        link: Link
        try:
            link = Wire(hosts, is_bad)
        except OSError as error:
            link = Relay(scheme, is_bad, str(error), stack)
        yield link

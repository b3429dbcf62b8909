"""The table of faults, as data: what each side sees over each transport, how soon, and what continues after it.

``test_fault_table.py`` asserts it, ``failure_page.py`` shows it.
"""

from __future__ import annotations

import inject_foreign_peers
import inject_process_faults
import rlay
from fault_outcomes import (
    AFTER_TWO,
    AT_ONCE,
    AT_THE_DEADLINE,
    GOES_ON,
    GONE,
    NEVER,
    NOTHING,
    OF_SILENCE,
    Course,
    Fault,
    Logged,
    Outcome,
    Told,
    but,
    everywhere,
    raised,
    to_the_listener,
    whoever_dials,
)
from host_process import SCHEMES
from scenario import LIVENESS

CRASHED = "the process at the other end was killed or crashed"
SILENT = "nothing was heard for too long; its machine or the network is gone, or it was killed"
SILENT_ZMQ = f"nothing was heard for {LIVENESS:g}s"
WITHOUT_GOODBYE = "without a goodbye"
"""Common to the errors of a lost connection: it is a matter of chance whether its end or a notice of it comes first."""
DROPPED = "the other end dropped the channel without a goodbye"
GIVEN_UP = "the other end heard nothing for too long and gave the connection up; did this one stand still?"
# A dialer may be told that its session was given up or is unknown by now; then it dials again, and receives this.
ENDED = "the listener has ended the session"
LATE = "its answer may still come: late() fetches it, reset() drops it"
TAKEN = "address in use by another listener; close it, or choose another (port 0 takes a free one)"
MATCHING = "install matching releases of rlay"
CHECK = "check the address and port at both ends"
HTTP, TLS = "an HTTP peer on an RLay port", "a TLS peer on an RLay port"
NOT_TLS = "not a TLS peer; is its address a tls:// one?"
NO_WEBSOCKET, NOT_WSS = "asks for no WebSocket", "a TLS peer on a ws port; use wss:// at both ends"
NOT_ZMQ = "the dialer speaks no ZeroMQ"

LOCAL, TCP, ZMQ = ("unix", "shm"), ("tcp", "tls", "unix"), ("zmq", "zmq+ipc")

HOST_DIES = {
    "client": Course((
        Outcome(but("quic"), raised(rlay.ConnectionLost, says=CRASHED), GONE, AT_ONCE),
        Outcome(("quic",), raised(rlay.ConnectionLost, says=SILENT), GONE, OF_SILENCE),
    ), "another host takes its address, agents dial anew"),
    "server": Course((
        Outcome(("unix", "zmq+ipc", "shm"), raised(rlay.ConnectionLost, says=CRASHED), GONE, AT_ONCE),
        Outcome(("tcp", "tls", "zmq", "ws"), raised(rlay.ConnectionLost, says=CRASHED), GONE, AFTER_TWO),
        Outcome(("quic",), raised(rlay.ConnectionLost, says=SILENT), GONE, OF_SILENCE),
    ), "another host dials in"),
}  # fmt: skip

AGENT_DIES = (
    Outcome(but("quic"), GONE, Logged(CRASHED), AT_ONCE),
    Outcome(("quic",), GONE, Logged(SILENT), OF_SILENCE),
)


def stood_still(last: str) -> Course:
    """Return the course of a host that stands still for long; ``last`` is what it receives over QUIC in the end."""
    return Course((
        Outcome((*TCP, "shm"), NOTHING, NOTHING, GOES_ON),
        Outcome(("zmq",), raised(rlay.ConnectionLost, says=SILENT_ZMQ), Logged(WITHOUT_GOODBYE), OF_SILENCE),
        Outcome(("zmq+ipc",), raised(rlay.ConnectionLost, says=SILENT_ZMQ), Logged(DROPPED), OF_SILENCE),
        Outcome(("quic",), raised(rlay.ConnectionLost, says=SILENT), Logged(last), OF_SILENCE),
        Outcome(("ws",), raised(rlay.ConnectionLost, says=SILENT), Logged(WITHOUT_GOODBYE), OF_SILENCE),
    ), "where the agent has waited, the session goes on; the host serves the next agent")  # fmt: skip


SERVES_THE_NEXT = "the host serves the next agent"
STILL_WAITS = "the agent still waits for an environment"


def fails(name: str) -> Fault:
    return Fault(
        f"the environment raises in `{name}`",
        inject_process_faults.fail_in(name),
        whoever_dials(
            everywhere(raised(rlay.EnvError, ValueError, says=f"{name} went wrong"), NOTHING, AT_ONCE),
            "the environment is closed all the same" if name == "close" else "`reset()` and the session goes on",
        ),
    )


FAULTS = (
    Fault("the host is killed (SIGKILL) during a call", inject_process_faults.kill_host, HOST_DIES, ends_the_host=True),
    Fault("the environment calls `os._exit`", inject_process_faults.end_host, HOST_DIES, ends_the_host=True),
    Fault("the agent is killed (SIGKILL)", inject_process_faults.kill_agent, {
        "client": Course(AGENT_DIES, "its environment is closed, its permit is free"),
        "server": Course(AGENT_DIES, "its environment is closed, the host dials in to the next listener there"),
    }),
    Fault("the agent is killed while workers live that it forked", inject_process_faults.kill_parent, {
        "client": Course((
            Outcome((*TCP, "shm"), GONE, Logged(CRASHED), AT_ONCE),
            Outcome(ZMQ, GONE, Logged(SILENT_ZMQ), OF_SILENCE),
            Outcome(("quic", "ws"), GONE, Logged(SILENT), OF_SILENCE),
        ), "its environment is closed, the workers' sessions go on"),
    }),
    Fault("the host stands still for 2 s (SIGSTOP, SIGCONT)", inject_process_faults.stop_host, whoever_dials(
        everywhere(raised(rlay.Timeout, says=LATE), NOTHING, AT_THE_DEADLINE),
        "`late()` returns the answer, the session goes on",
    )),
    Fault(f"the host stands still for {inject_process_faults.LONG:g} s", inject_process_faults.stop_host_for_long,
          {"client": stood_still(GIVEN_UP), "server": stood_still(ENDED)}),
    Fault("the agent stands still for 2 s (SIGSTOP, SIGCONT)", inject_process_faults.stop_agent, whoever_dials(
        everywhere(NOTHING, NOTHING, NEVER), "the session goes on; others are served meanwhile",
    )),
    Fault("the environment cannot be made", inject_process_faults.fail_to_make, whoever_dials(
        everywhere(raised(rlay.EnvError, OSError, says="no display"), Logged("no display"), AT_ONCE),
        "its permit is free",
    )),
    *map(fails, ("reset", "step", "render", "close")),
    Fault("the environment answers after the deadline", inject_process_faults.answer_late, whoever_dials(
        everywhere(raised(rlay.Timeout, says=LATE), NOTHING, AT_THE_DEADLINE),
        "other calls are `Busy`; `late()` returns the answer, the session goes on",
    )),
    Fault("an observation of 50 MB, limit 16 MB", inject_process_faults.say_too_much, whoever_dials(
        everywhere(raised(rlay.Error, says="larger than the frame limit of 16000000; raise the frame limit at both "
                          "ends (max_frame in Python, ConnectionOptions::limits in Rust)"), NOTHING, AT_ONCE),
        "the session goes on",
    )),
    Fault("the address is taken", inject_foreign_peers.take_the_address, to_the_listener(
        (SCHEMES, GONE, raised(rlay.AddressError, says=TAKEN), AT_ONCE),
        then=("the first listener is undisturbed",) * 2,
    )),
    Fault("one dials another of its own kind", inject_foreign_peers.two_of_a_kind, {
        "client": Course(everywhere(
            GONE, raised(rlay.Incompatible, says="connect with ClientEnv, not ClientBackend"), AT_ONCE,
        ), SERVES_THE_NEXT),
        "server": Course(everywhere(
            raised(rlay.Incompatible, says="connect with ClientBackend, not ClientEnv"), GONE, AT_ONCE,
        ), STILL_WAITS),
    }),
    Fault("one of another release dials", inject_foreign_peers.another_version, to_the_listener(
        (but("quic"), Told(MATCHING), Logged(MATCHING), AT_ONCE), then=(SERVES_THE_NEXT, STILL_WAITS),
    )),
    Fault("an HTTP client dials", inject_foreign_peers.browse, to_the_listener(
        (("tcp", "unix"), GONE, Logged(HTTP), AT_ONCE),
        (("tls",), GONE, Logged(NOT_TLS), AT_ONCE),
        (("ws",), GONE, Logged(NO_WEBSOCKET), AT_ONCE),
        (ZMQ, GONE, NOTHING, NEVER),
        then=(SERVES_THE_NEXT, STILL_WAITS),
    )),
    Fault("an HTTPS client dials", inject_foreign_peers.browse_safely, to_the_listener(
        (("tcp", "unix"), GONE, Logged(TLS), AT_ONCE),
        (("tls",), GONE, Logged(HTTP), AT_ONCE),
        (("ws",), GONE, Logged(NOT_WSS), AT_ONCE),
        (ZMQ, GONE, Logged(NOT_ZMQ), AT_ONCE),
        then=(SERVES_THE_NEXT, STILL_WAITS),
    )),
    Fault("a foreign peer sends garbage", inject_foreign_peers.talk_nonsense, to_the_listener(
        (("tcp", "unix", "shm", "ws"), GONE, Logged(CHECK), AT_ONCE),
        (("tls",), GONE, Logged(NOT_TLS), AT_ONCE),
        (ZMQ, GONE, Logged(NOT_ZMQ), AT_ONCE),
        (("quic",), GONE, NOTHING, NEVER),
        then=(SERVES_THE_NEXT, STILL_WAITS),
    )),
)  # fmt: skip
"""In the order of their causes: the two sides, and then foreign peers."""

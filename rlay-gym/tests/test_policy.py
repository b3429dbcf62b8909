"""serve_policy: a process that answers every environment that dials in."""

from __future__ import annotations

from moods import Moods
from processes import Program, python, until

SERVER = """
    import logging, sys, rlay
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    def policy(observation):
        if observation[0] > float(sys.argv[1]):
            raise RuntimeError("the policy is at its wits' end")
        return 0
    rlay.serve_policy(policy, "tcp://127.0.0.1:0")
    print("ended")
    sys.stdin.readline()
    """


def serve(patience: float) -> tuple[Program, str]:
    """Start a policy server; return it and its address."""
    server = python(SERVER, str(patience))
    return server, server.find("serving the policy at").rsplit(" ", 1)[1]


def test_every_environment_that_dials_in_is_played(moods: Moods) -> None:
    server, address = serve(1000)
    with server:
        for _ in range(3):
            moods.dial(address, "moody:Short", max_sessions=1)
        until(lambda: len(moods.threads().get("step", ())) == 3, "three environments to be stepped")
        # Episode after episode: an environment ends each after three steps.
        until(lambda: moods.calls().count("reset") > 30, "thirty episodes")
        server.interrupt()
        server.find("ended")
        server.say("bye")
        assert server.wait() == 0
    moods.wait_for("close", 3)


def test_an_environment_that_leaves_or_fails_disturbs_no_other(moods: Moods) -> None:
    server, address = serve(1000)
    with server:
        moods.dial(address, "moody:Short", max_sessions=1)
        moods.dial(address, "moody:Tired", max_sessions=1)
        server.find("an environment left: too tired")
        server.find("an environment left: too tired")
        before = moods.calls().count("reset")
        until(lambda: moods.calls().count("reset") > before + 10, "the other one to go on")


def test_a_policy_that_fails_lets_its_environment_go(moods: Moods) -> None:
    server, address = serve(1)
    with server:
        moods.dial(address, "moody:Moody", max_sessions=1)
        server.find("the policy failed")
        server.find("wits' end")
        moods.wait_for("close")


def test_an_environment_that_takes_long_to_make_keeps_no_other_waiting(moods: Moods) -> None:
    server, address = serve(1000)
    with server:
        moods.dial(address, "moody:hesitant", max_sessions=1)
        moods.wait_for("hesitate")
        moods.dial(address, "moody:Short", max_sessions=1)
        until(lambda: moods.calls().count("reset") > 10, "the other one to be played")
        moods.release()
        moods.wait_for("make", 2)


def test_nobody_is_played_after_ctrl_c(moods: Moods) -> None:
    server, address = serve(1000)
    with server:
        moods.dial(address, "moody:Short", max_sessions=1, connect_timeout=1.0)
        moods.wait_for("step")
        server.interrupt()
        server.find("ended")
        # The process is alive, but has closed its environment and given its port back.
        moods.wait_for("close")
        assert moods.serve(address=address) == address

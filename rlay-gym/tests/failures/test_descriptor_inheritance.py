"""A forked child has every descriptor that its parent has, whatever endpoints the parent has closed and kept."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

from host_process import SCHEMES
from processes import python

PRELUDE = """
    import os, subprocess, sys, threading, warnings
    import scripted_env, rlay
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork in a process with threads

    def named():
        "What every descriptor of this process names, but for that of the folder they are listed by."
        found = {}
        for number in os.listdir("/proc/self/fd"):
            try:
                found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
            except FileNotFoundError:
                pass
        return found

    def settle():
        "Wait until nothing closes any more: what is closed is not always closed by the thread that asks for it."
        while (now := named()) != (threading.Event().wait(0.3) or named()):
            pass

    def in_a_child(body):
        "Return what ``body`` returns in a forked child, as text."
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                said = repr(body())
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writer, said.encode())
            os._exit(0)
        os.close(writer)
        with open(reader) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said

    def fork_and_compare():
        "Say what is missing in a child, or is another, of what is not the endpoints' own."
        expected = {n: was for n, was in named().items() if n not in own}
        lacking = in_a_child(lambda: {n: (was, named().get(n)) for n, was in expected.items() if named().get(n) != was})
        print("lacking", lacking, flush=True)
    """

KINDS = {
    "ServerBackend": """
        host = rlay.ServerBackend(scripted_env.ScriptedEnv, address)
        host.close()
        """,
    "ServerBackend that served": """
        host = rlay.ServerBackend(scripted_env.ScriptedEnv, address).start()
        env = rlay.ClientEnv(host.address)
        env.reset()
        env.close()
        host.close()
        """,
    "ServerBackend whose agent stays": """
        host = rlay.ServerBackend(scripted_env.ScriptedEnv, address).start()
        env = rlay.ClientEnv(host.address)
        env.reset()
        host.close()
        try:
            env.step(0)
        except rlay.ConnectionLost:
            pass
        env.close()
        """,
    "ServerEnv": """
        env = rlay.ServerEnv(address)
        env.close()
        """,
    "ServerEnv that played": """
        env = rlay.ServerEnv(address)
        host = rlay.ClientBackend(scripted_env.ScriptedEnv, env.address).start()
        env.reset()
        env.close()
        host.close()
        """,
    "ClientBackend that is polled": """
        env = rlay.ServerEnv(address)
        host = rlay.ClientBackend(scripted_env.ScriptedEnv(), env.address)
        agent = threading.Thread(target=env.reset)
        agent.start()
        while host.turn(0.1) is None:
            pass
        host.reply(scripted_env.np.array([0]))
        agent.join()
        env.close()
        host.close()
        """,
}

LAUNCH = """
    game = "import scripted_env, rlay; rlay.ClientBackend(scripted_env.ScriptedEnv).run()"
    env = rlay.launch([sys.executable, "-c", game], connect_timeout=60.0)
    env.reset()
    env.close()
    """

AFTERWARDS = """
    settle()
    own = named().keys() - before.keys()
    # Numbers that were the endpoints' name something else now.
    others = [os.pipe() for _ in range(64)]
    fork_and_compare()
    # Once more, and in a child of a child.
    fork_and_compare()
    print("nested", in_a_child(lambda: fork_and_compare() or sys.stdout.flush()), flush=True)
    """


def source(*parts: str) -> str:
    """Join parts of a program, each with an indentation of its own."""
    return "\n".join(textwrap.dedent(part) for part in parts)


WARM_UP = """
    address, kept = sys.argv[1], []
    # Whatever is opened once for the process is open before anything is counted.
    with rlay.ServerBackend(scripted_env.ScriptedEnv) as warm:
        rlay.ClientEnv(warm.address).close()
    settle()
    before = named()
    """


KEEP = """
    kept.append((globals().pop("host", None), globals().pop("env", None)))
    """


@pytest.mark.parametrize("scheme", SCHEMES)
def test_closed_and_kept(scheme: str, fresh: Callable[[str], str]) -> None:
    every = [part for kind in KINDS.values() for part in (kind, KEEP)]
    with python(source(PRELUDE, WARM_UP, *every, AFTERWARDS), fresh(scheme)) as program:
        assert [program.line() for _ in range(4)] == ["lacking {}"] * 3 + ["nested None"]
        assert program.wait() == 0


def test_a_launched_program(fresh: Callable[[str], str]) -> None:
    with python(source(PRELUDE, WARM_UP, LAUNCH, AFTERWARDS), fresh("tcp")) as program:
        assert [program.line() for _ in range(4)] == ["lacking {}"] * 3 + ["nested None"]
        assert program.wait() == 0


USES = {
    "AsyncVectorEnv": """
        import gymnasium as gym
        envs = gym.make_vec("CartPole-v1", 2, vectorization_mode="async")
        envs.reset(seed=1)
        print(envs.step(envs.action_space.sample())[0].shape)
        envs.close()
        """,
    "subprocess": """
        print(subprocess.run(["true"], preexec_fn=lambda: None).returncode)
        """,
    "multiprocessing": """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(abs, [-1, 2]))
        """,
}
EXPECTED = {"AsyncVectorEnv": "(2, 4)", "subprocess": "0", "multiprocessing": "[1, 2]"}


@pytest.mark.gymnasium
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["ServerBackend that served", "ServerEnv that played"])
def test_what_people_fork_for(kind: str, use: str, fresh: Callable[[str], str]) -> None:
    twice = USES[use] * 2
    with python(source(PRELUDE, WARM_UP, KINDS[kind], twice), fresh("tcp")) as program:
        assert [program.line() for _ in range(2)] == [EXPECTED[use]] * 2
        assert program.wait() == 0

"""The command ``rlay``: what the binary of the crate rlay-cli does, and the hosting of Python's environments."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

from rlay import _rlay
from rlay._backends import ClientBackend, ServerBackend
from rlay.errors import AddressError, Error

_USAGE, _NO_SESSION = 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 good, 1 a check failed, 2 usage, 3 no session with the peer."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["serve"]:
        return _serve(given[1:])
    # The native half waits without running Python's handlers.
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _rlay.run_command(["rlay", *given])


def _serve(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="rlay serve", description="Host environments for agents until Ctrl-C, or until no agent is found any more."
    )
    parser.add_argument(
        "env",
        nargs="+",
        metavar="ENV",
        help="an environment id such as CartPole-v1, or module:Class; of several, agents name one by env_id=",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--address", default="tcp://127.0.0.1:0", help="where to listen (a free port of this machine)")
    where.add_argument("--dial", metavar="ADDRESS", help="dial an agent that listens there, instead")
    parser.add_argument("--num-envs", type=int, default=1024, metavar="N", help="most environments of one session")
    parser.add_argument("--max-sessions", type=int, metavar="N", help="most sessions at a time")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the token, instead of RLAY_TOKEN")
    parser.add_argument(
        "--ready-fd", type=int, metavar="FD", help="write the address and a newline to this descriptor, and close it"
    )
    try:
        chosen = parser.parse_args(given)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _USAGE
    try:
        token = None if chosen.token_file is None else chosen.token_file.read_text().rstrip("\r\n")
        envs = {name: _found(name) for name in chosen.env}
        env = next(iter(envs.values())) if len(envs) == 1 else envs
        options = {"max_sessions": chosen.max_sessions, "max_slots": chosen.num_envs, "token": token}
        host: Any
        if chosen.dial is None:
            host = ServerBackend(env, chosen.address, **options)
        else:
            host = ClientBackend(env, chosen.dial, **options)
        print(f"{'serving at' if chosen.dial is None else 'dialing'} {host.address}", flush=True)
        if chosen.ready_fd is not None:
            with os.fdopen(chosen.ready_fd, "w") as ready:
                ready.write(f"{host.address}\n")
    except (AddressError, AttributeError, ImportError, OSError, TypeError, ValueError, gym.error.Error) as error:
        print(f"rlay serve: {error}", file=sys.stderr)
        return _USAGE
    except Error as error:
        print(f"rlay serve: {error}", file=sys.stderr)
        return _NO_SESSION
    try:
        host.run()
    except Error as error:
        print(f"rlay serve: {error}", file=sys.stderr)
        return _NO_SESSION
    return 0


def _found(name: str) -> Any:
    """Return the class or function that ``module:Name`` names, or the environment id."""
    module, colon, attribute = name.partition(":")
    if not colon or not attribute.isidentifier():
        return name
    # The console script has its own folder on the path, and not the one that it was started in.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    # An id may begin with a module, too: module:Name-v0.
    return getattr(importlib.import_module(module), attribute)

"""Runs Python programs in forks of an interpreter that has imported Gymnasium, for tests start hundreds of them.

As a script it is that interpreter, which `Forker` starts: for each request it forks, and the fork takes the streams,
arguments and environment that it was given, runs the program as ``python -c`` would, and ends as an interpreter ends.
"""

import json
import os
import signal
import socket
import sys

MOST = 1 << 17
"""The longest request in bytes: a program and its environment."""


def next_program(requests: socket.socket) -> str:
    """Answer requests; return the source of a program in the fork that is to run it."""
    while True:
        message, streams, _, _ = socket.recv_fds(requests, MOST, 3)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if "ended" in request:
            _, status = os.waitpid(request["ended"], 0)
            requests.send(b"%d" % os.waitstatus_to_exitcode(status))
            continue
        if pid := os.fork():
            for stream in streams:
                os.close(stream)
            requests.send(b"%d" % pid)
            continue
        requests.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        sys.argv = ["-c", *request["arguments"]]
        sys.path[0] = ""
        return request["source"]


if __name__ == "__main__":
    import gymnasium  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = compile(next_program(socket.socket(fileno=int(sys.argv[1]))), "<string>", "exec")
    # What a program finds in its namespace is as with ``python -c``.
    del __file__, MOST, gymnasium, json, next_program, os, signal, socket, sys
    exec(globals().pop("program"))

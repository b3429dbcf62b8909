"""A host without descriptors says so, at both ends, and serves again once it has some."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import rlay
from conftest import quietly_close
from processes import WAIT, python
from test_words import reads

HOST = """
    import logging, resource, sys, threading
    import moody, rlay
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    host = rlay.ServerBackend(moody.Moody, sys.argv[1], max_sessions=1000).start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    print(host.address, flush=True)
    sys.stdin.read()
    """


@pytest.mark.parametrize("scheme", ["tcp", "tls", "unix", "shm"])
def test_descriptors_run_out(scheme: str, fresh: Callable[[str], str]) -> None:
    with python(HOST, fresh(scheme)) as host:
        address, agents = host.line(), []
        try:
            with pytest.raises(rlay.Busy) as caught:
                for _ in range(100):
                    agents.append(rlay.ClientEnv(address, connect_timeout=2.0))
            reads(caught.value, "no connection to …no descriptors are left (…)…", "raise the limit of open files")
            assert "no descriptors are left" in host.find("descriptors")
            assert all(env.reset()[0] == [0] for env in agents), "what is open goes on"
        finally:
            for env in agents:
                quietly_close(env)
        again = rlay.ClientEnv(address, connect_timeout=WAIT)
        assert again.reset()[0] == [0]
        again.close()

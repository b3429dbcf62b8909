"""serve_policy: a policy that answers every environment that dials in."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from rlay._envs import ServerEnv
from rlay._options import shown
from rlay._threads import Threads
from rlay.errors import Error, Timeout

logger = logging.getLogger("rlay")


def serve_policy(
    policy: Callable[[Any], Any],
    address: str,
    *,
    token: str | None = None,
    max_frame: int | None = None,
    max_sessions: int = 4096,
) -> None:
    """Listen at ``address`` and play episode after episode with every environment that dials in.

    Each environment has a thread of its own, so ``policy`` may be called from several at once.
    Runs until Ctrl-C. The address that was bound is logged at level INFO to the logger ``rlay``.

    Args:
        policy: Called as ``policy(observation)``; returns an action.
        address: Where to listen, such as ``tcp://127.0.0.1:5005``.
        token: A secret that both ends must have; None takes the environment variable ``RLAY_TOKEN``, if set.
        max_frame: Longest frame in bytes, from 64 KiB on: room for the largest observation or action, and a bound on
            what a peer can make this process hold. The smaller one of both ends counts. None: 64 MiB.
        max_sessions: Most environments at a time.
    """
    if not callable(policy):
        raise TypeError(f"{shown('policy', policy)}: give a function of an observation that returns an action")
    holder = ServerEnv(address, token=token, max_frame=max_frame, max_sessions=max_sessions)
    listener = holder._listener
    assert listener is not None, "it is open"
    logger.info("serving the policy at %s", holder.address)
    stop = threading.Event()
    threads = Threads("rlay-policy")
    try:
        while True:
            try:
                session = listener.next(1.0)
            except Timeout:
                continue
            if session is None:
                return
            env = ServerEnv(holder.address, token=token, max_frame=max_frame)
            env._session = session
            threads.start(_play, policy, env, stop)
    except KeyboardInterrupt:
        return
    finally:
        asked = time.monotonic()
        stop.set()
        holder.close()
        threads.join(asked)


def _play(policy: Callable[[Any], Any], env: ServerEnv, stop: threading.Event) -> None:
    try:
        done = True
        while not stop.is_set():
            if done:
                observation, _ = env.reset()
            observation, _, terminated, truncated, _ = env.step(policy(observation))
            done = terminated or truncated
    except Error as error:
        logger.info("an environment left: %s", error)
    except Exception:
        logger.exception("the policy failed; its environment is let go")
    finally:
        with contextlib.suppress(Error):
            env.close()

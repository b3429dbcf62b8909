"""serve_policy: a policy that answers every environment that dials in."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from rlay import _rlay
from rlay._envs import ServerEnv
from rlay._log import logger
from rlay._options import shown
from rlay._threads import Threads
from rlay.errors import Closed, ConnectionLost, EnvError, Error, Timeout


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
    Runs until Ctrl-C. The logger ``rlay`` receives, at level INFO, the address that was bound, each environment that
    joins, and each that leaves with its number of steps; at level WARNING, once for each reason and machine, why an
    environment was not played. Where the policy raises, the session ends and the environment is told why; the
    traceback is logged once for each place where the policy raises.

    Args:
        policy: Called as ``policy(observation)``; returns an action.
        address: Where to listen, such as ``tcp://127.0.0.1:5005``.
        token: A secret that both ends must have, with eight visible characters or more; None takes the environment
            variable ``RLAY_TOKEN``, if set.
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
    history = _rlay.History()
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
            threads.start(_play, policy, env, session.peer or holder.address, history, stop)
    except KeyboardInterrupt:
        return
    finally:
        asked = time.monotonic()
        stop.set()
        holder.close()
        threads.join(asked)


class _PolicyError(Error):
    """The policy raised."""


def _play(
    policy: Callable[[Any], Any], env: ServerEnv, peer: str, history: _rlay.History, stop: threading.Event
) -> None:
    steps = episodes = 0
    try:
        agent = env._connect()
        logger.info("%s: an environment joined", peer)
        try:
            done = True
            while not stop.is_set():
                if done:
                    observation, _ = env.reset()
                    episodes += 1
                observation, _, terminated, truncated, _ = env.step(_act(policy, observation, history))
                steps += 1
                done = terminated or truncated
        except Error as error:
            # Tells the host why the session ends.
            agent.leave(_text(error))
            raise
    except Error as error:
        _tell_end(peer, (steps, episodes), error, history)
    finally:
        with contextlib.suppress(Error):
            env.close()


def _act(policy: Callable[[Any], Any], observation: Any, history: _rlay.History) -> Any:
    try:
        return policy(observation)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        times = history.count(f"{type(error).__qualname__} in {place.filename}, line {place.lineno}")
        if times == 1:
            logger.exception("the policy failed; its environment is let go")
        elif times is not None:
            logger.error("the policy failed (%d times so far): %r", times, error)
        raise _PolicyError(f"the policy failed: {type(error).__qualname__}: {error}") from error


def _tell_end(peer: str, played: tuple[int, int], error: Error, history: _rlay.History) -> None:
    steps, episodes = played
    if steps == 0 and not isinstance(error, _PolicyError):
        if line := history.line(peer, f"the environment was not played: {_text(error)}"):
            logger.warning("%s", line)
        return
    # Each host is told why. A failure is logged as a warning once; a game that leaves is no warning, and the policy's
    # error was logged already.
    is_wrong = not isinstance(error, Closed | ConnectionLost | _PolicyError)
    is_news = is_wrong and history.line(peer, _text(error)) is not None
    level = logging.WARNING if is_news else logging.INFO
    stay = f"{_count(steps, 'step')} in {_count(episodes, 'episode')}"
    logger.log(level, "%s: the environment left after %s: %s", peer, stay, _text(error))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _text(error: Error) -> str:
    return _rlay.sentence(f"{error.remote_type}: {error}" if isinstance(error, EnvError) else str(error))

"""serve_policy: a policy that answers every environment that dials in."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from rlay._envs import ServerEnv
from rlay.errors import Closed, Error, Timeout

logger = logging.getLogger("rlay")


def serve_policy(policy: Callable[[Any], Any], address: str) -> None:
    """Listen at ``address`` and play episode after episode with every environment that dials in.

    Each environment has a thread of its own, so ``policy`` may be called from several at once.
    Runs until Ctrl-C. The address that was bound is logged at level INFO to the logger ``rlay``.

    Args:
        policy: Called as ``policy(observation)``; returns an action.
        address: Where to listen, such as ``tcp://127.0.0.1:5005``.
    """
    threads: list[threading.Thread] = []
    holder = ServerEnv(address, connect_timeout=1.0)
    logger.info("serving the policy at %s", holder.address)
    try:
        while True:
            env = ServerEnv(holder.address, connect_timeout=1.0)
            try:
                env._connect()
            except Timeout:
                env.close()
                continue
            except Error as error:
                logger.warning("an environment was not taken: %s", error)
                env.close()
                continue
            thread = threading.Thread(target=_play, args=(policy, env), daemon=True, name="rlay-policy")
            threads = [known for known in threads if known.is_alive()] + [thread]
            thread.start()
    except (KeyboardInterrupt, Closed):
        return
    finally:
        holder.close()


def _play(policy: Callable[[Any], Any], env: ServerEnv) -> None:
    try:
        while True:
            observation, _ = env.reset()
            done = False
            while not done:
                observation, _, terminated, truncated, _ = env.step(policy(observation))
                done = terminated or truncated
    except Error as error:
        logger.info("an environment left: %s", error)
    except Exception:
        logger.exception("the policy failed; its environment is let go")
    finally:
        with contextlib.suppress(Error):
            env.close()

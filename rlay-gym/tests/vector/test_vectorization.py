"""A backend makes several environments in the ways of ``gym.make_vec``, and hosts vectors of EnvPool's shape."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import rlay
from equal import difference
from processes import Program, python, until
from rlay import _hosting
from rlay._remote_vector_env import AutoresetMode

NUMBER = 3


class Worker(gym.Env[Any, Any]):
    """Tells its process, and fails at action 1."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1), {"pid": os.getpid()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action == 1:
            raise ValueError("it was action 1")
        return np.ones(1), 0.0, False, False, {}


def is_alive(pid: int) -> bool:
    """Whether there is a process that is no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def assert_end(pids: list[int]) -> None:
    until(lambda: not any(is_alive(pid) for pid in pids), "the worker processes to end")


def play(envs: Any, local: Any, steps: int) -> int:
    """Compare two vectors, and return how many episodes have ended."""
    local.action_space.seed(1)
    ended = 0
    assert (how := difference(local.reset(seed=3), envs.reset(seed=3))) is None, how
    for _ in range(steps):
        actions = local.action_space.sample()
        theirs = local.step(actions)
        assert (how := difference(theirs, envs.step(actions))) is None, how
        ended += int(np.sum(theirs[2] | theirs[3]))
    return ended


@pytest.mark.parametrize("source", ["id", "function"])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_rows_are_those_of_a_sync_vector(source: str, vectorization: str) -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.make("CartPole-v1", disable_env_checker=True)

    env: Any = "CartPole-v1" if source == "id" else make
    with (
        rlay.ServerBackend(env, vectorization=vectorization) as host,
        rlay.ClientVectorEnv(host.address, num_envs=NUMBER) as envs,
    ):
        assert play(envs, SyncVectorEnv([make] * NUMBER), 100) > 5
        assert repr(envs).startswith("ClientVectorEnv<CartPole-v1>")


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_an_async_vector_in_other_modes(mode: str) -> None:
    make = [lambda: gym.make("Blackjack-v1", disable_env_checker=True)] * NUMBER
    local = SyncVectorEnv(make, autoreset_mode=AutoresetMode(mode))
    source = lambda: AsyncVectorEnv(make, autoreset_mode=AutoresetMode(mode))  # noqa: E731
    with (
        rlay.ServerBackend(source) as host,
        rlay.ClientVectorEnv(host.address, num_envs=NUMBER, autoreset_mode=mode) as envs,
    ):
        local.action_space.seed(1)
        assert difference(_listed(local.reset(seed=3)), _listed(envs.reset(seed=3))) is None
        for _ in range(60):
            actions = local.action_space.sample()
            theirs = local.step(actions)
            assert (how := difference(_listed(theirs), _listed(envs.step(actions)))) is None, how
            ended = theirs[2] | theirs[3]
            if mode == "Disabled" and ended.any():
                ours = envs.reset(options={"reset_mask": ended.copy()})
                assert difference(local.reset(options={"reset_mask": ended.copy()}), ours) is None


def _listed(x: Any) -> Any:
    """Return ``x`` with lists in place of arrays of objects."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return [_listed(item) for item in x.tolist()]
    if isinstance(x, dict):
        return {key: _listed(value) for key, value in x.items()}
    return tuple(_listed(item) for item in x) if isinstance(x, tuple) else x


def test_the_vector_entry_point() -> None:
    local = gym.make_vec("CartPole-v1", 16, "vector_entry_point")
    with (
        rlay.ServerBackend("CartPole-v1", vectorization=gym.VectorizeMode.VECTOR_ENTRY_POINT) as host,
        rlay.ClientVectorEnv(host.address, num_envs=16) as envs,
        rlay.ClientEnv(host.address) as single,
    ):
        observations, _ = envs.reset(seed=3)
        np.testing.assert_array_equal(observations, local.reset(seed=3)[0])
        for _ in range(50):
            actions = local.action_space.sample()
            np.testing.assert_equal(envs.step(actions), local.step(actions))
        assert single.reset(seed=3)[0] in single.observation_space, "one alone is made as such"


def test_what_is_made_of_an_id() -> None:
    """Single environments, unless the host says otherwise or there is nothing but a vector."""

    def made(source: Any, vectorization: str | None, slots: int, mode: str | None) -> Any:
        env, *_, own, several = _hosting.maker(source, vectorization)(None, None, {}, slots, mode)
        assert own and (several is None or several == (slots, mode or "NextStep"))
        env.close()
        return env.unwrapped

    assert isinstance(made("CartPole-v1", "vector_entry_point", 4, "NextStep"), CartPoleVectorEnv)
    assert isinstance(made("CartPole-v1", None, 4, "NextStep"), CartPoleEnv)
    assert isinstance(made("CartPole-v1", None, 1, "NextStep"), CartPoleEnv)
    assert isinstance(made("CartPole-v1", "sync", 4, "NextStep"), CartPoleEnv)
    assert not isinstance(made("FrozenLake-v1", None, 4, "NextStep"), gym.vector.VectorEnv)
    for mode in ("NextStep", "SameStep", "Disabled"):
        assert isinstance(made("FrozenLake-v1", "async", 2, mode), AsyncVectorEnv)

    def takes_mode(num_envs: int, autoreset_mode: str) -> Any:
        make = [lambda: gym.make("FrozenLake-v1", disable_env_checker=True)] * num_envs
        return SyncVectorEnv(make, autoreset_mode=AutoresetMode(autoreset_mode))

    assert isinstance(made(takes_mode, None, 2, "SameStep"), SyncVectorEnv)


def test_what_cannot_be() -> None:
    def vectors(num_envs: int) -> Any:
        return SyncVectorEnv([lambda: gym.make("CartPole-v1")] * num_envs)

    refused: list[tuple[Any, Any, type[Exception], str]] = [
        (
            "CartPole-v1",
            "threads",
            ValueError,
            "vectorization='threads': choose one of sync, async, vector_entry_point",
        ),
        ("FrozenLake-v1", "vector_entry_point", ValueError, "has no vector entry point; choose 'sync' or 'async'"),
        (gym.make("FrozenLake-v1"), "sync", TypeError, "made already is hosted as it is; leave vectorization out"),
        (vectors(2), "async", TypeError, "made already is hosted as it is; leave vectorization out"),
        (vectors, "async", TypeError, "takes num_envs makes the vector itself; leave vectorization out"),
        (Worker, "vector_entry_point", ValueError, "only an id or EnvSpec has such; choose 'sync' or 'async'"),
        ({"a": "FrozenLake-v1"}, "vector_entry_point", ValueError, "FrozenLake-v1 has no vector entry point"),
    ]
    for source, vectorization, error, text in refused:
        with pytest.raises(error, match=text):
            rlay.ServerBackend(source, vectorization=vectorization)


HOST = """
    import os, sys
    import gymnasium as gym
    import numpy as np
    import rlay

    class Worker(gym.Env):
        observation_space = gym.spaces.Box(0, 100, (1,), np.float64)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return np.zeros(1), {"pid": os.getpid()}

        def step(self, action):
            return np.ones(1), 0.0, False, False, {}

    backend = rlay.ServerBackend(Worker, sys.argv[1], vectorization="async")
    print("ready", flush=True)
    backend.run()
    """

AGENT = """
    import sys, time
    import numpy as np
    import rlay

    envs = rlay.ClientVectorEnv(sys.argv[1], num_envs=3)
    print(*envs.reset()[1]["pid"].tolist(), flush=True)
    while True:
        envs.step(np.zeros(3, np.int64))
    """


@pytest.fixture
def playing(tmp_path: Path) -> Iterator[tuple[Program, Program, list[int]]]:
    """A host, an agent that steps without end, and the processes of three environments."""
    address = f"unix://{tmp_path}/host"
    with python(HOST, address) as host:
        host.find("ready")
        with python(AGENT, address) as agent:
            pids = [int(pid) for pid in agent.line().split()]
            assert len({*pids, host.pid, agent.pid}) == 5 and all(is_alive(pid) for pid in pids)
            yield host, agent, pids


@pytest.mark.parametrize("end", ["agent killed", "host killed", "host interrupted", "all interrupted"])
def test_processes_end_with_the_session(playing: tuple[Program, Program, list[int]], end: str) -> None:
    host, agent, pids = playing
    if end == "agent killed":
        agent.kill()
    elif end == "host killed":
        host.kill()
    elif end == "host interrupted":
        host.interrupt()
    else:
        # As Ctrl-C in a terminal does.
        for pid in (*pids, host.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
    assert_end(pids)
    if "interrupted" in end:
        assert host.wait() == 0
    elif end == "agent killed":
        assert is_alive(host.pid), "the host serves others"


def test_an_environment_that_fails() -> None:
    """Gymnasium ends its process; the agent learns of the exception and makes new ones."""
    with rlay.ServerBackend(Worker, vectorization="async") as host:
        envs = rlay.ClientVectorEnv(host.address, num_envs=NUMBER)
        pids = envs.reset()[1]["pid"].tolist()
        with pytest.raises(ValueError, match="it was action 1"):
            envs.step(np.array([0, 1, 0]))
        for _ in range(2):
            with pytest.raises(rlay.EnvError, match="has failed before.*make new environments"):
                envs.step(np.array([0, 0, 0]))
        envs.close()
        assert_end(pids)
        with rlay.ClientVectorEnv(host.address, num_envs=NUMBER) as again:
            again.reset()
            assert again.step(np.array([0, 0, 0]))[0].tolist() == [[1], [1], [1]]


def test_a_process_that_is_killed() -> None:
    with rlay.ServerBackend(Worker, vectorization="async") as host:
        envs = rlay.ClientVectorEnv(host.address, num_envs=NUMBER)
        pids = envs.reset()[1]["pid"].tolist()
        os.kill(pids[1], signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(rlay.EnvError, match="env slot 1 with exit code -9; make new environments"):
                envs.step(np.array([0, 0, 0]))
        envs.close()
        assert_end(pids)


class Pool(gym.vector.VectorEnv[Any, Any, Any], gym.Env[Any, Any]):  # type: ignore[misc]
    """Has the shape of EnvPool's environments.

    Its spaces are those of one environment, as is what it renders; it has seeds of its own, no other options than
    ``reset_mask``, and answers a partial reset with the rows of that alone.
    """

    metadata = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}
    observation_space = single_observation_space = gym.spaces.Dict(
        {"at": gym.spaces.Box(0, 100, (2,), np.float32), "kind": gym.spaces.Discrete(4)}
    )
    action_space = single_action_space = gym.spaces.Discrete(2)
    spec: Any = object()

    def __init__(self, num_envs: int, batch_size: int | None = None) -> None:
        self.num_envs, self.batch_size = num_envs, batch_size or num_envs
        self.render_mode = "rgb_array"
        self.count = np.zeros(num_envs, np.int32)
        self.done = np.zeros(num_envs, np.bool_)

    def rows(self, ids: Any) -> tuple[Any, dict[str, Any]]:
        at = np.stack([ids, self.count[ids]], axis=1).astype(np.float32)
        ids = ids.astype(np.int32)
        return {"at": at, "kind": self.count[ids] % 4}, {"env_id": ids, "players": {"env_id": ids}}

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            warnings.warn("reset(seed=...) is ignored", stacklevel=2)
        if unknown := set(options or {}) - {"reset_mask"}:
            raise ValueError(f"Unsupported reset options: {sorted(unknown)}")
        ids = np.flatnonzero((options or {}).get("reset_mask", np.ones(self.num_envs)))
        self.count[ids], self.done[ids] = 0, False
        return self.rows(ids)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        assert isinstance(actions, np.ndarray) and actions.shape == (self.num_envs,)
        was_done = self.done
        self.count = np.where(was_done, 0, self.count + 1 + actions).astype(np.int32)
        self.done = self.count > 5
        ids = np.arange(self.batch_size)
        observations, infos = self.rows(ids)
        rewards = np.where(was_done, 0, actions).astype(np.float32)[ids]
        return observations, rewards, self.done[ids], np.zeros(len(ids), np.bool_), infos

    def render(self, env_ids: Any = None) -> Any:
        return np.stack([np.full((2, 2, 3), env_id, np.uint8) for env_id in ([0] if env_ids is None else env_ids)])


@pytest.mark.parametrize("how", ["instance", "function"])
def test_a_pool(how: str) -> None:
    local = Pool(5)
    with (
        rlay.ServerBackend(Pool(5) if how == "instance" else Pool) as host,
        rlay.ClientVectorEnv(host.address, num_envs=5, render_mode="rgb_array" if how == "instance" else None) as envs,
    ):
        assert envs.single_observation_space == local.observation_space
        assert envs.action_space == gym.spaces.MultiDiscrete([2] * 5)
        ours, theirs = envs.reset(), local.reset()
        ended = 0
        envs.action_space.seed(1)
        for step in range(60):
            for key, column in theirs[0].items():
                np.testing.assert_array_equal(ours[0][key], column)
            for key in ("env_id", "players"):
                np.testing.assert_equal(_unmasked(ours[-1])[key], theirs[-1][key])
            if len(theirs) == 5:
                np.testing.assert_equal(ours[1:4], theirs[1:4])
                ended += int(theirs[2].sum())
            actions = envs.action_space.sample()
            ours, theirs = envs.step(actions), local.step(actions)
            if step % 10 == 7:
                mask = actions == 1
                mask[0] = True
                partly, partly_theirs = (
                    envs.reset(options={"reset_mask": mask.copy()}),
                    local.reset(options={"reset_mask": mask.copy()}),
                )
                np.testing.assert_array_equal(partly[0]["at"][mask], partly_theirs[0]["at"])
                np.testing.assert_array_equal(partly[0]["at"][~mask], ours[0]["at"][~mask])
                np.testing.assert_array_equal(partly[1]["env_id"][mask], partly_theirs[1]["env_id"])
                ours, theirs = envs.step(actions), local.step(actions)
        assert ended > 10
        if how == "instance":
            frames = envs.render()
            assert frames is not None and [int(frame[0, 0, 0]) for frame in frames] == [0, 1, 2, 3, 4]
        with pytest.warns(UserWarning, match="is ignored"):
            envs.reset(seed=3)
        with pytest.raises(ValueError, match="Unsupported reset options"):
            envs.reset(options={"level": 2})


def _unmasked(infos: dict[str, Any]) -> dict[str, Any]:
    """Return infos without the masks, which are all true."""
    for key, values in infos.items():
        assert not key.startswith("_") or values.all()
    every = {key: values for key, values in infos.items() if not key.startswith("_")}
    return {key: _unmasked(values) if isinstance(values, dict) else values for key, values in every.items()}


def test_a_pool_that_steps_some_at_a_time() -> None:
    with rlay.ServerBackend(Pool(4, batch_size=2)) as host, rlay.ClientVectorEnv(host.address) as envs:
        envs.reset()
        with pytest.raises(ValueError, match="2 rewards for 4 environments; only vectors that step all at once"):
            envs.step(np.zeros(4, np.int64))

"""A vector environment over the nodes of a Ray cluster, one of which is killed; and RLlib's environment runners."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray

import rlay
import rlay.ray
from processes import until
from readme_programs import TRAIN_ON_MANY, program

EPISODE = 20
"""Steps of an episode."""
PATIENCE = 300.0
"""Bounds what Ray takes to notice a loss and to start an actor, in seconds."""


def counter() -> Any:
    """Return the class of an environment that counts its steps and episodes; Ray sends it by value."""

    class Counter(gym.Env[Any, Any]):
        observation_space = gym.spaces.Box(0, np.inf, (3,), np.float64)
        action_space = gym.spaces.Discrete(2)
        episode = 0

        def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.count, self.episode = 0, self.episode + 1
            return self.observation(), {}

        def observation(self) -> Any:
            return np.array([self.count, self.episode, os.getpid()], np.float64)

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.count += 1
            return self.observation(), float(action), self.count >= 20, False, {}

    return Counter


class Learner:
    """Takes transitions as a learner does that knows next-step autoreset, and nothing of lost environments."""

    def __init__(self, envs: rlay.RemoteVectorEnv) -> None:
        self.envs, self.transitions = envs, 0
        self.observations, _ = envs.reset(seed=1)
        self.ended = np.zeros(envs.num_envs, dtype=np.bool_)
        self.rng = np.random.default_rng(1)

    def step(self) -> dict[str, Any]:
        before, ended_before = self.observations, self.ended
        actions = self.rng.integers(0, 2, self.envs.num_envs)
        self.observations, rewards, terminations, truncations, infos = self.envs.step(actions)
        self.ended = terminations | truncations
        for slot in np.flatnonzero(~ended_before & ~truncations):
            assert self.observations[slot, 0] == before[slot, 0] + 1, "each step counts one"
            assert self.observations[slot, 1:].tolist() == before[slot, 1:].tolist(), "an episode is of one environment"
            assert rewards[slot] == actions[slot], "the reward is that of the action"
            assert terminations[slot] == (self.observations[slot, 0] == EPISODE)
            self.transitions += 1
        return infos


def test_a_node_is_killed_while_a_learner_trains(cluster: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rlay")
    envs = rlay.ray.make_vec(counter(), 24, envs_per_actor=4, on_loss="truncate", connect_timeout=PATIENCE)
    try:
        learner = Learner(envs)
        processes = set(learner.observations[:, 2])
        assert len(processes) == len(envs.actors) == 6
        for _ in range(500):
            learner.step()
        nodes = {actor["Address"]["NodeID"] for actor in _actors()}
        assert len(nodes) == 3, "the actors are spread"
        cluster.remove_node(cluster.list_all_nodes()[2], allow_graceful=False)
        until(lambda: learner.step().get("vacant") is not None, "the loss", PATIENCE)
        lost = int(envs.vacant.sum())
        steps = until(lambda: not (learner.step(), envs.vacant.any())[1] and 1, "Ray's replacement", PATIENCE)
        for _ in range(500 * steps):
            learner.step()
        assert learner.transitions > 24 * 900
        assert len(set(learner.observations[:, 2]) - processes) == 2, "two actors run elsewhere"
        assert lost in (4, 8)
    finally:
        envs.close()
    said = [record.getMessage() for record in caplog.records]
    gone = [text for text in said if "are lost, and Ray starts others" in text]
    back = [text for text in said if "are replaced" in text]
    assert gone and back and all("env slots [" in text for text in (*gone, *back)), said
    token = str(envs._options.token)
    assert len(token) > 30 and not any(token in text for text in said)
    for log in Path(ray._private.worker._global_node.get_logs_dir_path()).rglob("*"):
        assert not log.is_file() or token.encode() not in log.read_bytes(), log
    until(lambda: not _actors(), "the actors to end", PATIENCE)


def _actors() -> list[Any]:
    """Return what Ray's control store knows of the actors that are alive."""
    return [actor for actor in ray._private.state.actors().values() if actor["State"] == "ALIVE"]


@pytest.mark.parametrize("address", [None, "tls://127.0.0.1:0"])
def test_rows_are_those_of_a_local_vector(cluster: Any, address: str | None) -> None:
    local = gym.vector.SyncVectorEnv(
        [lambda: gym.make("CartPole-v1")] * 6, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    envs = rlay.ray.make_vec(
        "CartPole-v1", 6, envs_per_actor=4, address=address, autoreset_mode="SameStep", connect_timeout=PATIENCE
    )
    with envs:
        assert len(envs.actors) == 2
        assert envs.address.startswith((address or "tcp://").partition(":")[0])
        np.testing.assert_equal(envs.reset(seed=3)[0], local.reset(seed=3)[0])
        local.action_space.seed(1)
        for _ in range(100):
            actions = local.action_space.sample()
            np.testing.assert_equal(envs.step(actions)[:4], local.step(actions)[:4])
        with pytest.raises(TypeError, match=r"call rlay.ray.make_vec there"):
            pickle.dumps(envs)


def test_an_actor_that_is_killed(cluster: Any) -> None:
    with rlay.ray.make_vec(counter(), 3, num_cpus=0.5, connect_timeout=PATIENCE) as envs:
        observations, _ = envs.reset(seed=1)
        pid = int(observations[1, 2])
        os.kill(pid, signal.SIGKILL)
        actions = np.ones(3, np.int64)
        until(lambda: bool(envs.step(actions)[4].get("vacant", np.zeros(3))[1]), "the loss", PATIENCE)
        until(lambda: not (envs.step(actions), envs.vacant.any())[1], "Ray's replacement", PATIENCE)
        assert int(envs.step(actions)[0][1, 2]) not in (pid, 0)


def test_what_ray_says_of_actors_that_cannot_be(cluster: Any) -> None:
    with rlay.ray.make_vec("CartPole-v1", 1, resources={"gpu of its own": 1}, connect_timeout=5.0) as envs:
        with pytest.raises(rlay.Timeout, match="1 were not started yet: has the cluster the resources"):
            envs.reset()
    with pytest.raises(ValueError, match="num_cpu"):
        rlay.ray.make_vec("CartPole-v1", 1, num_cpu=1)


def test_an_environment_that_cannot_be_made(cluster: Any) -> None:
    def broken() -> Any:
        raise KeyError("no such level")

    with rlay.ray.make_vec(broken, 1, connect_timeout=PATIENCE) as envs, pytest.raises(KeyError, match="no such level"):
        envs.reset()


def test_the_program_of_the_page(cluster: Any) -> None:
    surroundings = {**os.environ, "RAY_ADDRESS": cluster.address}
    command = [sys.executable, "-c", program("on_ray.py", page=TRAIN_ON_MANY)]
    run = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 0, run.stderr


def test_the_configuration_of_the_page() -> None:
    names: dict[str, Any] = {}
    exec(program("rllib.py", page=TRAIN_ON_MANY), names)
    assert names["config"].num_envs_per_env_runner == 16


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_an_environment_runner_of_rllib(cluster: Any, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the environments and samples with random actions, for which it needs no network and so no PyTorch."""
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
    from ray.rllib.env import single_agent_env_runner
    from ray.tune.registry import register_env

    monkeypatch.setattr(single_agent_env_runner, "get_device", lambda *_: "cpu")
    with rlay.ServerBackend("CartPole-v1") as host:
        register_env("remote-cartpole", rlay.ray.env_creator(host.address))
        config = AlgorithmConfig().environment("remote-cartpole")
        config.env_runners(num_envs_per_env_runner=3, gym_env_vectorize_mode=mode)
        runner = single_agent_env_runner.SingleAgentEnvRunner(config=config, worker_index=1)
        try:
            is_one_session = isinstance(runner.env.unwrapped, rlay.ClientVectorEnv)
            assert runner.num_envs == 3 and is_one_session == (mode == "vector_entry_point")
            episodes = runner.sample(num_timesteps=300, random_actions=True)
            assert sum(len(episode) for episode in episodes) >= 300
            for episode in episodes:
                assert np.stack(episode.get_observations()).shape == (len(episode) + 1, 4)
                assert all(reward == 1.0 for reward in episode.get_rewards())
        finally:
            runner.stop()

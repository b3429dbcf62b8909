"""What a new wheel must do before it is kept: host an environment, and step it from an agent."""

from importlib.metadata import version

import rlay

assert version("rlay-gym") == rlay.__version__, "the distribution and the native module are of one version"
with rlay.ServerBackend("CartPole-v1", "tcp://127.0.0.1:0") as host:
    env = rlay.ClientEnv(host.address)
    observation, info = env.reset(seed=7)
    assert env.observation_space.contains(observation)
    assert env.step(env.action_space.sample())[1] == 1.0
    env.close()
print("rlay-gym", rlay.__version__)

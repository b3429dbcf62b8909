"""A CartPole of the step benchmark, Python's own in this process or the one at an address: stepped as it is told."""

import sys
import time

import gymnasium

import rlay

# Without the wrappers of `gymnasium.make`, which cost both the same.
env = rlay.ClientEnv(sys.argv[1]) if len(sys.argv) > 1 else gymnasium.make("CartPole-v1").unwrapped
env.reset(seed=0)
print("ready", flush=True)
for line in sys.stdin:
    step, reset = env.step, env.reset
    start = time.perf_counter()
    for i in range(int(line)):
        _, _, terminated, truncated, _ = step(i & 1)
        if terminated or truncated:
            reset()
    print(time.perf_counter() - start, flush=True)

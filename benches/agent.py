"""The Python agent of the step benchmark: steps as often as it is told, and checks every observation's count."""

import struct
import sys
import time
from collections import deque

import rlay


def main() -> None:
    """Play, in a function: names outside of one cost a look-up each."""
    env = rlay.ClientEnv(sys.argv[1], token=sys.argv[2] or None)
    env.reset(seed=0)
    kept = deque(maxlen=4)  # as an agent with a frame stack holds them
    count = 0
    counted = struct.Struct("<Q").unpack_from
    print("ready", flush=True)
    for line in sys.stdin:
        step = env.step
        start = time.perf_counter()
        for _ in range(int(line)):
            observation = step(1)[0]
            count += 1
            if counted(observation)[0] != count:
                sys.exit("a result that answers another step")
            kept.append(observation)
        print(time.perf_counter() - start, flush=True)


main()

"""An agent that plays the page beside it: serves the page, waits for a browser to open it, and pushes at random."""

import functools
import http.server
import pathlib
import threading

import rlay

SDK = pathlib.Path(__file__).resolve().parents[2]

env = rlay.ServerEnv("ws://127.0.0.1:0", connect_timeout=600.0)
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(SDK))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"open http://127.0.0.1:{server.server_port}/examples/browser/index.html?address={env.address}")

for episode in range(10):
    observation, info = env.reset(seed=episode)
    done, total = False, 0.0
    while not done:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        total += reward
        done = terminated or truncated
    print(f"episode {episode}: {info['t']} steps, return {total:.1f}")
env.close()

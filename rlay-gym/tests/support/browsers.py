"""Chromium without a window, and a server for the pages that it opens."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import Program
from sdk_clients import SDK

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START = 120.0
"""Bounds the wait for a browser that starts on a busy machine."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--enable-logging=stderr",
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def site(host: str, folder: Path = SDK / "javascript") -> Iterator[str]:
    """Serve a folder, by default that of the client and its tests; yield the origin."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer((host, 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def browser() -> Callable[..., Program]:
    """Return what opens a page in Chromium, given a folder for its profile and further options."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip("there is no Chromium here")
    return lambda page, profile, *options: Program(found[0], *FLAGS, *options, f"--user-data-dir={profile}", page)

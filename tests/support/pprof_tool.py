"""The real ``go tool pprof``: what it prints, and what its web pages show."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

GO = shutil.which(
    "go", path=os.pathsep.join([os.environ.get("PATH", ""), f"{sys.prefix}/bin", "/usr/local/go/bin"])
)
needs_go = pytest.mark.skipif(GO is None, reason="no go tool here")


def go_pprof(*arguments: str) -> str:
    """Return what ``go tool pprof`` prints."""
    assert GO is not None
    done = subprocess.run(
        [GO, "tool", "pprof", *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def pprof_pages(file: Path, *names: str) -> list[str]:
    """Return the pages of ``go tool pprof -http`` for a profile: ``top``, ``flamegraph``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert GO is not None
    command = [GO, "tool", "pprof", f"-http=127.0.0.1:{port}", "-no_browser", str(file)]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return [_fetched(f"http://127.0.0.1:{port}/ui/{name}") for name in names]
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def _fetched(url: str) -> str:
    """Return the page, waiting up to 30 s for the server to come up."""
    deadline = time.monotonic() + 30
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)

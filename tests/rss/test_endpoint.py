"""``heldby rss http://HOST:PORT``: MemStats from the program itself, and the kernel's figures if it runs here."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from heldby.capture.listening import listening_process
from heldby.capture.procfs import status_bytes, status_fields
from heldby.cli.main import cli
from heldby.cli.run import Run
from heldby.errors import FormatError
from heldby.profiles.memory_statistics import parse_mem_stats
from tests.support.build import build
from tests.support.process import Running, running
from tests.support.toolchains import any_toolchain

PROGRAM = Path(__file__).parents[1] / "profiles" / "programs" / "allocations"
#: What runtime/pprof writes (Go 1.27); the numbers are made up.
TEXT = b"""heap profile: 1: 64 [2: 128] @ heap/1048576
1: 64 [2: 128] @ 0x1 0x2

# runtime.MemStats
# Alloc = 600
# TotalAlloc = 9000
# Sys = 5000
# Lookups = 0
# Mallocs = 70
# Frees = 60
# HeapAlloc = 600
# HeapSys = 3000
# HeapIdle = 1500
# HeapInuse = 1000
# HeapReleased = 1100
# HeapObjects = 10
# Stack = 500 / 510
# MSpan = 20 / 30
# MCache = 40 / 50
# BuckHashSys = 60
# GCSys = 70
# OtherSys = 80
# NextGC = 4096
# LastGC = 1700000000000000000
# PauseNs = [1 2 3]
# PauseEnd = [4 5 6]
# NumGC = 12
# NumForcedGC = 3
# GCCPUFraction = 0.015625
# DebugGC = false
# MaxRSS = 7000000
"""


def rss(url: str) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["rss", "-q", url, "--format", "json"], obj=Run(), catch_exceptions=False)
    document: dict[str, Any] = json.loads(done.output)
    return document


@dataclass(frozen=True)
class Service:
    running: Running
    url: str


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running(build(PROGRAM, any_toolchain())) as program:
        yield Service(program, f"http://127.0.0.1:{program.ready['port']}")


class _Elsewhere(BaseHTTPRequestHandler):
    """Answers like a Go program that is not the process that listens."""

    def do_GET(self) -> None:
        body = TEXT if "/heap" in self.path else b"/srv/payments\0-v\0"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_process_behind_a_port_is_found(service: Service) -> None:
    port = service.running.ready["port"]

    assert listening_process("127.0.0.1", port) == service.running.pid
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert listening_process("127.0.0.1", nobody.getsockname()[1]) is None


def test_a_local_program_has_the_kernel_s_figures_beside_its_own(service: Service) -> None:
    document = rss(service.url)

    account = document["rss"]
    fields = status_fields(Path(f"/proc/{service.running.pid}/status").read_text())
    resident = status_bytes(fields, "VmRSS")
    assert resident is not None
    assert abs(account["total_bytes"] - resident) < 2 << 20
    known = sum(row["bytes"] for row in account["rows"] if row["bytes"] is not None)
    assert known + account["unexplained_bytes"] == account["total_bytes"]
    rows = {row["name"]: row for row in account["rows"]}
    assert rows["anonymous memory"]["bytes"] > 1 << 20
    assert rows["program text"]["bytes"] > 0
    assert rows["objects, live or garbage"]["bytes"] is None
    assert rows["objects, live or garbage"]["virtual_bytes"] > 0
    assert document["process"]["pid"] == service.running.pid


def test_a_program_that_is_not_the_one_that_listens_is_not_taken_for_it(elsewhere: str) -> None:
    document = rss(elsewhere)

    account = document["rss"]
    assert account["total_bytes"] is None
    assert {row["bytes"] for row in account["rows"]} == {None}
    assert {row["name"]: row["virtual_bytes"] for row in account["rows"]} == {
        "objects, live or garbage": 600,
        "free slots in spans": 400,
        "free pages, kept": 400,
        "free pages, given back": 1100,
        "stacks": 510,
        "mspans": 30,
        "mcaches": 50,
        "profiling buckets": 60,
        "collector's metadata": 70,
        "other runtime metadata": 80,
    }
    collector = account["collector"]
    assert (collector["goal_bytes"], collector["heap_bytes"]) == (4096, 600)
    assert (collector["cycles"], collector["forced_cycles"], collector["cpu_share"]) == (12, 3, 0.015625)
    assert any(f"process {os.getpid()} listens there" in caveat for caveat in document["caveats"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"# runtime.MemStats\n",
        TEXT.replace(b"# NextGC = 4096\n", b""),
        TEXT.replace(b"# HeapAlloc = 600\n", b"# HeapAlloc = 99999999999999999999999\n"),
        TEXT.replace(b"# runtime.MemStats", b"# something else"),
    ],
)
def test_a_text_without_whole_mem_stats_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"does not end with runtime\.MemStats"):
        parse_mem_stats(data, "http://host/debug/pprof/heap")

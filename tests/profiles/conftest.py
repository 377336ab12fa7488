"""One service with known allocations, and the profiles that it serves before and after more of them."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.build import build
from tests.support.process import Running, running
from tests.support.toolchains import Toolchain, any_toolchain

PROGRAM = Path(__file__).parent / "programs" / "allocations"


@dataclass(frozen=True)
class Served:
    go: Toolchain
    running: Running
    url: str
    before: Path
    after: Path
    after_text: Path
    goroutines: Path
    goroutine_stacks: Path


def fetch(url: str, path: Path) -> Path:
    with urllib.request.urlopen(url, timeout=60) as answer:
        path.write_bytes(answer.read())
    return path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("profiles")
    go = any_toolchain()
    with running(build(PROGRAM, go)) as program:
        url = f"http://127.0.0.1:{program.ready['port']}"
        before = fetch(f"{url}/debug/pprof/heap", folder / "before.pb.gz")
        fetch(f"{url}/more", folder / "nothing")
        yield Served(
            go,
            program,
            url,
            before,
            fetch(f"{url}/debug/pprof/heap", folder / "after.pb.gz"),
            fetch(f"{url}/debug/pprof/heap?debug=1", folder / "after.txt"),
            fetch(f"{url}/debug/pprof/goroutine?debug=1", folder / "goroutines.txt"),
            fetch(f"{url}/debug/pprof/goroutine?debug=2", folder / "stacks.txt"),
        )

"""The busy service, built once, and a server of captures to be killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capture.service import CrashServer, Service, crash_server
from tests.support.build import build
from tests.support.process import running
from tests.support.toolchains import toolchain

HERE = Path(__file__).parent
RELEASE = "1.26.6"


@pytest.fixture(scope="session")
def busy_program() -> Path:
    return build(HERE / "busy", toolchain(RELEASE))


@pytest.fixture
def service(busy_program: Path) -> Iterator[Service]:
    """A fresh busy service with 4 MiB of known content."""
    with running(busy_program, ["4"]) as process:
        yield Service.of(process)


@pytest.fixture(scope="session")
def crashes() -> Iterator[CrashServer]:
    with crash_server() as server:
        yield server

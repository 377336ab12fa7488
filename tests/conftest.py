"""What every test may ask for: Go toolchains of the run, and the right to trace."""

from __future__ import annotations

import ctypes
import functools
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.build import Mode, scenario_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import (
    NEWEST,
    OLDEST,
    RELEASES,
    Toolchain,
    any_toolchain,
    default_releases,
    toolchain,
)

PTRACE_SEIZE = 0x4206
#: Tests of one release by default, and of all in `.ci/run`: the scenarios hold what is read against the program.
OF_ONE_RELEASE = {"golang", "heap", "analysis", "sql", "rss", "profiles"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``go`` once for each release; those not in a default run are marked slow."""
    if "go" in metafunc.fixturenames:
        # The scenarios are the oracles of the whole reader: a default run takes the oldest release there.
        folders = set(metafunc.definition.path.relative_to(Path(__file__).parent).parts)
        default = default_releases()
        if "scenarios" in folders:
            default = (OLDEST, NEWEST)
        elif folders & OF_ONE_RELEASE:
            default = (NEWEST,)
        parameters = [
            pytest.param(release, id=f"go{release}", marks=() if release in default else (pytest.mark.slow,))
            for release in RELEASES
        ]
        metafunc.parametrize("go", parameters, indirect=True, scope="session")


@pytest.fixture(scope="session")
def go(request: pytest.FixtureRequest) -> Toolchain:
    """A Go toolchain; the test runs once for each release of this run."""
    return toolchain(request.param)


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Mode], Path]:
    """What captures a scenario program into a file in a folder of its own; one file for each program and mode."""

    @functools.cache
    def capture(name: str, mode: Mode = Mode.DEFAULT) -> Path:
        from heldby.capture import capture_process

        path = tmp_path_factory.mktemp("captures") / f"{name}.core"
        with running(scenario_program(name, any_toolchain(), mode)) as program:
            wait_until_still(program.pid)
            capture_process(program.pid, path)
        return path

    return capture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs ptrace where the kernel or the container forbids it."""
    needing = [item for item in items if item.get_closest_marker("ptrace")]
    if not needing:
        return
    refusal = why_not_ptrace()
    if refusal is not None:
        for item in needing:
            item.add_marker(pytest.mark.skip(reason=refusal))


@functools.cache
def why_not_ptrace() -> str | None:
    """Try to trace a child of ours; return why that failed, or None."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    child = subprocess.Popen(["sleep", "30"])
    try:
        if libc.ptrace(PTRACE_SEIZE, child.pid, None, None) == 0:
            return None
        return f"this machine does not let us trace a child process (errno {ctypes.get_errno()})"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()

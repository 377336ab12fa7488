"""Debuggers open a capture as they open any core."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from heldby.capture import capture_process
from tests.capture.service import Service
from tests.support.go_tools import delve
from tests.support.toolchains import ToolchainMissing, any_toolchain

pytestmark = pytest.mark.ptrace
DELVE_OPTIONS = ("--check-go-version=false", "--allow-non-terminal-interactive=true")


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
def test_gdb_opens_a_capture(service: Service, busy_program: Path, tmp_path: Path) -> None:
    core = tmp_path / "busy.core"
    capture = capture_process(service.pid, core)
    heap = next(s for s in capture.core.image.segments if s.end - s.start > 1 << 20 and s.buffer == 0)

    commands = ["info threads", f"x/2gx {heap.start}", "thread apply all print $mxcsr"]
    said = subprocess.run(
        ["gdb", "-nx", "-batch", *(word for c in commands for word in ("-ex", c)), busy_program, core],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout

    assert len(re.findall(r"LWP \d+\"?\s+(?!\])", said)) >= len(capture.core.threads)
    assert "runtime.futex" in said
    words = [int(word, 16) for word in re.search(r"0x[0-9a-f]+:\t(0x\w+)\t(0x\w+)", said).groups()]  # type: ignore[union-attr]
    assert words == list(capture.core.image.words(heap.start, 2))
    # All exceptions are masked in every thread of a Go program, and rounding is to nearest (0x1f80).
    masked = re.findall(r"\$\d+ = \[ (?:[DP]E )*(?:DAZ )?IM DM ZM OM UM PM \]", said)
    assert len(masked) == len(capture.core.threads)


@pytest.mark.slow
def test_delve_opens_a_capture(service: Service, busy_program: Path, tmp_path: Path) -> None:
    try:
        dlv = delve(any_toolchain())
    except ToolchainMissing as error:
        pytest.skip(str(error))
    core, commands = tmp_path / "busy.core", tmp_path / "commands"
    capture = capture_process(service.pid, core)
    commands.write_text("goroutines\nthreads\nregs -a\nexit\n")

    said = subprocess.run(
        [dlv, "core", busy_program, core, "--init", commands, *DELVE_OPTIONS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout

    assert {int(tid) for tid in re.findall(r"^[* ] Thread (\d+) at", said, re.MULTILINE)} == {
        thread.tid for thread in capture.core.threads
    }
    assert "Goroutine 1 - " in said
    assert re.search(r"^\[[0-9]+ goroutines\]$", said, re.MULTILINE)
    rip = re.search(r"Rip = 0x([0-9a-f]+)", said)
    assert rip is not None
    assert int(rip[1], 16) == capture.core.threads[0].registers["rip"]
    assert re.search(r"XMM0 = 0x[0-9a-f]{32}", said)

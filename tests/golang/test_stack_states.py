"""Stacks of a process stopped at places where its own records are stale or half written.

gdb stops a busy program inside the runtime: in a signal handler, while stacks are switched, while a stack grows,
in the vDSO. Whatever the place, nothing that a goroutine holds may be lost.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from heldby.memory.core_file import open_core
from tests.golang.test_stacks import BUSY
from tests.support.build import build
from tests.support.process import running
from tests.support.stacks import PROGRAMS, read_snapshot
from tests.support.toolchains import Toolchain

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ptrace,
    pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed"),
]

# Function and instructions behind its entry.
STATES = [
    ("runtime.sigtrampgo", 0),
    ("runtime.gogo", 6),
    ("runtime.gogo", 8),
    ("runtime.gogo", 10),
    ("runtime.gogo", 14),
    ("runtime.mcall", 3),
    ("runtime.mcall", 12),
    ("runtime.mcall", 18),
    ("runtime.morestack", 10),
    ("runtime.morestack", 30),
    ("runtime.copystack", 60),
    ("runtime.systemstack", 6),
    ("runtime.systemstack", 30),
    ("runtime.reentersyscall", 40),
    ("runtime.exitsyscall", 40),
    ("runtime.asyncPreempt", 20),
    ("runtime.nanotime1", 20),
    ("__vdso_clock_gettime", 4),
]


@pytest.mark.parametrize(("function", "steps"), STATES, ids=str)
def test_nothing_that_a_goroutine_holds_is_lost(
    go: Toolchain, tmp_path: Path, function: str, steps: int
) -> None:
    program, core = build(PROGRAMS / "stacks", go), tmp_path / "core"
    with running(program, ["busy"]) as target:
        commands = [
            "set pagination off",
            "handle SIGURG nostop noprint pass",
            f"break {function}",
            "continue",
            "delete",
            "set scheduler-locking on",
            f"stepi {steps}" if steps else "echo",
            f"gcore {core}",
            "detach",
        ]
        arguments = [argument for command in commands for argument in ("-ex", command)]
        subprocess.run(
            ["gdb", "-nx", "-batch", "-p", str(target.pid), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=True,
        )
        addresses = {name: int(text, 16) for name, text in target.ready["addresses"].items()}
    try:
        found = read_snapshot(open_core(core), addresses, exe=program)
        lost = [
            name
            for name, holder in BUSY.items()
            if not {goroutine for goroutine, _, _ in found.roots_to(name)} & set(found.with_function(holder))
        ]
    finally:
        core.unlink()  # gdb writes 1.3 GB of reserved address space

    assert found.stacks.unknowns == {}
    assert lost == []

"""Cores that others wrote, programs that are elsewhere, other builds, and what is no Go at all."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.build import Mode, scenario_program
from tests.support.process import end_with_us, running
from tests.support.toolchains import any_toolchain

HELDBY = [sys.executable, "-m", "heldby.cli.main"]
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()
needs_gdb = pytest.mark.skipif(shutil.which("gcore") is None, reason="gdb's gcore is not installed")
pytestmark = [pytest.mark.ptrace, pytest.mark.timeout(200)]


def heldby(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HELDBY, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=180
    )


@functools.cache
def answer(*arguments: str | Path) -> Any:
    done = heldby(*arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def error(code: int, *arguments: str | Path) -> str:
    """Run heldby, expect this exit code and advice, and return what it said."""
    done = heldby(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("heldby: ")
    assert "\n  next: " in done.stderr
    return done.stderr


@dataclass(frozen=True, kw_only=True)
class Cores:
    """One quiet process, captured and dumped three ways.

    Attributes:
        program: its executable, where it was.
        ours: heldby's capture.
        gdb: the core by gdb's gcore, None without gdb.
        kernel: the core by the kernel, None where it does not write one into the working directory.
    """

    program: Path
    ours: Path
    gdb: Path | None
    kernel: Path | None


@pytest.fixture(scope="module")
def cores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cores]:
    folder = tmp_path_factory.mktemp("foreign")
    program = folder / "bin" / "structs"
    program.parent.mkdir()
    shutil.copy(scenario_program("structs", any_toolchain()), program)
    work = folder / "work"
    work.mkdir()
    shell = f"cd {work} && ulimit -c unlimited && exec {program}"
    with running(Path("/bin/sh"), ["-c", shell], environment={"GOTRACEBACK": "crash"}) as process:
        ours = folder / "ours.core"
        assert heldby("capture", str(process.pid), "-o", ours).returncode == 0
        gdb = None
        if shutil.which("gcore") is not None:
            command = ["gcore", "-o", str(folder / "gdb"), str(process.pid)]
            subprocess.run(command, check=True, capture_output=True, timeout=120)
            gdb = folder / f"gdb.{process.pid}"
        os.kill(process.pid, signal.SIGABRT)
        process.process.wait(timeout=60)
    kernel = next(iter(work.iterdir()), None)
    yield Cores(program=program, ours=ours, gdb=gdb, kernel=kernel)
    shutil.rmtree(folder)  # gdb writes a gigabyte of reserved address space


def held(found: Any) -> dict[str, tuple[int, int]]:
    """Return what the program's own variables hold, by path."""
    return {
        row["path"]: (row["retained_bytes"], row["retained_objects"])
        for row in found["holders"]
        if row["root"].startswith("main.")
    }


def test_a_capture_needs_nothing_but_itself(cores: Cores, tmp_path: Path) -> None:
    expected = answer(cores.ours)
    copy = tmp_path / "elsewhere.core"
    shutil.copy(cores.ours, copy)
    away = cores.program.rename(cores.program.with_name("away"))
    try:
        found = answer(copy)
    finally:
        away.rename(cores.program)

    assert found["holders"] == expected["holders"]
    assert len(held(found)) >= 2


@needs_gdb
def test_a_core_by_gdb_gives_the_same_holders(cores: Cores) -> None:
    assert cores.gdb is not None
    ours, theirs = answer(cores.ours), answer(cores.gdb)

    assert held(theirs) == held(ours)
    assert theirs["heap"]["live_bytes"] == ours["heap"]["live_bytes"]
    assert theirs["capture"]["method"] == "core"
    assert theirs["capture"]["pause_ms"] is None


def test_a_core_by_the_kernel_gives_the_same_holders(cores: Cores) -> None:
    if cores.kernel is None:
        pytest.skip(f"the kernel's core_pattern is {CORE_PATTERN!r}, no file in the working directory")
    ours, theirs = answer(cores.ours), answer(cores.kernel)

    assert held(theirs) == held(ours)


@needs_gdb
def test_a_core_whose_program_is_elsewhere_needs_to_be_told(cores: Cores) -> None:
    assert cores.gdb is not None
    away = cores.program.rename(cores.program.with_name("away"))
    try:
        said = error(5, cores.gdb)
        found = answer(cores.gdb, "--exe", away)
    finally:
        away.rename(cores.program)

    assert str(cores.program) in said
    assert "--exe" in said
    assert len(held(found)) >= 2


@needs_gdb
@pytest.mark.parametrize("other", [("structs", Mode.STRIPPED), ("maps", Mode.DEFAULT)])
def test_another_build_is_refused(cores: Cores, other: tuple[str, Mode]) -> None:
    assert cores.gdb is not None
    name, mode = other

    said = error(4, cores.gdb, "--exe", scenario_program(name, any_toolchain(), mode))

    assert "is not the program that the process ran" in said or "not the one in" in said


@needs_gdb
def test_a_core_without_its_end_is_cut_off_and_not_of_another_program(cores: Cores, tmp_path: Path) -> None:
    assert cores.gdb is not None
    cut = tmp_path / "cut.core"
    with cores.gdb.open("rb") as whole:
        cut.write_bytes(whole.read(100_000))

    said = error(4, cut, "--exe", cores.program)

    assert "is cut off before the Go runtime's own data" in said
    assert "bytes that its headers promise are not there" in said


@needs_gdb
@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\nexec structs\n", b"\x7fELF\x02\x01\x01" + bytes(80)])
def test_an_executable_that_is_none_is_refused(cores: Cores, tmp_path: Path, content: bytes) -> None:
    assert cores.gdb is not None
    script = tmp_path / "structs"
    script.write_bytes(content)

    assert str(script) in error(4, cores.gdb, "--exe", script)


@needs_gdb
def test_an_executable_in_another_language_is_refused(cores: Cores) -> None:
    assert cores.gdb is not None

    error(4, cores.gdb, "--exe", shutil.which("sleep") or "")


@needs_gdb
def test_a_core_of_a_program_that_is_not_go(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"], preexec_fn=end_with_us)  # noqa: PLW1509
    try:
        time.sleep(0.2)
        command = ["gcore", "-o", str(tmp_path / "sleep"), str(child.pid)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    finally:
        child.kill()
        child.wait()

    said = error(3, tmp_path / f"sleep.{child.pid}")

    assert "Go" in said.splitlines()[0]


def test_a_release_of_the_future_is_read_by_its_debug_information(cores: Cores, tmp_path: Path) -> None:
    data = cores.ours.read_bytes()
    release = any_toolchain().version
    future = "1.99.0".ljust(len(release), "1")
    assert data.count(f"go{release}".encode()) >= 1
    path = tmp_path / "future.core"
    path.write_bytes(data.replace(f"go{release}".encode(), f"go{future}".encode()))

    found = answer(path)

    assert held(found) == held(answer(cores.ours))
    assert [text for text in found["caveats"] if text.startswith(f"go{future} is newer than this heldby")]


def test_a_program_without_a_readable_release_is_known_by_its_memory(cores: Cores, tmp_path: Path) -> None:
    data = cores.ours.read_bytes()
    path = tmp_path / "unmarked.core"
    path.write_bytes(data.replace(b"\xff Go buildinf:", b"\xff no buildinf:"))

    found = answer(path)

    assert found["process"]["go_version"] == f"go{any_toolchain().version}"
    assert held(found) == held(answer(cores.ours))

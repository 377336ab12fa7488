"""The programs that the tests of `heldby.binary` read, built once and shared by all runs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.build import Mode, build
from tests.support.toolchains import Toolchain, any_toolchain

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="session")
def globals_program(go: Toolchain) -> Path:
    """``programs/globals`` with symbols and DWARF, for each release of the run."""
    return build(PROGRAMS / "globals", go)


@pytest.fixture(scope="session")
def stripped_program(go: Toolchain) -> Path:
    """The same program built with ``-s -w``."""
    return build(PROGRAMS / "globals", go, Mode.STRIPPED)


@pytest.fixture(scope="session")
def position_independent_program(go: Toolchain) -> Path:
    """The same program built with ``-buildmode=pie``."""
    return build(PROGRAMS / "globals", go, Mode.POSITION_INDEPENDENT)


@pytest.fixture(scope="session")
def any_program() -> Path:
    """``programs/globals`` with symbols and DWARF, of one release."""
    return build(PROGRAMS / "globals", any_toolchain())


@pytest.fixture(scope="session")
def small_program() -> Path:
    """``programs/small``, of one release."""
    return build(PROGRAMS / "small", any_toolchain())


def cross_build(name: str, output: Path, *flags: str, **environment: str) -> Path:
    """Build a program in a way that `tests.support.build` has no mode for."""
    go = any_toolchain()
    variables = {**go.environment(), **environment}
    for variable in ("HOME", "PATH"):
        variables.setdefault(variable, os.environ[variable])
    subprocess.run(
        [go.go, "build", *flags, "-o", output, "."], cwd=PROGRAMS / name, env=variables, check=True
    )
    return output


@dataclasses.dataclass(frozen=True)
class Expected:
    """A global variable of ``programs/globals`` as its source declares it."""

    kind: str
    type: str
    size: int


#: Written from the source of programs/globals, not from what heldby reads.
GLOBALS = {
    "main.registry": Expected("pointer", "*main.store", 8),
    "main.byValue": Expected("struct", "main.store", 48),
    "main.lookup": Expected("map", "map[int64][]string", 8),
    "main.sized": Expected("map", "map[string]int", 8),
    "main.head": Expected("pointer", "*main.entry", 8),
    "main.events": Expected("chan", "chan main.pair[string,int]", 8),
    "main.callback": Expected("func", "main.handler", 8),
    "main.anything": Expected("eface", "interface {}", 16),
    "main.figure": Expected("iface", "main.shape", 16),
    "main.names": Expected("slice", "[]string", 24),
    "main.grid": Expected("array", "[4][8]int32", 128),
    "main.title": Expected("string", "string", 16),
    "main.severity": Expected("basic", "main.level", 8),
    "main.ready": Expected("basic", "bool", 1),
    "main.ratio": Expected("basic", "float64", 8),
    "main.pairs": Expected("slice", "[]main.pair[string,*main.entry]", 24),
    "main.failure": Expected("iface", "error", 16),
    "main.pooled": Expected("struct", "sync.Pool", 40),
    "main.current": Expected("struct", "sync/atomic.Pointer[main.entry]", 8),
    "main.anonymous": Expected("struct", "struct { A int; B int }", 16),
    "main.static": Expected("pointer", "*main.entry", 8),
    "main.table": Expected("slice", "[]main.entry", 24),
    "main.assignedLate": Expected("map", "map[string]*main.pair[int,string]", 8),
    "main.madeLate": Expected("slice", "[]*main.square", 24),
}

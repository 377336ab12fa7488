"""A program with a store of every kind, as built by default and stripped, and what its source says where."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from heldby.analysis.answer import Answer
from heldby.analysis.answering import answer_of
from heldby.api import open as open_heap
from heldby.heap import Heap
from tests.support.arm64 import arm64_core
from tests.support.build import Mode, build
from tests.support.process import running
from tests.support.toolchains import any_toolchain, toolchain

PROGRAM = Path(__file__).parent / "programs" / "stores"
FIELDS = Path(__file__).parent / "programs" / "fields"


@dataclass(frozen=True)
class Captured:
    heap: Heap
    answer: Answer
    stripped: bool


@pytest.fixture(scope="session")
def expected() -> dict[str, int]:
    """The line of the statement that keeps each holder, as the comments in the source name it."""
    return marked_lines(PROGRAM)


def marked_lines(program: Path) -> dict[str, int]:
    found = {}
    for number, line in enumerate((program / "main.go").read_text().splitlines(), 1):
        if match := re.search(r"// STORES (\S+)$", line):
            found[match[1]] = number
    return found


def captured(mode: Mode, release: str | None = None, source: Path = PROGRAM) -> Captured:
    go = toolchain(release) if release else any_toolchain()
    with running(build(source, go, mode)) as program:
        heap = open_heap(program.pid).heap
    return Captured(heap, answer_of(heap), mode is Mode.STRIPPED)


def captured_on_arm64(mode: Mode, source: Path, release: str | None = None) -> Captured:
    go = toolchain(release) if release else any_toolchain()
    program = build(source, go, mode)
    with arm64_core(program) as (core, _ready):
        heap = open_heap(core, exe=program, cache=False).heap
        return Captured(heap, answer_of(heap), mode is Mode.ARM64_STRIPPED)


@pytest.fixture(scope="session")
def with_debug_information() -> Captured:
    return captured(Mode.DEFAULT)


@pytest.fixture(scope="session")
def built_here(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """Built from a copy of the source that no other checkout has built, so that it lies where it says."""
    copy = tmp_path_factory.mktemp("source") / "stores"
    shutil.copytree(PROGRAM, copy)
    with (copy / "main.go").open("a") as file:
        file.write(f"\n// {copy}\n")
    return captured(Mode.DEFAULT, source=copy)


@pytest.fixture(scope="session")
def stripped() -> Captured:
    return captured(Mode.STRIPPED)

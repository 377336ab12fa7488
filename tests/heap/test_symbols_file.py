"""A stripped program gets its names from an unstripped build of the same source, and from no other build."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

import heldby
from heldby.capture import capture_process
from heldby.errors import FormatError, UsageError, WrongExecutable
from heldby.heap import Heap, load_heap
from heldby.memory.core_file import CoreFile
from tests.support.build import Mode, scenario_program
from tests.support.places import Place, places
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace


@functools.cache
def captured(go: Toolchain, mode: Mode) -> CoreFile:
    with running(scenario_program("maps", go, mode)) as program:
        wait_until_still(program.pid)
        return capture_process(program.pid, None).core


def read(go: Toolchain, mode: Mode, symbols: Path) -> Heap:
    return load_heap(captured(go, mode), symbols=symbols)


def program_s_own(heap: Heap) -> set[Place]:
    return {place for place in places(heap) if place.root.startswith("main.")}


@pytest.mark.parametrize(
    ("mode", "unstripped"),
    [
        (Mode.STRIPPED, Mode.DEFAULT),
        # Other paths and settings recorded: sections lie 4,096 or 8,192 bytes apart.
        (Mode.STRIPPED, Mode.TRIMMED),
        (Mode.NO_BUILD_INFO, Mode.DEFAULT),
        (Mode.STRIPPED_PIE, Mode.POSITION_INDEPENDENT),
    ],
    ids=lambda mode: mode.name.lower(),
)
def test_names_and_types_are_those_of_the_unstripped_build(
    mode: Mode, unstripped: Mode, go: Toolchain
) -> None:
    named = scenario_program("maps", go, unstripped)

    heap = read(go, mode, named)

    assert heap.process.executable.is_stripped
    expected = program_s_own(load_heap(captured(go, unstripped)))
    assert len(expected) > 20
    # Both processes hold the same; a seed of their own spreads the entries over a map's tables.
    assert {(place.path, place.type) for place in program_s_own(heap)} == {
        (place.path, place.type) for place in expected
    }


@pytest.mark.parametrize("mode", [Mode.UNOPTIMISED, Mode.CGO], ids=lambda mode: mode.name.lower())
def test_another_build_of_the_same_source_is_refused(mode: Mode, go: Toolchain) -> None:
    with pytest.raises(WrongExecutable) as refused:
        read(go, Mode.STRIPPED, scenario_program("maps", go, mode))

    assert "its text has" in (refused.value.cause or "")


def test_another_program_is_refused(go: Toolchain) -> None:
    with pytest.raises(WrongExecutable, match="is not a build of the program that the process runs"):
        read(go, Mode.STRIPPED, scenario_program("structs", go))


def test_a_file_without_symbols_is_refused(go: Toolchain) -> None:
    with pytest.raises(UsageError, match="has no symbol table"):
        read(go, Mode.STRIPPED, scenario_program("maps", go, Mode.STRIPPED))


def test_a_file_that_is_no_executable_is_refused(go: Toolchain) -> None:
    with pytest.raises(FormatError):
        read(go, Mode.STRIPPED, Path(__file__))


def test_a_program_in_another_language_is_refused(go: Toolchain) -> None:
    with pytest.raises((WrongExecutable, UsageError)):
        read(go, Mode.STRIPPED, Path(sys.executable).resolve())


def test_a_kept_analysis_without_names_is_not_taken_for_one_with_names(go: Toolchain, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    with running(scenario_program("maps", go, Mode.STRIPPED)) as program:
        capture_process(program.pid, capture)

    nameless = heldby.open(capture).heap
    named = heldby.open(capture, symbols=scenario_program("maps", go)).heap
    again = heldby.open(capture, symbols=scenario_program("maps", go)).heap

    assert not any(place.root == "main.tables" for place in places(nameless))
    assert sum(place.root == "main.tables" for place in places(named)) >= 1
    assert places(again) == places(named)

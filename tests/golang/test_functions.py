"""Functions, files and lines against what the program's own runtime says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from heldby.golang.functions.function_kernels import BAD_TABLE, NO_VALUE, pc_value
from heldby.golang.functions.functions import package_of
from tests.support.build import MODES, build
from tests.support.process import running
from tests.support.stacks import PROGRAMS, Snapshot, snapshot
from tests.support.toolchains import Toolchain


@pytest.fixture(scope="module", params=MODES, ids=lambda mode: mode.name.lower())
def program(go: Toolchain, request: pytest.FixtureRequest) -> tuple[Snapshot, Mapping[str, Any]]:
    with running(build(PROGRAMS / "functions", go, request.param)) as target:
        return snapshot(target), target.ready


def printed(name: str) -> str:
    """Return a name as the runtime prints it: type arguments are left out (traceback.go)."""
    return re.sub(r"\[.*\]", "[...]", name)


@pytest.mark.ptrace
def test_names_files_and_lines_are_those_of_the_runtime(program: tuple[Snapshot, Mapping[str, Any]]) -> None:
    functions, samples = program[0].functions, program[1]["samples"]

    assert len(samples) > 500
    for sample in samples:
        place = functions.inlined(sample["pc"])[0]
        found = (printed(place.function), place.file, place.line)
        assert found == (sample["function"], sample["file"], sample["line"]), hex(sample["pc"])


@pytest.mark.ptrace
def test_inlined_calls_are_those_of_the_runtime(program: tuple[Snapshot, Mapping[str, Any]]) -> None:
    functions = program[0].functions
    chain, in_package = program[1]["chains"]

    calls = functions.inlined(chain["pc"] - 1)
    assert [printed(call.function) for call in calls] == [
        "main.innermost",
        "main.middle[...]",
        "main.point.moved",
        "main.outermost",
    ]
    expected = [(call["function"], call["file"], call["line"]) for call in chain["calls"][:4]]
    assert [(printed(call.function), call.file, call.line) for call in calls] == expected
    (call,) = functions.inlined(in_package["pc"] - 1)
    assert call.function == "example.com/dotted.path/functions/under%2escore.Add"
    assert package_of(call.function) == "example.com/dotted.path/functions/under.score"


@pytest.mark.ptrace
def test_a_function_is_found_from_its_first_to_its_last_byte(
    program: tuple[Snapshot, Mapping[str, Any]],
) -> None:
    functions = program[0].functions
    index = functions.named("main.outermost")
    entry, following = functions.entry(index), functions.entry(index + 1)
    source = (PROGRAMS / "functions" / "main.go").read_text().splitlines()

    assert functions.name(index) == "main.outermost"
    assert source[functions.start_line(index) - 1].startswith("func outermost()")
    pcs = np.array([entry - 1, entry, following - 1, following], np.uint64)
    assert functions.indexes(pcs).tolist() == [index - 1, index, index, index + 1]


@pytest.mark.ptrace
def test_addresses_outside_of_go_code_belong_to_no_function(
    program: tuple[Snapshot, Mapping[str, Any]],
) -> None:
    functions = program[0].functions
    end = program[0].runtime.modules[0].word("maxpc")

    assert functions.indexes(np.array([0, 1, end, 2**63, 2**64 - 1], np.uint64)).tolist() == [-1] * 5
    assert functions.inlined(0) == ()
    assert functions.file_line(0) == ("?", 0)
    assert functions.name(-1) == "?"
    assert functions.named("main.nothing") == -1


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("main.main", "main"),
        ("runtime.goexit", "runtime"),
        ("main.(*Payload).Poke-fm", "main"),
        ("encoding/json.(*decodeState).literalStore", "encoding/json"),
        ("gopkg.in/yaml%2ev3.(*Node).Decode", "gopkg.in/yaml.v3"),
        ("github.com/a.b/c.F[go.shape.struct { github.com/x/y.Z }]", "github.com/a.b/c"),
        ("example.com/a%22b%25c.F.func1", 'example.com/a"b%c'),
        ("memeqbody", "memeqbody"),
        ("", ""),
    ],
)
def test_the_package_is_the_import_path(name: str, package: str) -> None:
    assert package_of(name) == package


def value(table: list[int], distance: int, *, quantum: int = 1) -> int:
    """Decode a table that begins at offset 1, since 0 means none."""
    return int(pc_value(frozen([0, *table]), 1, distance, quantum))


def frozen(table: list[int]) -> np.ndarray:
    array = np.array(table, np.uint8)
    array.flags.writeable = False
    return array


def test_a_pc_value_holds_until_the_pc_that_follows_it() -> None:
    # Deltas: +1 -> 0 for 4 bytes, +16 -> 16 for 300 bytes (two-byte number), -17 -> -1 for 1 byte, end.
    table = [2, 4, 32, 0xAC, 0x02, 33, 1, 0]

    assert [value(table, distance) for distance in (0, 3, 4, 303, 304)] == [0, 0, 16, 16, -1]
    assert value(table, 305) == BAD_TABLE
    assert [value(table, distance, quantum=4) for distance in (15, 16)] == [0, 16]


def test_the_first_delta_may_be_zero() -> None:
    assert value([0, 8, 0], 7) == -1


def test_no_table_has_no_value() -> None:
    assert pc_value(frozen([0, 2, 4]), 0, 0, 1) == NO_VALUE


@pytest.mark.parametrize(
    "table",
    [[], [2], [0x80], [0x80] * 40, [2, 0x80], [2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], [2, 4]],
    ids=["empty", "half", "cut number", "endless number", "cut pc", "huge pc", "no end"],
)
def test_a_damaged_pc_value_table_is_recognised(table: list[int]) -> None:
    assert value(table, 100) == BAD_TABLE


@pytest.mark.parametrize("offset", [-1, -(2**40), 3, 2**40])
def test_a_table_outside_of_the_bytes_is_recognised(offset: int) -> None:
    assert pc_value(frozen([0, 2, 4]), offset, 0, 1) == BAD_TABLE

from __future__ import annotations

from pathlib import Path

import pytest

from heldby.binary.dwarf import read_dwarf
from heldby.binary.dwarf_functions import Function
from heldby.binary.dwarf_locations import FramePiece, frame_pieces
from heldby.binary.executable import open_executable
from tests.support.toolchains import Toolchain


def function(program: Path, name: str) -> Function:
    executable = open_executable(program)
    dwarf = read_dwarf(executable)
    address = executable.symbols.address_of(name)
    assert dwarf is not None
    assert address is not None
    found = dwarf.functions.at(address + 1)
    assert found is not None
    assert (found.name, found.entry) == (name, address)
    return found


def where(found: Function, name: str) -> list[tuple[int, int, int | None]]:
    """Return the pieces of variable `name` at the last instruction of its function."""
    variable = next(v for v in found.variables if v.name == name)
    return [(p.offset, p.frame_offset, p.size) for p in variable.pieces_at(found.end - 1)]


def test_parameters_lie_where_the_calling_convention_spills_them(globals_program: Path) -> None:
    # func keep(prefix string, count int, e *entry, tags []string) func() string; spill space begins at the
    # frame address, in the order of the parameters (cmd/compile/abi-internal.md).
    keep = function(globals_program, "main.keep")

    assert where(keep, "prefix") == [(0, 0, 8), (8, 8, 8)]
    assert where(keep, "count") == [(0, 16, None)]
    assert where(keep, "e") == [(0, 24, None)]
    assert where(keep, "tags")[:2] == [(0, 32, 8), (8, 40, 8)]


def test_parameters_and_locals_have_their_names_and_types(globals_program: Path) -> None:
    keep = function(globals_program, "main.keep")

    types = {v.name: v.type.name if v.type else "" for v in keep.variables}
    assert types["prefix"] == "string"
    assert types["tags"] == "[]string"
    assert types["seen"] == "map[string]int"
    assert types["&total"] == "*int"
    assert types["label"] == "string"
    parameters = [v.name for v in keep.variables if v.is_parameter and not v.inlined]
    assert parameters == ["prefix", "count", "e", "tags", "~r0"]


def test_locals_lie_below_the_frame_address_at_multiples_of_eight(globals_program: Path) -> None:
    keep = function(globals_program, "main.keep")

    for name in ("seen", "&total"):
        (piece,) = where(keep, name)
        assert piece[0] == 0
        assert piece[1] < -8  # below the return address and the saved frame pointer
        assert piece[1] % 8 == 0


def test_what_lives_in_a_register_has_no_place_in_the_frame(globals_program: Path) -> None:
    keep = function(globals_program, "main.keep")

    count = next(v for v in keep.variables if v.name == "count")
    assert count.pieces_at(keep.entry) == ()


def test_a_closure_says_where_it_keeps_what_it_captured(globals_program: Path, go: Toolchain) -> None:
    if go.minor < "1.23":
        pytest.skip("the debug information says it from Go 1.23 on")
    # func() string { total++; return label + e.Name + fmt.Sprint(total) }: total is written, so its address
    # is kept; label and e are kept by value. A word for the function comes first.
    closure = function(globals_program, "main.keep.func1")

    captures = [(v.name, v.closure_offset, v.type.name if v.type else "") for v in closure.captures]
    assert captures == [("&total", 8, "*int"), ("label", 16, "string"), ("e", 32, "*main.entry")]


def test_an_ordinary_function_captures_nothing(globals_program: Path) -> None:
    assert function(globals_program, "main.setLate").captures == ()


def test_calls_that_were_inlined_bring_their_variables(globals_program: Path) -> None:
    main = function(globals_program, "main.main")

    assert any(v.inlined for v in main.variables)
    assert any(v.name == "describe" and not v.inlined for v in main.variables)


def test_an_address_outside_all_code_has_no_function(globals_program: Path) -> None:
    dwarf = read_dwarf(open_executable(globals_program))
    assert dwarf is not None

    assert dwarf.functions.at(0) is None
    assert dwarf.functions.at(1 << 63) is None
    assert dwarf.functions.at(0x1000) is None


def test_every_function_of_the_program_can_be_read(globals_program: Path) -> None:
    executable = open_executable(globals_program)
    dwarf = read_dwarf(executable)
    assert dwarf is not None
    symbols = executable.symbols

    placed = named = 0
    for index in range(0, symbols.count, 7):
        found = dwarf.functions.at(int(symbols.addresses[index])) if symbols.kinds[index] == 2 else None
        if found is not None:
            named += found.name == symbols.name(index)
            placed += sum(1 for v in found.variables if v.locations)
    assert named > 300
    assert placed > 1000


@pytest.mark.parametrize(
    ("expression", "pieces"),
    [
        (b"\x9c", (FramePiece(0, 0, None),)),
        (b"\x91\x68", (FramePiece(0, -24, None),)),
        (b"\x91\x08\x93\x08\x91\x10\x93\x08", (FramePiece(0, 8, 8), FramePiece(8, 16, 8))),
        (b"\x50\x93\x08\x91\x10\x93\x08", (FramePiece(8, 16, 8),)),
        (b"\x93\x08\x91\x10\x93\x08", (FramePiece(8, 16, 8),)),
        (b"\x50", ()),
        (b"\x03\x00\x00\x00\x00\x00\x00\x00\x00", ()),
        (b"\x91", ()),
        (b"", ()),
    ],
)
def test_an_expression_gives_the_parts_that_lie_in_the_frame(
    expression: bytes, pieces: tuple[FramePiece, ...]
) -> None:
    assert frame_pieces(expression) == pieces

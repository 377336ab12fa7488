from __future__ import annotations

from pathlib import Path

import drgn
import pytest
from elftools.elf.elffile import ELFFile

from heldby.binary.dwarf import Dwarf, read_dwarf
from heldby.binary.dwarf_types import DwarfType
from heldby.binary.executable import open_executable
from tests.binary.conftest import GLOBALS, cross_build


def read(program: Path) -> Dwarf:
    dwarf = read_dwarf(open_executable(program))
    assert dwarf is not None
    assert dwarf.damaged_units == 0
    return dwarf


def type_of(dwarf: Dwarf, name: str) -> DwarfType:
    index = dwarf.find_global(name)
    assert index is not None
    found = dwarf.globals.type(index)
    assert found is not None
    return found


def field_rows(of: DwarfType | None) -> list[tuple[str, int, str]]:
    assert of is not None
    return [(f.name, f.offset, f.type.name if f.type else "") for f in of.fields]


def test_every_global_has_the_type_and_size_that_its_source_declares(globals_program: Path) -> None:
    dwarf = read(globals_program)

    for name, expected in GLOBALS.items():
        index = dwarf.find_global(name)
        assert index is not None, name
        found = dwarf.globals.type(index)
        assert found is not None, name
        assert (found.kind, found.name, found.size) == (expected.kind, expected.type, expected.size), name
        assert dwarf.globals.sizes[index] == expected.size, name


def test_all_globals_agree_with_drgn(globals_program: Path) -> None:
    program = drgn.Program()
    module = program.extra_module(str(globals_program), create=True)
    start = open_executable(globals_program).segments[0].address
    module.address_range = (start, 1 << 40)  # so that drgn adds no load bias
    module.try_file(globals_program)
    variables = read(globals_program).globals
    names = variables.names()
    assert len(names) > 600

    agreeing, functions = 0, []
    for index, name in enumerate(names):
        try:
            known = program.variable(name)
            size = drgn.sizeof(known.type_)
        except TypeError:  # drgn takes a Go function value for a function
            functions.append(variables.type(index))
            continue
        assert known.address_ == int(variables.addresses[index]) or names.count(name) > 1, name
        assert size == int(variables.sizes[index]), name
        agreeing += 1
    assert agreeing + len(functions) == len(names)
    assert {(f.elem or f).kind for f in functions if f} == {"func"}  # or arrays of them
    assert len(functions) < len(names) / 5


def test_no_global_is_missed_that_pyelftools_finds(small_program: Path) -> None:
    expected = set()
    with small_program.open("rb") as file:
        for unit in ELFFile(file).get_dwarf_info().iter_CUs():
            for entry in unit.get_top_DIE().iter_children():
                location = entry.attributes.get("DW_AT_location")
                if entry.tag == "DW_TAG_variable" and location and bytes(location.value[:1]) == b"\x03":
                    address = int.from_bytes(bytes(location.value[1:9]), "little")
                    expected.add((entry.attributes["DW_AT_name"].value.decode(), address))

    variables = read(small_program).globals

    found = set(zip(variables.names(), (int(a) for a in variables.addresses), strict=True))
    assert found == expected
    assert len(found) > 300


def test_addresses_are_those_of_the_symbol_table(globals_program: Path) -> None:
    symbols = open_executable(globals_program).symbols
    variables = read(globals_program).globals

    for index, name in enumerate(variables.names()):
        if name.startswith("main."):
            assert symbols.address_of(name) == int(variables.addresses[index]), name


def test_an_address_inside_a_global_finds_it(globals_program: Path) -> None:
    dwarf = read(globals_program)
    index = dwarf.find_global("main.grid")
    assert index is not None
    start = int(dwarf.globals.addresses[index])

    assert dwarf.globals.at(start + 127) == index
    assert dwarf.globals.at(start + 128) != index
    assert dwarf.globals.at(1) is None


def test_a_struct_has_its_fields_with_offsets_and_types(globals_program: Path) -> None:
    dwarf = read(globals_program)

    assert field_rows(dwarf.find_type("main.store")) == [
        ("mu", 0, "sync.Mutex"),
        ("entries", 8, "map[string]*main.entry"),
        ("order", 16, "[]*main.entry"),
        ("hits", 40, "sync/atomic.Int64"),
    ]
    assert field_rows(dwarf.find_type("main.pair[int,string]")) == [("Key", 0, "int"), ("Value", 8, "string")]


def test_a_recursive_type_is_followed_as_far_as_one_looks(globals_program: Path) -> None:
    entry = type_of(read(globals_program), "main.head").elem

    for _ in range(5):
        assert entry is not None
        assert entry.name == "main.entry"
        following = entry.fields[2]
        assert following.name == "next"
        assert following.type is not None
        entry = following.type.elem


def test_maps_channels_arrays_and_slices_say_what_they_are_made_of(globals_program: Path) -> None:
    dwarf = read(globals_program)

    lookup = type_of(dwarf, "main.lookup")
    assert lookup.key is not None
    assert lookup.elem is not None
    assert (lookup.key.name, lookup.elem.name, lookup.elem.kind) == ("int64", "[]string", "slice")
    events = type_of(dwarf, "main.events")
    assert events.elem is not None
    assert events.elem.name == "main.pair[string,int]"
    grid = type_of(dwarf, "main.grid")
    assert grid.elem is not None
    assert (grid.count, grid.elem.count, grid.elem.size) == (4, 8, 32)
    pairs = type_of(dwarf, "main.pairs")
    assert pairs.elem is not None
    assert (pairs.elem.name, pairs.elem.size) == ("main.pair[string,*main.entry]", 24)


def test_the_runtime_type_offset_leads_to_the_descriptor_of_that_size(globals_program: Path) -> None:
    executable = open_executable(globals_program)
    dwarf = read(globals_program)
    base = executable.symbols.address_of("runtime.types")
    assert base is not None

    for name, size in {"main.entry": 56, "*main.entry": 8, "map[string]int": 8, "string": 16}.items():
        found = dwarf.find_type(name)
        assert found is not None
        assert found.runtime_type_offset is not None, name
        descriptor = executable.bytes_at(base + found.runtime_type_offset, 8)  # abi.Type begins with Size_
        assert int.from_bytes(descriptor.tobytes(), "little") == size, name


def test_constants_of_the_runtime_are_read(globals_program: Path) -> None:
    constants = read(globals_program).constants

    assert constants["runtime._TinySizeClass"] == 2
    assert constants["runtime._Grunning"] == 2
    assert constants["runtime.minPhysPageSize"] == 4096


def test_a_stripped_program_has_no_debug_information(stripped_program: Path) -> None:
    assert read_dwarf(open_executable(stripped_program)) is None


def test_an_arm64_program_has_the_same_globals(tmp_path: Path) -> None:
    dwarf = read(cross_build("globals", tmp_path / "globals", GOARCH="arm64"))

    for name, expected in GLOBALS.items():
        found = type_of(dwarf, name)
        assert (found.kind, found.name, found.size) == (expected.kind, expected.type, expected.size), name


@pytest.mark.slow
def test_a_cgo_program_has_the_globals_of_go_beside_those_of_c(tmp_path: Path) -> None:
    program = cross_build("globals", tmp_path / "cgo", "-ldflags=-linkmode=external", CGO_ENABLED="1")
    dwarf = read(program)

    for name, expected in GLOBALS.items():
        found = type_of(dwarf, name)
        assert (found.kind, found.name, found.size) == (expected.kind, expected.type, expected.size), name

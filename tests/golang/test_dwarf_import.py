"""Types that only the debug information knows: built field by field, they are as if they had descriptors."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from heldby.binary.dwarf import Dwarf, read_dwarf
from heldby.binary.dwarf_types import DwarfType
from heldby.binary.executable import open_executable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types import type_scan as scan
from heldby.golang.types.dwarf_import import DwarfImport
from heldby.golang.types.type_scan import Descriptors, scan_descriptors
from heldby.golang.types.types import FIRST_DESCRIPTOR, TypeTable
from tests.support.build import Mode, build
from tests.support.stacks import run_and_snapshot
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace
PROGRAM = Path(__file__).parent / "programs" / "types"


@pytest.fixture(scope="module")
def runtime(go: Toolchain) -> Runtime:
    return run_and_snapshot(build(PROGRAM, go, Mode.DEFAULT)).runtime


@pytest.fixture(scope="module")
def dwarf(go: Toolchain) -> Dwarf:
    found = read_dwarf(open_executable(build(PROGRAM, go, Mode.DEFAULT)))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def without(runtime: Runtime) -> TypeTable:
    """Return a table without any descriptor, so that every type must be built."""
    found = scan_descriptors(runtime.image, runtime.layout, runtime.modules)
    columns = {field.name: getattr(found, field.name) for field in fields(found)}
    nothing = {name: column[:0] for name, column in columns.items() if name != "dropped"}
    return TypeTable(runtime.image, runtime.layout, Descriptors(**nothing, dropped=0))


def reached(dwarf: Dwarf) -> list[DwarfType]:
    """Return the types of all global variables, and what they contain and lead to."""
    found: dict[int, DwarfType] = {}
    left = [of for row in range(len(dwarf.globals)) if (of := dwarf.globals.type(row)) is not None]
    while left:
        of = left.pop()
        if of.offset not in found:
            found[of.offset] = of
            left += [part for part in (of.elem, of.key, *(each.type for each in of.fields)) if part]
    return list(found.values())


def test_a_built_type_has_the_size_and_the_pointers_that_its_descriptor_says(
    runtime: Runtime, dwarf: Dwarf, without: TypeTable
) -> None:
    described, compared = TypeTable.read(runtime), 0
    base = runtime.modules[0].word("types")
    importing, building = DwarfImport(described, base), DwarfImport(without, base)
    wrong = []
    for of in reached(dwarf):
        number, built = importing.number(of), building.number(of)
        # The runtime's own structures are not in the heap, and pointers to them do not count.
        own = "runtime." in of.name
        if number >= FIRST_DESCRIPTOR and not described.is_made(number) and not own:
            compared += 1
            for column in ("size", "ptrbytes", "pointer_mask"):
                its, ours = (int(getattr(described, column)[number]), int(getattr(without, column)[built]))
                if its != ours:
                    wrong.append((of.name, column, its, ours))

    assert compared > 100
    assert wrong == []


def test_a_type_that_contains_pointers_to_itself_knows_of_them(dwarf: Dwarf, without: TypeTable) -> None:
    of = next(each for each in reached(dwarf) if each.name == "main.Message")
    number = DwarfImport(without, 0).number(of)
    message = without[number]

    assert [(field.name, field.offset) for field in message.fields] == [("body", 0), ("next", 24)]
    assert (message.kind, message.size, message.ptrbytes) == (scan.STRUCT, 32, 32)
    assert int(without.pointer_mask[number]) == 0b1001
    assert without.elem[message.fields[1].type] == number

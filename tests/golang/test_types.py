"""Type descriptors: found by their structure, read into names and fields, and impossible ones refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heldby.golang.layouts.layout import table_layout
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_layout import POINTER, TypeLayouts
from heldby.golang.types.type_scan import Descriptors, scan_descriptors
from heldby.golang.types.types import FIRST_DESCRIPTOR, Field, GoType, TypeTable
from heldby.golang.typing.typing_arrays import SIZE_CLASSES, slot_bytes_of
from heldby.memory.image import Image, Segment
from tests.support.build import Mode, build, scenario_program
from tests.support.stacks import run_and_snapshot
from tests.support.toolchains import Toolchain

PROGRAM = Path(__file__).parent / "programs" / "types"
SECTION = 1 << 20


@pytest.fixture(scope="module")
def runtime(go: Toolchain) -> Runtime:
    return run_and_snapshot(build(PROGRAM, go, Mode.STRIPPED)).runtime


@pytest.fixture(scope="module")
def types(runtime: Runtime) -> TypeTable:
    return TypeTable.read(runtime)


def the(types: TypeTable, name: str) -> GoType:
    (number,) = types.named(name)
    return types[number]


@pytest.mark.ptrace
def test_every_type_that_the_linker_lists_is_found_by_its_structure(
    runtime: Runtime, types: TypeTable
) -> None:
    module = runtime.modules[0]
    if not module.has("typelinks"):
        pytest.skip("Go 1.27 has no typelinks")
    pointer, count = module.slice("typelinks")
    offsets = np.frombuffer(runtime.image.read(pointer, 4 * count), np.int32).astype(np.uint64)
    assert count > 500
    assert (types.numbers_at(np.uint64(module.word("types")) + offsets) != 0).all()


@pytest.mark.ptrace
def test_every_itab_of_the_linker_names_a_type_that_was_found(runtime: Runtime, types: TypeTable) -> None:
    module = runtime.modules[0]
    if not module.has("itablinks"):
        pytest.skip("Go 1.27 has no itablinks")
    pointer, count = module.slice("itablinks")
    itabs = runtime.image.words(pointer, count)
    concrete = np.array([runtime.image.u64(int(itab) + 8) for itab in itabs], np.uint64)
    assert count > 40
    assert (types.numbers_at(concrete) != 0).all()


@pytest.mark.ptrace
def test_a_struct_has_its_name_package_size_and_fields(types: TypeTable) -> None:
    node = the(types, "main.Node")
    fields = [(field.name, types[field.type].name, field.offset, field.embedded) for field in node.fields]
    assert (node.package, node.kind, node.size, node.ptrbytes) == ("main", scan.STRUCT, 24, 16)
    assert fields == [
        ("next", "*main.Node", 0, False),
        ("leaf", "*main.Leaf", 8, False),
        ("rank", "int32", 16, False),
        ("flag", "bool", 20, False),
    ]
    assert the(types, "main.Outer").fields[0].embedded


@pytest.mark.ptrace
def test_composite_types_say_what_they_are_made_of(types: TypeTable) -> None:
    assert types[the(types, "[3]main.Inner").elem].name == "main.Inner"
    assert the(types, "[3]main.Inner").length == 3
    table = the(types, "map[string]*main.Value")
    assert (types[table.key].name, types[table.elem].name) == ("string", "*main.Value")
    assert types[the(types, "chan *main.Message").elem].name == "*main.Message"
    assert the(types, "main.Pair[string,main.Leaf]").size == 48


@pytest.mark.ptrace
def test_types_that_share_a_name_are_told_apart_by_their_package(types: TypeTable) -> None:
    assert types[types.named("names.Place")[0]].package == "example.com/types/deep/names"
    assert types.display_name(types.named("main.Place")[0]) == "main.Place"


@pytest.mark.ptrace
def test_programs_and_the_collectors_masks_name_the_same_words(types: TypeTable) -> None:
    # sync.eface is an interface that the collector scans as two pointers (sync/poolqueue.go).
    layouts = TypeLayouts(types)
    different = []
    for number in range(FIRST_DESCRIPTOR, len(types)):
        if 0 < types.ptrbytes[number] <= 512:
            words = layouts.program(number).word.astype(np.uint64)
            mask = int(np.bitwise_or.reduce(np.uint64(1) << words, initial=np.uint64(0)))
            if mask != int(types.pointer_mask[number]):
                different.append(types[number].name)
    assert different in ([], ["sync.eface"])


@pytest.mark.ptrace
def test_a_damaged_type_section_gives_fewer_types_and_no_error(runtime: Runtime, types: TypeTable) -> None:
    module = runtime.modules[0]
    low, high = module.range("types", "etypes")
    sound = np.frombuffer(runtime.image.read(low, high - low), np.uint8)
    random = np.random.default_rng(7)
    for damaged_bytes in (100, 10_000, 100_000):
        data = sound.copy()
        data[random.integers(0, data.size, damaged_bytes)] = random.integers(0, 256, damaged_bytes, np.uint8)
        image = Image((data, *runtime.image.buffers), _over(runtime.image, low, data.size))
        table = TypeTable.read(replace(runtime, image=image))
        layouts = TypeLayouts(table)
        for number in range(FIRST_DESCRIPTOR, len(table)):
            layouts.program(number)
            assert table.display_name(number)
        assert len(table) <= len(types)


def _over(image: Image, low: int, size: int) -> list[Segment]:
    """Return the segments of `image` with new buffer 0 in front of them, at `low`."""
    moved = [
        Segment(s.start, s.end, s.buffer + 1 if s.buffer >= 0 else s.buffer, s.offset) for s in image.segments
    ]
    return [Segment(low, low + size, 0, 0), *moved]


class Section:
    """The one thing that the scan asks of a module: where its type section lies."""

    def range(self, _start: str, _end: str) -> tuple[int, int]:
        return SECTION, SECTION + 4096


def scanned(words: dict[int, int], texts: dict[int, bytes]) -> Descriptors:
    """Scan a section of 4 KiB that holds the given words and texts at the given offsets."""
    data = np.zeros(4096, np.uint8)
    for offset, word in words.items():
        data[offset : offset + 8] = np.frombuffer(word.to_bytes(8, "little"), np.uint8)
    for offset, text in texts.items():
        data[offset : offset + len(text)] = np.frombuffer(text, np.uint8)
    image = Image((data,), [Segment(SECTION, SECTION + 4096, 0, 0)])
    return scan_descriptors(image, table_layout("go1.26.0", "amd64"), [Section()])  # type: ignore[list-item]


def descriptor(
    at: int, kind: int, size: int, pointers: int, name: int, *, flags: int, align: int = 8
) -> dict[int, int]:
    """Return the first 48 bytes of a descriptor (internal/abi/type.go) as words by offset."""
    packed = 0x1234 | flags << 32 | align << 40 | align << 48 | kind << 56
    return {
        at: size,
        at + 8: pointers,
        at + 16: packed,
        at + 32: SECTION + 8 if pointers else 0,
        at + 40: name,
    }


INT = descriptor(256, 2, 8, 0, 2048, flags=scan.NAMED)
POINTER_TO_INT = {**descriptor(320, scan.POINTER, 8, 8, 2064, flags=0), 320 + 48: SECTION + 256}
NAMES = {2048: b"\x01\x03int", 2064: b"\x00\x04*int"}


def test_a_descriptor_is_taken_with_what_it_refers_to() -> None:
    found = scanned({**INT, **POINTER_TO_INT}, NAMES)
    assert (found.addr - SECTION).tolist() == [256, 320]
    assert found.kind.tolist() == [2, scan.POINTER]
    assert found.dropped == 0


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({256: 7}, id="a size that is not the kind's"),
        pytest.param({256 + 8: 16}, id="more pointers than bytes"),
        pytest.param({256 + 16: 0x1234 | 4 << 32 | 3 << 40 | 8 << 48 | 2 << 56}, id="an alignment of 3"),
        pytest.param(
            {256 + 16: 0x1234 | 4 << 32 | 8 << 40 | 8 << 48 | 29 << 56}, id="a kind that does not exist"
        ),
        pytest.param({256 + 40: 1 << 30}, id="a name outside the section"),
        pytest.param({256 + 40: 3000}, id="a name without characters"),
    ],
)
def test_what_cannot_be_a_descriptor_is_refused_and_so_is_what_refers_to_it(wrong: dict[int, int]) -> None:
    found = scanned({**INT, **POINTER_TO_INT, **wrong}, NAMES)
    assert found.addr.size == 0
    assert found.dropped == 1


def test_a_struct_with_an_impossible_number_of_fields_is_refused() -> None:
    struct = descriptor(512, scan.STRUCT, 8, 0, 2080, flags=0)
    fields = {512 + 56: SECTION + 1024, 512 + 64: 1, 512 + 72: 1, 1024: SECTION + 2096, 1032: SECTION + 256}
    names = {**NAMES, 2080: b"\x00\x12struct { a int64 }", 2120: b"\x00\x01a"}
    assert (scanned({**INT, **struct, **fields}, names).addr - SECTION).tolist() == [256, 512]
    endless = {512 + 64: 1 << 40, 512 + 72: 1 << 40}
    assert (scanned({**INT, **struct, **fields, **endless}, names).addr - SECTION).tolist() == [256]


def test_a_struct_that_contains_itself_has_a_program_all_the_same() -> None:
    descriptors = scanned({**INT, **POINTER_TO_INT}, NAMES)
    table = TypeTable(Image((), []), table_layout("go1.26.0", "amd64"), descriptors)
    number = table.add(GoType(name="T", kind=scan.STRUCT, size=16, ptrbytes=16))
    table.define(
        number,
        GoType(
            name="T",
            kind=scan.STRUCT,
            size=16,
            ptrbytes=16,
            fields=(Field("self", number, 0), Field("again", number, 8), Field("p", FIRST_DESCRIPTOR + 1, 8)),
        ),
    )
    program = TypeLayouts(table).program(number)
    assert program.word.tolist() == [1]
    assert program.kind.tolist() == [POINTER]


@pytest.mark.parametrize(
    ("size", "slot"),
    [(1, 8), (8, 8), (9, 16), (33, 48), (513, 576), (32768, 32768), (32769, 40960), (40961, 49152)],
)
def test_the_allocators_slot_for_a_size(size: int, slot: int) -> None:
    assert slot_bytes_of(np.array([size], np.uint64)).tolist() == [slot]


def test_there_are_67_size_classes() -> None:
    assert len(SIZE_CLASSES) == 67
    assert list(SIZE_CLASSES) == sorted(SIZE_CLASSES)


@pytest.mark.ptrace
def test_named_map_types_have_their_package_in_every_release(types: TypeTable) -> None:
    # The descriptor of a map is longer or shorter by release; the package stands behind it.
    maps = np.flatnonzero(types.kind[: len(types)] == scan.MAP).tolist()
    named = {types[number].name: types[number].package for number in maps if types[number].package}
    assert named["main.Registry"] == "main"


@pytest.mark.ptrace
def test_a_pointer_in_generic_code_says_nothing_of_what_it_leads_to(go: Toolchain) -> None:
    table = TypeTable.read(run_and_snapshot(scenario_program("generics", go, Mode.STRIPPED)).runtime)
    node = the(table, "main.node[go.shape.*uint8]")
    value = table[node.fields[0].type]

    assert (value.name, value.kind, value.elem) == ("go.shape.*uint8", scan.UNSAFE_POINTER, 0)
    assert table[table[node.fields[1].type].elem] == node

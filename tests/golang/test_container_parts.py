"""What maps and channels are made of: types that no descriptor describes, the same each time they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from heldby.golang.types import type_scan as scan
from heldby.golang.types.container_parts import (
    bucket_pointers,
    has_maps_of_buckets,
    is_bucket_pointer,
    maps_by_part,
    part_of,
)
from heldby.golang.types.types import (
    KIND_BUCKET_MAP,
    KIND_CHANNEL,
    KIND_MAP,
    KIND_MAP_EXTRA,
    KIND_MAP_OVERFLOW,
    KIND_MAP_TABLE,
    TypeTable,
)
from tests.support.build import Mode, build
from tests.support.stacks import run_and_snapshot
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace
PROGRAM = Path(__file__).parent / "programs" / "types"

#: Kind, size, pointer words of each part by role: internal/runtime/maps/map.go and table.go (Go 1.24), runtime/map.go
#: (Go 1.23): hmap has 48 bytes with buckets, oldbuckets and extra in its words 2, 3 and 5.
SWISS = {
    "map": (KIND_MAP, 48, 0b100),
    "table": (KIND_MAP_TABLE, 32, 0b100),
    "table pointer": (scan.POINTER, 8, 1),
}
BUCKETS = {
    "map": (KIND_BUCKET_MAP, 48, 0b101100),
    "extra": (KIND_MAP_EXTRA, 24, 0b111),
    "overflow": (KIND_MAP_OVERFLOW, 24, 1),
    "bucket pointer": (scan.POINTER, 8, 1),
}


@pytest.fixture(scope="module")
def types(go: Toolchain) -> TypeTable:
    return TypeTable.read(run_and_snapshot(build(PROGRAM, go, Mode.STRIPPED)).runtime)


@pytest.fixture(scope="module")
def old(go: Toolchain) -> bool:
    return int(go.minor.partition(".")[2]) < 24


@pytest.fixture
def table(types: TypeTable) -> int:
    (number,) = types.named("map[string]*main.Value")
    return number


def test_a_map_has_a_header_and_what_lies_between_that_and_its_entries(
    types: TypeTable, table: int, old: bool
) -> None:
    parts = {role: part_of(types, role, table) for role in (BUCKETS if old else SWISS)}

    assert has_maps_of_buckets(types) is types.made_of_buckets(table) is old
    assert {
        role: (types[number].kind, types[number].size, int(types.pointer_mask[number]))
        for role, number in parts.items()
    } == (BUCKETS if old else SWISS)
    assert all(types.is_made(number) for number in parts.values())
    pointer = parts["bucket pointer" if old else "table pointer"]
    assert types[pointer].elem == (types.map_slots(table) if old else parts["table"])
    assert types[parts["map"]].elem == table


def test_the_entries_of_a_map_lie_in_a_type_of_the_program_s_own(
    types: TypeTable, table: int, old: bool
) -> None:
    slots = types.map_slots(table)

    assert not types.is_made(slots)
    names = [field.name for field in types[slots].fields]
    assert names == (["topbits", "keys", "elems", "overflow"] if old else ["ctrl", *names[1:]])
    assert types.map_slots(slots) == 0  # no map
    assert not types.made_of_buckets(slots)


def test_a_part_is_made_once_and_leads_back_to_its_map(types: TypeTable, table: int, old: bool) -> None:
    header = part_of(types, "map", table)
    count = len(types)
    found = maps_by_part(types)

    assert part_of(types, "map", table) == header
    assert len(types) == count
    assert found[header] == [table]
    assert table in found[types.map_slots(table)]


def test_the_list_of_overflow_buckets_is_known_by_its_elements(
    types: TypeTable, table: int, old: bool
) -> None:
    if not old:
        assert bucket_pointers(types) == []
        return
    pointer = part_of(types, "bucket pointer", table)

    assert pointer in bucket_pointers(types)
    assert is_bucket_pointer(types, pointer)
    assert not is_bucket_pointer(types, table)


def test_a_channel_is_its_header_with_the_runtime_s_fields(types: TypeTable) -> None:
    (channel,) = types.named("chan *main.Message")
    header = types[part_of(types, "channel", channel)]

    assert (header.name, header.kind, header.elem) == ("chan *main.Message", KIND_CHANNEL, channel)
    assert [field.name for field in header.fields][:4] == ["qcount", "dataqsiz", "buf", "elemsize"]
    assert {"sendx", "recvx", "recvq", "sendq", "lock"} <= {field.name for field in header.fields}
    assert int(types.pointer_mask[part_of(types, "channel", channel)]) != 0


def test_parts_are_the_same_in_another_table_that_is_told_of_them(
    types: TypeTable, table: int, go: Toolchain
) -> None:
    header = part_of(types, "map", table)
    again = TypeTable.read(run_and_snapshot(build(PROGRAM, go, Mode.STRIPPED)).runtime)
    again.make_again(types.made())

    assert part_of(again, "map", table) == header
    assert len(again) == len(types)
    assert again[header] == types[header]

"""What maps and channels are made of, as types: no descriptor says it, so a `TypeTable` gets numbers for them.

A map is a header; behind it are tables and groups (Swiss maps), or buckets (Go 1.21 to 1.23, and builds of 1.24 and
1.25). Groups and buckets have descriptors, which several map types may share; the rest is made here.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import (
    KIND_BUCKET_MAP,
    KIND_CHANNEL,
    KIND_MAP,
    KIND_MAP_EXTRA,
    KIND_MAP_OVERFLOW,
    KIND_MAP_TABLE,
    GoType,
    TypeTable,
)

_OVERFLOW: Final = " overflow"


def part_of(types: TypeTable, role: str, base: int) -> int:
    """Return the number of a part that belongs to map or channel type `base`.

    Roles: ``channel``; ``map`` (its header); of Swiss maps ``table`` and ``table pointer``; of maps made of buckets
    ``bucket pointer``, ``extra`` and ``overflow``.
    """
    key = (role, base)
    if key not in types.parts:
        known, mask = _channel(types, base) if role == "channel" else _part_of_map(types, role, base)
        types.parts[key] = types.add(known, pointer_mask=mask)
    return types.parts[key]


def maps_by_part(types: TypeTable) -> dict[int, list[int]]:
    """Return for each type that is a part of maps (header, table, group ...) the map types that have such parts.

    Only groups and buckets belong to several. O(map types of the program).
    """
    found: dict[int, list[int]] = {}
    for (role, base), number in types.parts.items():
        if role != "channel":
            found.setdefault(number, []).append(base)
    for base in types.described(scan.MAP).tolist():
        part = types.map_slots(base)
        if part:
            found.setdefault(part, []).append(base)
    return found


def is_bucket_pointer(types: TypeTable, number: int) -> bool:
    """Tell whether a type is ``*bmap`` in a map's list of overflow buckets, made by `part_of`."""
    return types.is_made(number) and types[number].name.endswith(_OVERFLOW)


def bucket_pointers(types: TypeTable) -> list[int]:
    """Return the types that `is_bucket_pointer`."""
    pointers = np.flatnonzero(types.kind[: len(types)] == scan.POINTER).tolist()
    return [number for number in pointers if is_bucket_pointer(types, number)]


def has_maps_of_buckets(types: TypeTable) -> bool:
    """Tell whether a program's maps are made of buckets."""
    return any(types.made_of_buckets(number) for number in types.described(scan.MAP).tolist())


def _part_of_map(types: TypeTable, role: str, base: int) -> tuple[GoType, int]:
    """Return a part of a map type and its pointer mask."""
    name = types[base].name
    if role == "map":
        return _header(types, base)
    if role == "table":
        return GoType(name=f"{name} table", kind=KIND_MAP_TABLE, size=32, ptrbytes=24, elem=base), 0b100
    if role == "table pointer":
        return _pointer(f"{name} directory", part_of(types, "table", base)), 1
    # runtime.mapextra, []*bmap and *bmap (runtime/map.go, Go 1.23).
    if role == "extra":
        return GoType(name=f"{name} extra", kind=KIND_MAP_EXTRA, size=24, ptrbytes=24, elem=base), 0b111
    if role == "overflow":
        return GoType(name=name + _OVERFLOW, kind=KIND_MAP_OVERFLOW, size=24, ptrbytes=8, elem=base), 1
    return _pointer(name + _OVERFLOW, types.map_slots(base)), 1


def _header(types: TypeTable, base: int) -> tuple[GoType, int]:
    name = types[base].name
    if not types.made_of_buckets(base):
        return GoType(name=name, kind=KIND_MAP, size=48, ptrbytes=24, elem=base), 0b100
    # 48 bytes up to Go 1.23, 56 in 1.24 and 1.25, which count how often a map was cleared.
    layout = types.layout
    words = [layout.offset("runtime.hmap", field) // 8 for field in ("buckets", "oldbuckets", "extra")]
    size = layout.size("runtime.hmap")
    known = GoType(name=name, kind=KIND_BUCKET_MAP, size=size, ptrbytes=max(words) * 8 + 8, elem=base)
    return known, sum(1 << word for word in words)


def _channel(types: TypeTable, base: int) -> tuple[GoType, int]:
    """Return a channel's header, with fields where the program has the descriptor of ``runtime.hchan``."""
    described = next(iter(types.named("runtime.hchan")), 0)
    size = types.layout.size("runtime.hchan")
    known = GoType(
        name=types[base].name,
        kind=KIND_CHANNEL,
        size=size,
        ptrbytes=int(types.ptrbytes[described]) or size // 8 * 8,
        elem=base,
        fields=types[described].fields if described else (),
    )
    return known, int(types.pointer_mask[described])


def _pointer(name: str, to: int) -> GoType:
    return GoType(name=name, kind=scan.POINTER, size=8, ptrbytes=8, elem=to)

"""Where the entries of a map lie: Swiss maps, and maps made of buckets (up to Go 1.23).

Sources: internal/runtime/maps/map.go, table.go and group.go (Go 1.24 to 1.27); runtime/map.go (up to 1.25).
All that is read may be damaged: what is looked at is bounded, and groups that were not captured are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import words_at
from heldby.golang.types.map_places import Place, slot_places
from heldby.golang.types.types import TypeTable

_MAP: Final = "internal/runtime/maps.Map"
_TABLE: Final = "internal/runtime/maps.table"
_HMAP: Final = "runtime.hmap"
_SLOTS: Final = 8
_FULL_FROM: Final = 5  # runtime/map.go, minTopHash: smaller ones mark empty and moved slots
_MOST_TABLES: Final = 1 << 20
_MOST_GROUPS: Final = 1 << 10  # map.go, maxTableCapacity slots
_STRETCH: Final = 1 << 14
_MOST_STRETCHES: Final = 1 << 12
_MOST_OVERFLOWS: Final = 64
U64 = NDArray[np.uint64]


@dataclass(slots=True)
class MapEntries:
    """Some entries of a map.

    Attributes:
        length: what ``len`` says.
        key, elem: their types.
        key_behind, elem_behind: a pointer to them lies at the addresses, as to all of more than 128 bytes.
        entries: addresses of keys and elements, as many as were asked for at most, in the order of memory.
        missing: groups or buckets that were not captured.
    """

    length: int
    key: int
    elem: int
    key_behind: bool = False
    elem_behind: bool = False
    entries: list[tuple[int, int]] = field(default_factory=list)
    missing: int = 0


def map_entries(
    runtime: Runtime, types: TypeTable, number: int, header: int, limit: int
) -> MapEntries | None:
    """Return the first `limit` entries of the map of type `number` whose header lies at `header`.

    None when the type's parts are not known. O(groups looked at), bounded by the map's own length.

    Raises:
        NotCaptured: the header is not in the capture.
    """
    slots, old = types.map_slots(number), types.made_of_buckets(number)
    places = slot_places(types, slots) if slots else {}
    if set(places) != {"key", "elem"}:
        return None
    image, layout = runtime.image, runtime.layout
    at = layout.offset(_HMAP, "count") if old else layout.offset(_MAP, "used")
    length = image.u64(header + at)
    of = types[number]
    behind = places["key"].type != of.key, places["elem"].type != of.elem
    found = MapEntries(length, of.key, of.elem, *behind)
    runs = _buckets(runtime, header) if old else _groups(runtime, header)
    for start, count in runs:
        if len(found.entries) >= min(limit, length):
            break
        _collect(runtime, types, slots, places, start, count, limit, found, old=old)
    return found


def group_entries(
    runtime: Runtime, types: TypeTable, part: int, start: int, count: int, limit: int
) -> MapEntries | None:
    """Return the entries of `count` groups or buckets of type `part` at `start`; their number is not known."""
    places = slot_places(types, part)
    if set(places) != {"key", "elem"}:
        return None
    found = MapEntries(-1, places["key"].type, places["elem"].type)
    old = any(each.name == "topbits" for each in types[part].fields)
    _collect(runtime, types, part, places, start, min(count, _STRETCH), limit, found, old=old)
    return found


def _groups(runtime: Runtime, header: int) -> Iterator[tuple[int, int]]:
    """Yield address and number of the groups of each table of a Swiss map."""
    image, layout = runtime.image, runtime.layout
    directory = image.u64(header + layout.offset(_MAP, "dirPtr"))
    tables = image.u64(header + layout.offset(_MAP, "dirLen"))
    if not tables:
        if directory:
            yield directory, 1
        return
    at = np.uint64(directory) + np.arange(min(tables, _MOST_TABLES), dtype=np.uint64) * np.uint64(8)
    words, _ = words_at(runtime.pages, at)
    # A table fills neighbouring entries of the directory (Map.directorySet).
    new = np.ones(words.size, np.bool_)
    new[1:] = words[1:] != words[:-1]
    words = words[new & (words != 0)]
    starts, _ = words_at(runtime.pages, words + np.uint64(layout.offset(_TABLE, "groups", "data")))
    masks, present = words_at(runtime.pages, words + np.uint64(layout.offset(_TABLE, "groups", "lengthMask")))
    counts = np.minimum(masks, np.uint64(_MOST_GROUPS - 1)) + np.uint64(1)
    yield from zip(starts[present].tolist(), counts[present].tolist(), strict=True)


def _buckets(runtime: Runtime, header: int) -> Iterator[tuple[int, int]]:
    """Yield the buckets of a map, and those of before it grew whose entries were not moved yet."""
    image, layout = runtime.image, runtime.layout
    shift = min(image.u8(header + layout.offset(_HMAP, "B")), 40)
    buckets = image.u64(header + layout.offset(_HMAP, "buckets"))
    old = image.u64(header + layout.offset(_HMAP, "oldbuckets"))
    same_size = image.u8(header + layout.offset(_HMAP, "flags")) & 8  # sameSizeGrow
    if buckets:
        yield buckets, 1 << shift
    if old:
        yield old, 1 << (shift if same_size else max(shift - 1, 0))


def _collect(
    runtime: Runtime,
    types: TypeTable,
    part: int,
    places: dict[str, Place],
    start: int,
    count: int,
    limit: int,
    found: MapEntries,
    *,
    old: bool,
) -> None:
    size = int(types.size[part])
    overflow = next((each.offset for each in types[part].fields if each.name == "overflow"), None)
    for low in range(0, min(count, _STRETCH * _MOST_STRETCHES), _STRETCH):
        steps = np.arange(low, min(low + _STRETCH, count), dtype=np.uint64)
        addrs = np.uint64(start) + steps * np.uint64(size)
        for _ in range(_MOST_OVERFLOWS if old and overflow is not None else 1):
            controls, present = words_at(runtime.pages, addrs)
            found.missing += int((~present).sum())
            addrs, controls = addrs[present], controls[present]
            marks = controls.view(np.uint8).reshape(-1, _SLOTS)
            full = marks >= _FULL_FROM if old else marks < 0x80  # group.go: a full slot has its top bit clear
            rows, slots = np.nonzero(full)
            _add(addrs[rows], slots, places, limit, found)
            if len(found.entries) >= limit or overflow is None or not old:
                break
            addrs, _ = words_at(runtime.pages, addrs + np.uint64(overflow))
            addrs = addrs[addrs != 0]
            if not addrs.size:
                break
        if len(found.entries) >= (limit if found.length < 0 else min(limit, found.length)):
            return


def _add(
    groups: U64, slots: NDArray[np.intp], places: dict[str, Place], limit: int, found: MapEntries
) -> None:
    room = limit - len(found.entries)
    groups, at = groups[:room], slots[:room].astype(np.uint64)
    keys = groups + np.uint64(places["key"].offset) + at * np.uint64(places["key"].stride)
    elems = groups + np.uint64(places["elem"].offset) + at * np.uint64(places["elem"].stride)
    found.entries += zip(keys.tolist(), elems.tolist(), strict=True)

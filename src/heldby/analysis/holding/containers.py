"""The maps on the way to a holder, with the entries that they have: ``map of 51,203 entries``."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.holding.holder_tree import HolderTree
from heldby.golang.runtime.structs import StructRows
from heldby.golang.types.types import KIND_BUCKET_MAP, KIND_MAP
from heldby.heap.heap import Heap
from heldby.units import format_count

#: Kind of a map's header, and the field that counts its entries.
_COUNTS: Final = {
    KIND_MAP: ("internal/runtime/maps.Map", "used"),
    KIND_BUCKET_MAP: ("runtime.hmap", "count"),
}


def maps_on(tree: HolderTree, paths: list[int]) -> dict[int, tuple[str, ...]]:
    """Return for each path a line on the nearest maps on the way to it; no line where there are none.

    One pass over the vertices for all paths together, and one read of each map header on their ways.
    """
    ways = {path: tree.way(path) for path in paths}
    wanted = np.zeros(tree.paths.path_count, np.bool_)
    wanted[[step for way in ways.values() for step in way]] = True
    found = _entries_by_path(tree, wanted)
    lines: dict[int, tuple[str, ...]] = {}
    for path, way in ways.items():
        nearest = next((step for step in way if step in found), None)
        lines[path] = () if nearest is None else (_line(*found[nearest]),)
    return lines


def _entries_by_path(tree: HolderTree, wanted: NDArray[np.bool_]) -> dict[int, tuple[int, int]]:
    """Return number of maps and of their entries for each wanted path that has maps."""
    heap = tree.heap
    numbers = np.flatnonzero(wanted[tree.paths.path_of])
    vertices = heap.tree.order[numbers]
    is_object = vertices <= np.uint32(heap.object_count)
    numbers, vertices = numbers[is_object], vertices[is_object]
    types = heap.naming.types
    kind = np.where(types.is_array[vertices], 0, types.layouts.types.kind[types.number[vertices]])
    is_map = np.isin(kind, list(_COUNTS))
    numbers, vertices = numbers[is_map], vertices[is_map]
    used = entry_counts(heap, vertices)
    at, inverse = np.unique(tree.paths.path_of[numbers], return_inverse=True)
    counts = np.bincount(inverse, minlength=at.size)
    entries = np.bincount(inverse, weights=used, minlength=at.size).astype(np.int64)
    return {
        int(path): (int(count), int(entry)) for path, count, entry in zip(at, counts, entries, strict=True)
    }


def entry_counts(heap: Heap, headers: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return how many entries the maps have whose headers these objects are; 0 of a header that is missing."""
    runtime, types = heap.process.runtime, heap.naming.types
    kind = types.layouts.types.kind[types.packed[headers] >> np.uint32(1)]
    used = np.zeros(headers.size, np.int64)
    for each, (struct, field) in _COUNTS.items():
        mine = np.flatnonzero(kind == each)
        if mine.size:
            rows = StructRows(runtime.pages, runtime.layout, struct, heap.objects.addr[headers[mine]])
            # A map has fewer entries than there are words of memory; more is what a damaged header says.
            used[mine] = np.where(rows.present, np.minimum(rows.column(field), np.uint64(1 << 40)), 0)
    return used


def _line(maps: int, entries: int) -> str:
    number = f"{entries:,} entries" if entries != 1 else "1 entry"
    return f"map of {number}" if maps == 1 else f"{format_count(maps)} maps of {number} together"

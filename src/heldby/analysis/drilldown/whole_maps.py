"""Maps with all their parts as one: header, directory, tables and groups, or buckets in releases before 1.24.

For the reader of a table the memory of a map is the map's, whatever the runtime made it of. Header, directory
and tables have types of their own for each map type. Groups and buckets have one type for all map types with
these keys and elements (``http.Header`` and ``map[string][]string``): whose they are tells what dominates them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.grouping import Grouping
from heldby.golang.types.container_parts import maps_by_part
from heldby.golang.types.types import TypeTable
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap
from heldby.heap.naming import UNKNOWN
from heldby.heap.type_numbers import type_numbers

_MOST_OVERFLOWS: Final = 64


def by_whole_type(heap: Heap) -> Grouping:
    """Return the objects by the name of their type, those that are parts of maps by that of the map. O(objects)."""
    return _grouped(heap, lambda _own, whole: whole)


def by_own_and_whole_type(heap: Heap) -> Grouping:
    """Return the objects by both names, with a zero byte between: of the object's own type and of its map's."""
    return _grouped(heap, lambda own, whole: f"{own}\0{whole}")


def _grouped(heap: Heap, called: Callable[[str, str], str]) -> Grouping:
    types, table = type_numbers(heap), heap.naming.types.layouts.types
    parts = maps_by_part(table)
    names: dict[str, int] = {}

    def row(own: str, whole: str) -> int:
        name = called(own, whole)
        return names.setdefault(name, len(names))

    rows, several = [], []
    for number in types.distinct.tolist():
        own = heap.naming.type_name(number)
        maps = parts.get(number >> 1, []) if number < UNKNOWN else []
        rows.append(row(own, table.display_name(_unnamed(table, maps)) if maps else own))
        if len(maps) > 1:
            several.append(number)
    of = types.rows(np.array(rows, np.int32))
    for number in several:
        objects = np.flatnonzero(heap.naming.types.packed == np.uint32(number)).astype(np.uint32)
        own = heap.naming.type_name(number)
        owners = _owners(heap, parts, number >> 1, objects)
        for base in np.unique(owners[owners != 0]).tolist():
            of[objects[owners == base]] = row(own, table.display_name(base))
    return Grouping(list(names), of)


def _unnamed(table: TypeTable, maps: list[int]) -> int:
    """Return the map type without a name of its own, where there is one."""
    return next((base for base in maps if table[base].name.startswith("map[")), maps[0])


def _owners(
    heap: Heap, parts: dict[int, list[int]], part: int, objects: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Return the map type whose header or table dominates each of `objects`, which are of type `part`; 0 for none."""
    tree = heap.tree
    base_of = np.zeros(len(heap.naming.types.layouts.types), np.uint32)
    for number, maps in parts.items():
        if len(maps) == 1:
            base_of[number] = maps[0]
    mine = np.isin(base_of, np.array(parts[part], np.uint32))
    found = np.zeros(objects.size, np.uint32)
    numbers = tree.number[objects]
    rows = np.flatnonzero(numbers != np.uint32(NONE))
    for _ in range(_MOST_OVERFLOWS):
        numbers[rows] = tree.idom[numbers[rows]]
        above = tree.order[numbers[rows]]
        plain = np.zeros(rows.size, np.uint32)
        inside = above <= np.uint32(heap.object_count)
        plain[inside] = heap.naming.types.packed[above[inside]] >> np.uint32(1)
        found[rows] = np.where(mine[plain], base_of[plain], 0)
        # A bucket hangs on the one before it.
        rows = rows[plain == part]
        if not rows.size:
            break
    return found

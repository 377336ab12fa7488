"""How far the arrays and texts of a heap are used, and what the bytes of its objects are spent on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.types import type_scan as scan
from heldby.golang.types.container_parts import bucket_pointers
from heldby.golang.types.type_layout import (
    INTERFACE,
    NOTHING,
    SLICE,
    STRING,
    TypeLayouts,
    is_map_bucket,
    is_map_group,
)
from heldby.golang.types.types import (
    KIND_MAP_TABLE,
    MAP_PARTS,
    TypeTable,
)
from heldby.golang.typing.object_types import ObjectTypes, type_columns
from heldby.golang.typing.object_use_kernels import (
    COLUMNS,
    MAP_BUCKET,
    MAP_GROUP,
    MAP_HEADER,
    NO_MAP_PART,
    TypeUse,
    account_objects,
    find_use,
)
from heldby.golang.typing.type_word_kernels import HeapView, TypeColumns
from heldby.heap.heap import Heap
from heldby.heap.naming import root_slots

_KINDS: Final = 16
_STRETCH: Final = 1 << 16
_OBJECTS_AT_ONCE: Final = 1 << 18
_MOST_WORDS: Final = 1 << 16
# Where a map's entries lie in its groups and buckets.
_SLOT_ARRAYS: Final = ("slots", "keys", "elems")


@dataclass(frozen=True, eq=False)
class ObjectUse:
    """One pass over the references of a heap, and what can be asked after it.

    Attributes:
        heap: whose objects.
        used, capacity: ``uint32[n + 1]``, one more than the bytes of each array or text that the headers which refer
            to it use and have; 0 where none is known.
    """

    heap: Heap
    used: NDArray[np.uint32]
    capacity: NDArray[np.uint32]
    _view: HeapView
    _columns: TypeColumns

    @cached_property
    def type_use(self) -> TypeUse:
        """What the values of each type hold."""
        return _type_use(self.heap.naming.types.layouts, self._columns)

    def account(self, row_of: NDArray[np.int32], rows: int) -> NDArray[np.int64]:
        """Return ``int64[rows, COLUMNS]`` of the objects of each row (see `object_use_kernels`). One pass."""
        out = np.zeros((rows, COLUMNS), np.int64)
        types = self.heap.naming.types
        for low, high in _parts(self.heap):
            account_objects(
                self.heap.process.runtime.pages,
                self._view,
                self._columns,
                types.packed,
                types.evidence,
                self.type_use,
                self.used,
                self.capacity,
                row_of,
                low,
                high,
                out,
            )
        return out


def object_use(heap: Heap) -> ObjectUse:
    """Read the headers of all slices and strings. O(references); 8 bytes an object."""
    types = heap.naming.types
    layouts = types.layouts
    layouts.ensure(_used_types(types))
    slots = root_slots(heap.roots)
    layouts.ensure(np.unique(slots.type))
    columns = type_columns(layouts.types, layouts)
    view = heap.naming.view(slots)
    used, capacity = (np.zeros(heap.object_count + 1, np.uint32) for _ in range(2))
    for low, high in _parts(heap):
        find_use(heap.process.runtime.pages, view, columns, types.packed, low, high, used, capacity)
    return ObjectUse(heap, used, capacity, view, columns)


def _parts(heap: Heap) -> Iterator[tuple[int, int]]:
    """Yield stretches of objects; what was read of the capture is given back after each."""
    end = heap.object_count + 1
    for low in range(1, end, _OBJECTS_AT_ONCE):
        yield low, min(low + _OBJECTS_AT_ONCE, end)
        heap.process.core.unmap_pages()


def _used_types(types: ObjectTypes) -> NDArray[np.intp]:
    """Return the types that objects have; a stretch at a time, or counting would take 12 bytes an object."""
    seen = np.zeros(types.layouts.types.size.size, np.bool_)
    for low in range(0, types.packed.size, _STRETCH):
        seen[types.packed[low : low + _STRETCH] >> np.uint32(1)] = True
    return np.flatnonzero(seen)


def _type_use(layouts: TypeLayouts, columns: TypeColumns) -> TypeUse:
    types = layouts.types
    count = types.size.size
    words = np.zeros((count, 4), np.uint16)
    for number in np.flatnonzero((columns.start >= 0) & (columns.prefix > 0)).tolist():
        start = int(columns.start[number])
        kinds = columns.slot_kind[start : start + int(columns.prefix[number])]
        found = np.bincount(kinds, minlength=_KINDS)
        others = kinds.size - int(found[[NOTHING, STRING, SLICE, INTERFACE]].sum())
        row = (others, int(found[STRING]), int(found[SLICE]), int(found[INTERFACE]))
        words[number] = np.minimum(row, _MOST_WORDS - 1)
    part = np.where(map_innards(types), MAP_HEADER, NO_MAP_PART).astype(np.uint8)
    slot = np.zeros(count, np.uint32)
    for number in np.flatnonzero((types.kind == scan.STRUCT) & (columns.start >= 0)).tolist():
        if is_map_group(types.name(number)):
            arrays = [field for field in types[number].fields if field.name in _SLOT_ARRAYS]
            part[number] = MAP_BUCKET if is_map_bucket(types.name(number)) else MAP_GROUP
            if part[number] == MAP_BUCKET and words[number, 0]:
                words[number, 0] -= 1  # the pointer to the next bucket serves the map, not its entries
            slot[number] = sum(int(types.size[field.type]) for field in arrays) // 8
    return TypeUse(words, part, slot)


def map_innards(types: TypeTable) -> NDArray[np.bool_]:
    """Return which types are headers, tables and lists of maps, ``bool[types]``; groups and buckets are not."""
    found: NDArray[np.bool_] = np.isin(types.kind, MAP_PARTS)
    pointers = types.kind == scan.POINTER
    found |= pointers & (types.kind[types.elem] == KIND_MAP_TABLE)
    found[bucket_pointers(types)] = True
    return found

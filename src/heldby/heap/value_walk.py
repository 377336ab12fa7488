"""Measuring what Go values would take in other forms: the walk of `golang.texts.value_walk_kernels` over a `Heap`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.texts.json_text_kernels import Memory, TextRules
from heldby.golang.texts.map_walk_kernels import MapLayout
from heldby.golang.texts.number_text_kernels import POWERS_OF_TEN
from heldby.golang.texts.value_programs import ValuePrograms
from heldby.golang.texts.value_walk_kernels import (
    DONE,
    NOTE_COUNT,
    STACK_COLUMNS,
    STACK_ROWS,
    TOO_LARGE,
    WAITING,
    Owners,
    Release,
    Units,
    measure_values,
)
from heldby.golang.types.container_parts import has_maps_of_buckets
from heldby.golang.typing.interface_words import dynamic_types, itab_type
from heldby.heap.heap import Heap
from heldby.heap.programs import read_only_pages

_MOST_ROUNDS: Final = 64
_MOST_STRANGE: Final = 1 << 12
_FEWEST_AT_ONCE: Final = 1 << 11
_MOST_AT_ONCE: Final = 1 << 20
"""Values to visit before what was read of the capture is given back: a small budget needs little memory."""
_MOST_TOO_LARGE: Final = 16
UNIT_BUDGET: Final = 1 << 22
"""Values to visit in one unit before it is given up: a text of that size is no unit of anything."""
_MAP: Final = "internal/runtime/maps.Map"
_TABLE: Final = "internal/runtime/maps.table"
_BUCKET_MAP: Final = "runtime.hmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the units of one walk would take.

    Attributes:
        sizes: ``int64[units, 3]``: bytes as JSON text (`VISIBLE`), as JSON text with the fields that encoding/json
            leaves out (`FULL`), and packed (`PACKED`).
        done: ``bool[units]``, False for units that were given up or not reached.
        notes: ``int64[NOTE_COUNT]``: what was met that the sizes do not say, counted.
    """

    sizes: NDArray[np.int64]
    done: NDArray[np.bool_]
    notes: NDArray[np.int64]


class ValueWalk:
    """Walks over the values of one heap; the rows of types are kept from one to the next."""

    def __init__(self, heap: Heap) -> None:
        self._heap = heap
        self._types = heap.naming.types.layouts.types
        runtime = heap.process.runtime
        second = _has_second_json(runtime)
        minor = runtime.layout.minor
        self.programs = ValuePrograms(self._types, second_json=second, omits_zero=minor >= 24)
        self.memory = Memory(runtime.pages, read_only_pages(heap.process.programs))
        self.maps = _map_layout(runtime.layout, buckets=has_maps_of_buckets(self._types))
        self._release = Release(
            self.maps,
            TextRules(invalid=np.uint64(3 if second else 6), feed=np.uint64(2 if minor >= 22 else 6)),
        )
        self._itabs: dict[int, int] = {}
        self._dynamic = dynamic_types(runtime, self._types, self._itabs)
        self._columns = self.programs.columns()

    def map_row(self, number: int) -> tuple[int, ...] | None:
        """Return where keys and elements of a map type lie (`ValueTypes.maps`); None when it is not understood."""
        self.programs.ensure(np.array([number]))
        return self.programs.map_row(number)

    def stored_element(self, number: int) -> int:
        """Return the type of what lies in a map's slot: the element, or a pointer to a large one."""
        return self.programs.stored_element(number)

    def measure(self, units: Units, heads: NDArray[np.uint32], *, budget: int) -> Measured:
        """Walk `units` and return their sizes. About 30 ns for each value on the way.

        Args:
            units: the values.
            heads: ``uint32[reachable]``, see `Owners`.
            budget: values to visit in all; units that are not reached are not `done`.
        """
        count = units.addr.size
        at_once = min(max(budget >> 11, _FEWEST_AT_ONCE), _MOST_AT_ONCE)
        sizes, status = np.zeros((count, 3), np.int64), np.full(count, WAITING, np.uint8)
        notes = np.zeros(NOTE_COUNT, np.int64)
        stack = np.zeros((STACK_ROWS, STACK_COLUMNS), np.uint64)
        owners = Owners(
            self._heap.tree.number, heads, self._heap.objects.span, self._heap.objects.spans.noscan
        )
        self._require(np.unique(units.type))
        strange = np.zeros(_MOST_STRANGE, np.uint64)
        for _ in range(_MOST_ROUNDS):
            needed = np.zeros(self._columns.op.size, np.uint8)
            strange[0] = 0
            first, left = 0, budget
            while first < count and left > 0:
                first = measure_values(
                    self.memory,
                    self._heap.objects.index,
                    self._dynamic,
                    self._columns,
                    self._release,
                    owners,
                    POWERS_OF_TEN,
                    units,
                    first,
                    stack,
                    sizes,
                    status,
                    notes,
                    needed,
                    strange,
                    UNIT_BUDGET,
                    min(left, at_once),
                )
                left -= at_once
                self._heap.process.core.unmap_pages()
            given_up = int(np.count_nonzero(status == TOO_LARGE)) > _MOST_TOO_LARGE
            learnt = self._learn(np.flatnonzero(needed), strange[1 : 1 + int(strange[0])])
            if first < count or given_up or not (status == WAITING).any():
                break
            if not learnt:
                strange = np.zeros(1, np.uint64)  # what is still strange stays so
        return Measured(sizes=sizes, done=status == DONE, notes=notes)

    def _require(self, numbers: NDArray[np.integer]) -> None:
        self.programs.ensure(numbers)
        self._columns = self.programs.columns()

    def _learn(self, needed: NDArray[np.intp], strange: NDArray[np.uint64]) -> bool:
        """Make rows for types, and look at itabs that were made at run time; tell whether any was new."""
        runtime = self._heap.process.runtime
        found = {
            word: number
            for word in np.unique(strange).tolist()
            if word not in self._itabs and (number := itab_type(runtime, self._types, word))
        }
        if found:
            self._itabs |= found
            self._dynamic = dynamic_types(runtime, self._types, self._itabs)
        if needed.size:
            self._require(needed)
        return bool(found) or bool(needed.size)


def _has_second_json(runtime: Runtime) -> bool:
    """Tell whether encoding/json is built on its second version (GOEXPERIMENT jsonv2; the default from 1.27)."""
    if "jsonv2" in runtime.version:
        return "nojsonv2" not in runtime.version
    return runtime.layout.minor >= 27


def _map_layout(layout: Layout, *, buckets: bool) -> MapLayout:
    places = {
        "used": (_MAP, "used"),
        "directory": (_MAP, "dirPtr"),
        "directory_length": (_MAP, "dirLen"),
        "groups": (_TABLE, "groups", "data"),
        "group_mask": (_TABLE, "groups", "lengthMask"),
    }
    if buckets:
        places = {
            "used": (_BUCKET_MAP, "count"),
            "buckets": (_BUCKET_MAP, "buckets"),
            "old_buckets": (_BUCKET_MAP, "oldbuckets"),
            "bucket_bits": (_BUCKET_MAP, "B"),
            "flags": (_BUCKET_MAP, "flags"),
        }
    offsets = dict.fromkeys(MapLayout._fields, 0)
    if layout.has(_BUCKET_MAP if buckets else _MAP):
        offsets |= {name: layout.offset(*place) for name, place in places.items()}
    return MapLayout(**{name: np.uint64(offset) for name, offset in offsets.items()})

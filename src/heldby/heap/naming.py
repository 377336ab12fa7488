"""What to call objects and references: types by number, and the words that lead from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.references import References
from heldby.golang.typing.label_kernels import label_chosen
from heldby.golang.typing.labels import describe, label_of, unknown_labels
from heldby.golang.typing.object_types import ObjectTypes, RootSlots, heap_view, type_columns
from heldby.golang.typing.type_word_kernels import HeapView, TypeColumns
from heldby.golang.typing.typing_arrays import label_view
from heldby.heap.roots import RootTable

UNKNOWN: Final = np.uint32(1 << 31)
"""From here on a number in `Naming.types_of` says the size of the slot of an object of unknown type."""

_STRETCH: Final = 1 << 16

# Structures through which the runtime reaches what users hold too (runtime/runtime2.go, runtime/time.go).
_INTERNAL: Final = (
    "runtime.g",
    "runtime.m",
    "runtime.p",
    "runtime.sudog",
    "runtime._defer",
    "runtime._panic",
)


class Naming:
    """Names of one heap.

    Attributes:
        types: what is known of each object's type.
    """

    def __init__(
        self, objects: ObjectTable, references: References, roots: RootTable, types: ObjectTypes
    ) -> None:
        self.types = types
        self._roots = roots
        self._objects = objects
        self._references = references

    def types_of(self, objects: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the packed types of some objects; of an unknown one a mark and the size of its slot.

        So unknown objects of different sizes are different.
        """
        found: NDArray[np.uint32] = self.types.packed[objects]
        unknown = found == 0
        if unknown.any():
            found[unknown] = self._unknown_types(objects[unknown])
        return found

    def type_at(self, number: int) -> int:
        """Return `types_of` of one object."""
        return int(self.types_of(np.array([number], np.uint32))[0])

    def _unknown_types(self, objects: NDArray[np.uint32]) -> NDArray[np.uint32]:
        slots = self._objects.spans.elemsize[self._objects.span_of(objects)]
        return UNKNOWN | np.minimum(slots, np.uint64(UNKNOWN - 1)).astype(np.uint32)

    def view(self, roots: RootSlots) -> HeapView:
        """Return objects and references as the typing kernels read them, with these pointers outside the heap."""
        return heap_view(self._objects, self._references, roots)

    def is_known(self, number: int) -> bool:
        """Tell whether `types_of` numbers a type so; otherwise only the size of the slot is known."""
        return not number & int(UNKNOWN)

    def type_name(self, number: int) -> str:
        """Return the name of a type as `types_of` numbers it."""
        if number & int(UNKNOWN):
            return describe(self.types.layouts.types, 0, size=number & ~int(UNKNOWN))
        return describe(self.types.layouts.types, number)

    def element_type_name(self, number: int) -> str:
        """Return what an element of such an object is called: ``string`` for a backing array of strings."""
        if number & int(UNKNOWN) or not number & 1:
            return self.type_name(number)
        return self.types.layouts.types.display_name(number >> 1)

    def label_text(self, label: int) -> str:
        """Return the text of a label: ``.paths``, ``[*].name``."""
        return self.types.layouts.labels.texts[label]

    def labels(self, edges: NDArray[np.int64], sources: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the label of each of these edges of the graph, whose sources are given too; O(edges)."""
        out = np.zeros(edges.size, np.uint32)
        count = np.uint32(len(self._objects))
        columns, label, unknown = self._tables
        objects = np.where(sources <= count, sources, np.uint32(0))
        label_chosen(self.label_view, self.types.packed, columns, label, unknown, objects, edges, out)
        rooted = np.flatnonzero(sources > count)
        if rooted.size:
            out[rooted] = self._root_labels(self._references.words[edges[rooted]])
        return out

    def word_kinds(self, edges: NDArray[np.int64], sources: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return what kind of word each of these edges lies in (`type_layout.STRING` ...); 0 where unknown.

        The sources must be objects. O(edges).
        """
        # Of the tables, and not of the layouts: those of a kept analysis are empty until the tables are made.
        return self._word_facts(self._tables[0].slot_kind.astype(np.uint32), edges, sources)

    def word_targets(self, edges: NDArray[np.int64], sources: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return to which type each of these edges leads by its word's own type: of a slice the elements'.

        As for `word_kinds`.
        """
        return self._word_facts(self._tables[0].slot_target, edges, sources)

    def word_marks(
        self, wanted: Callable[[NDArray[np.uint8], NDArray[np.uint32]], NDArray[np.bool_]]
    ) -> tuple[TypeColumns, NDArray[np.uint8]]:
        """Return the types, and of each word of their programs whether it is `wanted`, ``uint8[slots]``.

        `wanted` is given kind and type of every word, as `word_kinds` and `word_targets` say them.
        """
        columns, _, _ = self._tables
        return columns, wanted(columns.slot_kind, columns.slot_target).astype(np.uint8)

    def _word_facts(
        self, facts: NDArray[np.uint32], edges: NDArray[np.int64], sources: NDArray[np.uint32]
    ) -> NDArray[np.uint32]:
        out = np.zeros(edges.size, np.uint32)
        columns, _, _ = self._tables
        label_chosen(
            self.label_view, self.types.packed, columns, facts, np.zeros(1, np.uint32), sources, edges, out
        )
        return out

    @cached_property
    def label_view(self) -> HeapView:
        """Spans and words as the typing kernels read them; the other arrays are empty."""
        # Labels depend on nothing else; addresses and targets would be read from disk for nothing.
        return label_view(self._objects, self._references)

    @cached_property
    def _tables(self) -> tuple[TypeColumns, NDArray[np.uint32], NDArray[np.uint32]]:
        layouts = self.types.layouts
        packed = self.types.packed
        used = np.zeros(2 * len(layouts.types), np.bool_)
        # In stretches: NumPy widens to 64 bits what it indexes with.
        for low in range(0, packed.size, _STRETCH):
            used[packed[low : low + _STRETCH]] = True
        layouts.ensure(np.unique(np.flatnonzero(used) >> 1))
        return type_columns(layouts.types, layouts), layouts.label, unknown_labels(layouts.labels)

    def _root_labels(self, slots: NDArray[np.uint32]) -> NDArray[np.uint32]:
        roots, labels = self._roots, self.types.layouts.labels
        keys = np.stack((roots.slot_label[slots], roots.slot_type[slots], roots.slot_word[slots]), axis=1)
        distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
        numbers = []
        for prefix, number, word in distinct.tolist():
            inside = label_of(self.types, number << 1, word * 8)[0] if number else ""
            if not number and word:
                inside = f"+{word * 8:#x}"
            numbers.append(labels.number(roots.labels[prefix] + inside))
        return np.array(numbers, np.uint32)[inverse.reshape(-1)]

    def processors(self) -> NDArray[np.uint32]:
        """Return the runtime's Ps. ``allp`` holds them all; a user's timer refers to the one it waits on."""
        numbers = self.types.layouts.types.named("runtime.p")
        return np.flatnonzero(np.isin(self.types.number, np.array(numbers, np.uint32))).astype(np.uint32)

    def is_runtime_internal(self) -> NDArray[np.bool_]:
        """Return which objects are the runtime's own records of goroutines and threads, ``bool[n + 1]``."""
        return np.isin(self.types.number, np.array(self._internal_types, np.uint32))

    def is_runtime_record(self, number: int) -> bool:
        """Tell whether a type as `types_of` numbers it is one of those records."""
        return number >> 1 in self._internal_types

    @cached_property
    def _internal_types(self) -> tuple[int, ...]:
        types = self.types.layouts.types
        return tuple(number for name in _INTERNAL for number in types.named(name))


def root_slots(roots: RootTable) -> RootSlots:
    """Return the roots' pointer words as typing reads them."""
    base = np.where(
        roots.slot_addr != 0, roots.slot_addr - roots.slot_word.astype(np.uint64) * np.uint64(8), 0
    )
    return RootSlots(
        addr=base.astype(np.uint64), word=roots.slot_word, target=roots.slot_target, type=roots.slot_type
    )

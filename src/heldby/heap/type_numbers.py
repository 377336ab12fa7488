"""The types that the objects of a heap have, and look-ups by them in one pass."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.objects import first_objects
from heldby.heap.heap import Heap
from heldby.heap.naming import UNKNOWN
from heldby.heap.type_number_kernels import look_up_types, mark_types

_N = TypeVar("_N", np.int32, np.uint8)


def type_numbers(heap: Heap) -> TypeNumbers:
    """Return the types of all objects, found once for each heap. O(objects)."""
    return heap.result(TypeNumbers, lambda: TypeNumbers(heap))


class TypeNumbers:
    """The distinct numbers that `Naming.types_of` has for the objects of a heap.

    Attributes:
        distinct: ``uint32[k]``, ascending.
    """

    def __init__(self, heap: Heap) -> None:
        self._packed = heap.naming.types.packed
        slots = np.minimum(heap.objects.spans.elemsize, np.uint64(UNKNOWN - 1)).astype(np.uint32)
        sizes, row = np.unique(slots, return_inverse=True)
        # Places: the packed numbers of known types, then the sizes of the slots of unknown ones.
        known = 2 * len(heap.naming.types.layouts.types)
        self._unknown = (known + row).astype(np.uint32)
        self._first = first_objects(heap.objects.index)
        seen = np.zeros(known + sizes.size, np.uint8)
        mark_types(self._packed, self._first, self._unknown, seen)
        self._seen = seen != 0
        numbers = np.concatenate((np.arange(known, dtype=np.uint32), UNKNOWN | sizes))
        self.distinct: NDArray[np.uint32] = numbers[self._seen]

    def rows(self, row_of: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return ``int32[n + 1]``: for each object what `row_of` has for its number, in the order of `distinct`."""
        out = np.zeros(self._packed.size, np.int32)
        look_up_types(self._packed, self._first, self._unknown, self._table(row_of), out)
        return out

    def chosen(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return ``bool[n + 1]``: which objects have a number that is wanted, in the order of `distinct`."""
        out = np.zeros(self._packed.size, np.uint8)
        look_up_types(self._packed, self._first, self._unknown, self._table(wanted.astype(np.uint8)), out)
        return out.view(np.bool_)

    def _table(self, values: NDArray[_N]) -> NDArray[_N]:
        table = np.zeros(self._seen.size, values.dtype)
        table[self._seen] = values
        return table

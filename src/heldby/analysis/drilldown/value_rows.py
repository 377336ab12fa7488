"""The values that objects hold: one for each object, one for each element of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heldby.errors import LimitExceeded, UsageError
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import FIRST_DESCRIPTOR, TypeTable
from heldby.heap.heap import Heap

_MOST_VALUES = 1 << 28
_MOST_NESTED = 16


@dataclass(frozen=True, slots=True, eq=False)
class ValueRows:
    """Values of one type.

    Attributes:
        type: their type number.
        address: ``uint64[v]``, ascending.
        object: ``uint32[v]``, the object that each lies in.
        alone: ``bool[v]``, the object holds nothing else.
    """

    type: int
    address: NDArray[np.uint64]
    object: NDArray[np.uint32]
    alone: NDArray[np.bool_]


def _elements(types: TypeTable, number: int) -> tuple[int, int]:
    """Return what values of a type consist of, arrays unrolled: type and number of the elements."""
    count = 1
    for _ in range(_MOST_NESTED):
        if types.kind[number] != scan.ARRAY or not types.elem[number]:
            break
        count *= min(int(types.length[number]), _MOST_VALUES)
        number = int(types.elem[number])
    return number, min(count, _MOST_VALUES)


def value_rows(heap: Heap, chosen: NDArray[np.bool_], said: str) -> ValueRows:
    """Return the values in the objects of `chosen` (``bool[n + 1]``), which must be of one type. O(values).

    Raises:
        UsageError: they are of several types, which the message names, or of none that has fields.
        LimitExceeded: there are more values than can be looked at.
    """
    vertices = np.flatnonzero(chosen).astype(np.uint32)
    packed = heap.naming.types.packed[vertices]
    types = heap.naming.types.layouts.types
    # Of an array type the elements are the values, as of a run.
    named, which = np.unique(packed >> np.uint32(1), return_inverse=True)
    unrolled = [_elements(types, number) for number in named.tolist()]
    numbers = np.unique([number for number, _ in unrolled])
    if numbers.size > 1:
        names = sorted({heap.naming.type_name(int(number)) for number in np.unique(packed)})
        raise UsageError(
            f"{said} means {len(names)} types, which have different fields",
            cause=", ".join(names[:5]) + (", ..." if len(names) > 5 else ""),
            next_step="name one of them with --type",
        )
    number = int(numbers[0])
    size = int(types.size[number])
    if number < FIRST_DESCRIPTOR or not size:
        raise UsageError(
            f"{said} has no fields: it is {heap.naming.type_name(heap.naming.type_at(int(vertices[0])))}",
            next_step="search the texts of strings with: heldby find TARGET --string TEXT",
        )
    spans, span = heap.objects.spans, heap.objects.span_of(vertices)
    lead = np.where(spans.has_headers[span], np.uint64(8), np.uint64(0))
    room = np.where(spans.large[span], spans.extent[span], spans.elemsize[span]) - lead
    length = np.array([count for _, count in unrolled], np.uint64)[which.reshape(-1)]
    run = packed & np.uint32(1) != 0
    fitting = room // np.uint64(size)
    counts = np.where(run, fitting // np.maximum(length, 1) * length, np.minimum(fitting, length)).astype(
        np.int64
    )
    run |= length > 1
    if int(counts.sum()) > _MOST_VALUES:
        raise LimitExceeded(f"there are {int(counts.sum()):,} values of that type")
    first = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(vertices.size), counts)
    within = (np.arange(owner.size) - first[owner]).astype(np.uint64)
    address = (heap.objects.address_of(vertices) + lead)[owner] + within * np.uint64(size)
    return ValueRows(number, address, vertices[owner], ~run[owner])

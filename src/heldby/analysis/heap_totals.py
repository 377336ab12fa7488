"""The heap in numbers: objects and bytes, allocated, live, marked and typed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import HeapTotals
from heldby.heap.heap import Heap

_STRETCH: Final = 1 << 16


def heap_totals(heap: Heap) -> HeapTotals:
    """Return the heap in numbers."""
    objects = heap.objects
    sizes = heap.sizes[: heap.object_count + 1]
    live = heap.live
    marked = objects.marked.astype(np.bool_)
    spans = objects.spans
    object_bytes, live_bytes = int(sizes.sum()), int(sizes.sum(where=live))
    return HeapTotals(
        objects=heap.object_count,
        object_bytes=object_bytes,
        live_objects=int(live.sum()),
        live_bytes=live_bytes,
        garbage_objects=heap.object_count - int(live.sum()),
        garbage_bytes=object_bytes - live_bytes,
        typed_bytes=_typed_bytes(heap, sizes, live),
        marked_objects=int(marked.sum()),
        marked_bytes=int(sizes.sum(where=marked)),
        free_slot_bytes=int((spans.nelems * spans.elemsize).sum()) - object_bytes,
    )


def _typed_bytes(heap: Heap, sizes: NDArray[np.int64], live: NDArray[np.bool_]) -> int:
    """Return the live bytes of known type: a stretch at a time, or it would need 32 bytes an object."""
    types, total = heap.naming.types, 0
    for low in range(0, sizes.size, _STRETCH):
        part = slice(low, low + _STRETCH)
        some = replace(types, packed=types.packed[part], evidence=types.evidence[part])
        total += int(some.typed_sizes(sizes[part]).sum(where=live[part]))
    return total

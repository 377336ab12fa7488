"""Size classes: how full the runtime's spans are, and what keeps those alive that are nearly empty.

A span is given back only when nothing in it lives. So a few objects, left over from many, hold pages that
no object of another size can use: that is what fragmentation means in Go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.selection import EVERYTHING, Selection, large_rows
from heldby.analysis.table import Kind, Table, column, text_column
from heldby.golang.objects.spans import PAGE_BYTES
from heldby.heap.heap import Heap
from heldby.units import format_bytes

NEARLY_EMPTY: Final = 0.25
"""The share of a span's slots up to which it counts as nearly empty."""
_ON_A_SCREEN: Final = {
    "slot_bytes": "slot",
    "pointers": "scan",
    "spans": "spans",
    "live_objects": "live",
    "free_bytes": "free",
    "spans_empty": "empty",
    "spans_to_25": "to 25%",
    "spans_to_50": "to 50%",
    "spans_to_75": "to 75%",
    "spans_below_100": "to 99%",
    "spans_full": "full",
}
_FILLS: Final = ("empty", "to_25", "to_50", "to_75", "below_100", "full")
_PINS_IN_NOTES: Final = 3
_STRETCH: Final = 1 << 16


def size_class_table(heap: Heap, *, selection: Selection = EVERYTHING, min_size: int | None = None) -> Table:
    """Return one row for each size class in use, by free bytes. O(objects).

    Of a `selection` the spans that its objects lie in count, with all that they have; `min_size` leaves out classes
    with fewer free bytes.

    ``spans_*`` are a histogram: how many spans have so many percent of their slots live. Garbage that is not swept yet
    is counted apart; its slots are free after the next collection.
    """
    spans = heap.objects.spans
    live, dead = _per_span(heap, heap.live)
    rows = np.arange(len(spans))
    if selection:
        rows = np.flatnonzero(_per_span(heap, selection.objects(heap))[0])
    live, dead = live[rows], dead[rows]
    slots = spans.nelems[rows].astype(np.int64)
    size = spans.elemsize[rows].astype(np.int64)
    span_bytes = spans.pages[rows].astype(np.int64) * PAGE_BYTES
    classes, row = np.unique(spans.spanclass[rows], return_inverse=True)

    def summed(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(row, weights=values, minlength=classes.size).round().astype(np.int64)

    free = slots - live - dead
    slot = np.zeros(classes.size, np.int64)
    slot[row] = size
    large = classes >> 1 == 0
    fill = _fill(live, slots)
    columns = [
        column("slot_bytes", Kind.BYTES, slot, unknown=large),
        column("pointers", Kind.FLAG, classes & 1 == 0),
        column("spans", Kind.COUNT, np.bincount(row, minlength=classes.size)),
        column("span_bytes", Kind.BYTES, summed(span_bytes)),
        column("live_objects", Kind.COUNT, summed(live)),
        column("garbage_objects", Kind.COUNT, summed(dead)),
        column("free_slots", Kind.COUNT, summed(free)),
        column("free_bytes", Kind.BYTES, summed(free * size)),
        column("tail_bytes", Kind.BYTES, summed(span_bytes - slots * size)),
        *(
            column(f"spans_{name}", Kind.COUNT, summed((fill == at).astype(np.int64)))
            for at, name in enumerate(_FILLS)
        ),
    ]
    table = Table(
        name="size_classes",
        columns=tuple(columns),
        title="Spans by size class; how many have how many percent of their slots live",
        notes=_notes(heap, selection),
    )
    table = table.take(np.lexsort((slot, -table["free_bytes"].values)))
    return large_rows(table, "free_bytes", min_size)


def for_screen(table: Table) -> Table:
    """Return the columns of `size_class_table` that fit a screen of 80 cells, under short names."""
    chosen = tuple(replace(table[name], name=short) for name, short in _ON_A_SCREEN.items())
    return replace(table, columns=chosen)


def pinning_table(heap: Heap, *, selection: Selection = EVERYTHING, min_size: int | None = None) -> Table:
    """Return the types of the live objects in nearly empty spans, by what would come back if they moved. O(objects).

    With a `selection` its objects only, with `min_size` types that would bring back so much. What comes back when a
    span empties is shared equally by the objects in it.
    """
    spans = heap.objects.spans
    live, _ = _per_span(heap, heap.live)
    slots = spans.nelems.astype(np.int64)
    nearly = ~spans.large & (live > 0) & (live <= NEARLY_EMPTY * slots)
    span_bytes = spans.pages.astype(np.int64) * PAGE_BYTES
    gain = np.where(nearly, (span_bytes - live * spans.elemsize.astype(np.int64)) / np.maximum(live, 1), 0.0)
    objects = np.flatnonzero(selection.objects(heap) & nearly[heap.objects.span])
    span = heap.objects.span_of(objects.astype(np.uint32))
    types, inverse = np.unique(heap.naming.types_of(objects.astype(np.uint32)), return_inverse=True)
    back = np.bincount(inverse, weights=gain[span], minlength=types.size)
    pairs = np.unique(inverse.astype(np.int64) * len(spans) + span) // max(len(spans), 1)
    order = np.lexsort((types, -back))
    table = Table(
        name="pinning",
        columns=(
            text_column("type", [heap.naming.type_name(number) for number in types.tolist()]),
            column("objects", Kind.COUNT, np.bincount(inverse, minlength=types.size)),
            column("spans", Kind.COUNT, np.bincount(pairs, minlength=types.size)),
            column("bytes_back", Kind.BYTES, back.round()),
        ),
        title=f"Types whose objects pin spans that are at most {NEARLY_EMPTY:.0%} full",
        notes=("bytes_back comes back only when every object of the span goes or moves",),
    )
    return large_rows(table.take(order), "bytes_back", min_size)


def _per_span(heap: Heap, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many objects of each span are chosen (``bool[n + 1]``), and how many are not."""
    count = len(heap.objects.spans)
    live, whole = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for low in range(1, heap.object_count + 1, _STRETCH):
        part = slice(low, low + _STRETCH)
        span = heap.objects.span[part]
        whole += np.bincount(span, minlength=count)
        live += np.bincount(span[chosen[part]], minlength=count)
    return live, whole - live


def _fill(live: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bin of `_FILLS` that each span is in."""
    quarter = -(-4 * live // np.maximum(slots, 1))
    found: NDArray[np.int64] = np.where(live == slots, 5, quarter)
    return found


def _notes(heap: Heap, selection: Selection) -> tuple[str, ...]:
    pins = pinning_table(heap, selection=selection).head(_PINS_IN_NOTES)
    return tuple(
        f"{row['objects']:,} of {row['type']} pin {_spans(int(row['spans'] or 0))} at most {NEARLY_EMPTY:.0%} full: "
        f"{format_bytes(int(row['bytes_back'] or 0))} would come back"
        for row in pins.rows()
        if int(row["bytes_back"] or 0) >= PAGE_BYTES
    )


def _spans(count: int) -> str:
    return "1 span" if count == 1 else f"{count:,} spans"

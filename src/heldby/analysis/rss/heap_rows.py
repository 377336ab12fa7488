"""Rows of the garbage-collected heap: live, held by finalizers alone, garbage, free slots, free pages."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import RssPart, RssRow
from heldby.analysis.rss.evidence import Claims, Evidence
from heldby.analysis.rss.finalizer_reach import GARBAGE, LIVE, ONLY_FINALIZERS
from heldby.analysis.rss.heap_parts import garbage_of, live_parts, parts_by_type
from heldby.analysis.rss.slot_kernels import account_slots
from heldby.golang.books.free_pages import FreePages
from heldby.golang.objects.objects import ObjectTable, first_objects
from heldby.golang.objects.spans import PAGE_BYTES, SpanTable
from heldby.heap.heap import Heap
from heldby.memory.image import ADDRESS_END
from heldby.memory.residency import Residency
from heldby.memory.sparse import sparse_zeros
from heldby.units import format_bytes, format_count, format_size_class

LIVE_ROW: Final = "live objects"
FINALIZERS_ROW: Final = "held by finalizers only"
GARBAGE_ROW: Final = "garbage, not swept"
FREE_SLOTS_ROW: Final = "free slots in spans"
TAILS_ROW: Final = "span tails and bitmaps"
KEPT_ROW: Final = "free pages, kept"
RETURNED_ROW: Final = "free pages, given back"
IN_USE_ROW: Final = "spans in use"

_FREE, _TAIL = 3, 4


def object_rows(heap: Heap, states: NDArray[np.uint8], evidence: Evidence, *, detailed: bool) -> list[RssRow]:
    """Return the rows of everything in spans, with `detailed` what live ones consist of. O(objects)."""
    objects, spans = heap.objects, heap.objects.spans
    virtual = _by_span(objects, states, _everything(spans))
    resident = None if evidence.pages is None else _by_span(objects, states, evidence.pages)
    swapped = None if evidence.swapped is None else _by_span(objects, states, evidence.swapped)
    shown = virtual if resident is None else resident

    def row(name: str, column: int, note: str | None, remedy: str, parts: tuple[RssPart, ...]) -> RssRow:
        return RssRow(
            name=name,
            bytes=None if resident is None else int(resident[:, column].sum()),
            note=note,
            virtual_bytes=int(virtual[:, column].sum()),
            swapped_bytes=None if swapped is None else int(swapped[:, column].sum()),
            group="heap",
            source="spans, allocation bits and references, by page",
            remedy=remedy,
            parts=parts,
        )

    classes = _classes(spans, virtual, shown)
    garbage = garbage_of(heap, states)
    return [
        row(
            LIVE_ROW,
            LIVE,
            _absent(virtual, resident),
            "by letting go of what holds them",
            live_parts(heap, states, virtual) if detailed else (),
        ),
        row(
            FINALIZERS_ROW,
            ONLY_FINALIZERS,
            "reached only through finalizers or cleanups, queued ones included",
            "when the finalizers and cleanups have run, a collection later",
            parts_by_type(heap, states, ONLY_FINALIZERS),
        ),
        row(
            GARBAGE_ROW,
            GARBAGE,
            "; ".join(filter(None, (garbage.note, "freed by the next collection"))),
            "by the next collection",
            garbage.parts,
        ),
        row(
            FREE_SLOTS_ROW,
            _FREE,
            _fragmentation(classes),
            "taken by new objects of their size class; a span goes back when all its slots are free",
            classes,
        ),
        row(TAILS_ROW, _TAIL, "ends of spans, pointer bitmaps, mark bits", "with their spans", ()),
    ]


def _absent(virtual: NDArray[np.int64], resident: NDArray[np.int64] | None) -> str | None:
    """Return what to say when live objects have pages that are not resident: never written, or in swap."""
    whole = int(virtual[:, LIVE].sum())
    if resident is None or whole - int(resident[:, LIVE].sum()) < whole // 50:
        return None
    return f"of {format_bytes(whole)}; the rest was never written, or is in swap"


def span_rows(spans: SpanTable, evidence: Evidence) -> list[RssRow]:
    """Return one row for all spans, where their objects could not be read."""
    starts, ends = spans.base, spans.base + spans.pages * np.uint64(PAGE_BYTES)
    return [
        RssRow(
            name=IN_USE_ROW,
            bytes=evidence.resident(starts, ends),
            note="live objects, garbage and free slots; the objects could not be read",
            virtual_bytes=int((ends - starts).sum()),
            swapped_bytes=evidence.in_swap(starts, ends),
            group="heap",
            source="spans, by page",
        )
    ]


def free_page_rows(free: FreePages, evidence: Evidence) -> list[RssRow]:
    """Return the rows of pages that are in no span."""
    source = "the page allocator's bitmaps, by page"
    lazy = sum(item.sizes.get("LazyFree", 0) for item in evidence.memory)
    huge = sum(item.sizes.get("AnonHugePages", 0) for item in evidence.memory)
    why = "MADV_FREE" if lazy else "huge pages" if huge else "not written since"
    return [
        RssRow(
            name=KEPT_ROW,
            bytes=evidence.resident(free.kept.starts, free.kept.ends),
            note="for the heap to grow into again",
            virtual_bytes=free.kept.size,
            swapped_bytes=evidence.in_swap(free.kept.starts, free.kept.ends),
            group="heap",
            source=source,
            # runtime/mgcscavenge.go, gcPaceScavenger.
            remedy="the runtime slowly returns what is above a tenth over what the last collection left in use "
            "before it swept; debug.FreeOSMemory or GOMEMLIMIT at once",
        ),
        RssRow(
            name=RETURNED_ROW,
            bytes=evidence.resident(free.returned.starts, free.returned.ends),
            note="given back to the kernel" + (f" and still resident ({why})" if evidence.memory else ""),
            virtual_bytes=free.returned.size,
            group="heap",
            source=source,
            remedy="the kernel takes it when memory runs short; GODEBUG=madvdontneed=1 returns it at once"
            if lazy
            else "the kernel splits huge pages under pressure; GODEBUG=disablethp=1 avoids them",
        ),
    ]


def claim_heap(claims: Claims, spans: SpanTable, free: FreePages | None) -> None:
    """Claim the addresses of all spans and free pages."""
    claims.add(spans.base, spans.base + spans.pages * np.uint64(PAGE_BYTES))
    claims.add(spans.manual_base, spans.manual_base + spans.manual_pages * np.uint64(PAGE_BYTES))
    if free is not None:
        for runs in (free.kept, free.returned):
            claims.add(runs.starts, runs.ends)


def _by_span(objects: ObjectTable, states: NDArray[np.uint8], pages: Residency) -> NDArray[np.int64]:
    """Return ``int64[spans, 5]``: bytes of garbage, live, finalizers', free and in no slot."""
    spans = objects.spans
    out = np.zeros((len(spans), 5), np.uint64)
    account_slots(
        pages.directory,
        pages.bits,
        spans.base,
        spans.pages * np.uint64(PAGE_BYTES),
        spans.elemsize,
        spans.nelems,
        first_objects(objects.index).astype(np.uint64),
        objects.addr,
        states,
        out,
    )
    return out.astype(np.int64)


def _everything(spans: SpanTable) -> Residency:
    """Return the pages of all spans, as if all were resident."""
    directory = sparse_zeros(ADDRESS_END >> 26, np.int32)
    blocks = np.unique(
        np.concatenate((spans.base, spans.base + spans.pages * np.uint64(PAGE_BYTES) - np.uint64(1)))
        >> np.uint64(26)
    ).astype(np.int64)
    inner = [
        np.arange(low, high)
        for low, high in zip(
            (spans.base >> np.uint64(26)).tolist(),
            ((spans.base + spans.pages * np.uint64(PAGE_BYTES)) >> np.uint64(26)).tolist(),
            strict=True,
        )
        if 1 < high - low < directory.size
    ]
    known = np.concatenate([blocks, *inner])
    directory[known[known < directory.size]] = 1
    return Residency(directory, np.full((2, 256), ~np.uint64(0), np.uint64))


def _classes(spans: SpanTable, virtual: NDArray[np.int64], shown: NDArray[np.int64]) -> tuple[RssPart, ...]:
    """Return the free slots by size class, largest first."""
    sizes, inverse = np.unique(spans.elemsize[~spans.large], return_inverse=True)
    small = ~spans.large
    amounts = np.bincount(inverse, shown[small, _FREE], sizes.size).astype(np.int64)
    slots = np.bincount(inverse, virtual[small, _FREE], sizes.size).astype(np.int64)
    order = np.argsort(-amounts, kind="stable")
    return tuple(
        RssPart(
            name=f"size class {format_size_class(int(sizes[i]))}",
            bytes=int(amounts[i]),
            count=int(slots[i]) // int(sizes[i]),
        )
        for i in order.tolist()
        if amounts[i]
    )


def _fragmentation(classes: tuple[RssPart, ...]) -> str | None:
    total = sum(part.bytes for part in classes)
    if not total:
        return None
    top = classes[0]
    slots = f", {format_count(top.count)} slots" if top.count else ""
    return f"fragmentation: {top.bytes / total:.0%} in {top.name}{slots}"

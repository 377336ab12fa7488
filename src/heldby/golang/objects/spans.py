"""Spans: the runs of pages that the runtime cuts into slots (runtime/mheap.go, mspan).

``mheap_.allspans`` lists every mspan ever made; dead ones keep stale fields and are skipped by state. The
slot arithmetic (number of slots, in-span pointer bitmap, Green Tea's inline marks) is recomputed and compared
with what each mspan says, so that a wrong layout is an error here and never a wrong number later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import CheckFailed
from heldby.golang.layouts.differences import ARENA_BITMAP, INLINE_MARKS, MALLOC_HEADERS
from heldby.golang.objects.arena_bitmaps import ArenaBitmaps
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows
from heldby.memory.image import ADDRESS_END

PAGE_BYTES: Final = 8192
_MAX_SPANS: Final = 1 << 30
# runtime/mbitmap.go (1.22+): up to 512 bytes the pointer bits lie at the end of the span. Such a span is one page.
MAX_BITMAP_ELEMSIZE: Final = 512
_INLINE_MARK_BYTES: Final = 128

U64 = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanTable:
    """Spans of the garbage-collected heap in address order, as columns of length S.

    Attributes:
        base: address of the first slot.
        pages: number of 8 KiB pages.
        elemsize: bytes of a slot; the whole span for a large object.
        nelems: number of slots.
        extent: bytes from base within which an address belongs to a slot; the exact requested size for a
            large object.
        spanclass: size class times two, plus 1 for noscan.
        freeindex: slots below it are allocated.
        alloc_bits, mark_bits: addresses of the bitmaps.
        alloc_count: the runtime's own number of allocated slots, valid in swept spans.
        swept: the span was swept since the last mark phase.
        inline_marks: Green Tea keeps mark bits in the span's own last 128 bytes.
        user_arena: a chunk of the arena experiment.
        specials: address of the first special, 0 for none.
        large_type: address of the type descriptor of a large object with pointers, 0 for none.
        pointer_bits: address of the bits, one a word, that tell the pointers of the span's slots, beginning with
            the first slot; 0 for spans without pointers and where the type of an object tells them.
        types_in_slots: whether the slots of `has_headers` exist in this release.
        manual_base, manual_pages: spans that the runtime manages by hand (stacks, collector's buffers).
        manual_elemsize: bytes of each stack in such a span, 0 for the collector's buffers.
        dropped: spans whose fields contradict each other; they were left out.
        missing: spans whose mspan is not in the capture.
    """

    base: U64
    pages: U64
    elemsize: U64
    nelems: U64
    extent: U64
    spanclass: NDArray[np.uint8]
    freeindex: U64
    alloc_bits: U64
    mark_bits: U64
    alloc_count: U64
    swept: NDArray[np.bool_]
    inline_marks: NDArray[np.bool_]
    user_arena: NDArray[np.bool_]
    specials: U64
    large_type: U64
    pointer_bits: U64
    types_in_slots: bool
    manual_base: U64
    manual_pages: U64
    manual_elemsize: U64
    dropped: int
    missing: int = 0

    def __len__(self) -> int:
        return int(self.base.size)

    @property
    def noscan(self) -> NDArray[np.bool_]:
        """Spans whose objects hold no pointers."""
        odd: NDArray[np.bool_] = (self.spanclass & 1) != 0
        return odd

    @property
    def large(self) -> NDArray[np.bool_]:
        """Spans with a single large object."""
        zero: NDArray[np.bool_] = (self.spanclass >> 1) == 0
        return zero

    @property
    def has_headers(self) -> NDArray[np.bool_]:
        """Spans whose slots start with the address of their type (malloc header, 1.22+)."""
        return ~self.noscan & ~self.large & (self.elemsize > MAX_BITMAP_ELEMSIZE) & self.types_in_slots


def read_spans(runtime: Runtime) -> SpanTable:
    """Return all spans. O(spans).

    Raises:
        CheckFailed: the span list contradicts the runtime's own page count.
        NotCaptured: the span list is not in the capture.
    """
    layout, image = runtime.layout, runtime.image
    at = runtime.mheap + layout.offset("runtime.mheap", "allspans")
    pointer, count = image.u64(at), image.u64(at + 8)
    captured = sum(buffer.size for buffer in image.buffers)
    if not 0 < count < min(_MAX_SPANS, captured // 8):
        raise _bad_spans(f"mheap_.allspans has {count} entries")
    rows = StructRows(runtime.pages, layout, "runtime.mspan", image.words(pointer, count))
    state = rows.column("state")
    manual = np.flatnonzero(state == layout.const("runtime.mSpanManual"))
    in_use = np.flatnonzero(state == layout.const("runtime.mSpanInUse"))
    base = rows.column("startAddr")
    in_use = in_use[np.argsort(base[in_use], kind="stable")]
    table, bad = _columns(runtime, rows, in_use, manual)
    _check_page_count(runtime, int(rows.column("npages")[in_use].sum()), int(bad.sum()), in_use.size)
    return table


def _columns(
    runtime: Runtime, rows: StructRows, in_use: NDArray[np.intp], manual: NDArray[np.intp]
) -> tuple[SpanTable, NDArray[np.bool_]]:
    def take(*path: str) -> U64:
        return rows.column(*path)[in_use]

    layout = runtime.layout
    sweepgen = runtime.image.u32(runtime.mheap + layout.offset("runtime.mheap", "sweepgen"))
    # runtime/mheap.go: sweepgen == h.sweepgen: swept; +3: swept and cached; -2, -1, +1: not swept yet.
    behind = (take("sweepgen") - np.uint64(sweepgen)).astype(np.uint32).view(np.int32)
    base, pages, elemsize, nelems = take("startAddr"), take("npages"), take("elemsize"), take("nelems")
    spanclass = take("spanclass").astype(np.uint8)
    scan, small = (spanclass & 1) == 0, (spanclass >> 1) != 0
    limit = take("limit")
    user_arena = take("isUserArenaChunk") != 0
    span_bytes = pages * np.uint64(PAGE_BYTES)
    fits_bitmap = small & (elemsize <= MAX_BITMAP_ELEMSIZE)
    headers = MALLOC_HEADERS.holds(layout)
    bitmap = np.where(fits_bitmap & scan & headers, span_bytes // np.uint64(64), np.uint64(0))
    divisor = np.maximum(elemsize, np.uint64(1))
    with_marks = (span_bytes - bitmap - np.uint64(_INLINE_MARK_BYTES)) // divisor
    without_marks = (span_bytes - bitmap) // divisor
    inline = fits_bitmap & (elemsize >= 16) & INLINE_MARKS.holds(layout) & (nelems == with_marks)
    # For some sizes both formulas agree; one span without room for marks shows a build that has none (1.25).
    if (fits_bitmap & (elemsize >= 16) & (nelems != with_marks) & (nelems == without_marks)).any():
        inline[:] = False
    expected = np.where(inline, with_marks, np.where(small, without_marks, np.uint64(1)))
    extent = np.where(small, nelems * elemsize, np.minimum(limit - base, span_bytes))
    bad = (
        (base % PAGE_BYTES != 0) | (elemsize == 0) | (pages == 0) | (pages > 1 << 35) | (base >= ADDRESS_END)
    )
    bad |= (
        (nelems != expected)
        | (extent > span_bytes)
        | (spanclass >= 136)
        | ~np.isin(behind, (-2, -1, 0, 1, 3))
    )
    bad |= np.append(base[:-1] + span_bytes[:-1] > base[1:], False) if base.size else False
    good = ~bad
    table = SpanTable(
        base=base[good],
        pages=pages[good],
        elemsize=elemsize[good],
        nelems=nelems[good],
        extent=extent[good],
        spanclass=spanclass[good],
        freeindex=np.minimum(take("freeindex"), nelems)[good],
        alloc_bits=take("allocBits")[good],
        mark_bits=take("gcmarkBits")[good],
        alloc_count=take("allocCount")[good],
        swept=((behind == 0) | (behind == 3))[good],
        inline_marks=inline[good],
        user_arena=user_arena[good],
        specials=take("specials")[good],
        large_type=(take("largeType") if headers else np.zeros_like(base))[good],
        pointer_bits=_pointer_bits(runtime, base, span_bytes, bitmap, inline, scan)[good],
        types_in_slots=headers,
        manual_base=rows.column("startAddr")[manual],
        manual_pages=rows.column("npages")[manual],
        manual_elemsize=rows.column("elemsize")[manual],
        dropped=int(bad.sum()),
        missing=int((~rows.present).sum()),
    )
    return table, bad


def _pointer_bits(
    runtime: Runtime,
    base: U64,
    span_bytes: U64,
    bitmap: U64,
    inline: NDArray[np.bool_],
    scan: NDArray[np.bool_],
) -> U64:
    """Return `SpanTable.pointer_bits`; `bitmap` is the bytes of each span that its pointer bits take."""
    if ARENA_BITMAP.holds(runtime.layout):
        return np.where(scan, ArenaBitmaps(runtime).addresses(base, span_bytes), np.uint64(0))
    marks = np.where(inline, np.uint64(_INLINE_MARK_BYTES), np.uint64(0))
    return np.where(bitmap != 0, base + span_bytes - bitmap - marks, np.uint64(0))


def _check_page_count(runtime: Runtime, pages: int, bad: int, spans: int) -> None:
    recorded = runtime.mheap_word("pagesInUse")
    if spans == bad:
        raise _bad_spans("the span list holds no sound span that is in use")
    if bad * 100 > spans:
        raise _bad_spans(f"{bad} of {spans} spans contradict themselves")
    # A thread stopped inside the allocator may hold a span that is counted but not yet listed, or reverse.
    if abs(recorded - pages) > max(64, recorded // 100):
        raise _bad_spans(f"the spans in use have {pages} pages, the runtime counts {recorded}")


def _bad_spans(message: str) -> CheckFailed:
    return CheckFailed(
        "spans",
        message,
        cause="the capture is damaged, or this release keeps its spans in another way",
        next_step="capture again; if it stays so, report the program's `go version -m`",
    )

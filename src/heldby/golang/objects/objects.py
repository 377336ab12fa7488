"""Objects: every allocated slot of the heap, swept or not, with a dense number in address order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import LimitExceeded
from heldby.golang.objects.object_kernels import (
    ARENA_SHIFT,
    DIRECTORY_SIZE,
    SPAN_PAGES_PER_ARENA,
    SlotIndex,
    find_objects,
    list_objects,
    rank_words,
    read_slot_bits,
)
from heldby.golang.objects.spans import PAGE_BYTES, SpanTable
from heldby.golang.runtime.runtime import Runtime

_MAX_OBJECTS: Final = (1 << 31) - 2
# A damaged span table must not take all memory before its objects are counted: 1 TiB of heap, free slots too.
_MAX_SLOTS: Final = 1 << 34
_MAX_PAGES: Final = 1 << 27
_TINY_SPANCLASS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTable:
    """Allocated slots 1..n in address order; entry 0 stands for the virtual root.

    Attributes:
        addr: ``uint64[n + 1]``, address of the slot.
        span: ``uint32[n + 1]``, row of the span table.
        marked: ``uint8[n + 1]``, 1 where the collector marked the object in its last finished cycle.
        spans: the spans that they lie in.
        index: finds the object that holds an address.
        count_mismatches: swept spans whose bits contradict the runtime's own number of objects; slots that a
            thread was just allocating at the pause explain a few.
    """

    addr: NDArray[np.uint64]
    span: NDArray[np.uint32]
    marked: NDArray[np.uint8]
    spans: SpanTable
    index: SlotIndex
    count_mismatches: int

    def __len__(self) -> int:
        """Return the number of objects n."""
        return int(self.addr.size) - 1

    def sizes(self) -> NDArray[np.int64]:
        """Return the shallow bytes, ``int64[n + 1]``; 0 for the virtual root."""
        out: NDArray[np.int64] = self.spans.elemsize.astype(np.int64)[self.span]
        out[0] = 0
        return out

    def noscan(self) -> NDArray[np.bool_]:
        """Return which objects hold no pointers, ``bool[n + 1]``."""
        return self.spans.noscan[self.span]

    def tiny(self) -> NDArray[np.bool_]:
        """Return which objects are blocks of the tiny allocator, ``bool[n + 1]``."""
        tiny: NDArray[np.bool_] = (self.spans.spanclass == _TINY_SPANCLASS)[self.span]
        return tiny

    def find(self, addrs: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Return the objects that hold the given addresses, 0 where there is none. O(addresses)."""
        out = np.zeros(addrs.size, np.uint32)
        find_objects(self.index, np.ascontiguousarray(addrs, np.uint64), out)
        return out


def read_objects(runtime: Runtime, spans: SpanTable) -> ObjectTable:
    """Return all objects. O(slots); 13 bytes an object and 12 bytes for each 64 slots.

    Raises:
        LimitExceeded: more than 2**31 - 2 objects, or spans that no machine can hold.
    """
    slots, pages = float(spans.nelems.sum(dtype=np.float64)), float(spans.pages.sum(dtype=np.float64))
    if slots > _MAX_SLOTS or pages > _MAX_PAGES:
        raise LimitExceeded(
            f"the spans have {pages:,.0f} pages and {slots:,.0f} slots",
            cause="the capture is damaged",
            next_step="take it again with: heldby capture PID -o FILE",
        )
    word_counts = (spans.nelems + np.uint64(63)) >> np.uint64(6)
    first_word = np.zeros(len(spans), np.uint64)
    np.cumsum(word_counts[:-1], out=first_word[1:])
    total_words = int(word_counts.sum())
    bits, marks = np.zeros(total_words, np.uint64), np.zeros(total_words, np.uint64)
    span_bytes = spans.pages * np.uint64(PAGE_BYTES)
    read_slot_bits(
        runtime.pages,
        spans.base,
        span_bytes,
        spans.nelems,
        spans.freeindex,
        spans.alloc_bits,
        spans.mark_bits,
        spans.swept,
        spans.inline_marks,
        first_word,
        bits,
        marks,
    )
    rank = np.zeros(total_words, np.uint32)
    count = int(rank_words(bits, rank))
    if count > _MAX_OBJECTS:
        raise LimitExceeded(f"the heap has {count:,} objects; {_MAX_OBJECTS:,} can be analysed")
    addr = np.zeros(count + 1, np.uint64)
    span = np.zeros(count + 1, np.uint32)
    marked = np.zeros(count + 1, np.uint8)
    list_objects(spans.base, spans.elemsize, spans.nelems, first_word, bits, marks, addr, span, marked)
    per_span = np.bincount(span[1:], minlength=len(spans)) if count else np.zeros(len(spans), np.int64)
    mismatched = spans.swept & (per_span != spans.alloc_count.astype(np.int64))
    return ObjectTable(
        addr=addr,
        span=span,
        marked=marked,
        spans=spans,
        index=_slot_index(spans, first_word, bits, rank),
        count_mismatches=int(mismatched.sum()),
    )


def _slot_index(
    spans: SpanTable, first_word: NDArray[np.uint64], bits: NDArray[np.uint64], rank: NDArray[np.uint32]
) -> SlotIndex:
    pages_in_span = spans.pages.astype(np.int64)
    # The page number of every page of every span, and the span it belongs to.
    owner = np.repeat(np.arange(len(spans), dtype=np.int32), pages_in_span)
    ends = np.cumsum(pages_in_span)
    within = np.arange(owner.size, dtype=np.int64) - np.repeat(ends - pages_in_span, pages_in_span)
    page = (spans.base >> np.uint64(13)).astype(np.int64)[owner] + within
    arena_of_page = page >> (ARENA_SHIFT - 13)
    arenas = np.unique(arena_of_page)
    directory = np.zeros(DIRECTORY_SIZE, np.int32)
    directory[arenas] = np.arange(1, arenas.size + 1, dtype=np.int32)
    pages = np.full((arenas.size + 1, SPAN_PAGES_PER_ARENA), -1, np.int32)
    pages.reshape(-1)[
        directory[arena_of_page].astype(np.int64) * SPAN_PAGES_PER_ARENA + (page & (SPAN_PAGES_PER_ARENA - 1))
    ] = owner
    table = np.zeros((len(spans), 4), np.uint64)
    table[:, 0], table[:, 1], table[:, 3] = spans.base, spans.extent, first_word
    # mspan.divMul: 2**32 / elemsize, rounded up; a large object is its span's only slot.
    magic = np.uint64(0xFFFFFFFF) // np.maximum(spans.elemsize, np.uint64(1)) + np.uint64(1)
    table[:, 2] = np.where(spans.large, np.uint64(0), magic)
    return SlotIndex(directory, pages, table, bits, rank)

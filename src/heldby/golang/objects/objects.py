"""Objects: every allocated slot of the heap, swept or not, with a dense number in address order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

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
    locate_objects,
    rank_words,
    read_slot_bits,
)
from heldby.golang.objects.spans import PAGE_BYTES, SpanTable
from heldby.golang.runtime.runtime import Runtime
from heldby.memory.sparse import sparse_zeros

_N = TypeVar("_N", bound=np.generic)

_MAX_OBJECTS: Final = (1 << 31) - 2
# A damaged span table must not take all memory before its objects are counted: 1 TiB of heap, free slots too.
_MAX_SLOTS: Final = 1 << 34
_MAX_PAGES: Final = 1 << 27
_TINY_SPANCLASS: Final = 5
# Where more than one of so many objects is asked for, all are listed: that takes 10 to 35 ns for each, once.
_MANY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTable:
    """Allocated slots 1..n in address order; entry 0 stands for the virtual root.

    Attributes:
        addr: ``uint64[n + 1]``, address of the slot.
        span: ``uint32[n + 1]``, row of the span table.
        marked: ``uint8[n + 1]``, 1 where the collector marked the object in its last finished cycle.
        spans: the spans that they lie in.
        index: finds the object that holds an address.
        marks: ``uint64[W]``, `marked` as bits, in the places that `index` has for allocation bits.
        count_mismatches: swept spans whose bits contradict the runtime's own number of objects; slots that a
            thread was just allocating at the pause explain a few.
    """

    addr: NDArray[np.uint64]
    span: NDArray[np.uint32]
    marked: NDArray[np.uint8]
    spans: SpanTable
    index: SlotIndex
    marks: NDArray[np.uint64]
    count_mismatches: int

    def __len__(self) -> int:
        """Return the number of objects n."""
        return object_count(self.index)

    def span_of(self, objects: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return the row of the span of each of some objects; 0 for 0. Some do not need the column `span`."""
        if objects.size * _MANY > len(self):
            return self.span[objects]
        return self._located(objects)[0]

    def address_of(self, objects: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """Return the addresses of some objects, ``uint64``; 0 for 0. Some do not need the column `addr`."""
        if objects.size * _MANY > len(self):
            return self.addr[objects]
        span, slot = self._located(objects)
        found = self.spans.base[span] + slot * self.spans.elemsize[span]
        found[objects == 0] = 0
        return found

    def is_marked(self, number: int) -> bool:
        """Tell whether the collector marked an object, without the column `marked`."""
        span, slot = self._located(np.array([number], np.uint32))
        word = int(self.index.spans[span[0], 3]) + int(slot[0]) // 64
        return bool(int(self.marks[word]) >> int(slot[0]) % 64 & 1)

    def _located(self, objects: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Return span and slot of some objects; 0.1 µs each."""
        span, slot = np.zeros(objects.size, np.uint32), np.zeros(objects.size, np.uint64)
        locate_objects(self.index, np.ascontiguousarray(objects, np.uint32), span, slot)
        return span, slot

    def sizes(self) -> NDArray[np.int64]:
        """Return the shallow bytes, ``int64[n + 1]``; 0 for the virtual root."""
        out: NDArray[np.int64] = self.spans.elemsize.astype(np.int64)[self.span]
        out[0] = 0
        return out

    def noscan(self) -> NDArray[np.bool_]:
        """Return which objects hold no pointers, ``bool[n + 1]``."""
        return by_span(self.spans.noscan, self.index)

    def tiny(self) -> NDArray[np.bool_]:
        """Return which objects are blocks of the tiny allocator, ``bool[n + 1]``."""
        tiny: NDArray[np.bool_] = (self.spans.spanclass == _TINY_SPANCLASS)[self.span]
        return tiny

    def find(self, addrs: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Return the objects that hold the given addresses, 0 where there is none. O(addresses)."""
        out = np.zeros(addrs.size, np.uint32)
        find_objects(self.index, np.ascontiguousarray(addrs, np.uint64), out)
        return out


@dataclass(frozen=True, slots=True, eq=False)
class SlotBits:
    """Which slots are objects, before they are listed.

    Attributes:
        spans: the spans.
        first_word: ``uint64[S]``, where each span's bits begin in the others.
        marks: ``uint64[W]``, objects that the collector marked in its last finished cycle.
        index: has the allocation bits and their ranks.
    """

    spans: SpanTable
    first_word: NDArray[np.uint64]
    marks: NDArray[np.uint64]
    index: SlotIndex

    def span_column(self) -> NDArray[np.uint32]:
        """Return `ObjectTable.span`. O(objects)."""
        return by_span(np.arange(len(self.spans), dtype=np.uint32), self.index)

    def list_all(
        self, *, addresses: bool = True, rows: bool = True, marks: bool = True
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint8]]:
        """Return address, span and mark of all objects as `ObjectTable` has them; empty what is not wanted."""
        count, spans = object_count(self.index) + 1, self.spans
        addr = np.zeros(count if addresses else 0, np.uint64)
        span = np.zeros(count if rows else 0, np.uint32)
        marked = np.zeros(count if marks else 0, np.uint8)
        arrays = (self.first_word, self.index.bits, self.marks, addr, span, marked)
        list_objects(spans.base, spans.elemsize, spans.nelems, *arrays)
        return addr, span, marked

    def count_mismatches(self) -> int:
        """Return `ObjectTable.count_mismatches`."""
        counts = self.spans.alloc_count.astype(np.int64)
        return int((self.spans.swept & (objects_per_span(self.index) != counts)).sum())


def object_count(index: SlotIndex) -> int:
    """Return the number of objects."""
    return int(index.rank[-1]) + int(index.bits[-1]).bit_count() if index.rank.size else 0


def objects_per_span(index: SlotIndex) -> NDArray[np.int64]:
    """Return the number of objects in each span, ``int64[S]``."""
    ranks = np.append(index.rank, np.uint32(object_count(index))).astype(np.int64)
    return np.diff(ranks[index.spans[:, 3].astype(np.int64)], append=ranks[-1])


def first_objects(index: SlotIndex) -> NDArray[np.int64]:
    """Return the number of the first object of each span, and one more than that of the last, ``int64[S + 1]``."""
    return np.concatenate(([1], 1 + np.cumsum(objects_per_span(index))))


def by_span(values: NDArray[_N], index: SlotIndex) -> NDArray[_N]:
    """Return for each object what `values` has for its span, ``[n + 1]``; the virtual root has the first."""
    counts = objects_per_span(index)
    counts[:1] += 1
    return np.repeat(values, counts)


def read_objects(runtime: Runtime, spans: SpanTable) -> ObjectTable:
    """Return all objects. O(slots); 13 bytes an object and 12 bytes for each 64 slots.

    Raises:
        LimitExceeded: more than 2**31 - 2 objects, or spans that no machine can hold.
    """
    slots = read_slots(runtime, spans)
    addr, span, marked = slots.list_all()
    return ObjectTable(
        addr=addr,
        span=span,
        marked=marked,
        spans=spans,
        index=slots.index,
        marks=slots.marks,
        count_mismatches=slots.count_mismatches(),
    )


def read_slots(runtime: Runtime, spans: SpanTable) -> SlotBits:
    """Return which slots are objects. O(slots / 64).

    Raises:
        LimitExceeded: as for `read_objects`.
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
    return SlotBits(spans, first_word, marks, _slot_index(spans, first_word, bits, rank))


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
    directory = sparse_zeros(DIRECTORY_SIZE, np.int32)
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

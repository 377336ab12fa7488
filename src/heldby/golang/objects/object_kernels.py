"""Slots to objects: allocation bits, dense numbers, and the way back from an address."""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.jit import ONE, inline_kernel, kernel, popcount, trailing_zeros, u64
from heldby.memory.image import ADDRESS_END
from heldby.memory.paging_kernels import load64

ARENA_SHIFT = 26
SPAN_PAGES_PER_ARENA = 1 << (ARENA_SHIFT - 13)
DIRECTORY_SIZE = ADDRESS_END >> ARENA_SHIFT


class SlotIndex(NamedTuple):
    """From an address to the number of the object that holds it, for kernels.

    Attributes:
        directory: ``int32[2**22]``, block of `pages` for an arena of 64 MiB; 0 is the block of no arena.
        pages: ``int32[blocks, 8192]``, span of an 8 KiB page, or -1.
        spans: ``uint64[S, 4]``: base, extent, division magic, first bit word.
        bits: ``uint64[W]``, allocation bits, each span from a word of its own.
        rank: ``uint32[W]``, number of objects before each word.
    """

    directory: NDArray[np.int32]
    pages: NDArray[np.int32]
    spans: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    rank: NDArray[np.uint32]


@inline_kernel
def object_at(directory, pages, spans, bits, rank, addr):
    """Return the number of the object whose slot holds `addr`, or 0: no heap, a free slot, a span's tail.

    The division is mspan.objIndex's multiplication (runtime/mheap.go): exact for offsets within a span.
    """
    if addr >= u64(ADDRESS_END):
        return u64(0)
    block = u64(directory[addr >> u64(ARENA_SHIFT)])
    span = pages[block, (addr >> u64(13)) & u64(SPAN_PAGES_PER_ARENA - 1)]
    if span < 0:
        return u64(0)
    s = u64(span)
    distance = addr - spans[s, 0]
    if distance >= spans[s, 1]:
        return u64(0)
    slot = (distance * spans[s, 2]) >> u64(32)
    w = spans[s, 3] + (slot >> u64(6))
    bit = ONE << (slot & u64(63))
    here = bits[w]
    if (here & bit) == u64(0):
        return u64(0)
    return u64(rank[w]) + popcount(here & (bit - ONE)) + ONE


@kernel
def find_objects(index, addrs, out):
    """Set ``out[i]`` to the object that holds ``addrs[i]``, 0 for none."""
    for i in range(u64(addrs.size)):
        out[i] = object_at(index.directory, index.pages, index.spans, index.bits, index.rank, addrs[i])


@kernel
def locate_objects(index, objects, span, slot):
    """Set ``span[i]`` and ``slot[i]`` to the row of the span and the number of the slot of ``objects[i]``.

    The way back from `find_objects`: two searches by halves, and a walk over the bits of one word. 0 is left alone.
    """
    rank, bits, spans = index.rank, index.bits, index.spans
    for i in range(u64(objects.size)):
        if objects[i] == 0:
            continue
        before = u64(objects[i]) - ONE
        low, high = u64(0), u64(rank.size)  # the last word that begins at or before it
        while high - low > ONE:
            middle = (low + high) >> ONE
            if u64(rank[middle]) <= before:
                low = middle
            else:
                high = middle
        word = low
        low, high = u64(0), u64(spans.shape[0])
        while high - low > ONE:
            middle = (low + high) >> ONE
            if spans[middle, 3] <= word:
                low = middle
            else:
                high = middle
        here = bits[word]
        for _ in range(before - u64(rank[word])):
            here &= here - ONE
        span[i] = low
        slot[i] = ((word - spans[low, 3]) << u64(6)) + trailing_zeros(here)


@kernel
def read_slot_bits(
    page_table,
    base,
    span_bytes,
    nelems,
    freeindex,
    alloc_addr,
    mark_addr,
    swept,
    inline,
    first_word,
    alloc,
    marked,
):
    """Fill allocation and mark bits of every span.

    Allocated: below freeindex, or its bit set in allocBits (mspan.isFree). Marked in the last cycle: for a
    swept span allocBits itself (the sweeper made the marks the new allocBits), otherwise gcmarkBits together
    with Green Tea's inline marks (runtime/mgcmark_greenteagc.go).
    """
    directory, tables, words = page_table.directory, page_table.tables, page_table.words
    for s in range(u64(base.size)):
        n = nelems[s]
        count = (n + u64(63)) >> u64(6)
        for j in range(count):
            left = n - (j << u64(6))
            valid = ~u64(0) if left >= u64(64) else (ONE << left) - ONE
            raw = load64(directory, tables, words, alloc_addr[s] + (j << u64(3))) if alloc_addr[s] else u64(0)
            below = u64(0)
            start = j << u64(6)
            if freeindex[s] >= start + u64(64):
                below = ~u64(0)
            elif freeindex[s] > start:
                below = (ONE << (freeindex[s] - start)) - ONE
            a = (raw | below) & valid
            alloc[first_word[s] + j] = a
            m = raw
            if not swept[s]:
                m = load64(directory, tables, words, mark_addr[s] + (j << u64(3))) if mark_addr[s] else u64(0)
                if inline[s]:
                    m |= load64(directory, tables, words, base[s] + span_bytes[s] - u64(64) + (j << u64(3)))
            marked[first_word[s] + j] = m & a


@kernel
def rank_words(bits, rank):
    """Set ``rank[w]`` to the number of bits before word w; return the number of bits."""
    total = u64(0)
    for w in range(u64(bits.size)):
        rank[w] = np.uint32(total)
        total += popcount(bits[w])
    return total


@kernel
def list_objects(base, elemsize, nelems, first_word, bits, marks, addr, span, marked):
    """Fill the object table from index 1: slot address, span and whether the collector marked it.

    A column that is empty is not wanted.
    """
    k = ONE
    for s in range(u64(base.size)):
        a = base[s]
        size = elemsize[s]
        w0 = first_word[s]
        for i in range(nelems[s]):
            word = w0 + (i >> u64(6))
            bit = ONE << (i & u64(63))
            if bits[word] & bit:
                if addr.size:
                    addr[k] = a
                if span.size:
                    span[k] = np.uint32(s)
                if marked.size:
                    marked[k] = 1 if marks[word] & bit else 0
                k += ONE
            a += size
    return k

"""Pointer words to references: what each object refers to, by the bits that the collector itself uses."""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.object_kernels import object_at
from heldby.jit import ONE, ZERO, kernel, trailing_zeros, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of

NO_POINTERS, POINTER_BITS, TYPE_MASK = 0, 1, 2


class ScanPlan(NamedTuple):
    """How to find the pointer words of each span's slots.

    Attributes:
        how: ``uint8[S]``: NO_POINTERS, POINTER_BITS or TYPE_MASK.
        base, elemsize, nelems, first_word: of the span; ``uint64[S]``.
        first_object: ``uint64[S]``, number of the first object of the span.
        bitmap: ``uint64[S]``, address of the pointer bits of the span's slots, one a word.
        data_words: ``uint64[S]``, words that precede the value in a slot (1 for a malloc header).
        first_typed: ``uint64[S]``, row of `mask_of` for the span's first object.
        mask_of: ``int32[...]``, mask of each object in TYPE_MASK spans, -1 when its type is unreadable.
        mask_start, mask_pointers, mask_period: ``uint64[T]``: first word in `mask_bits`, length of the
            pointerful prefix and size of the type, both in words.
        mask_bits: ``uint64[...]``.
    """

    how: NDArray[np.uint8]
    base: NDArray[np.uint64]
    elemsize: NDArray[np.uint64]
    nelems: NDArray[np.uint64]
    first_word: NDArray[np.uint64]
    first_object: NDArray[np.uint64]
    bitmap: NDArray[np.uint64]
    data_words: NDArray[np.uint64]
    first_typed: NDArray[np.uint64]
    mask_of: NDArray[np.int32]
    mask_start: NDArray[np.uint64]
    mask_pointers: NDArray[np.uint64]
    mask_period: NDArray[np.uint64]
    mask_bits: NDArray[np.uint64]


@kernel
def read_headers(pages, base, elemsize, nelems, first_word, chosen, bits, out):
    """Copy the first word of every allocated slot of the spans in `chosen` to `out`; return how many."""
    k = ZERO
    for c in range(u64(chosen.size)):
        s = u64(chosen[c])
        for i in range(nelems[s]):
            if bits[first_word[s] + (i >> u64(6))] & (ONE << (i & u64(63))):
                out[k] = load64(pages.directory, pages.tables, pages.words, base[s] + i * elemsize[s])
                k += ONE
    return k


@kernel
def extract_references(pages, index, plan, low, high, fill, edge, offsets, targets, words, counts):
    """Walk the pointer words of spans ``[low, high)`` and count or store the references found.

    With `fill` the references go to ``targets[edge:]`` and ``words[edge:]`` (word inside the slot) and
    ``offsets[object]`` is set to the object's first reference; without it they are only counted. Nil and
    pointers outside the heap give none. ``counts``: [pointer words not captured, objects of
    unreadable type]. Returns the next edge number.
    """
    directory, tables, memory = pages.directory, pages.tables, pages.words
    odir, opages, ospans, obits, orank = index.directory, index.pages, index.spans, index.bits, index.rank
    e = u64(edge)
    for s in range(u64(low), u64(high)):
        how = plan.how[s]
        k = plan.first_object[s]
        size = plan.elemsize[s]
        slot_words = size >> u64(3)
        typed = plan.first_typed[s]
        for i in range(plan.nelems[s]):
            if (obits[plan.first_word[s] + (i >> u64(6))] & (ONE << (i & u64(63)))) == ZERO:
                continue
            if fill:
                offsets[k] = np.int64(e)
            k += ONE
            if how == NO_POINTERS:
                continue
            slot = plan.base[s] + i * size
            data = slot
            value_words = slot_words
            period = slot_words
            pointers = slot_words
            mask = ZERO
            first_bit = ZERO
            if how == POINTER_BITS:
                first_bit = i * slot_words
            else:
                m = plan.mask_of[typed]
                typed += ONE
                if m < 0:
                    counts[1] += 1
                    continue
                data = slot + (plan.data_words[s] << u64(3))
                value_words = slot_words - plan.data_words[s]
                mask = plan.mask_start[u64(m)]
                pointers = plan.mask_pointers[u64(m)]
                period = plan.mask_period[u64(m)]
            tile = ZERO
            while tile < value_words:
                stop = min(pointers, value_words - tile)
                w = ZERO
                while w < stop:
                    # Up to 64 pointer bits at word w of this tile.
                    at = first_bit + w
                    shift = at & u64(63)
                    if how == POINTER_BITS:
                        chunk = load64(directory, tables, memory, plan.bitmap[s] + ((at >> u64(6)) << u64(3)))
                    else:
                        chunk = plan.mask_bits[mask + (at >> u64(6))]
                    chunk >>= shift
                    taken = min(u64(64) - shift, stop - w)
                    if taken < u64(64):
                        chunk &= (ONE << taken) - ONE
                    while chunk:
                        bit = trailing_zeros(chunk)
                        chunk &= chunk - ONE
                        word = tile + w + bit
                        addr = data + (word << u64(3))
                        page = page_of(directory, tables, addr)
                        if page < 0:
                            if page == np.int64(PAGE_MISSING):
                                counts[0] += 1
                            continue
                        pointer = memory[u64(page) + ((addr & u64(4095)) >> u64(3))]
                        target = object_at(odir, opages, ospans, obits, orank, pointer)
                        if target == ZERO:
                            continue
                        if fill:
                            targets[e] = np.uint32(target)
                            words[e] = np.uint32((addr - slot) >> u64(3))
                        e += ONE
                    w += taken
                tile += period
    return e

"""Looking for bytes in many short pieces of process memory."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, trailing_zeros, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of

_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)


@kernel
def find_bytes(pages, addrs, lengths, needle, found):
    """Set ``found[i]`` to 1 where `needle` occurs in the ``lengths[i]`` bytes at ``addrs[i]``, else to 0.

    `needle` is uint8[1 or more]. A piece is searched up to the first page that is missing; 2 says that one was met.
    Eight bytes at a time: a byte of ``x = word ^ first`` is 0 where ``(x - ONES) & ~x & TOPS`` has its lowest bit;
    bits above that one may be false, so every candidate is compared from its first byte on.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    size = u64(needle.size)
    first = u64(needle[ZERO]) * u64(_ONES)
    for i in range(u64(addrs.size)):
        found[i] = 0
        length = u64(lengths[i])
        if length < size:
            continue
        addr, last = addrs[i], length - size
        at = ZERO
        while at <= last:
            place = addr + at
            if at == ZERO or (place & u64(4095)) == ZERO:
                if page_of(directory, tables, place) == np.int64(PAGE_MISSING):
                    found[i] = 2
                    break
            before = place & u64(7)
            x = (load64(directory, tables, words, place & ~u64(7)) >> (before << u64(3))) ^ first
            candidates = (x - u64(_ONES)) & ~x & u64(_TOPS)
            if before:
                candidates &= (ONE << ((u64(8) - before) << u64(3))) - ONE
            while candidates:
                start = at + (u64(trailing_zeros(candidates)) >> u64(3))
                candidates &= candidates - ONE
                if start > last:
                    break
                same = True
                for j in range(size):
                    byte_at = addr + start + u64(j)
                    near = load64(directory, tables, words, byte_at & ~u64(7))
                    if (near >> ((byte_at & u64(7)) << u64(3))) & u64(255) != u64(needle[j]):
                        same = False
                        break
                if same:
                    found[i] = 1
                    break
            if found[i]:
                break
            at += u64(8) - before

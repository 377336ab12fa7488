"""Looking for bytes in many short pieces of process memory."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of


@kernel
def find_bytes(pages, addrs, lengths, needle, found):
    """Set ``found[i]`` to 1 where `needle` occurs in the ``lengths[i]`` bytes at ``addrs[i]``, else to 0.

    `needle` is uint8[1 or more]. A piece is searched up to the first page that is missing; 2 says that one was met.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    size = u64(needle.size)
    first = u64(needle[ZERO])
    for i in range(u64(addrs.size)):
        found[i] = 0
        length = u64(lengths[i])
        addr = addrs[i]
        word = ZERO
        for at in range(length):
            place = addr + u64(at)
            if u64(at) == ZERO or (place & u64(4095)) == ZERO:
                if page_of(directory, tables, place) == np.int64(PAGE_MISSING):
                    found[i] = 2
                    break
            if u64(at) == ZERO or (place & u64(7)) == ZERO:
                word = load64(directory, tables, words, place & ~u64(7))
            if (word >> ((place & u64(7)) << u64(3))) & u64(255) != first:
                continue
            if u64(at) + size > length:
                break
            same = True
            for j in range(ONE, size):
                byte_at = place + u64(j)
                near = load64(directory, tables, words, byte_at & ~u64(7))
                if (near >> ((byte_at & u64(7)) << u64(3))) & u64(255) != u64(needle[j]):
                    same = False
                    break
            if same:
                found[i] = 1
                break

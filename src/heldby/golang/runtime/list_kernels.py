"""Walking the runtime's linked lists: specials, buckets of the memory profile."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of


@kernel
def walk(pages, heads, limits, link, head_out, addr_out, start_head, start_addr):
    """Store ``(row of heads, address)`` of every record until the outputs are full.

    The link to the next lies `link` bytes into a record. ``limits[i]`` bounds the length of list i, so that a
    damaged list with a cycle ends. Returns (records stored, next row, next address or 0, lists that were cut
    off); call again from there when full.
    """
    stored = ZERO
    broken = ZERO
    i = u64(start_head)
    addr = u64(start_addr)
    steps = ZERO
    while i < u64(heads.size):
        if addr == ZERO:
            addr = heads[i]
            steps = ZERO
        while addr != ZERO:
            if stored == u64(addr_out.size):
                return stored, i, addr, broken
            missing = page_of(pages.directory, pages.tables, addr + link) == np.int64(PAGE_MISSING)
            if missing or (addr & u64(7)) != ZERO or steps >= limits[i]:
                broken += ONE
                break
            head_out[stored] = np.uint32(i)
            addr_out[stored] = addr
            stored += ONE
            steps += ONE
            addr = load64(pages.directory, pages.tables, pages.words, addr + link)
        addr = ZERO
        i += ONE
    return stored, i, ZERO, broken

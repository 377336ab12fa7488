"""Copying many short pieces of process memory into one buffer."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load8, page_of


@kernel
def copy_pieces(pages, addrs, starts, out, present):
    """Copy the bytes from ``addrs[i]`` to ``out[starts[i]:starts[i + 1]]``.

    ``present[i]`` becomes 0 where a byte lies in a page that was not captured.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    for i in range(u64(addrs.size)):
        addr, first, end = addrs[i], u64(starts[i]), u64(starts[i + u64(1)])
        present[i] = 1
        for at in range(first, end):
            place = addr + (u64(at) - first)
            if u64(at) == first or (place & u64(4095)) == u64(0):
                if page_of(directory, tables, place) == np.int64(PAGE_MISSING):
                    present[i] = 0
                    break
            out[u64(at)] = load8(directory, tables, words, place)

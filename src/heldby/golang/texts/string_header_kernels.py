"""Reading the headers of strings and slices: where their data begin, and how long they are."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ZERO, kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of


@kernel
def read_string_headers(pages, headers, targets, addr, span, slot_bytes, address, length, known):
    """Read pointer and length at each of `headers`, 0 for one in a register.

    Args:
        pages: the process's memory.
        headers: ``uint64[n]``.
        targets: ``uint32[n]``, the object that each pointer leads to.
        addr: ``uint64[objects]``.
        span: ``uint32[objects]``.
        slot_bytes: ``uint64[spans]``, the size of a span's slots.
        address: ``uint64[n]``, output.
        length: ``int64[n]``, output; 0 where it is not known.
        known: ``bool[n]``, output: both are in the capture, and the data lie within the object. A length that leads
            out of it was being written, or is no length.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    for i in range(u64(headers.size)):
        at = headers[i]
        known[i] = False
        length[i] = 0
        address[i] = ZERO
        if at == ZERO or (at & u64(7)) != ZERO:
            continue
        if page_of(directory, tables, at) == np.int64(PAGE_MISSING):
            continue
        place = load64(directory, tables, words, at)
        address[i] = place
        if page_of(directory, tables, at + u64(8)) == np.int64(PAGE_MISSING):
            continue
        size = load64(directory, tables, words, at + u64(8))
        target = u64(targets[i])
        room = slot_bytes[u64(span[target])]
        offset = place - addr[target]
        if offset <= room and size <= room - offset:
            known[i] = True
            length[i] = np.int64(size)

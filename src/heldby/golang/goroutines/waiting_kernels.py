"""Following the lists of what goroutines wait on."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of


@kernel
def walk_waiting(pages, heads, next_offset, owner, sudog, broken):
    """List the sudogs from each of `heads` on; return how many there are.

    ``owner[k]`` is the index of the head, ``sudog[k]`` an address. A list that leaves the capture, is not
    aligned, or does not end within the room of `owner` sets ``broken[i]``, and nothing of it is listed. Lists
    in circles share one allowance of steps, so that many of them take no longer than one.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    used = ZERO
    room = u64(owner.size)
    allowance = u64(4) * room
    for i in range(u64(heads.size)):
        at = heads[i]
        first = used
        while at != u64(0):
            if (
                used >= room
                or allowance == ZERO
                or at & u64(7)
                or page_of(directory, tables, at) == np.int64(PAGE_MISSING)
            ):
                broken[i] = 1
                used = first
                break
            owner[used] = np.uint32(i)
            sudog[used] = at
            used += ONE
            allowance -= ONE
            at = load64(directory, tables, words, at + u64(next_offset))
    return used

"""The runtime's linked lists as arrays of addresses."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.runtime.list_kernels import walk
from heldby.memory.paging_kernels import PageTable

_BATCH: Final = 1 << 20


def walk_lists(
    pages: PageTable, heads: NDArray[np.uint64], limits: NDArray[np.uint64], *, link: int = 0
) -> tuple[NDArray[np.uint32], NDArray[np.uint64], int]:
    """Return every record of the lists that begin at `heads`. O(records).

    Args:
        pages: memory.
        heads: ``uint64[n]``, the first record of each list.
        limits: ``uint64[n]``, the most records of each: a damaged list with a cycle ends there.
        link: where in a record the address of the next one lies.

    Returns:
        ``uint32[k]``, the list of each record; ``uint64[k]``, its address; and how many lists end in missing
        memory or were cut off.
    """
    all_rows: list[NDArray[np.uint32]] = [np.zeros(0, np.uint32)]
    all_addrs: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    row, addr, broken = 0, 0, 0
    while row < heads.size:
        rows, addrs = np.empty(_BATCH, np.uint32), np.empty(_BATCH, np.uint64)
        stored, row, addr, cut = walk(
            pages, heads, limits, np.uint64(link), rows, addrs, np.uint64(row), np.uint64(addr)
        )
        broken += int(cut)
        all_rows.append(rows[:stored])
        all_addrs.append(addrs[:stored])
        row, addr = int(row), int(addr)
    return np.concatenate(all_rows), np.concatenate(all_addrs), broken

"""Units: the elements of maps and backing arrays, and which objects belong to which of them."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, u64
from heldby.memory.paging_kernels import load8, load64

CONTAINER, HEAD = 1, 2
_MOST_TABLES = u64(1 << 24)
_MOST_GROUPS = u64(1 << 27)


@kernel
def assign_heads(idom, order, mark, head):
    """Set ``head[number]`` to the first object of its unit, 0 for none; see `Owners`.

    `mark`, ``uint8[vertices]``, says which vertices are part of a `CONTAINER` (what they dominate directly starts a
    unit) and which are a `HEAD` themselves. One pass: a dominator's number is less than that of what it dominates.
    """
    for w in range(ONE, u64(idom.size)):
        above = u64(idom[w])
        own = mark[u64(order[w])]
        if own == HEAD or (own == 0 and mark[u64(order[above])] == CONTAINER):
            head[w] = np.uint32(w)
        elif own == CONTAINER:
            head[w] = 0
        else:
            head[w] = head[above]


@kernel
def list_entries(pages, headers, release, group_size, elem_base, elem_stride, out):
    """Write the addresses of the elements of the maps whose headers lie at `headers`; return how many there are.

    What has no room in `out`, ``uint64[k]``, is counted only. A damaged header ends it after `_MOST_GROUPS` groups.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    count, left = ZERO, _MOST_GROUPS
    for m in range(u64(headers.size)):
        header = headers[m]
        length = min(load64(directory, tables, words, header + release.directory_length), _MOST_TABLES)
        first = load64(directory, tables, words, header + release.directory)
        last = ZERO
        for t in range(max(length, ONE)):
            groups, group_count = first, ONE if first else ZERO
            if length:
                table = load64(directory, tables, words, first + (t << u64(3)))
                if not table or table == last:
                    continue
                last = table
                groups = load64(directory, tables, words, table + release.groups)
                mask = load64(directory, tables, words, table + release.group_mask)
                group_count = min(mask, _MOST_GROUPS) + ONE
            group_count = min(group_count, left)
            left -= group_count
            for g in range(group_count):
                group = groups + g * group_size
                for slot in range(u64(8)):
                    if load8(directory, tables, words, group + slot) & u64(0x80):
                        continue
                    if count < u64(out.size):
                        out[count] = group + elem_base + slot * elem_stride
                    count += ONE
    return count

"""Units: the elements of maps and backing arrays, and which objects belong to which of them."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.golang.texts.json_text_kernels import read_byte
from heldby.golang.texts.map_walk_kernels import MOST_GROUPS, array_at, array_count, is_full, overflow_of
from heldby.jit import ONE, ZERO, kernel, u64

CONTAINER, HEAD = 1, 2


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
def list_entries(memory, headers, layout, part_bytes, elem_base, elem_stride, out):
    """Write the addresses of the elements of the maps whose headers lie at `headers`; return how many there are.

    `layout` is a `MapLayout`, `part_bytes` the size of a group or bucket. What has no room in `out`, ``uint64[k]``,
    is counted only. Damaged headers and chains of buckets end it after `MOST_GROUPS` groups.
    """
    count, left = ZERO, MOST_GROUPS
    for m in range(u64(headers.size)):
        last = ZERO
        for t in range(array_count(memory, layout, headers[m])):
            first, groups, last = array_at(memory, layout, headers[m], t, last)
            for g in range(groups):
                group = first + g * part_bytes
                while group and left:
                    left -= ONE
                    for slot in range(u64(8)):
                        if not is_full(layout, read_byte(memory, group + slot)):
                            continue
                        if count < u64(out.size):
                            out[count] = group + elem_base + slot * elem_stride
                        count += ONE
                    group = overflow_of(memory, layout, group, part_bytes)
                if not left:
                    return count
    return count

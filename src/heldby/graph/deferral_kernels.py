"""Setting aside the ways that must not name a holder."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, kernel, u64


@kernel
def mark_reached(offsets, targets, reached, stop, queue, tail):
    """Extend `reached` (uint8) from the first `tail` vertices of `queue`, not through vertices in `stop`.

    Returns the new tail; `queue` then lists all vertices reached.
    """
    head = u64(0)
    end = u64(tail)
    while head < end:
        v = u64(queue[head])
        head += ONE
        if stop[v]:
            continue
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            w = u64(targets[e])
            if reached[w] == 0:
                reached[w] = 1
                queue[end] = np.uint32(w)
                end += ONE
    return end


@kernel
def redirect_deferred(offsets, targets, reached, internal, edges, originals, fill):
    """Turn references from deferred sources to vertices in `reached` into self-references.

    Deferred sources are `internal` vertices and those not in `reached`. Where `reached` is 2, it is the other
    way round: references from sources that are not deferred are turned. With `fill` the numbers of the
    changed edges and their targets are kept, so that they can be put back; without it they are only counted.
    """
    k = u64(0)
    for v in range(u64(offsets.size) - ONE):
        turned = 2 if reached[v] == 1 and not internal[v] else 1
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            w = targets[e]
            if reached[u64(w)] == turned and u64(w) != v:
                if fill:
                    edges[k] = np.int64(e)
                    originals[k] = w
                    targets[e] = np.uint32(v)
                k += ONE
    return k

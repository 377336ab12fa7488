"""Reachability that grows: vertices that become starts when what they wait for is reached."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, prefetch, u64

_NONE = np.uint32(0xFFFFFFFF)
_MARKED = np.uint8(1)
_AWAITED = np.uint8(2)


@kernel
def reach_waking(offsets, targets, state, queue, tail, awaited, waiter, vertex, awake):
    """Mark all that ``queue[:tail]`` reaches, and what that wakes; return the new tail.

    Bit 1 of ``state[v]`` (uint8) says that v is marked, bit 2 that it occurs in `awaited` (uint32, ascending):
    ``waiter[i]`` wakes when ``awaited[i]`` is marked, and its ``vertex[waiter]``, unless that is NONE, is marked.
    """
    head = ZERO
    end = u64(tail)
    pairs = u64(awaited.size)
    while head < end:
        if head + u64(16) < end:
            prefetch(offsets, u64(queue[head + u64(16)]))
        v = u64(queue[head])
        head += ONE
        if state[v] & _AWAITED:
            low, high = ZERO, pairs
            while low < high:
                middle = (low + high) >> ONE
                if u64(awaited[middle]) < v:
                    low = middle + ONE
                else:
                    high = middle
            while low < pairs and u64(awaited[low]) == v:
                row = u64(waiter[low])
                low += ONE
                if awake[row]:
                    continue
                awake[row] = 1
                start = vertex[row]
                if start != _NONE and not state[u64(start)] & _MARKED:
                    state[u64(start)] |= _MARKED
                    queue[end] = start
                    end += ONE
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            w = u64(targets[e])
            if not state[w] & _MARKED:
                state[w] |= _MARKED
                queue[end] = np.uint32(w)
                end += ONE
    return end

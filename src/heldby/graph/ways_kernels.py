"""Finding the references along shortest ways."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, prefetch, u64

_NONE = np.uint32(0xFFFFFFFF)


@kernel
def mark_ways(parent, targets, kept):
    """Set ``kept[v]`` (uint8) for each reached target and all that come before it; those that have it end a walk."""
    for i in range(u64(targets.size)):
        v = u64(targets[i])
        if parent[v] == _NONE:
            continue
        while kept[v] == 0:
            kept[v] = 1
            v = u64(parent[v])


@kernel
def number_ways(visited, kept, order, number):
    """List those of `visited` that are kept in `order`, number them so, and return how many they are."""
    k = ZERO
    for i in range(u64(visited.size)):
        if i + u64(24) < u64(visited.size):
            prefetch(kept, u64(visited[i + u64(24)]))
        v = u64(visited[i])
        if kept[v]:
            order[k] = np.uint32(v)
            number[v] = np.uint32(k)
            k += ONE
    return k


@kernel
def find_way_edges(offsets, targets, number, order, before, edge):
    """Set ``edge[j]`` to the first edge from ``before[j]`` to j; `edge` must be -1 before.

    Only the edges of numbered vertices are looked at; they may lead to vertices without a number (NONE).
    """
    for i in range(u64(order.size)):
        v = u64(order[i])
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            j = number[u64(targets[e])]
            if j == _NONE or u64(j) == ZERO:
                continue
            if u64(before[u64(j)]) == i and edge[u64(j)] < 0:
                edge[u64(j)] = np.int64(e)

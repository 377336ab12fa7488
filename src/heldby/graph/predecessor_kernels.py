"""Finding who refers to a few vertices."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, kernel, u64


@kernel
def edges_into(offsets, targets, low, wanted, number, sources, edges):
    """Count the edges from reachable vertices into those that are wanted, and list as many as there is room for.

    ``wanted[i]`` says it of vertex ``low + i``. In order of the source.
    """
    k = u64(0)
    base, width, room = u64(low), u64(wanted.size), u64(sources.size)
    for v in range(u64(offsets.size) - ONE):
        if number[v] == np.uint32(0xFFFFFFFF):
            continue
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            w = u64(targets[e])
            # What is below `low` wraps around to a huge number.
            if w - base < width and wanted[w - base] and w != v:
                if k < room:
                    sources[k] = np.uint32(v)
                    edges[k] = np.int64(e)
                k += ONE
    return k

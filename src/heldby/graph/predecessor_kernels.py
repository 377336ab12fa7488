"""Finding who refers to a few vertices."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, kernel, u64


@kernel
def edges_into(offsets, targets, wanted, number, sources, edges, fill):
    """Count or list the edges from reachable vertices into `wanted` (uint8) ones, in order of the source."""
    k = u64(0)
    for v in range(u64(offsets.size) - ONE):
        if number[v] == np.uint32(0xFFFFFFFF):
            continue
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            w = u64(targets[e])
            if wanted[w] and w != v:
                if fill:
                    sources[k] = np.uint32(v)
                    edges[k] = np.int64(e)
                k += ONE
    return k

"""Which objects only finalizers and cleanups still reach, and which nothing reaches.

The graph of a heap has some references set aside (`heldby.graph.deferral`); here they count like all others,
those of finalizers and cleanups last.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import NONE
from heldby.graph.search_kernels import search
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind

GARBAGE: Final = 0
LIVE: Final = 1
ONLY_FINALIZERS: Final = 2
_LAST: Final = frozenset({"finalizers", "cleanups", "finalizer queue", "cleanup queue"})


def object_states(heap: Heap) -> NDArray[np.uint8]:
    """Return `GARBAGE`, `LIVE` or `ONLY_FINALIZERS` for each object, ``uint8[n + 1]``; 0 for the virtual root.

    O(vertices), and references of what only set-aside ways reach; 8 bytes a vertex while it runs.
    """
    graph, deferred, roots = heap.graph, heap.deferred, heap.roots
    first_root = heap.object_count + 1
    last = np.zeros(graph.node_count, np.bool_)
    special = np.flatnonzero(roots.kind == RootKind.SPECIAL)
    last[first_root + special] = [roots.name_of(int(node)) in _LAST for node in special]
    parent = np.where(deferred.firmly_reached != 0, np.uint32(0), np.uint32(NONE))
    parent[first_root:][~last[first_root:]] = 0
    parent[last] = 0  # so that no way leads through them yet
    queue = np.empty(graph.node_count, np.uint32)
    # What was reached firmly was followed already, but for the runtime's own records.
    internal = np.flatnonzero(heap.naming.is_runtime_internal() & (parent[:first_root] != NONE))
    others = np.concatenate((internal, np.flatnonzero(~last[first_root:]) + first_root))
    sources = np.searchsorted(graph.offsets, deferred.edges, side="right").astype(np.int64) - 1
    open_sources = ~last[sources]

    def spread(starts: NDArray[np.int64]) -> None:
        queue[: starts.size] = starts
        search(graph.offsets, graph.targets, parent, queue, starts.size)
        while True:
            ready = open_sources & (parent[sources] != NONE)
            targets = np.unique(deferred.targets[ready])
            targets = targets[parent[targets] == NONE]
            if not targets.size:
                return
            parent[targets] = 0
            queue[: targets.size] = targets
            search(graph.offsets, graph.targets, parent, queue, targets.size)

    spread(others)
    states: NDArray[np.uint8] = (parent[:first_root] != NONE).astype(np.uint8) * np.uint8(LIVE)
    open_sources = np.ones(sources.size, np.bool_)
    spread(np.flatnonzero(last))
    states[(parent[:first_root] != NONE) & (states == GARBAGE)] = ONLY_FINALIZERS
    states[0] = GARBAGE
    return states

"""Who refers to a few given vertices. The graph has no reverse edges; one pass over it answers for many."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import Graph
from heldby.graph.dominators import DominatorTree
from heldby.graph.predecessor_kernels import edges_into

_ROOM: Final = 1 << 16


def predecessors(
    graph: Graph, tree: DominatorTree, vertices: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return source vertex and edge number of every edge from a reachable vertex into `vertices`.

    One pass over the edges, whatever the number of vertices, or two when there are many such edges; a vertex's
    edges to itself are left out.
    """
    low = int(vertices.min(initial=graph.node_count))
    wanted = np.zeros(max(int(vertices.max(initial=0)) + 1 - low, 0), np.uint8)
    wanted[vertices - np.uint32(low)] = 1
    room = _ROOM
    while True:
        sources, edges = np.empty(room, np.uint32), np.empty(room, np.int64)
        count = int(edges_into(graph.offsets, graph.targets, low, wanted, tree.number, sources, edges))
        if count <= room:
            return sources[:count], edges[:count]
        room = count

"""Who refers to a few given vertices. The graph has no reverse edges; one pass over it answers for many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import Graph
from heldby.graph.dominators import DominatorTree
from heldby.graph.predecessor_kernels import edges_into


def predecessors(
    graph: Graph, tree: DominatorTree, vertices: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return source vertex and edge number of every edge from a reachable vertex into `vertices`.

    Two passes over the edges, whatever the number of vertices; a vertex's edges to itself are left out.
    """
    wanted = np.zeros(graph.node_count, np.uint8)
    wanted[vertices] = 1
    none32, none64 = np.zeros(0, np.uint32), np.zeros(0, np.int64)
    count = int(edges_into(graph.offsets, graph.targets, wanted, tree.number, none32, none64, False))
    sources, edges = np.empty(count, np.uint32), np.empty(count, np.int64)
    edges_into(graph.offsets, graph.targets, wanted, tree.number, sources, edges, True)
    return sources, edges

"""Shortest ways to some vertices only: the part of a search's tree that leads to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import NONE, Graph, from_edges
from heldby.graph.dominators import DominatorTree
from heldby.graph.predecessors import predecessors
from heldby.graph.reach import ShortestPaths, shortest_paths
from heldby.graph.ways_kernels import find_way_edges, mark_ways, number_ways


def ways_to(graph: Graph, targets: NDArray[np.uint32]) -> DominatorTree:
    """Return the tree of shortest ways from node 0 to each of `targets` that is reached.

    Numbers go by distance; ``idom[i]`` is what comes before i on its way. One search: O(n + m), 13 bytes per
    node; what follows costs in proportion to the ways.
    """
    found = shortest_paths(graph)
    kept = np.zeros(graph.node_count, np.uint8)
    kept[0] = 1
    mark_ways(found.parent, targets, kept)
    number = np.full(graph.node_count, NONE, np.uint32)
    order = np.empty(found.visited.size, np.uint32)
    order = order[: number_ways(found.visited, kept, order, number)]
    return DominatorTree(order, number, number[found.parent[order]])


def way_edges(graph: Graph, tree: DominatorTree) -> NDArray[np.int64]:
    """Return ``int64[k]``: the edge by which each number of `ways_to` is reached from the one before; -1 at 0."""
    edges = np.full(tree.reached_count, -1, np.int64)
    find_way_edges(graph.offsets, graph.targets, tree.number, tree.order, tree.idom, edges)
    return edges


def ways_back(graph: Graph, targets: NDArray[np.uint32]) -> ShortestPaths:
    """Search from `targets` against the references: `parent` is the next node on the way to the nearest one.

    The references are turned round first: O(n + m), 16 bytes for each.
    """
    sources = np.repeat(np.arange(graph.node_count, dtype=np.uint32), np.diff(graph.offsets))
    turned, _ = from_edges(graph.node_count, graph.targets, sources)
    return shortest_paths(turned, targets.tolist())


def way_from_a_root(
    graph: Graph, tree: DominatorTree, target: int, first_root: int, *, levels: int
) -> tuple[ShortestPaths, int] | None:
    """Return the shortest way to `target` from a vertex of `first_root` or above, and that vertex.

    As in `ways_back` `parent` is the next node on the way. One pass over the edges for each step of the way, and
    no further than `levels`: None when it is longer, or there is none.
    """
    parent = np.full(graph.node_count, NONE, np.uint32)
    parent[target] = target
    frontier = np.array([target], np.uint32)
    visited = [frontier]
    for _ in range(levels):
        sources, edges = predecessors(graph, tree, frontier)
        new = (parent[sources] == np.uint32(NONE)) & (sources != 0)
        frontier, first = np.unique(sources[new], return_index=True)
        if not frontier.size:
            return None
        parent[frontier] = graph.targets[edges[new][first]]
        visited.append(frontier)
        if frontier[-1] >= first_root:
            root = int(frontier[np.searchsorted(frontier, np.uint32(first_root))])
            return ShortestPaths(parent, np.concatenate(visited)), root
    return None

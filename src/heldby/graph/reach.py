"""What can be reached, by which shortest way, and what would not be without some nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import NONE, Graph
from heldby.graph.search_kernels import search

_REMOVED = NONE - 1  # a mark for `parent`; as an id it would be the very last node that fits


@dataclass(frozen=True, slots=True, eq=False)
class ShortestPaths:
    """A breadth-first tree.

    Attributes:
        parent: ``uint32[n]``, the node before on a shortest path; a root's is itself, NONE if not reached.
        visited: ``uint32[k]``, the reached nodes, nearest first.
    """

    parent: NDArray[np.uint32]
    visited: NDArray[np.uint32]

    def path_to(self, node: int) -> list[int]:
        """Return the nodes from a root to `node`, both included; empty when `node` is not reached."""
        if self.parent[node] == NONE:
            return []
        path = [node]
        while self.parent[path[-1]] != path[-1]:
            path.append(int(self.parent[path[-1]]))
        return path[::-1]


def shortest_paths(graph: Graph, roots: int | Iterable[int] = 0) -> ShortestPaths:
    """Search breadth first from `roots`; O(n + m) time, 8 bytes per node."""
    return _search(graph, np.full(graph.node_count, NONE, np.uint32), roots)


def reachability(graph: Graph, roots: int | Iterable[int] = 0) -> NDArray[np.bool_]:
    """Return ``bool[n]``, which nodes can be reached from `roots`; O(n + m) time, 8 bytes per node."""
    return np.not_equal(shortest_paths(graph, roots).parent, NONE)


def retained_of_set(
    graph: Graph, sizes: NDArray[np.uint32] | NDArray[np.int64], members: NDArray[np.bool_]
) -> tuple[int, int]:
    """Return the bytes and the number of nodes that would be unreachable without all of `members` together.

    This is more than the sum of what each retains alone when they share something. Members that cannot be
    reached count nothing. Two searches: O(n + m) time, 8 bytes per node.

    Args:
        graph: the edges.
        sizes: ``uint32[n]`` or ``int64[n]``, shallow bytes.
        members: ``bool[n]``; without node 0 nothing is reachable.
    """
    everything = shortest_paths(graph).visited
    total_bytes, total_count = int(sizes[everything].sum(dtype=np.int64)), everything.size
    del everything
    if members[0]:
        return total_bytes, total_count
    parent = np.full(graph.node_count, NONE, np.uint32)
    parent[members] = _REMOVED
    left = _search(graph, parent, 0).visited
    return total_bytes - int(sizes[left].sum(dtype=np.int64)), total_count - left.size


def _search(graph: Graph, parent: NDArray[np.uint32], roots: int | Iterable[int]) -> ShortestPaths:
    start = np.unique(np.fromiter([roots] if isinstance(roots, int) else roots, np.int64))
    if start.size and (start[0] < 0 or start[-1] >= graph.node_count):
        raise IndexError(f"roots must be nodes, 0 to {graph.node_count - 1}")
    parent[start] = start
    queue = np.empty(graph.node_count, np.uint32)
    queue[: start.size] = start
    return ShortestPaths(parent, queue[: search(graph.offsets, graph.targets, parent, queue, start.size)])

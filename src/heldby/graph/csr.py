"""The graph: nodes 0..n-1 and their edges in compressed sparse rows. Node 0 is the virtual root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import InternalError, LimitExceeded
from heldby.graph.search_kernels import add_degrees, place_edges

_STRETCH: Final = 1 << 16
NONE = 0xFFFFFFFF
"""No node, where a node's number is expected (arrays of ``uint32``)."""

MAX_NODES = NONE
"""Ids are ``uint32`` and NONE is taken, so the largest id is 2**32 - 2."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Edges of node v are ``targets[offsets[v]:offsets[v + 1]]``.

    What cannot be a graph raises `InternalError`, since kernels index with these numbers unchecked; the check
    costs one pass over both arrays (about 20 ms for 40 M edges).

    Attributes:
        offsets: ``int64[n + 1]``, ascending from 0 to the number of edges.
        targets: ``uint32[m]``, each less than n.
    """

    offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]

    def __post_init__(self) -> None:
        for name, array, dtype in (("offsets", self.offsets, np.int64), ("targets", self.targets, np.uint32)):
            if array.dtype != dtype or array.ndim != 1 or not array.flags.c_contiguous:
                raise InternalError(f"{name} is {array.dtype}{list(array.shape)}, not {np.dtype(dtype)}[]")
        if self.node_count < 1:
            raise InternalError("a graph without its virtual root")
        if self.node_count > MAX_NODES:
            raise LimitExceeded(f"{self.node_count:,} nodes; node ids have 32 bits")
        if self.offsets[0] != 0 or self.offsets[-1] != self.edge_count:
            raise InternalError(
                f"offsets run from {self.offsets[0]} to {self.offsets[-1]}, not from 0 to {self.edge_count}"
            )
        falling = self.offsets[1:] < self.offsets[:-1]
        if falling.any():
            node = int(falling.argmax())
            raise InternalError(
                f"offsets of node {node} fall from {self.offsets[node]} to {self.offsets[node + 1]}"
            )
        if self.edge_count and int(self.targets.max()) >= self.node_count:
            edge = int(self.targets.argmax())
            raise InternalError(
                f"edge {edge} leads to node {self.targets[edge]}; there are {self.node_count:,} nodes"
            )

    @property
    def node_count(self) -> int:
        """The number of nodes, the virtual root included."""
        return self.offsets.size - 1

    @property
    def edge_count(self) -> int:
        """The number of edges."""
        return self.targets.size

    def edges_from(self, nodes: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return source and number of every edge of `nodes`, in their order. O(nodes + edges found)."""
        first = self.offsets[nodes]
        counts = self.offsets[nodes.astype(np.int64) + 1] - first
        before = np.cumsum(counts) - counts
        edges = np.repeat(first - before, counts) + np.arange(int(counts.sum()), dtype=np.int64)
        return np.repeat(nodes, counts), edges

    def targets_of(self, node: int) -> NDArray[np.uint32]:
        """Return a view of the targets of `node`."""
        return self.targets[self.offsets[node] : self.offsets[node + 1]]


def offsets_of(degrees: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int64]:
    """Return where the edges of each node begin, ``int64[n + 1]``; 3 ms for a million nodes."""
    offsets = np.zeros(degrees.size + 1, np.int64)
    # A stretch at a time, for the kernel takes numbers of one width.
    for low in range(0, degrees.size, _STRETCH):
        part = degrees[low : low + _STRETCH].astype(np.uint32)
        add_degrees(part, offsets[low : low + part.size + 1], int(offsets[low]))
    return offsets


def from_edges(
    node_count: int, sources: NDArray[np.uint32], targets: NDArray[np.uint32]
) -> tuple[Graph, NDArray[np.int64]]:
    """Return the graph of a list of edges, and the permutation to put per-edge values in its order.

    The order of a node's edges is that of the list; edge e of the graph is ``permutation[e]`` of the list.
    Cost: O(n + m); 16 bytes per node and 12 per edge.

    Raises:
        InternalError: when a source or target is not a node, or the lists differ in length.
    """
    sources, targets = np.ascontiguousarray(sources, np.uint32), np.ascontiguousarray(targets, np.uint32)
    if sources.shape != targets.shape:
        raise InternalError(f"{sources.size} sources but {targets.size} targets")
    if sources.size and int(sources.max()) >= node_count:
        raise InternalError(f"an edge leaves node {sources.max()}; there are {node_count:,} nodes")
    offsets = np.zeros(node_count + 1, np.int64)
    np.cumsum(np.bincount(sources, minlength=node_count), out=offsets[1:])
    placed, permutation = np.empty_like(targets), np.empty(targets.size, np.int64)
    place_edges(sources, targets, offsets[:-1].copy(), placed, permutation)
    return Graph(offsets, placed), permutation

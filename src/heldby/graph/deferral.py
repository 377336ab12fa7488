"""Deferred ways: references that count only where nothing else leads.

A plain dominator tree has no mercy: an object that a user's map and the runtime's own list of goroutines both
reach is dominated by neither. So the ways that must not name a holder are deferred: what the other ways reach
is analysed without them, and only the rest is reached through them. Every vertex stays reachable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import Graph
from heldby.graph.deferral_kernels import mark_reached, redirect_deferred

_ALOOF: Final = 2  # in `reached`, while the ways are sorted out


@dataclass(frozen=True, slots=True, eq=False)
class Deferred:
    """References that were set aside: their numbers and where they led; `restored` puts them back.

    Attributes:
        edges: ``int64[d]``, ascending.
        targets: ``uint32[d]``.
        firmly_reached: ``uint8[n]``, vertices that the ways that are not deferred reach.
    """

    edges: NDArray[np.int64]
    targets: NDArray[np.uint32]
    firmly_reached: NDArray[np.uint8]

    def led_to(self, graph: Graph, edges: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return where the given edges lead, those that were set aside to where they led."""
        targets = graph.targets[edges]
        if self.edges.size:
            at = np.minimum(np.searchsorted(self.edges, edges), self.edges.size - 1)
            targets = np.where(self.edges[at] == edges, self.targets[at], targets)
        return targets

    def restored(self, graph: Graph) -> Graph:
        """Return the graph with the references back in place; the targets are copied, 4 bytes a reference."""
        targets = graph.targets.copy()
        targets[self.edges] = self.targets
        return Graph(graph.offsets, targets)


def defer_ways(
    graph: Graph,
    starts: NDArray[np.uint32],
    internal: NDArray[np.uint8],
    aloof: NDArray[np.uint32] | None = None,
) -> Deferred:
    """Redirect, in place, the references that would compete with those reached from `starts`.

    Args:
        graph: changed in place: deferred references point back at their source.
        starts: vertices whose ways are not deferred.
        internal: ``uint8[n]``, vertices whose own references are deferred although they may be reached.
        aloof: internal vertices that only deferred ways may lead to: references to them from elsewhere are
            deferred too. The deferred ways must reach each of them.

    Cost: two passes over the references; 5 bytes a vertex and 12 for each deferred reference.
    """
    reached = np.zeros(graph.node_count, np.uint8)
    reached[0] = 1  # the virtual root refers to every root, deferred or not
    reached[starts] = 1
    if aloof is not None:
        reached[aloof] = _ALOOF
    queue = np.empty(graph.node_count, np.uint32)
    queue[: starts.size] = starts
    mark_reached(graph.offsets, graph.targets, reached, internal, queue, starts.size)
    del queue
    none64, none32 = np.zeros(0, np.int64), np.zeros(0, np.uint32)
    count = int(redirect_deferred(graph.offsets, graph.targets, reached, internal, none64, none32, False))
    edges, originals = np.empty(count, np.int64), np.empty(count, np.uint32)
    redirect_deferred(graph.offsets, graph.targets, reached, internal, edges, originals, True)
    reached[reached == _ALOOF] = 0
    return Deferred(edges, originals, reached)

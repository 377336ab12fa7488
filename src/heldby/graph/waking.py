"""What can be reached when some vertices start only after others were reached.

The collector's proof of a leak: a goroutine whose channel nothing can reach will never run, so what only it
refers to is not reached either; one whose channel is reached may run, and its stack leads further.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import NONE, Graph
from heldby.graph.waking_kernels import reach_waking


def reach_and_wake(
    graph: Graph,
    starts: NDArray[np.uint32],
    vertex: NDArray[np.uint32],
    waiter: NDArray[np.uint32],
    awaited: NDArray[np.uint32],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which vertices are reached in the end, ``bool[n]``, and which waiters wake, ``bool[w]``.

    One traversal, whatever the number of waiters and of rounds: O(n + m + p log p) for p pairs; 5 bytes per
    vertex.

    Args:
        graph: the edges.
        starts: distinct vertices that are reached from the beginning.
        vertex: ``uint32[w]``, what each waiter starts when it wakes; NONE for nothing.
        waiter: ``uint32[p]``, rows of `vertex`: a pair for each vertex that a waiter waits for.
        awaited: ``uint32[p]``, that vertex; one of a waiter's is enough to wake it.
    """
    order = np.argsort(awaited, kind="stable")
    awaited, waiter = np.ascontiguousarray(awaited[order]), np.ascontiguousarray(waiter[order])
    if awaited.size and int(awaited[-1]) >= graph.node_count:
        raise IndexError(f"vertex {awaited[-1]} is awaited; there are {graph.node_count}")
    real = vertex[vertex != np.uint32(NONE)]
    if real.size and int(real.max()) >= graph.node_count:
        raise IndexError(f"vertex {real.max()} starts; there are {graph.node_count}")
    state = np.zeros(graph.node_count, np.uint8)
    state[awaited] = 2
    state[starts] |= 1
    queue = np.empty(graph.node_count, np.uint32)
    queue[: starts.size] = starts
    awake = np.zeros(vertex.size, np.uint8)
    reach_waking(graph.offsets, graph.targets, state, queue, starts.size, awaited, waiter, vertex, awake)
    return (state & 1).astype(np.bool_), awake.astype(np.bool_)

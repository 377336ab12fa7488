"""Who shares what nobody holds alone.

A vertex whose dominator is the root is held from two sides or more (or by the root itself). Its *owners* are
the tops, the root's children in the dominator tree, below which something refers to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heldby.errors import InternalError
from heldby.graph.csr import Graph
from heldby.graph.dominator_kernels import collect_owners
from heldby.graph.dominators import DominatorTree


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """Pairs of a shared vertex and one of its owners, by vertex and then owner.

    Attributes:
        shared: ``uint32[p]``, the shared vertex's number.
        owner: ``uint32[p]``, the number of a top that refers to it, or that top's group.
        references: ``int64[p]``, how many edges from below that owner lead to it.
    """

    shared: NDArray[np.uint32]
    owner: NDArray[np.uint32]
    references: NDArray[np.int64]


def owners(
    graph: Graph, tree: DominatorTree, top: NDArray[np.uint32], group: NDArray[np.uint32] | None = None
) -> Owners:
    """Return the owners of each child of the root that something other than the root and itself refers to.

    Edges from the root itself, and from below the vertex back to it, are no owners. Cost: one pass over the
    edges, and the edges into children of the root are sorted, 8 bytes for each of them.

    Args:
        graph: the edges.
        tree: their dominator tree.
        top: what `tops` returned, ``uint32[k]``.
        group: ``uint32[k]``, by number, read at tops only; owners of the same group are one, for instance
            412 goroutines with the same stack. Default: each top is its own.
    """
    if group is None:
        group = np.arange(tree.reached_count, dtype=np.uint32)
    if top.shape != tree.idom.shape or group.shape != tree.idom.shape:
        raise InternalError(f"top and group have the shapes {top.shape} and {group.shape}")
    # Written pages are the only ones that cost, so the array may have room for all edges.
    pairs = np.empty(graph.edge_count, np.uint64)
    found = collect_owners(graph.offsets, graph.targets, tree.number, tree.idom, top, group, pairs)
    pairs = pairs[:found]
    pairs.sort()
    is_new = np.ones(pairs.size, np.bool_)
    np.not_equal(pairs[1:], pairs[:-1], out=is_new[1:])
    starts = np.flatnonzero(is_new)
    distinct = pairs[starts]
    return Owners(
        shared=(distinct >> np.uint64(32)).astype(np.uint32),
        owner=distinct.astype(np.uint32),
        references=np.diff(starts, append=pairs.size),
    )

"""Who shares what nobody holds alone.

A vertex whose dominator is the root is held from two sides or more (or by the root itself). Its *owners* are
the tops, the root's children in the dominator tree, below which something refers to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.errors import InternalError
from heldby.graph.csr import Graph
from heldby.graph.dominators import DominatorTree
from heldby.graph.table_kernels import EMPTY, collect_owners, move_rows

FIRST_BITS = 12
_T = TypeVar("_T", bound=np.generic)


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
    edges and 56 bytes or so for each pair.

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
    bits = FIRST_BITS
    table = np.full((1 << bits, 2), EMPTY, np.uint64)
    pairs, counts = np.empty((1 << (bits - 1), 2), np.uint32), np.empty(1 << (bits - 1), np.int64)
    state = np.zeros(3, np.uint64)
    while not collect_owners(
        graph.offsets,
        graph.targets,
        tree.number,
        tree.idom,
        top,
        group,
        table,
        64 - bits,
        pairs,
        counts,
        state,
    ):
        bits += 2
        table = grown_table(table, bits)
        pairs, counts = grown(pairs, 1 << (bits - 1)), grown(counts, 1 << (bits - 1))
    found = int(state[2])
    by_vertex = np.lexsort((pairs[:found, 1], pairs[:found, 0]))
    return Owners(pairs[by_vertex, 0], pairs[by_vertex, 1], counts[by_vertex])


def grown_table(table: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """Return the same rows in a table of 2**bits rows."""
    new = np.full((1 << bits, 2), EMPTY, np.uint64)
    move_rows(table, new, 64 - bits)
    return new


def grown(array: NDArray[_T], length: int) -> NDArray[_T]:
    """Return a copy of `array` with room for `length` rows."""
    new = np.empty((length, *array.shape[1:]), array.dtype)
    new[: len(array)] = array
    return new

"""Ownership: which row of the answer's holders each object belongs to.

The rows divide the live heap, so an object belongs to exactly one: that of the nearest path at or above its
own that `heldby.analysis.holding.holders.divided` charges with bytes. Garbage belongs to none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.holding.holder_tree import HolderTree
from heldby.analysis.holding.holders import Row, divided, rows_of
from heldby.graph.csr import NONE

NOBODY: Final = -1
"""The row of garbage."""
_STRETCH: Final = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Ownership:
    """The rows of the first screen, and what belongs to each.

    Attributes:
        tree: the paths that the rows are taken from.
        rows: largest first, as `holder_rows` returns them.
        rest: everything else; its number is ``len(rows)``.
        row_of_path: ``int32[p]``, the row of what lies on each path.
    """

    tree: HolderTree
    rows: list[Row]
    rest: Row
    row_of_path: NDArray[np.int32]

    def of(self, objects: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Return the rows of the given objects (vertices), `NOBODY` for garbage. O(objects)."""
        numbers = self.tree.heap.tree.number[objects]
        found = np.full(objects.size, NOBODY, np.int32)
        live = numbers != np.uint32(NONE)
        found[live] = self.row_of_path[self.tree.paths.path_of[numbers[live]]]
        return found

    def of_all(self) -> NDArray[np.int32]:
        """Return ``int32[n + 1]``, the row of every object; `NOBODY` for garbage and the virtual root.

        O(objects), 4 bytes for each.
        """
        count = self.tree.heap.object_count
        found = np.full(count + 1, NOBODY, np.int32)
        for low in range(1, count + 1, _STRETCH):
            high = min(low + _STRETCH, count + 1)
            found[low:high] = self.of(np.arange(low, high, dtype=np.uint32))
        return found


def ownership_of(tree: HolderTree) -> Ownership:
    """Return who owns what, in the rows that the first screen shows. O(paths)."""
    parts = divided(tree)
    rows, rest = rows_of(tree, parts)
    return Ownership(tree, rows, rest, _row_of_path(tree, parts, rows))


def _row_of_path(tree: HolderTree, parts: list[Row], rows: list[Row]) -> NDArray[np.int32]:
    parent = tree.paths.parent
    nearest = parent.copy()
    charged = np.array([0, *(part.path for part in parts)], np.uint32)
    nearest[charged] = charged
    while True:  # pointer jumping: log2(depth) rounds
        further = nearest[nearest]
        if np.array_equal(further, nearest):
            break
        nearest = further
    numbers = np.full(parent.size, len(rows), np.int32)
    numbers[[row.path for row in rows]] = np.arange(len(rows), dtype=np.int32)
    found: NDArray[np.int32] = numbers[nearest]
    return found

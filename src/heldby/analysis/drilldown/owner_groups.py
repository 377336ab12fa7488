"""Objects by who keeps them: by the holder that counts them, or by the root that alone leads to them."""

from __future__ import annotations

from typing import Final

import numpy as np

from heldby.analysis.drilldown.grouping import Grouping
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.holding.ownership import NOBODY, ownership_of
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap

SEVERAL: Final = "(several)"
GARBAGE: Final = "(garbage)"
_STRETCH: Final = 1 << 16


def by_holder(heap: Heap) -> Grouping:
    """Return the objects by the row of ``heldby top --by holder`` that counts them. O(objects)."""
    tree = build_holder_tree(heap)
    owned = ownership_of(tree)
    names = [*(tree.text(row.path).strip() for row in owned.rows), "everything else", GARBAGE]
    of = owned.of_all()
    of[of == NOBODY] = len(names) - 1
    return Grouping(names, of)


def by_root(heap: Heap) -> Grouping:
    """Return the objects by the variable, goroutines or special that every way to them begins at. O(objects).

    What several lead to has a group of its own.
    """
    tree = build_holder_tree(heap)
    parent = tree.paths.parent
    root = np.arange(parent.size, dtype=np.uint32)
    below = parent != 0
    root[below] = parent[below]
    while True:  # pointer jumping: log2(depth) rounds
        further = root[root]
        if np.array_equal(further, root):
            break
        root = further
    names: dict[str, int] = {GARBAGE: 0}
    row_of_path = np.zeros(parent.size, np.int32)
    for path in np.unique(root).tolist():
        shared = not path or tree.root_kind(path) == "object"
        name = SEVERAL if shared else tree.text(path).strip()
        row_of_path[path] = names.setdefault(name, len(names))
    row_of_path = row_of_path[root]
    count = heap.object_count + 1
    of = np.zeros(count, np.int32)
    for low in range(0, count, _STRETCH):
        numbers = heap.tree.number[low : min(low + _STRETCH, count)]
        live = numbers != np.uint32(NONE)
        of[low : low + numbers.size][live] = row_of_path[tree.paths.path_of[numbers[live]]]
    of[0] = 0
    return Grouping(list(names), of)

"""What stands where in a heap that heldby read: objects and bytes by path and type, for comparison."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.heap.heap import Heap


@dataclass(frozen=True, slots=True)
class Place:
    """Objects of one type at one path.

    Attributes:
        root: the name of the root that holds them.
        path: as heldby spells it, the marks of recursion removed: ``main.chain.Next``.
        type: Go's name of their type; of a backing array ``[]T``; of what is unknown ``unknown(48 B)``. The
            parts of a map are all called by the map's type.
        objects: how many.
        shallow_bytes: their slots together.
    """

    root: str
    path: str
    type: str
    objects: int
    shallow_bytes: int


def places(heap: Heap) -> list[Place]:
    """Return every place in the merged dominator tree of ``heap``. O(objects), in NumPy."""
    tree = build_holder_tree(heap)
    vertices = heap.tree.order
    is_object = (vertices > 0) & (vertices <= np.uint32(heap.object_count))
    objects = vertices[is_object]
    keys = np.stack((tree.paths.path_of[is_object], heap.naming.types_of(objects)), axis=1)
    distinct, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    sums = np.bincount(inverse.reshape(-1), heap.sizes[objects], minlength=len(distinct))
    return [
        Place(
            root=tree.root_name(tree.root_of(path)).strip(),
            path=_plain(tree.text(path)),
            type=_type(heap, number),
            objects=int(count),
            shallow_bytes=int(total),
        )
        for (path, number), count, total in zip(distinct.tolist(), counts, sums, strict=True)
    ]


def named_bytes(heap: Heap) -> int:
    """Return the live bytes below roots that have a name, or else functions that are known to use them."""
    tree = build_holder_tree(heap)
    variables = heap.variables
    unnamed = 0
    for top in (np.flatnonzero(tree.paths.parent[1:] == 0) + 1).tolist():
        node = int(heap.tree.order[tree.paths.first[top]]) - heap.object_count - 1
        if tree.root_kind(top) != "global" or node < 0:
            continue
        row = int(heap.roots.item[node])
        if variables.nameless[row] and not _users(heap, row):
            unnamed += int(tree.paths.retained[top])
    return int(tree.paths.retained[0]) - unnamed


def _users(heap: Heap, row: int) -> list[str]:
    start = int(heap.variables.used_at[row])
    return heap.code.users(start, start + int(heap.variables.size[row])) if heap.code is not None else []


def types_of(heap: Heap) -> Counter[str]:
    """Return how many live objects of each type there are, by name."""
    numbers, counts = np.unique(
        heap.naming.types_of(np.flatnonzero(heap.live).astype(np.uint32)), return_counts=True
    )
    found: Counter[str] = Counter()
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        found[_type(heap, number)] += count
    return found


def _type(heap: Heap, number: int) -> str:
    """Name a type; the innards of a map (groups, tables, directory) count as the map."""
    name = heap.naming.type_name(number).removesuffix(" (backing)")
    name = re.sub(r"^(noalg\.)?map\.(group|bucket)\[", "map[", name)
    return re.sub(r"^(map\[.*) (groups|table|directory|buckets|extra|overflow)$", r"\1", name)


def _plain(path: str) -> str:
    """Remove the marks of recursion: ``main.chain(.Next)*`` is ``main.chain.Next``."""
    return re.sub(r"\(([.\[][^()]*)\)\*", r"\1", path).strip()

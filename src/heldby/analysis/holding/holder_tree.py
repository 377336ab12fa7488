"""The dominator tree merged by the names of paths: the tree that holders are read from.

The children of the virtual root are global variables, goroutine groups, specials, the runtime, and *shared*
objects: those that several of these (or of each other) hold and none dominates. Shared objects of one type
with the same owners are one path; their owners stand beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.digests import mixed
from heldby.golang.functions.functions import short_name
from heldby.graph.csr import NONE, Graph
from heldby.graph.dominators import DominatorTree, direct_edges, first_referrers, tops
from heldby.graph.merged import MergedTree, merged
from heldby.graph.owners import owners
from heldby.graph.ways import way_edges
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

# A step key: two bits of kind, then 30 bits of label or name, then 32 bits of type or signature.
_KIND_SHIFT: Final = np.uint64(62)
_LABEL_SHIFT: Final = np.uint64(32)
_MAX_STEPS: Final = 256
_STRETCH: Final = 1 << 16
_LOW: Final = np.uint64(0xFFFFFFFF)
_LABEL_MASK: Final = np.uint64((1 << 30) - 1)
_FIELD, _ROOT, _SHARED = (np.uint64(kind) for kind in (1, 2, 3))


@dataclass(frozen=True, eq=False)
class HolderTree:
    """Merged paths with what is needed to name them.

    Attributes:
        heap: what it was made from.
        paths: the merged tree; row 0 is the virtual root.
    """

    heap: Heap
    paths: MergedTree

    def step(self, path: int) -> tuple[str, int, int]:
        """Return what kind of step leads to a path, by which label, and to what.

        ``field``: label and type; ``via``: label and the path that it leads on from; ``root``: name and
        `RootKind`; ``shared``: 0 and the number of the signature.
        """
        key = np.uint64(self.paths.key[path])
        kind = ("via", "field", "root", "shared")[int(key >> _KIND_SHIFT)]
        return kind, int(key >> _LABEL_SHIFT & _LABEL_MASK), int(key & _LOW)

    def type_of(self, path: int) -> int:
        """Return the type number of the objects at the end of `path`, 0 for a root."""
        kind, _, low = self.step(path)
        if kind == "field":
            return low
        if kind in ("shared", "via") and path:
            vertex = int(self.heap.tree.order[self.paths.first[path]])
            return self.heap.naming.type_at(vertex)
        return 0

    def type_text(self, path: int) -> str | None:
        """Return the Go type of what lies at the end of `path`; of the elements, where they name it."""
        number = self.type_of(path)
        if not number:
            return None
        naming = self.heap.naming
        kind, label, _ = self.step(path)
        if kind in ("field", "via") and naming.label_text(label).endswith("[*]"):
            return naming.element_type_name(number)
        return naming.type_name(number)

    def steps_to(self, path: int) -> list[tuple[int, int]]:
        """Return the paths that the text of `path` is made of, itself first, with the labels of their steps."""
        found: list[tuple[int, int]] = []
        # Steps lead from one path to an earlier one, so the walk ends; a path in pieces is cut off.
        while path and len(found) < _MAX_STEPS:
            kind, label, low = self.step(path)
            found.append((path, label if kind in ("field", "via") else 0))
            if kind == "root":
                break  # a variable of the runtime lies below the node "runtime", which adds nothing
            path = low if kind == "via" else int(self.paths.parent[path])
        return found

    def text(self, path: int) -> str:
        """Return the signature: ``main.manager.paths[*].Seen[*]``."""
        parts: list[str] = []
        for row, label in self.steps_to(path):
            kind = self.step(row)[0]
            if kind in ("field", "via"):
                text = self.heap.naming.label_text(label)
                parts.append(f"({text})*" if self.repeats(row) else text)
            elif kind == "root":
                parts.append(short_name(self.root_name(row)))
            else:
                parts.append(self.heap.naming.type_name(self.type_of(row)))
        return "".join(reversed(parts))

    def repeats(self, path: int) -> bool:
        """Tell whether most of a path came by the same step again: a list's ``next``."""
        return int(self.paths.recursive[path]) * 2 > int(self.paths.count[path])

    def roots_on_path(self) -> dict[int, int]:
        """Return how many root vertices lie on each path that has any; they are no objects."""
        numbers = self.heap.tree.number[self.heap.object_count + 1 :]
        roots = numbers[numbers != np.uint32(NONE)]
        paths, counts = np.unique(self.paths.path_of[roots], return_counts=True)
        found = dict(zip(paths.tolist(), counts.tolist(), strict=True))
        found[0] = found.get(0, 0) + 1
        return found

    @cached_property
    def _root_vertices(self) -> dict[int, int]:
        totals: dict[int, int] = {}
        for path, count in self.roots_on_path().items():
            at = path
            while True:
                totals[at] = totals.get(at, 0) + count
                if not at:
                    break
                at = int(self.paths.parent[at])
        return totals

    def objects_retained(self, path: int) -> int:
        """Return the objects at and below `path`."""
        return int(self.paths.retained_objects[path]) - self._root_vertices.get(path, 0)

    def label(self, path: int) -> str:
        """Return the text of the step that leads to `path`, ``[key]``; empty for roots and shared objects."""
        kind, label, _ = self.step(path)
        return self.heap.naming.label_text(label) if kind in ("field", "via") else ""

    def way(self, path: int) -> list[int]:
        """Return the path and those above it, nearest first; not the virtual root."""
        way: list[int] = []
        while path:
            way.append(path)
            path = int(self.paths.parent[path])
        return way

    def root_of(self, path: int) -> int:
        """Return the path's ancestor directly below the virtual root."""
        while int(self.paths.parent[path]):
            path = int(self.paths.parent[path])
        return path

    def root_name(self, path: int) -> str:
        """Return the name of a root path: a variable's, or ``goroutine main.worker``."""
        kind, name, _ = self.step(path)
        if kind != "root":
            return self.heap.naming.type_name(self.type_of(path))
        text = self.heap.roots.names[name]
        return f"goroutine {short_name(text)} " if self.root_kind(path) == "goroutine" else text

    def root_kind(self, path: int) -> str:
        """Return ``global``, ``goroutine``, ``special``, ``runtime`` or ``object`` for a root path."""
        kind, _, root_kind = self.step(path)
        if kind == "shared":
            return "object"
        return {
            RootKind.GLOBAL: "global",
            RootKind.GOROUTINE: "goroutine",
            RootKind.GOROUTINE_GROUP: "goroutine",
            RootKind.SPECIAL: "special",
            RootKind.RUNTIME: "runtime",
        }[RootKind(root_kind)]


def build_holder_tree(heap: Heap) -> HolderTree:
    """Merge the dominator tree of `heap` by path names, once for each heap. O(vertices + references)."""
    return heap.result(HolderTree, lambda: _built(heap))


def _built(heap: Heap) -> HolderTree:
    tree = heap.tree
    via, edges = first_referrers(heap.graph, tree, direct_edges(heap.graph, tree))
    keys = _field_keys(heap, tree, via, edges)
    at_root = np.flatnonzero(tree.idom == 0)[1:]
    _shared_keys(heap, tops(tree), at_root, keys)
    _root_keys(heap, tree, keys)
    paths = merged(tree, keys, heap.compact_sizes(), via=via, max_depth=64)
    return HolderTree(heap, paths)


def merge_ways(heap: Heap, tree: DominatorTree, graph: Graph) -> HolderTree:
    """Merge a tree of ways from the roots, a search's, by the same names; only its texts mean something.

    `tree` is what `heldby.graph.ways.ways_to` returned for `graph`.
    """
    keys = _field_keys(heap, tree, np.full(tree.reached_count, NONE, np.uint32), way_edges(graph, tree))
    _root_keys(heap, tree, keys)
    # Without sizes: who wants to know what lies on a way asks for each of its ends.
    return HolderTree(heap, merged(tree, keys, np.zeros(heap.graph.node_count, np.uint32), max_depth=64))


def _field_keys(heap: Heap, tree: DominatorTree, via: U32, edges: NDArray[np.int64]) -> U64:
    """Return the key of every number's step from its dominator or its referrer; 0 where it shows nothing.

    `edges` is overwritten.
    """
    # A stretch at a time: what the steps are made of takes ten times the room of the steps. They take the
    # place of the edges, which are not needed any more.
    keys = edges.view(np.uint64)
    for low in range(0, tree.reached_count, _STRETCH):
        part = slice(low, min(low + _STRETCH, tree.reached_count))
        keys[part] = _keys_of(heap, tree, part, via[part], edges[part].copy())
    return keys


def _keys_of(heap: Heap, tree: DominatorTree, part: slice, via: U32, edges: NDArray[np.int64]) -> U64:
    naming = heap.naming
    vertices = tree.order[part]
    types = np.zeros(vertices.size, np.uint64)
    is_object = vertices <= np.uint32(heap.object_count)
    types[is_object] = naming.types_of(vertices[is_object])
    indirect = via != np.uint32(NONE)
    known = edges >= 0
    sources = tree.order[np.where(indirect, via, tree.idom[part])]
    labels = np.zeros(vertices.size, np.uint64)
    labels[known] = naming.labels(edges[known], sources[known])
    kind = np.where(indirect, np.uint64(0), _FIELD << _KIND_SHIFT)
    keys: U64 = kind | (labels << _LABEL_SHIFT) | types
    keys[known & ~indirect & (labels == 0)] = 0
    return keys


def _root_keys(heap: Heap, tree: DominatorTree, keys: U64) -> None:
    """Give root nodes their names; a goroutine stays on the path of its group."""
    first = heap.object_count + 1
    numbers = tree.number[first:]
    reached = np.flatnonzero(numbers != np.uint32(0xFFFFFFFF))
    roots = heap.roots
    kind = roots.kind[reached].astype(np.uint64)
    key = (_ROOT << _KIND_SHIFT) | (roots.name[reached].astype(np.uint64) << _LABEL_SHIFT) | kind
    key[roots.kind[reached] == RootKind.GOROUTINE] = 0
    keys[numbers[reached]] = key


def _shared_keys(heap: Heap, top: U32, at_root: NDArray[np.intp], keys: U64) -> None:
    """Give each shared object the key of its signature: its type and who owns it."""
    tree = heap.tree
    shared = at_root[tree.order[at_root] <= np.uint32(heap.object_count)]
    if not shared.size:
        return
    found = owners(heap.graph, tree, top, _owner_groups(heap, at_root))
    # The owners of one object, in whatever order, make one hash: the sum of a random number for each.
    sums = np.zeros(shared.size, np.uint64)
    if found.shared.size:
        starts = np.flatnonzero(np.append(True, found.shared[1:] != found.shared[:-1]))
        at = np.searchsorted(shared, found.shared[starts])
        sums[at] = np.add.reduceat(mixed(found.owner.astype(np.uint64)), starts)
    types = heap.naming.types_of(tree.order[shared]).astype(np.uint64)
    _, number = np.unique(mixed(types) ^ sums, return_inverse=True)
    keys[shared] = (_SHARED << _KIND_SHIFT) | number.astype(np.uint64)


def _owner_groups(heap: Heap, at_root: NDArray[np.intp]) -> U32:
    """Return for each top the number that stands for its like: objects of one type are one owner."""
    tree = heap.tree
    group = np.arange(tree.reached_count, dtype=np.uint32)
    vertices = tree.order[at_root]
    objects = at_root[vertices <= np.uint32(heap.object_count)]
    types = heap.naming.types_of(tree.order[objects])
    _, first, number = np.unique(types, return_index=True, return_inverse=True)
    group[objects] = objects[first][number]
    return group

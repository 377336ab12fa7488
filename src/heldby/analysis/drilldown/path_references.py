"""The references that a path speaks of: ``main.sessions[*].Tags`` in every session, whoever else holds some of them.

The merged tree has what several hold on rows of its own, since no path dominates it. The path leads there all the
same, so it is followed by the labels of references, from its root on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.holding.holder_tree import HolderTree

U32 = NDArray[np.uint32]
_STRETCH: Final = 1 << 16
_MOST_ROUNDS: Final = 1 << 14


class References(NamedTuple):
    """References from objects and roots to objects.

    Attributes:
        sources: ``uint32[k]``, vertices.
        edges: ``int64[k]``, their numbers in the graph.
        labels: ``uint32[k]``.
    """

    sources: U32
    edges: NDArray[np.int64]
    labels: U32

    def labelled(self, label: int) -> References:
        """Return those with this label."""
        mine = self.labels == np.uint32(label)
        return References(self.sources[mine], self.edges[mine], self.labels[mine])


NOTHING: Final = References(np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.uint32))


class PathReferences:
    """Finds references by path; what was looked at is known for the next path.

    Attributes:
        whole: False when a list that others hold too was not followed to its end: `_MOST_ROUNDS` of its elements
            were.
    """

    def __init__(self, tree: HolderTree) -> None:
        self.whole = True
        self._tree = tree
        self._known: dict[int, list[References]] = {}

    def find(self, sources: list[tuple[int, str]]) -> References:
        """Return the references that a text speaks of, each once.

        O(vertices) for each row on the way, and the references of what lies there.

        Args:
            sources: rows of the tree whose texts the text begins with, and what follows: one label or several.
        """
        # A row below another one says all that this says, and shared objects are found from there as well.
        passed = {row for path, _ in sources for row, _ in self._tree.steps_to(path)[1:]}
        found = [self._along(self._of_row(path), rest) for path, rest in sources if path not in passed]
        if not any(part.edges.size for part in found):
            found = [self._along(self._of_row(path), rest) for path, rest in sources]
        every = _joined(found)
        if sum(part.edges.size > 0 for part in found) < 2:
            return every
        edges, first = np.unique(every.edges, return_index=True)
        return References(every.sources[first], edges, every.labels[first])

    def _of_row(self, path: int) -> list[References]:
        """Return the references of what the text of `path` leads to, step by step from its root."""
        behind: list[References] = []
        for row, label in reversed(self._tree.steps_to(path)):
            if row not in self._known:
                others = self._targets(behind, label)
                again = label if self._tree.repeats(row) else 0
                self._known[row] = self._closed(on_row(self._tree, row), others, again)
            behind = self._known[row]
        return behind

    def _along(self, behind: list[References], text: str) -> References:
        """Return the references that `text` ends with, from where its first label is one of `behind`."""
        found: list[References] = []
        for label, rest, repeated in self._first_labels(behind, text):
            if not rest:
                found += [part.labelled(label) for part in behind]
            else:
                there = self._targets(behind, label)
                found.append(self._along(self._closed(there[:0], there, label if repeated else 0), rest))
        return _joined(found)

    def _first_labels(self, behind: list[References], text: str) -> Iterator[tuple[int, str, bool]]:
        """Yield labels that `text` begins with, what follows, and whether it has them as ``(.next)*``."""
        labels = {label for part in behind for label in np.flatnonzero(np.bincount(part.labels)).tolist()}
        for label in sorted(labels):
            said = self._tree.heap.naming.label_text(label)
            if said and text.startswith(said):
                yield label, text[len(said) :], False
            elif said and text.startswith(f"({said})*"):
                yield label, text[len(said) + 3 :], True

    def _closed(self, distinct: U32, others: U32, again: int) -> list[References]:
        """Return the references of `distinct` vertices and `others`, and of all that these lead to by label `again`.

        And by label 0: a container's innards have no step of their own.
        """
        seen = np.zeros(self._tree.heap.graph.node_count, np.bool_)
        seen[distinct] = True
        fresh = np.concatenate((distinct, _new(seen, others)))
        parts: list[References] = []
        while fresh.size and len(parts) < _MOST_ROUNDS:
            parts.append(self._references_of(fresh))
            by_label = [self._targets(parts[-1:], label) for label in {0, again}]
            fresh = _new(seen, np.concatenate(by_label))
        self.whole &= not fresh.size
        return parts

    def _references_of(self, vertices: U32) -> References:
        heap = self._tree.heap
        sources, edges = heap.graph.edges_from(vertices)
        last = np.uint32(heap.object_count)
        if int(vertices.max()) > last:
            inner = heap.graph.targets[edges] <= last  # not from a group to its members
            sources, edges = sources[inner], edges[inner]
        return References(sources, edges, heap.naming.labels(edges, sources))

    def _targets(self, references: list[References], label: int) -> U32:
        targets = self._tree.heap.graph.targets
        return np.concatenate([targets[:0], *(targets[part.labelled(label).edges] for part in references)])


def on_row(tree: HolderTree, path: int) -> U32:
    """Return the vertices on one row. O(vertices)."""
    mask = np.zeros(tree.paths.path_count, np.bool_)
    mask[path] = True
    return vertices_on(tree, mask)


def vertices_on(tree: HolderTree, mask: NDArray[np.bool_]) -> U32:
    """Return the vertices on the rows of `mask` (``bool[p]``). O(vertices)."""
    order, path_of = tree.heap.tree.order, tree.paths.path_of
    # In stretches: to index, NumPy widens the paths to 64 bits first.
    parts = [
        order[low : low + _STRETCH][mask[path_of[low : low + _STRETCH]]]
        for low in range(0, order.size, _STRETCH)
    ]
    return np.concatenate(parts)


def _joined(parts: list[References]) -> References:
    parts = [part for part in parts if part.edges.size]
    if len(parts) == 1:
        return parts[0]
    return References(*(np.concatenate(column) for column in zip(NOTHING, *parts, strict=True)))


def _new(seen: NDArray[np.bool_], found: U32) -> U32:
    """Return what of `found` was not seen before, each once, and mark it as seen."""
    fresh = np.unique(found[~seen[found]])
    seen[fresh] = True
    return fresh

"""What to call objects and references."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects import ObjectTable
from heldby.graph.csr import Graph
from heldby.heap.roots import RootTable


class Naming:
    def __init__(self, graph: Graph, words: NDArray[np.uint32], objects: ObjectTable, roots: RootTable) -> None:
        self._words = words
        self._objects = objects
        self._roots = roots
        self.type_of = objects.sizes().astype(np.uint32)

    def labels(self, edges, sources):
        words = self._words[edges].astype(np.uint64)
        return np.where(sources <= len(self._objects), words % 64 + 1, 0)

    def label_text(self, label):
        return f"+{(label - 1) * 8:#x}"

    def type_name(self, number):
        return f"unknown({number})"

    def containers(self, tree, path):
        return ()

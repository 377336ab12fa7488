"""What the tables of one heap are made of: arrays that several columns share, each made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import EVERYTHING_ELSE, Answer
from heldby.analysis.answering import answer_of
from heldby.analysis.drilldown.grouping import Grouping, by_package, by_type
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.holding.ownership import Ownership, ownership_of
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import Goroutines, read_goroutines
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind

U32 = NDArray[np.uint32]
I64 = NDArray[np.int64]
Texts = tuple[Sequence[str | None], NDArray[np.integer[Any]]]
Known = tuple[NDArray[Any], NDArray[np.bool_]]
_T = TypeVar("_T")
_NONE: Final = np.uint32(NONE)
_STRETCH: Final = 1 << 16


class Facts:
    """Arrays over the objects 1..n, the vertices, the edges and the goroutines of `heap`.

    Numbers beside which stands which are unknown are pairs of arrays.
    """

    def __init__(self, heap: Heap) -> None:
        self.heap = heap
        self._shared: dict[Callable[[Facts], Any], Any] = {}

    def shared(self, make: Callable[[Facts], _T]) -> _T:
        """Return what `make` makes of these facts, once."""
        if make not in self._shared:
            self._shared[make] = make(self)
        found: _T = self._shared[make]
        return found

    @cached_property
    def tree(self) -> HolderTree:
        """The merged paths."""
        return build_holder_tree(self.heap)

    @cached_property
    def answer(self) -> Answer:
        """The first screen."""
        return answer_of(self.heap)

    # Vertices.

    @cached_property
    def number(self) -> U32:
        """The number of every vertex in the dominator tree, NONE for garbage."""
        return self.heap.tree.number

    def by_number(self, values: NDArray[Any], vertices: slice | NDArray[Any]) -> Known:
        """Return values that the dominator tree's numbers have, for some vertices; unknown for garbage."""
        numbers = self.number[vertices]
        garbage = numbers == _NONE
        return values[np.where(garbage, np.uint32(0), numbers)], garbage

    @property
    def objects(self) -> slice:
        """The vertices that are objects."""
        return slice(1, self.heap.object_count + 1)

    @property
    def roots(self) -> slice:
        """The vertices that are roots."""
        return slice(self.heap.object_count + 1, self.heap.graph.node_count)

    @cached_property
    def object_counts(self) -> I64:
        """The objects that each number of the dominator tree retains, itself included; roots do not count."""
        from heldby.graph.dominators import retained

        ones = np.zeros(self.heap.graph.node_count, np.int64)
        ones[self.objects] = 1
        return retained(self.heap.tree, ones)[0]

    @cached_property
    def dominator(self) -> U32:
        """The vertex that dominates each vertex; 0 for garbage and for what nothing dominates."""
        tree = self.heap.tree
        return tree.to_vertices(tree.order[tree.idom], 0)

    def address_of(self, vertices: U32) -> Known:
        """Return the addresses of vertices; unknown for those that are no objects."""
        is_object = (vertices > 0) & (vertices <= self.heap.object_count)
        return self.heap.objects.addr[np.where(is_object, vertices, np.uint32(0))], ~is_object

    def root_of(self, vertices: U32) -> Known:
        """Return the numbers of roots; unknown for vertices that are none."""
        first = self.heap.object_count + 1
        return vertices.astype(np.int64) - first, vertices < first

    # Objects.

    @cached_property
    def types(self) -> Grouping:
        """Objects by type."""
        return by_type(self.heap)

    @cached_property
    def packages(self) -> Grouping:
        """Objects by package."""
        return by_package(self.heap)

    def grouped(self, grouping: Grouping) -> Texts:
        """Return the group's name of each object."""
        return grouping.names, grouping.of[1:]

    @cached_property
    def ownership(self) -> Ownership:
        """Which row of the first screen each object belongs to."""
        return ownership_of(self.tree)

    @cached_property
    def holder_rows(self) -> NDArray[np.int32]:
        """The holder of each object 1..n: a row of the answer's holders, -1 for garbage."""
        return self.ownership.of_all()[1:]

    def holder_texts(self) -> Texts:
        """Return the holder's path of each object."""
        names: list[str | None] = [row.path for row in self.answer.holders]
        if EVERYTHING_ELSE not in names:
            names.append(EVERYTHING_ELSE)
        return [*names, None], np.where(self.holder_rows < 0, len(names), self.holder_rows)

    def path_texts(self) -> Texts:
        """Return the merged path of each object."""
        paths, garbage = self.by_number(self.tree.paths.path_of, self.objects)
        texts: list[str | None] = [self.tree.text(path).strip() for path in range(self.tree.paths.path_count)]
        return [*texts, None], np.where(garbage, np.uint32(len(texts)), paths)

    def by_span(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return for each object what its span has."""
        found: NDArray[Any] = values[self.heap.objects.span[1:]]
        return found

    # References: the edges of objects, all of them, and those of roots but for the ways to the members of a group.

    @cached_property
    def _of_objects(self) -> slice:
        offsets = self.heap.graph.offsets
        return slice(int(offsets[1]), int(offsets[self.heap.object_count + 1]))

    @cached_property
    def _of_roots(self) -> tuple[I64, U32, U32]:
        return self.heap.references_of_roots()

    @cached_property
    def edges(self) -> I64:
        """The references: numbers of edges, ascending."""
        own = np.arange(self._of_objects.start, self._of_objects.stop, dtype=np.int64)
        return np.concatenate((own, self._of_roots[0]))

    @cached_property
    def sources(self) -> U32:
        """The source of every reference."""
        offsets, first_root = self.heap.graph.offsets, self.heap.object_count + 1
        own = np.repeat(np.arange(1, first_root, dtype=np.uint32), np.diff(offsets[1 : first_root + 1]))
        return np.concatenate((own, self._of_roots[1]))

    @cached_property
    def targets(self) -> U32:
        """The target of every reference, as the collector sees it: the deferred ones in place."""
        return np.concatenate((self.heap.whole_graph.targets[self._of_objects], self._of_roots[2]))

    def labels(self) -> U32:
        """Return the label of every reference. A stretch at a time: what it takes is ten times what it gives."""
        naming = self.heap.naming
        edges, sources = self.edges, self.sources
        found = np.empty(edges.size, np.uint32)
        for low in range(0, edges.size, _STRETCH):
            part = slice(low, low + _STRETCH)
            found[part] = naming.labels(edges[part], sources[part])
        return found

    # Functions and goroutines.

    @cached_property
    def functions(self) -> FunctionTable:
        """The functions of the program."""
        return FunctionTable(self.heap.process.runtime)

    def function_names(self, pcs: NDArray[np.uint64]) -> Texts:
        """Return the names of the functions at `pcs`; unknown where there is none. Python for each distinct one."""
        rows, codes = np.unique(self.functions.indexes(pcs), return_inverse=True)
        return [self.functions.name(row) if row >= 0 else None for row in rows.tolist()], codes

    @cached_property
    def goroutines(self) -> Goroutines:
        """The goroutines that the runtime ever made, in the order in which roots count them."""
        runtime = self.heap.process.runtime
        return read_goroutines(runtime, find_goroutines(runtime, self.heap.objects))

    @cached_property
    def goroutine_root(self) -> I64:
        """The root of each goroutine, -1 for one that holds nothing."""
        roots = self.heap.roots
        found = np.full(len(self.goroutines), -1, np.int64)
        mine = np.flatnonzero(roots.kind == RootKind.GOROUTINE)
        found[roots.item[mine]] = mine
        return found


def texts(values: Iterable[str | None]) -> Texts:
    """Return a few texts, one for each row."""
    words = list(values)
    return words, np.arange(len(words), dtype=np.uint32)

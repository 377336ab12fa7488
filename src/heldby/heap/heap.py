"""The `Heap`: everything that is known of one process's memory, and the analyses that all commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.golang.code.variables import Variables
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.objects.specials import SpecialTable
from heldby.golang.profile.memory_profile import MemoryProfile
from heldby.graph.csr import Graph
from heldby.graph.deferral import Deferred
from heldby.graph.dominators import DominatorTree, dominators
from heldby.graph.dominators import retained as retained_sizes
from heldby.graph.retained_sets import RetainedSets, retained_sets
from heldby.heap.code_knowledge import CodeKnowledge
from heldby.heap.naming import Naming
from heldby.heap.process import Process
from heldby.heap.roots import RootTable

_T = TypeVar("_T")


@dataclass(kw_only=True, eq=False)
class Heap:
    """The heap of a Go process: objects, references, roots, types, and who keeps what.

    Vertices: 0 is the virtual root, 1..n are the objects in address order, n + 1.. are the roots.

    Attributes:
        process: the core, the executable and the runtime that the heap was read from.
        objects: the object table.
        graph: references of objects and roots; ways that must name no holder are in `deferred`.
        words: ``uint32[edges]``: the word of the source that holds the pointer; for roots, the slot's row.
        roots: the root nodes.
        variables: global variables by address.
        code: what the code tells of nameless variables; None where debug information names them.
        specials: finalizers, cleanups, weak handles, profile samples.
        profile: the runtime's memory profile.
        deferred: the references set aside.
        naming: types and labels: what to call objects and references.
        goroutine_count: goroutines that are not dead; None when their list was not found.
        caveats: what a reader should know, in plain words.
        losses: those of them that say what the numbers lack; every table of the heap carries them.
        kept_results: for results of analyses that were kept with the heap, by their class: what reads them.
    """

    process: Process
    objects: ObjectTable
    graph: Graph
    words: NDArray[np.uint32]
    roots: RootTable
    variables: Variables
    code: CodeKnowledge | None
    specials: SpecialTable
    profile: MemoryProfile
    deferred: Deferred
    naming: Naming
    goroutine_count: int | None
    caveats: list[str]
    losses: list[str]
    kept_results: dict[type, Callable[[], Any]] = field(default_factory=dict)
    _results: dict[type, Any] = field(default_factory=dict)

    def result(self, kind: type[_T], make: Callable[[], _T]) -> _T:
        """Return the result of class `kind` of an analysis of this heap: kept, or made by `make`, once."""
        found: _T | None = self._results.get(kind)
        if found is None:
            found = self._results[kind] = self.kept_results.get(kind, make)()
        return found

    @property
    def object_count(self) -> int:
        """Allocated objects, garbage included."""
        return len(self.objects)

    def address_of(self, vertex: int) -> int:
        """Return the address of an object."""
        return int(self.objects.address_of(np.array([vertex], np.uint32))[0])

    def addresses_of(self, vertices: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """Return the addresses of some vertices, ``uint64``; 0 for roots."""
        inside = vertices <= np.uint32(self.object_count)
        return self.objects.address_of(np.where(inside, vertices, np.uint32(0)))

    def sizes_of(self, vertices: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the shallow bytes of some vertices, ``int64``; 0 for roots. O(vertices), without `sizes`."""
        out = np.zeros(vertices.size, np.int64)
        inside = (vertices != 0) & (vertices <= np.uint32(self.object_count))
        rows = self.objects.span_of(vertices[inside])
        out[inside] = self.objects.spans.elemsize[rows].astype(np.int64)
        return out

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Shallow bytes of every vertex, ``int64[vertices]``; 0 for roots."""
        out = np.zeros(self.graph.node_count, np.int64)
        sizes = self.objects.spans.elemsize.astype(np.int64)
        # In one pass; "clip" writes to `out` itself, "raise" to a copy first. Spans are never out of range.
        np.take(sizes, self.objects.span, out=out[: self.object_count + 1], mode="clip")
        out[0] = 0
        return out

    def references_of_roots(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]:
        """Return edges, sources and targets of the references of roots to objects, as the collector sees them.

        The ways from a group of goroutines to its members are none. O(roots and their references).
        """
        graph, first = self.graph, self.object_count + 1
        edges = np.arange(int(graph.offsets[first]), graph.edge_count, dtype=np.int64)
        sources = np.repeat(
            np.arange(first, graph.node_count, dtype=np.uint32), np.diff(graph.offsets[first:])
        )
        targets = self.deferred.led_to(graph, edges)
        real = targets <= np.uint32(self.object_count)
        return edges[real], sources[real], targets[real]

    def compact_sizes(self) -> NDArray[np.uint32] | NDArray[np.int64]:
        """Return `sizes` in half the room, ``uint32``, unless an object has 4 GiB; not kept."""
        sizes = self.objects.spans.elemsize
        if int(sizes.max(initial=0)) >= 1 << 32:
            return self.sizes
        out = np.zeros(self.graph.node_count, np.uint32)
        out[1 : self.object_count + 1] = sizes.astype(np.uint32)[self.objects.span[1:]]
        return out

    @cached_property
    def tree(self) -> DominatorTree:
        """The exact dominator tree. Cost: see `heldby.graph.dominators.dominators`."""
        return dominators(self.graph)

    @cached_property
    def _retained(self) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        return retained_sizes(self.tree, self.sizes)

    @property
    def retained_bytes(self) -> NDArray[np.int64]:
        """What each reachable vertex retains, by its number in `tree`, ``int64[k]``."""
        return self._retained[0]

    @property
    def live_bytes(self) -> int:
        """Shallow bytes of all that is reachable: what the virtual root retains."""
        return int(self.retained_bytes[0])

    @property
    def retained_counts(self) -> NDArray[np.uint32]:
        """How many vertices, roots included, each reachable vertex retains, by its number, ``uint32[k]``."""
        return self._retained[1]

    @cached_property
    def retained_sets(self) -> RetainedSets:
        """What sets of objects retain together. Cost: see `heldby.graph.retained_sets.retained_sets`."""
        return retained_sets(self.graph, self.tree, *self._retained)

    @property
    def whole_graph(self) -> Graph:
        """The graph with the deferred references in place, as the collector sees it; a copy of the targets."""
        return self.deferred.restored(self.graph)

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Which objects are reachable, ``bool[n + 1]``; False for the virtual root."""
        reached = self.tree.reached[: self.object_count + 1].copy()
        reached[0] = False
        return reached

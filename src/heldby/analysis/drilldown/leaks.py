"""Goroutines that nothing can wake: leaked for certain, as Go 1.27's goroutineleak profile proves it.

A goroutine that waits on a channel, mutex, wait group or condition goes on only when another one reaches that
thing. Start from the variables and from all goroutines that may run; when what a blocked goroutine waits on is
reached, it may run too, and its stack leads further. Those that are left in the end can never run again
(runtime/mgc.go, ``findGoroutineLeaks``). It is a proof, not a guess: a goroutine that waits on a channel in a
global variable is never called leaked, however long it waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heldby.golang.goroutines.goroutines import Goroutines
from heldby.golang.goroutines.waiting import Waits, read_waits
from heldby.graph.csr import NONE, Graph
from heldby.graph.waking import reach_and_wake
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind

_MAIN: int = 1
_NO_CASES: str = "select (no cases)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """What is proven.

    Attributes:
        leaked: ``bool[g]``, by row of the goroutine table.
        kept_bytes: what only leaked goroutines keep: freed if they ended. Their stacks are not in it.
        kept_objects: how many objects that are.
        unknown: goroutines that wait on something that cannot be told; they are taken for ones that may run.
    """

    leaked: NDArray[np.bool_]
    kept_bytes: int
    kept_objects: int
    unknown: int


def find_leaks(heap: Heap, goroutines: Goroutines) -> Leaks:
    """Return the goroutines of `heap` that nothing can wake. One traversal of the references."""
    waits = _waits(heap, goroutines)
    vertex = _vertices(heap, len(goroutines))
    awaited = heap.objects.find(waits.addr)
    outside = awaited == 0  # a variable, or a value on a stack: not the collector's to lose
    may_run = ~waits.blocked
    may_run[waits.goroutine[outside]] = True
    starts = _starts(heap, vertex, may_run)
    reached, awake = reach_and_wake(
        _without_ways_of_records(heap, waits),
        starts,
        vertex,
        waits.goroutine[~outside],
        awaited[~outside],
    )
    leaked = ~(may_run | awake)
    count = heap.object_count + 1
    kept = heap.live & ~reached[:count]
    return Leaks(
        leaked=leaked & ~_is_idle_main(heap, goroutines),
        kept_bytes=int(heap.sizes_of(np.flatnonzero(kept).astype(np.uint32)).sum()),
        kept_objects=int(kept.sum()),
        unknown=waits.unknown,
    )


def _waits(heap: Heap, goroutines: Goroutines) -> Waits:
    roots = heap.roots
    on_stack = roots.kind[roots.slot_node] == RootKind.GOROUTINE
    rows = roots.item[roots.slot_node[on_stack]].astype(np.uint32)
    return read_waits(heap.process.runtime, heap.objects, goroutines, rows, roots.slot_target[on_stack])


def _vertices(heap: Heap, count: int) -> NDArray[np.uint32]:
    """Return the vertex of each goroutine, NONE for those that hold nothing."""
    roots = heap.roots
    nodes = np.flatnonzero(roots.kind == RootKind.GOROUTINE)
    found = np.full(count, NONE, np.uint32)
    found[roots.item[nodes]] = nodes + heap.object_count + 1
    return found


def _starts(heap: Heap, vertex: NDArray[np.uint32], may_run: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return the roots that count from the beginning; a group of goroutines only leads to its members."""
    kinds = heap.roots.kind
    others = np.flatnonzero((kinds != RootKind.GOROUTINE) & (kinds != RootKind.GOROUTINE_GROUP))
    running = vertex[may_run & (vertex != np.uint32(NONE))]
    return np.concatenate(((others + heap.object_count + 1).astype(np.uint32), running))


def _without_ways_of_records(heap: Heap, waits: Waits) -> Graph:
    """Return the collector's graph without the pointers from waiting records to what is waited on.

    The runtime keeps the records on lists of its own; it hides these pointers likewise
    (``setSyncObjectsUntraceable``).
    """
    graph = heap.whole_graph
    hidden = waits.field >= 0
    records = heap.objects.find(waits.record[hidden])
    inside = records != 0
    records, fields = records[inside], waits.field[hidden][inside]
    sources, edges = graph.edges_from(records)
    counts = np.diff(graph.offsets)[records]
    words = np.repeat(fields >> 3, counts).astype(np.uint32)
    cut = heap.words[edges] == words
    graph.targets[edges[cut]] = sources[cut]
    return graph


def _is_idle_main(heap: Heap, goroutines: Goroutines) -> NDArray[np.bool_]:
    """Tell which is the main goroutine in ``select {}``: that is how servers wait, and no leak."""
    reasons = heap.process.runtime.layout.wait_reasons
    number = reasons.index(_NO_CASES) if _NO_CASES in reasons else -1
    idle: NDArray[np.bool_] = (goroutines.goid == np.uint64(_MAIN)) & (
        goroutines.wait_reason.astype(np.int64) == number
    )
    return idle

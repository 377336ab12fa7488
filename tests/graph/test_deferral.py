"""References that must not name a holder are set aside, and put back."""

from __future__ import annotations

import numpy as np

from heldby.graph.csr import Graph
from heldby.graph.deferral import defer_ways

ROOT, USER, RUNTIME, OBJECT, PROCESSOR, TIMER = range(6)


def ways(*pairs: tuple[int, int]) -> Graph:
    """Return a graph of six vertices with these references."""
    ordered = sorted(pairs)
    counts = np.bincount([source for source, _ in ordered], minlength=6)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Graph(offsets=offsets, targets=np.array([target for _, target in ordered], np.uint32))


def references(graph: Graph) -> set[tuple[int, int]]:
    """Return the graph's references but those of a vertex to itself."""
    sources = np.repeat(np.arange(6), np.diff(graph.offsets))
    return {(int(s), int(t)) for s, t in zip(sources, graph.targets, strict=True) if s != t}


def test_a_way_of_the_runtime_is_set_aside_where_a_users_way_leads() -> None:
    graph = ways((ROOT, USER), (ROOT, RUNTIME), (USER, OBJECT), (RUNTIME, OBJECT), (RUNTIME, TIMER))

    deferred = defer_ways(graph, np.array([USER], np.uint32), np.zeros(6, np.uint8))

    assert references(graph) == {(ROOT, USER), (ROOT, RUNTIME), (USER, OBJECT), (RUNTIME, TIMER)}
    assert (RUNTIME, OBJECT) in references(deferred.restored(graph))
    assert (RUNTIME, OBJECT) not in references(graph)


def test_a_users_timer_does_not_hold_the_processor_it_waits_on() -> None:
    pairs = ((ROOT, USER), (ROOT, RUNTIME), (USER, OBJECT), (OBJECT, PROCESSOR), (RUNTIME, PROCESSOR))
    graph = ways(*pairs, (PROCESSOR, TIMER), (PROCESSOR, OBJECT))
    internal = np.zeros(6, np.uint8)
    internal[PROCESSOR] = 1

    deferred = defer_ways(graph, np.array([USER], np.uint32), internal, np.array([PROCESSOR], np.uint32))

    assert references(graph) == {
        (ROOT, USER),
        (ROOT, RUNTIME),
        (USER, OBJECT),
        (RUNTIME, PROCESSOR),
        (PROCESSOR, TIMER),
    }
    assert deferred.firmly_reached.tolist() == [1, 1, 0, 1, 0, 0]
    assert references(deferred.restored(graph)) == {*pairs, (PROCESSOR, TIMER), (PROCESSOR, OBJECT)}

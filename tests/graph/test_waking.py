"""Reachability with waiters, against doing it in rounds, and shortest ways to a few vertices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.graph import waking as module
from heldby.graph.csr import NONE
from heldby.graph.reach import shortest_paths
from heldby.graph.waking import reach_and_wake
from heldby.graph.ways import way_edges, ways_back, ways_to
from tests.graph.families import Edges, graph_of

Waiting = list[tuple[int, int]]


def in_rounds(
    nodes: int, edges: Edges, starts: list[int], vertex: list[int], pairs: Waiting
) -> tuple[list[bool], list[bool]]:
    """Reach, wake, and begin again until nothing changes."""
    graph = graph_of(nodes, edges)
    begun, awake = set(starts), [False] * len(vertex)
    while True:
        reached = shortest_paths(graph, begun).parent != NONE
        woken = {row for row, awaited in pairs if reached[awaited] and not awake[row]}
        if not woken:
            return reached.tolist(), awake
        for row in woken:
            awake[row] = True
            begun |= {vertex[row]} - {NONE}


@st.composite
def waiting_graphs(draw: st.DrawFn) -> tuple[int, Edges, list[int], list[int], Waiting]:
    nodes = draw(st.integers(1, 12))
    node = st.integers(0, nodes - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=2 * nodes))
    starts = draw(st.lists(node, max_size=3, unique=True))
    vertex = draw(st.lists(st.one_of(node, st.just(NONE)), max_size=5))
    pairs = []
    if vertex:
        pairs = draw(st.lists(st.tuples(st.integers(0, len(vertex) - 1), node), max_size=8))
    return nodes, edges, starts, vertex, pairs


def ask(
    nodes: int, edges: Edges, starts: list[int], vertex: list[int], pairs: Waiting
) -> tuple[list[bool], list[bool]]:
    columns = np.array(pairs, np.uint32).reshape(-1, 2)
    reached, awake = reach_and_wake(
        graph_of(nodes, edges),
        np.array(starts, np.uint32),
        np.array(vertex, np.uint32),
        columns[:, 0].copy(),
        columns[:, 1].copy(),
    )
    return reached.tolist(), awake.tolist()


@settings(max_examples=500, deadline=None)
@given(waiting_graphs())
def test_one_traversal_finds_what_rounds_find(
    given_graph: tuple[int, Edges, list[int], list[int], Waiting],
) -> None:
    assert ask(*given_graph) == in_rounds(*given_graph)


def test_two_that_wait_for_each_other_never_wake() -> None:
    # Vertices 1 and 2 are the stacks; 1 refers to 4, which wakes the other, and 2 to 3.
    reached, awake = ask(5, [(1, 4), (2, 3)], [0], [1, 2], [(0, 3), (1, 4)])

    assert awake == [False, False]
    assert reached == [True, False, False, False, False]


def test_a_long_chain_wakes_in_one_traversal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen count: the last of 10,000 in a row wakes after all others, and nothing is traversed twice."""
    length = 10_000
    # Vertex i is a stack, vertex length + i what it refers to; stack i + 1 waits for that.
    edges = [(i, length + i) for i in range(length)]
    pairs = [(i + 1, length + i) for i in range(length - 1)]
    calls = []
    monkeypatch.setattr(module, "reach_waking", lambda *args: calls.append(real(*args)) or calls[-1])

    reached, awake = ask(2 * length, edges, [0], list(range(length)), pairs)

    assert awake == [False] + [True] * (length - 1)
    assert all(reached)
    assert calls == [2 * length]  # each vertex entered the queue once


real = module.reach_waking


def test_a_waiter_for_a_vertex_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError, match="vertex 9 is awaited"):
        ask(3, [], [0], [1], [(0, 9)])


@st.composite
def graphs_with_targets(draw: st.DrawFn) -> tuple[int, Edges, list[int]]:
    nodes = draw(st.integers(1, 14))
    node = st.integers(0, nodes - 1)
    return nodes, draw(st.lists(st.tuples(node, node), max_size=3 * nodes)), draw(st.lists(node, max_size=4))


@settings(max_examples=300, deadline=None)
@given(graphs_with_targets())
def test_ways_are_shortest_and_lead_to_targets_only(given_graph: tuple[int, Edges, list[int]]) -> None:
    nodes, edges, targets = given_graph
    graph = graph_of(nodes, edges)
    whole = shortest_paths(graph)

    tree = ways_to(graph, np.array(targets, np.uint32))

    found = way_edges(graph, tree)
    for target in targets:
        number = int(tree.number[target])
        assert (number != NONE) == (whole.parent[target] != NONE)
        steps = 0
        while number not in (0, NONE):
            before = int(tree.idom[number])
            assert before < number
            assert graph.targets[found[number]] == tree.order[number]
            assert int(np.searchsorted(graph.offsets, found[number], "right")) - 1 == tree.order[before]
            number, steps = before, steps + 1
        assert steps == max(len(whole.path_to(target)) - 1, 0)
    on_ways = {vertex for target in targets for vertex in whole.path_to(target)} | {0}
    assert len(tree.order) <= len(on_ways) + sum(len(whole.path_to(t)) for t in targets)


@settings(max_examples=200, deadline=None)
@given(graphs_with_targets())
def test_ways_back_are_as_long_as_ways_forth(given_graph: tuple[int, Edges, list[int]]) -> None:
    nodes, edges, targets = given_graph
    graph = graph_of(nodes, edges)

    back = ways_back(graph, np.array(targets, np.uint32))

    for vertex in range(nodes):
        forth = shortest_paths(graph, vertex)
        lengths = [len(forth.path_to(target)) for target in targets if forth.parent[target] != NONE]
        assert len(back.path_to(vertex)) == min(lengths, default=0)

"""What must hold for every graph, searched for counterexamples by Hypothesis."""

from __future__ import annotations

from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.graph.csr import NONE
from heldby.graph.dominators import dominators, retained, tops
from heldby.graph.merged import merged
from heldby.graph.predecessors import predecessors
from tests.graph.families import Edges, brute_force_idoms, graph_of, reached_without


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Edges]:
    nodes = draw(st.integers(1, 14))
    node = st.integers(0, nodes - 1)
    return nodes, draw(st.lists(st.tuples(node, node), max_size=3 * nodes))


def sizes_of(nodes: int) -> np.ndarray:
    return np.array([3**v for v in range(nodes)], np.int64)  # a sum tells its summands


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_idoms_are_those_found_by_removing_each_node(graph: tuple[int, Edges]) -> None:
    nodes, edges = graph

    assert dominators(graph_of(nodes, edges)).idom_of_vertices().tolist() == brute_force_idoms(nodes, edges)


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_a_node_retains_what_is_lost_without_it(graph: tuple[int, Edges]) -> None:
    nodes, edges = graph
    tree, sizes = dominators(graph_of(nodes, edges)), sizes_of(nodes)
    held, counts = retained(tree, sizes)

    everything = reached_without(nodes, edges)
    for vertex in everything:
        lost = everything - reached_without(nodes, edges, frozenset([vertex]))
        assert held[tree.number[vertex]] == sum(sizes[v] for v in lost)
        assert counts[tree.number[vertex]] == len(lost)


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_the_children_of_the_root_share_out_the_live_bytes(graph: tuple[int, Edges]) -> None:
    nodes, edges = graph
    tree, sizes = dominators(graph_of(nodes, edges)), sizes_of(nodes)
    held, _ = retained(tree, sizes)
    top = tops(tree)

    children = np.flatnonzero(tree.idom[1:] == 0) + 1
    live = sum(sizes[v] for v in reached_without(nodes, edges))
    assert held[children].sum() + sizes[0] == live
    for child in children:
        assert held[child] == sizes[tree.order[top == child]].sum()


@settings(max_examples=300, deadline=None)
@given(graphs(), st.lists(st.integers(0, 3), min_size=14, max_size=14), st.integers(1, 5), st.integers(1, 12))
def test_paths_share_out_the_live_bytes(
    graph: tuple[int, Edges], steps: list[int], max_depth: int, max_paths: int
) -> None:
    nodes, edges = graph
    tree, sizes = dominators(graph_of(nodes, edges)), sizes_of(nodes)
    found = merged(
        tree,
        np.array(steps, np.uint64)[: tree.reached_count],
        sizes,
        max_depth=max_depth,
        max_paths=max_paths,
    )

    assert found.path_count <= max_paths
    assert found.depth.max() <= max_depth
    assert found.retained[0] == sizes[tree.order].sum()
    for path in range(found.path_count):
        below = found.parent == path
        below[0] = False
        assert found.retained[path] == found.shallow[path] + found.retained[below].sum()
        assert found.retained_objects[path] == found.objects[path] + found.retained_objects[below].sum()


@settings(max_examples=200, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_of_edges_does_not_matter(graph: tuple[int, Edges], random: object) -> None:
    nodes, edges = graph
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    one, other = (dominators(graph_of(nodes, e)).idom_of_vertices() for e in (edges, shuffled))
    assert np.array_equal(one, other)
    assert np.array_equal(one == NONE, [v not in reached_without(nodes, edges) for v in range(nodes)])


@settings(max_examples=300, deadline=None)
@given(graphs(), st.data())
def test_predecessors_of_any_vertices_are_every_edge_into_them(
    nodes_and_edges: tuple[int, Edges], data: st.DataObject
) -> None:
    graph = graph_of(*nodes_and_edges)
    tree = dominators(graph)
    wanted = data.draw(st.sets(st.integers(0, graph.node_count - 1)))
    expected = [
        (v, edge)
        for v in range(graph.node_count)
        if tree.number[v] != NONE
        for edge in range(graph.offsets[v], graph.offsets[v + 1])
        if graph.targets[edge] in wanted - {v}
    ]

    with mock.patch("heldby.graph.predecessors._ROOM", 2):
        sources, edges = predecessors(graph, tree, np.array(sorted(wanted), np.uint32))

    assert list(zip(sources.tolist(), edges.tolist(), strict=True)) == expected

from __future__ import annotations

from itertools import pairwise

import networkx
import numpy as np
import pytest

from heldby.graph.csr import NONE
from heldby.graph.dominators import dominators, retained
from heldby.graph.reach import reachability, retained_of_set, shortest_paths
from tests.graph.families import graph_of, random_graphs, reached_without


def test_reached_is_what_edges_lead_to_from_the_root() -> None:
    assert reachability(graph_of(5, [(0, 1), (1, 2), (3, 2), (4, 4)])).tolist() == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_reachability_can_start_anywhere() -> None:
    graph = graph_of(5, [(0, 1), (1, 2), (3, 4)])

    assert np.flatnonzero(reachability(graph, 1)).tolist() == [1, 2]
    assert np.flatnonzero(reachability(graph, [3, 2, 3])).tolist() == [2, 3, 4]
    assert np.flatnonzero(reachability(graph, [])).tolist() == []


@pytest.mark.parametrize("root", [-1, 3])
def test_a_root_that_is_no_node_is_refused(root: int) -> None:
    with pytest.raises(IndexError, match="roots must be nodes, 0 to 2"):
        reachability(graph_of(3, [(0, 1)]), root)


def test_a_shortest_path_is_told_from_root_to_node() -> None:
    paths = shortest_paths(graph_of(6, [(0, 1), (1, 2), (2, 3), (0, 4), (4, 3)]))

    assert paths.path_to(3) == [0, 4, 3]
    assert paths.path_to(2) == [0, 1, 2]
    assert paths.path_to(0) == [0]
    assert paths.path_to(5) == []
    assert paths.parent.tolist() == [0, 0, 1, 4, 0, NONE]
    assert paths.visited.tolist() == [0, 1, 4, 2, 3]


def test_shortest_paths_are_as_short_as_networkx_finds() -> None:
    for family, node_count, edges in random_graphs(seed=8, each=30):
        graph = networkx.DiGraph(edges)
        graph.add_nodes_from(range(node_count))
        expected = networkx.single_source_shortest_path_length(graph, 0)
        paths = shortest_paths(graph_of(node_count, edges))

        assert paths.visited.size == len(expected)
        for node, length in expected.items():
            way = paths.path_to(node)
            assert len(way) == length + 1, (family, node_count, edges, node)
            assert all(step in edges for step in pairwise(way))


def test_nodes_that_share_retain_more_together_than_apart() -> None:
    # 0→{1,2}→3: neither 1 nor 2 keeps 3 alone.
    graph, sizes = graph_of(4, [(0, 1), (0, 2), (1, 3), (2, 3)]), np.array([0, 1, 10, 100], np.uint32)

    assert retained_of_set(graph, sizes, np.array([False, True, False, False])) == (1, 1)
    assert retained_of_set(graph, sizes, np.array([False, False, True, False])) == (10, 1)
    assert retained_of_set(graph, sizes, np.array([False, True, True, False])) == (111, 3)


def test_a_set_with_the_root_retains_everything_and_an_empty_or_dead_one_nothing() -> None:
    graph, sizes = graph_of(4, [(0, 1), (1, 2), (3, 1)]), np.array([1, 2, 4, 8], np.int64)

    assert retained_of_set(graph, sizes, np.array([True, False, False, False])) == (7, 3)
    assert retained_of_set(graph, sizes, np.zeros(4, bool)) == (0, 0)
    assert retained_of_set(graph, sizes, np.array([False, False, False, True])) == (0, 0)


def test_a_set_retains_what_is_lost_without_it() -> None:
    rng = np.random.default_rng(9)
    for family, node_count, edges in random_graphs(seed=9, each=40):
        members = rng.random(node_count) < 0.2
        sizes = rng.integers(1, 1000, node_count)
        lost = reached_without(node_count, edges) - reached_without(
            node_count, edges, frozenset(np.flatnonzero(members).tolist())
        )

        found = retained_of_set(graph_of(node_count, edges), sizes, members)

        assert found == (sum(sizes[v] for v in lost), len(lost)), (family, node_count, edges, members)


def test_a_set_of_one_retains_what_the_dominator_tree_says() -> None:
    for family, node_count, edges in random_graphs(seed=10, each=5):
        graph, sizes = graph_of(node_count, edges), np.arange(1, node_count + 1)
        tree = dominators(graph)
        held, counts = retained(tree, sizes)

        for number, vertex in enumerate(tree.order.tolist()):
            alone = np.zeros(node_count, bool)
            alone[vertex] = True
            assert retained_of_set(graph, sizes, alone) == (held[number], counts[number]), (family, edges)

from __future__ import annotations

import networkx
import numpy as np
import pytest

from heldby.errors import InternalError
from heldby.graph.csr import NONE, Graph
from heldby.graph.dominators import direct_edges, dominators, retained, tops
from tests.graph.families import Edges, brute_force_idoms, graph_of, random_graphs


def idoms(node_count: int, edges: Edges) -> list[int]:
    return dominators(graph_of(node_count, edges)).idom_of_vertices().tolist()


def retained_by_vertex(node_count: int, edges: Edges, sizes: list[int]) -> list[int]:
    tree = dominators(graph_of(node_count, edges))
    return tree.to_vertices(retained(tree, np.array(sizes, np.int64))[0], -1).tolist()


def networkx_idoms(node_count: int, edges: Edges) -> list[int]:
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(node_count))
    graph.add_edges_from(edges)
    result = [NONE] * node_count
    for vertex, dominator in networkx.immediate_dominators(graph, 0).items():
        result[vertex] = 0 if dominator is None else dominator
    result[0] = 0
    return result


def test_dominators_agree_with_networkx_on_random_graphs() -> None:
    compared = 0
    for family, node_count, edges in random_graphs(seed=1, each=450):
        assert idoms(node_count, edges) == networkx_idoms(node_count, edges), (family, node_count, edges)
        compared += 1
    assert compared == 3150


def test_dominators_agree_with_removing_each_node_in_turn() -> None:
    for family, node_count, edges in random_graphs(seed=2, each=60, most_nodes=16):
        assert idoms(node_count, edges) == brute_force_idoms(node_count, edges), (family, node_count, edges)


def test_dominators_agree_with_networkx_on_larger_graphs() -> None:
    for family, node_count, edges in random_graphs(seed=3, each=3, most_nodes=2000):
        assert idoms(node_count, edges) == networkx_idoms(node_count, edges), (family, node_count)


def test_numbers_are_a_preorder_and_dominators_come_first() -> None:
    for _, node_count, edges in random_graphs(seed=4, each=40):
        tree = dominators(graph_of(node_count, edges))

        assert tree.order[0] == 0
        assert tree.number[tree.order].tolist() == list(range(tree.reached_count))
        assert (tree.idom[1:] < np.arange(1, tree.reached_count)).all()
        assert np.count_nonzero(tree.reached) == tree.reached_count


def test_the_counterexample_to_breadth_first_trees() -> None:
    # 0→1→3→4 and 0→2→4: a breadth-first tree gives 4 to 2, which it reaches first; but nobody keeps 4 alone.
    edges = [(0, 1), (0, 2), (1, 3), (3, 4), (2, 4)]

    assert idoms(5, edges) == [0, 0, 0, 1, 0]
    assert retained_by_vertex(5, edges, [0, 1, 10, 100, 1000]) == [1111, 101, 10, 100, 1000]


def test_both_sides_of_a_diamond_give_way_to_its_tip() -> None:
    # r→v→{a,b}→w: contracting v into r because it has one referrer would give w to r.
    edges = [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)]

    assert idoms(5, edges) == [0, 0, 1, 1, 1]
    assert retained_by_vertex(5, edges, [0, 8, 16, 32, 64]) == [120, 120, 16, 32, 64]


def test_the_graph_of_lengauer_and_tarjan() -> None:
    # Figure 1 of "A Fast Algorithm for Finding Dominators in a Flowgraph" (1979), r a b ... l as 0..12.
    r, a, b, c, d, e, f, g, h, i, j, k, l = range(13)  # noqa: E741
    edges = [(r, a), (r, b), (r, c), (a, d), (b, a), (b, d), (b, e), (c, f), (c, g), (d, l), (e, h), (f, i)]
    edges += [(g, i), (g, j), (h, e), (h, k), (i, k), (j, i), (k, i), (k, r), (l, h)]

    assert idoms(13, edges) == [r, r, r, r, r, r, c, c, r, r, g, r, d]


def test_cycles_self_loops_and_parallel_edges_change_nothing() -> None:
    edges = [(0, 1), (1, 2), (2, 3), (3, 1), (1, 1), (2, 2), (0, 0), (3, 0), (1, 2), (2, 3), (2, 3)]

    assert idoms(4, edges) == [0, 0, 1, 2]


def test_a_cycle_entered_at_two_places_is_dominated_by_neither() -> None:
    assert idoms(5, [(0, 1), (0, 2), (1, 3), (3, 4), (4, 3), (2, 4)]) == [0, 0, 0, 0, 0]


def test_a_graph_of_the_root_alone_is_a_tree_of_one() -> None:
    tree = dominators(Graph(np.zeros(2, np.int64), np.empty(0, np.uint32)))

    assert (tree.order.tolist(), tree.number.tolist(), tree.idom.tolist()) == ([0], [0], [0])
    assert [part.tolist() for part in retained(tree, np.array([7], np.int64))] == [[7], [1]]
    assert tops(tree).tolist() == [0]


def test_what_only_garbage_refers_to_is_unreachable() -> None:
    graph = graph_of(4, [(1, 2), (2, 1), (3, 0), (2, 3)])
    tree = dominators(graph)

    assert tree.number.tolist() == [0, NONE, NONE, NONE]
    assert tree.reached_count == 1
    assert tree.idom_of_vertices().tolist() == [0, NONE, NONE, NONE]
    assert direct_edges(graph, tree).tolist() == [-1]


def test_garbage_that_refers_to_a_live_object_does_not_share_it() -> None:
    assert idoms(4, [(0, 1), (1, 2), (3, 2)]) == [0, 0, 1, NONE]


@pytest.mark.parametrize("closed", [False, True], ids=["open", "each node refers back to the first"])
def test_a_list_of_a_million_needs_no_recursion(closed: bool) -> None:
    n = 1_000_000
    sources, targets = np.arange(n), np.arange(1, n + 1)
    if closed:
        sources, targets = np.r_[sources, np.arange(2, n + 1)], np.r_[targets, np.ones(n - 1, np.int64)]
    graph = graph_of(n + 1, np.c_[sources, targets])

    tree = dominators(graph)
    held, counts = retained(tree, np.full(n + 1, 16, np.uint32))

    assert np.array_equal(tree.idom, np.r_[0, np.arange(n)])
    assert np.array_equal(held, 16 * np.arange(n + 1, 0, -1))
    assert np.array_equal(counts, np.arange(n + 1, 0, -1))
    assert np.array_equal(tops(tree), np.r_[0, np.ones(n)])


def test_a_star_of_a_million_is_flat() -> None:
    n = 1_000_000
    graph = graph_of(n + 1, np.c_[np.zeros(n, np.int64), np.arange(1, n + 1)])

    tree = dominators(graph)

    assert not tree.idom.any()
    assert retained(tree, np.ones(n + 1, np.uint32))[0][0] == n + 1
    assert np.array_equal(tops(tree), np.arange(n + 1))
    assert np.array_equal(direct_edges(graph, tree), np.arange(-1, n))


def test_a_long_list_with_a_way_to_its_end_compresses_long_paths() -> None:
    n = 200_000
    forwards = np.c_[np.arange(n), np.arange(1, n + 1)]
    backwards = np.c_[np.arange(2, n + 1), np.arange(1, n)]
    tree = dominators(graph_of(n + 1, np.r_[forwards, backwards, [(0, n)]]))

    assert not tree.idom.any()  # every node can be reached from either end


def test_retained_bytes_do_not_overflow_32_bits() -> None:
    held, counts = retained(
        dominators(graph_of(4, [(0, 1), (1, 2), (2, 3)])), np.full(4, 0xFFFFFFFF, np.uint32)
    )

    assert held.tolist() == [4 * 0xFFFFFFFF, 3 * 0xFFFFFFFF, 2 * 0xFFFFFFFF, 0xFFFFFFFF]
    assert counts.tolist() == [4, 3, 2, 1]


def test_retained_leaves_the_sizes_as_they_are() -> None:
    sizes = np.array([1, 2, 4], np.int64)
    retained(dominators(graph_of(3, [(0, 1), (1, 2)])), sizes)

    assert sizes.tolist() == [1, 2, 4]


def test_sizes_of_another_graph_are_refused() -> None:
    with pytest.raises(InternalError, match=r"sizes has the shape \(2,\), not \(3,\)"):
        retained(dominators(graph_of(3, [(0, 1)])), np.ones(2, np.int64))


def test_tops_are_the_children_of_the_root_above_each_node() -> None:
    # 0→1→2→3, 0→4, {3,4}→5→6
    tree = dominators(graph_of(7, [(0, 1), (1, 2), (2, 3), (0, 4), (3, 5), (4, 5), (5, 6)]))

    assert tree.order[tree.to_vertices(tops(tree), 0)].tolist() == [0, 1, 1, 1, 4, 5, 5]


def test_a_child_is_named_by_its_dominators_first_edge_to_it() -> None:
    #        0       1       2       3       4       5       6
    edges = [(0, 1), (1, 2), (1, 3), (1, 2), (2, 4), (3, 4), (1, 1)]
    graph = graph_of(5, edges)
    tree = dominators(graph)

    # By source the edges are (0,1) | (1,2) (1,3) (1,2) (1,1) | (2,4) | (3,4); 1 dominates 4 without an edge.
    assert tree.to_vertices(direct_edges(graph, tree), -2).tolist() == [-1, 0, 1, 2, -1]


def test_direct_edges_lead_from_dominator_to_child() -> None:
    for family, node_count, edges in random_graphs(seed=5, each=40):
        graph = graph_of(node_count, edges)
        tree = dominators(graph)
        idom = tree.idom_of_vertices()
        sources = np.repeat(np.arange(node_count), np.diff(graph.offsets))

        for vertex, edge in enumerate(tree.to_vertices(direct_edges(graph, tree), -1).tolist()):
            among = np.flatnonzero((graph.targets == vertex) & (sources == idom[vertex]))
            expected = among[0] if among.size and vertex != 0 else -1
            assert edge == expected, (family, node_count, edges, vertex)


def test_starts_of_64_bits_give_the_same_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    from heldby.graph import dominators as module

    _, node_count, edges = next(random_graphs(seed=6, each=1))
    expected = idoms(node_count, edges)
    monkeypatch.setattr(module, "WIDE_EDGES", 0)

    assert idoms(node_count, edges) == expected

from __future__ import annotations

import numpy as np
import pytest

from heldby.errors import InternalError
from heldby.graph.dominators import dominators, tops
from heldby.graph.owners import owners
from tests.graph.families import Edges, graph_of, random_graphs


def owner_rows(node_count: int, edges: Edges, groups: list[int] | None = None) -> list[tuple[int, int, int]]:
    """Return (shared vertex, owner, references); an owner is a vertex or one of `groups` (by vertex)."""
    graph = graph_of(node_count, edges)
    tree = dominators(graph)
    group = None if groups is None else np.array(groups, np.uint32)[tree.order]
    found = owners(graph, tree, tops(tree), group)
    owner = tree.order[found.owner] if groups is None else found.owner
    return sorted(
        zip(tree.order[found.shared].tolist(), owner.tolist(), found.references.tolist(), strict=True)
    )


def test_what_two_roots_share_has_both_as_owners() -> None:
    # 1→3→5, 2→4→5, 2→5: 5 is below 1 once and below 2 twice.
    edges = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5), (2, 5)]

    assert owner_rows(6, edges) == [(5, 1, 1), (5, 2, 2)]


def test_what_one_root_holds_has_no_owners_listed() -> None:
    assert owner_rows(4, [(0, 1), (1, 2), (1, 3), (2, 3)]) == []


def test_the_root_and_the_shared_vertex_itself_are_no_owners() -> None:
    # The root refers to 2 and so does 1; 2's own child refers back to it.
    assert owner_rows(4, [(0, 1), (0, 2), (1, 2), (2, 3), (3, 2), (2, 2)]) == [(2, 1, 1)]


def test_garbage_owns_nothing() -> None:
    assert owner_rows(5, [(0, 1), (0, 2), (1, 3), (2, 3), (4, 3)]) == [(3, 1, 1), (3, 2, 1)]


def test_a_shared_vertex_can_own_another() -> None:
    edges = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (1, 4)]

    assert owner_rows(5, edges) == [(3, 1, 1), (3, 2, 1), (4, 1, 1), (4, 3, 1)]


def test_owners_of_a_group_are_one() -> None:
    edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (1, 4)]

    assert owner_rows(5, edges, groups=[0, 7, 7, 9, 0]) == [(4, 7, 3), (4, 9, 1)]


def test_owners_come_by_vertex_and_then_owner() -> None:
    graph = graph_of(6, [(0, 3), (0, 2), (0, 1), (3, 5), (3, 4), (2, 5), (2, 4), (1, 4)])
    tree = dominators(graph)
    found = owners(graph, tree, tops(tree))

    pairs = list(zip(found.shared.tolist(), found.owner.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert len(pairs) == 5


def test_owners_agree_with_a_plain_loop() -> None:
    rng = np.random.default_rng(11)
    for family, node_count, edges in random_graphs(seed=11, each=60):
        groups = rng.integers(0, 4, node_count).tolist()
        idom = dominators(graph_of(node_count, edges)).idom_of_vertices().tolist()

        def top(v: int, idom: list[int] = idom) -> int:
            while idom[v] != 0:
                v = idom[v]
            return v

        expected: dict[tuple[int, int], int] = {}
        for a, b in edges:
            if a != 0 and b != 0 and idom[a] < node_count and idom[b] == 0 and top(a) != b:
                pair = (b, groups[top(a)])
                expected[pair] = expected.get(pair, 0) + 1

        rows = {(shared, owner): count for shared, owner, count in owner_rows(node_count, edges, groups)}
        assert rows == expected, (family, node_count, edges, groups)


def test_each_of_a_quarter_of_a_million_pairs_is_found_once() -> None:
    # 500 roots, each of which refers to the same 500 objects, twice.
    roots, shared = np.arange(1, 501), np.arange(501, 1001)
    pairs = np.c_[np.repeat(roots, 500), np.tile(shared, 500)]
    graph = graph_of(1001, np.r_[np.c_[np.zeros(500, np.int64), roots], pairs, pairs])
    tree = dominators(graph)

    found = owners(graph, tree, tops(tree))

    assert found.shared.size == 250_000
    assert (found.references == 2).all()
    assert np.array_equal(np.unique(tree.order[found.shared], return_counts=True)[1], np.full(500, 500))
    assert np.array_equal(np.unique(tree.order[found.owner]), roots)


def test_tops_of_another_tree_are_refused() -> None:
    graph = graph_of(3, [(0, 1), (1, 2)])
    with pytest.raises(InternalError, match="top and group have the shapes"):
        owners(graph, dominators(graph), np.zeros(2, np.uint32))

"""Vertices that their dominator does not refer to itself: the first referrer names them; recursion folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.graph.csr import NONE, Graph, from_edges
from heldby.graph.dominators import direct_edges, dominators, first_referrers
from heldby.graph.merged import merged
from heldby.graph.predecessors import predecessors

LABEL = 32
DIRECT = np.uint64(1 << 62)


def graph_of(nodes: int, *edges: tuple[int, int]) -> Graph:
    sources, targets = zip(*edges, strict=True)
    return from_edges(nodes, np.array(sources, np.uint32), np.array(targets, np.uint32))[0]


def steps(values: list[tuple[int, int, bool]]) -> NDArray[np.uint64]:
    """Return steps from (label, type, direct)."""
    return np.array(
        [label << LABEL | kind | (int(DIRECT) if direct else 0) for label, kind, direct in values], np.uint64
    )


def test_first_referrer_of_a_diamond_is_the_one_found_first() -> None:
    # 0 -> 1 -> {2, 3} -> 4: 1 dominates 4 and does not refer to it.
    graph = graph_of(5, (0, 1), (1, 2), (1, 3), (2, 4), (3, 4))
    tree = dominators(graph)

    via, edges = first_referrers(graph, tree, direct_edges(graph, tree))

    four = int(tree.number[4])
    assert int(tree.order[via[four]]) == 2
    assert int(graph.targets[edges[four]]) == 4
    assert [int(tree.order[n]) for n in np.flatnonzero(via == NONE)] == [0, 1, 2, 3]


def test_what_the_root_dominates_has_no_referrer_to_name_it_by() -> None:
    graph = graph_of(4, (0, 1), (0, 2), (1, 3), (2, 3))
    tree = dominators(graph)

    via, edges = first_referrers(graph, tree, direct_edges(graph, tree))

    three = int(tree.number[3])
    assert via[three] == NONE
    assert edges[three] == -1


def test_path_of_a_roundabout_vertex_leads_on_from_its_referrers_path() -> None:
    graph = graph_of(5, (0, 1), (1, 2), (1, 3), (2, 4), (3, 4))
    tree = dominators(graph)
    via, _ = first_referrers(graph, tree, direct_edges(graph, tree))
    # By number: 0, 1, 2, 4, 3 or so; labels are the vertices' own numbers, all of one type.
    step = steps([(int(v), 1, via[n] == NONE) for n, v in enumerate(tree.order.tolist())])

    found = merged(tree, step, np.full(5, 10, np.int64), via=via)

    path = int(found.path_of[tree.number[4]])
    assert int(found.parent[path]) == int(found.path_of[tree.number[1]])
    assert int(found.key[path]) & 0xFFFFFFFF == int(found.path_of[tree.number[2]])
    assert int(found.key[path]) >> LABEL == 4
    assert int(found.retained[0]) == 50


def test_doubly_linked_list_folds_to_a_path_that_repeats() -> None:
    # 0 -> 1 (the list) -> 2 ... 101 and back; the list refers to both ends, so it dominates every element.
    last = 101
    forward = [(n, n + 1) for n in range(2, last)]
    back = [(n + 1, n) for n in range(2, last)]
    graph = graph_of(last + 1, (0, 1), (1, 2), (1, last), *forward, *back)
    tree = dominators(graph)
    via, _ = first_referrers(graph, tree, direct_edges(graph, tree))
    # Steps: the list by label 1, its ends by labels 2 and 3, the others by next, label 4.
    labels = {1: 1, 2: 2, last: 3}
    step = steps([(labels.get(v, 4), 7, via[n] == NONE) for n, v in enumerate(tree.order.tolist())])

    found = merged(tree, step, np.full(last + 1, 10, np.int64), via=via)

    assert found.path_count == 5
    assert int(found.count.max()) == 98
    assert int(found.recursive.max()) == 97
    assert int(found.retained[0]) == 10 * (last + 1)


def test_step_without_a_label_stays_on_its_referrers_path() -> None:
    graph = graph_of(5, (0, 1), (1, 2), (1, 3), (2, 4), (3, 4))
    tree = dominators(graph)
    via, _ = first_referrers(graph, tree, direct_edges(graph, tree))
    step = steps([(0 if v == 4 else v, 1, via[n] == NONE) for n, v in enumerate(tree.order.tolist())])

    found = merged(tree, step, np.ones(5, np.int64), via=via)

    assert found.path_of[tree.number[4]] == found.path_of[tree.number[2]]


def test_predecessors_are_the_reachable_referrers_and_not_the_vertex_itself() -> None:
    # 4 is not reachable; 3 refers to itself.
    graph = graph_of(5, (0, 1), (0, 2), (1, 3), (2, 3), (3, 3), (4, 3))
    tree = dominators(graph)

    sources, edges = predecessors(graph, tree, np.array([3], np.uint32))

    assert sources.tolist() == [1, 2]
    assert graph.targets[edges].tolist() == [3, 3]

"""The shortest way from a root to one vertex, searched backwards."""

from __future__ import annotations

import numpy as np

from heldby.graph.csr import Graph, from_edges
from heldby.graph.dominators import DominatorTree, dominators
from heldby.graph.ways import way_from_a_root

# 0 is the virtual root, 7 and 8 are roots. 7 -> 1 -> 2 -> 3 is longer than 8 -> 4 -> 3; 5 is garbage, 6 its own.
EDGES = [(0, 7), (0, 8), (7, 1), (1, 2), (2, 3), (8, 4), (4, 3), (5, 3), (6, 6)]


def graph() -> tuple[Graph, DominatorTree]:
    sources, targets = (np.array(ends, np.uint32) for ends in zip(*EDGES, strict=True))
    made, _ = from_edges(9, sources, targets)
    return made, dominators(made)


def way(target: int, levels: int) -> list[int] | None:
    found = way_from_a_root(*graph(), target, 7, levels=levels)
    if found is None:
        return None
    back, vertex = found
    steps = [vertex]
    while int(back.parent[vertex]) != vertex:
        vertex = int(back.parent[vertex])
        steps.append(vertex)
    return steps


def test_the_nearest_root_is_found_and_garbage_is_no_way() -> None:
    assert way(3, 9) == [8, 4, 3]
    assert way(2, 9) == [7, 1, 2]


def test_a_way_longer_than_asked_for_is_none() -> None:
    assert way(3, 2) == [8, 4, 3]
    assert way(3, 1) is None


def test_what_nothing_reaches_has_no_way() -> None:
    assert way(5, 9) is None
    assert way(6, 9) is None

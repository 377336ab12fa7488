from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heldby.errors import InternalError, LimitExceeded
from heldby.graph.csr import Graph, from_edges, offsets_of


def offsets(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def targets(*values: int) -> np.ndarray:
    return np.array(values, np.uint32)


def test_edges_are_placed_by_source_and_keep_their_order() -> None:
    graph, permutation = from_edges(4, targets(2, 0, 2, 0, 3), targets(1, 3, 0, 1, 1))

    assert graph.offsets.tolist() == [0, 2, 2, 4, 5]
    assert graph.targets.tolist() == [3, 1, 1, 0, 1]
    assert permutation.tolist() == [1, 3, 0, 2, 4]
    assert graph.targets_of(0).tolist() == [3, 1]
    assert graph.targets_of(1).tolist() == []
    assert (graph.node_count, graph.edge_count) == (4, 5)


def test_degrees_add_up_to_where_edges_begin() -> None:
    assert offsets_of(np.array([2, 0, 300], np.uint32)).tolist() == [0, 2, 2, 302]
    assert offsets_of(np.zeros(0, np.uint32)).tolist() == [0]
    assert offsets_of(np.ones(200_000, np.uint8)).tolist() == list(range(200_001))
    assert offsets_of(np.full(3, 0xFFFFFFFF, np.uint32)).tolist() == [0, 4294967295, 8589934590, 12884901885]


def test_a_graph_without_edges_has_only_offsets() -> None:
    graph, permutation = from_edges(3, targets(), targets())

    assert graph.offsets.tolist() == [0, 0, 0, 0]
    assert permutation.size == 0


def test_values_of_edges_follow_the_permutation() -> None:
    rng = np.random.default_rng(7)
    sources, ends = rng.integers(0, 50, 1000, np.uint32), rng.integers(0, 50, 1000, np.uint32)

    graph, permutation = from_edges(50, sources, ends)

    stable = np.argsort(sources, kind="stable")
    assert np.array_equal(permutation, stable)
    assert np.array_equal(graph.targets, ends[stable])


@pytest.mark.parametrize(
    ("bad_offsets", "bad_targets", "message"),
    [
        (offsets(0, 1, 2), targets(1), "offsets run from 0 to 2, not from 0 to 1"),
        (offsets(1, 1, 1), targets(1), "offsets run from 1 to 1, not from 0 to 1"),
        (offsets(0, 2, 1, 3), targets(0, 1, 2), "offsets of node 1 fall from 2 to 1"),
        (offsets(0, -1, 1), targets(0), "offsets of node 0 fall from 0 to -1"),
        (offsets(0, 2, 3), targets(0, 2, 1), "edge 1 leads to node 2; there are 2 nodes"),
        (offsets(0), targets(), "a graph without its virtual root"),
        (offsets(), targets(), "a graph without its virtual root"),
        (offsets(0, 1).astype(np.uint64), targets(0), r"offsets is uint64\[2\], not int64\[\]"),
        (offsets(0, 1), targets(0).astype(np.int32), r"targets is int32\[1\], not uint32\[\]"),
        (offsets(0, 9, 2)[::2], targets(0, 0), r"offsets is int64\[2\], not int64\[\]"),
    ],
)
def test_what_is_no_graph_is_refused(bad_offsets: np.ndarray, bad_targets: np.ndarray, message: str) -> None:
    with pytest.raises(InternalError, match=message):
        Graph(bad_offsets, bad_targets)


def test_more_nodes_than_ids_are_refused(tmp_path: Path) -> None:
    sparse = tmp_path / "offsets"
    with sparse.open("wb") as file:
        file.truncate(8 * ((1 << 32) + 1))

    with pytest.raises(LimitExceeded, match="4,294,967,296 nodes; node ids have 32 bits"):
        Graph(np.memmap(sparse, np.int64, "r"), targets())


@pytest.mark.parametrize(
    ("sources", "ends", "message"),
    [
        (targets(0, 3), targets(1, 1), "an edge leaves node 3; there are 3 nodes"),
        (targets(0, 1), targets(1, 3), "edge 1 leads to node 3; there are 3 nodes"),
        (targets(0, 1), targets(1), "2 sources but 1 targets"),
    ],
)
def test_edges_between_what_are_no_nodes_are_refused(
    sources: np.ndarray, ends: np.ndarray, message: str
) -> None:
    with pytest.raises(InternalError, match=message):
        from_edges(3, sources, ends)

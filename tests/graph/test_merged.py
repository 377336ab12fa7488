from __future__ import annotations

import numpy as np
import pytest

from heldby.errors import InternalError
from heldby.graph.dominators import dominators
from heldby.graph.merged import MergedTree, merged
from tests.graph.families import Edges, graph_of, random_graphs


def merge(node_count: int, edges: Edges, steps: list[int], sizes: list[int], **limits: int) -> MergedTree:
    """Merge with `steps` and `sizes` by vertex."""
    tree = dominators(graph_of(node_count, edges))
    return merged(tree, np.array(steps, np.uint64)[tree.order], np.array(sizes, np.int64), **limits)


def rows(tree: MergedTree) -> dict[tuple[int, ...], tuple[int, int, int, int]]:
    """Return {keys from the root: (count, objects, shallow, retained)}."""
    keys: list[tuple[int, ...]] = [()]
    for path in range(1, tree.path_count):
        keys.append((*keys[tree.parent[path]], int(tree.key[path])))
    columns = (tree.count, tree.objects, tree.shallow, tree.retained)
    return dict(zip(keys, zip(*(column.tolist() for column in columns), strict=True), strict=True))


def test_siblings_with_the_same_step_become_one_path() -> None:
    #   0 → 1, 2 (step 5) → 3, 4 (step 6), 5 (step 7)
    edges = [(0, 1), (0, 2), (1, 3), (2, 4), (2, 5)]

    found = merge(6, edges, [0, 5, 5, 6, 6, 7], [0, 1, 2, 10, 20, 100])

    assert rows(found) == {
        (): (1, 1, 0, 133),
        (5,): (2, 2, 3, 133),
        (5, 6): (2, 2, 30, 30),
        (5, 7): (1, 1, 100, 100),
    }
    assert found.depth.tolist() == [0, 1, 2, 2]
    assert found.retained_objects.tolist()[0] == 6
    assert found.folded_count == 0
    assert not found.recursive.any()


def test_the_same_step_below_different_paths_is_two_paths() -> None:
    found = merge(5, [(0, 1), (0, 2), (1, 3), (2, 4)], [0, 5, 6, 9, 9], [0, 1, 1, 1, 1])

    assert set(rows(found)) == {(), (5,), (6,), (5, 9), (6, 9)}


def test_a_transparent_vertex_stays_on_its_dominators_path() -> None:
    # map (1) → directory (2) and table (3), transparent, → values (4, 5)
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (3, 5)]

    found = merge(6, edges, [0, 5, 0, 0, 6, 6], [0, 48, 100, 200, 8, 8])

    assert rows(found) == {(): (1, 1, 0, 364), (5,): (1, 3, 348, 364), (5, 6): (2, 2, 16, 16)}


def test_a_list_is_its_first_node_and_a_repeated_next() -> None:
    n = 1_000_000
    tree = dominators(graph_of(n + 1, np.c_[np.arange(n), np.arange(1, n + 1)]))
    step = np.full(n + 1, 8, np.uint32)
    step[:2] = 0, 7

    found = merged(tree, step, np.full(n + 1, 16, np.uint32))

    assert rows(found) == {
        (): (1, 1, 16, 16 * n + 16),
        (7,): (1, 1, 16, 16 * n),
        (7, 8): (n - 1, n - 1, 16 * n - 16, 16 * n - 16),
    }
    assert found.recursive.tolist() == [0, 0, n - 2]


def test_a_tree_of_two_fields_has_four_paths_whatever_its_size() -> None:
    # A heap-ordered binary tree below vertex 1: the left child's step is 8, the right one's 9.
    n = 1 << 16
    child = np.arange(2, n)
    tree = dominators(graph_of(n, np.r_[[(0, 1)], np.c_[child // 2, child]]))
    step = (8 + tree.order % 2).astype(np.uint64)
    step[1] = 7

    found = merged(tree, step, np.ones(n, np.uint32))

    assert set(rows(found)) == {(), (7,), (7, 8), (7, 9), (7, 8, 9), (7, 9, 8)}
    assert found.count.sum() == n
    assert found.folded_count == 0


def test_recursion_is_found_through_transparent_vertices_and_other_steps() -> None:
    # dir (5) → entries (transparent) → dir (6) → meta (9) → dir (6)
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]

    found = merge(7, edges, [0, 5, 0, 6, 0, 9, 6], [0, 1, 2, 4, 8, 16, 32])

    assert rows(found) == {
        (): (1, 1, 0, 63),
        (5,): (1, 2, 3, 63),
        (5, 6): (2, 3, 44, 60),
        (5, 6, 9): (1, 1, 16, 16),
    }
    assert found.recursive.tolist() == [0, 0, 1, 0]


def test_what_is_deeper_than_the_limit_stays_on_the_last_path() -> None:
    edges = [(0, 1), (1, 2), (2, 3), (3, 4)]

    found = merge(5, edges, [0, 5, 6, 7, 8], [0, 1, 2, 4, 8], max_depth=2)

    assert rows(found) == {(): (1, 1, 0, 15), (5,): (1, 1, 1, 15), (5, 6): (1, 3, 14, 14)}
    assert found.folded_count == 2


def test_what_comes_after_the_last_path_allowed_stays_above() -> None:
    edges = [(0, 1), (0, 2), (0, 3), (1, 4)]

    found = merge(5, edges, [0, 5, 6, 7, 8], [0, 1, 2, 4, 8], max_paths=3)

    assert found.path_count == 3
    assert found.retained[0] == 15
    assert found.objects.sum() == 5
    assert found.folded_count == 2


def test_path_of_and_first_tell_which_vertices_are_on_a_path() -> None:
    edges = [(0, 1), (0, 2), (1, 3), (2, 4)]
    tree = dominators(graph_of(5, edges))
    found = merged(tree, np.array([0, 5, 5, 6, 6], np.uint64)[tree.order], np.ones(5, np.int64))

    assert tree.to_vertices(found.path_of, 99).tolist() == [0, 1, 1, 2, 2]
    assert found.path_of[found.first].tolist() == [0, 1, 2]


def test_children_come_with_the_most_retained_first() -> None:
    found = merge(6, [(0, 1), (0, 2), (0, 3), (2, 4), (2, 5)], [0, 5, 6, 7, 8, 9], [0, 50, 1, 60, 30, 40])
    offsets, children = found.children()

    def below(path: int) -> list[int]:
        return found.key[children[offsets[path] : offsets[path + 1]]].tolist()

    assert below(0) == [6, 7, 5]
    assert below(int(np.flatnonzero(found.key == 6)[0])) == [9, 8]
    assert below(int(np.flatnonzero(found.key == 5)[0])) == []


def test_keys_may_use_all_64_bits() -> None:
    high = 1 << 63
    found = merge(4, [(0, 1), (0, 2), (0, 3)], [0, high | 5, 5, 2**64 - 1], [0, 1, 2, 4])

    assert {keys: row[3] for keys, row in rows(found).items()} == {
        (): 7,
        (high | 5,): 1,
        (5,): 2,
        (2**64 - 1,): 4,
    }


def test_three_hundred_thousand_paths_make_the_table_grow() -> None:
    # Each child of the root has a step of its own, and below it a child of its own with the same step as all.
    n = 150_000
    tops = np.arange(1, n + 1)
    tree = dominators(graph_of(2 * n + 1, np.r_[np.c_[np.zeros(n, np.int64), tops], np.c_[tops, tops + n]]))
    step = np.where(tree.order <= n, tree.order, n + 1).astype(np.uint64)

    found = merged(tree, step, tree.order[tree.number])

    assert found.path_count == 2 * n + 1
    assert np.array_equal(np.sort(found.key), np.sort(np.r_[np.arange(n + 1), np.full(n, n + 1)]))
    assert np.array_equal(np.sort(found.shallow), np.arange(2 * n + 1))
    assert (found.parent[found.key == n + 1] > 0).all()


def test_every_vertex_is_on_one_path_and_no_byte_is_lost() -> None:
    rng = np.random.default_rng(12)
    for family, node_count, edges in random_graphs(seed=12, each=60):
        tree = dominators(graph_of(node_count, edges))
        step = rng.integers(0, 5, tree.reached_count, np.uint64)
        sizes = rng.integers(1, 1000, node_count)
        found = merged(
            tree, step, sizes, max_depth=int(rng.integers(1, 6)), max_paths=int(rng.integers(1, 30))
        )

        where = (family, node_count, edges, step)
        assert np.array_equal(found.objects, np.bincount(found.path_of, minlength=found.path_count)), where
        assert np.array_equal(
            found.shallow, np.bincount(found.path_of, sizes[tree.order], found.path_count).astype(np.int64)
        ), where
        assert (found.parent[1:] < np.arange(1, found.path_count)).all(), where
        below = found.shallow.copy()
        for path in range(found.path_count - 1, 0, -1):
            below[found.parent[path]] += below[path]
        assert np.array_equal(found.retained, below), where
        assert found.objects.sum() == found.count.sum() + found.folded_count + np.count_nonzero(step[1:] == 0)


def test_no_step_occurs_twice_on_the_way_down() -> None:
    rng = np.random.default_rng(13)
    for _, node_count, edges in random_graphs(seed=13, each=30):
        tree = dominators(graph_of(node_count, edges))
        found = merged(tree, rng.integers(0, 5, tree.reached_count, np.uint64), np.ones(node_count, np.int64))

        assert all(len(set(keys)) == len(keys) for keys in rows(found))


def test_a_graph_of_the_root_alone_has_one_path() -> None:
    found = merge(1, [], [3], [40])

    assert rows(found) == {(): (1, 1, 40, 40)}
    assert [part.tolist() for part in found.children()] == [[0, 0], []]


@pytest.mark.parametrize("limits", [{"max_depth": 0}, {"max_depth": 1001}, {"max_paths": 0}])
def test_limits_without_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InternalError, match="limits of"):
        merge(1, [], [0], [0], **limits)


def test_steps_of_another_tree_are_refused() -> None:
    tree = dominators(graph_of(3, [(0, 1)]))
    with pytest.raises(InternalError, match=r"step and sizes have the shapes \(3,\) and \(3,\)"):
        merged(tree, np.zeros(3, np.uint64), np.zeros(3, np.int64))

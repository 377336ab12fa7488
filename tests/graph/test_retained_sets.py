"""What sets of vertices retain, against removing each set and looking what is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.errors import InternalError
from heldby.graph import retained_sets as module
from heldby.graph.dominators import dominators, retained
from heldby.graph.retained_sets import RetainedSets, retained_sets
from tests.graph.families import Edges, graph_of, reached_without


def questions(nodes: int, edges: Edges, sizes: np.ndarray | None = None) -> RetainedSets:
    graph = graph_of(nodes, edges)
    tree = dominators(graph)
    return retained_sets(graph, tree, *retained(tree, sizes_of(nodes) if sizes is None else sizes))


def sizes_of(nodes: int) -> np.ndarray:
    return np.array([3**v for v in range(nodes)], np.int64)  # a sum tells its summands


def by_number(found: RetainedSets, sets: list[int]) -> np.ndarray:
    return np.array(sets, np.int32)[found.tree.order]


def brute_force(nodes: int, edges: Edges, sets: list[int], wanted: int) -> tuple[int, int]:
    everything = reached_without(nodes, edges)
    members = frozenset(v for v in range(nodes) if sets[v] == wanted)
    lost = everything - reached_without(nodes, edges, members)
    return sum(int(sizes_of(nodes)[v]) for v in lost), len(lost)


@st.composite
def divided_graphs(draw: st.DrawFn) -> tuple[int, Edges, list[int]]:
    nodes = draw(st.integers(2, 16))
    node = st.integers(0, nodes - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=3 * nodes))
    sets = draw(st.lists(st.integers(-1, 4), min_size=nodes, max_size=nodes))
    return nodes, edges, [-1, *sets[1:]]


@settings(max_examples=600, deadline=None)
@given(divided_graphs())
def test_a_set_retains_what_is_lost_without_it(given_graph: tuple[int, Edges, list[int]]) -> None:
    nodes, edges, sets = given_graph
    found = questions(nodes, edges)

    amounts, numbers = found.of_each(by_number(found, sets), 5)

    expected = [brute_force(nodes, edges, sets, number) for number in range(5)]
    assert list(zip(amounts.tolist(), numbers.tolist(), strict=True)) == expected


@settings(max_examples=300, deadline=None)
@given(divided_graphs(), st.integers(0, 2))
def test_the_queue_finishes_what_sweeps_leave(given_graph: tuple[int, Edges, list[int]], sweeps: int) -> None:
    nodes, edges, sets = given_graph
    found = questions(nodes, edges)
    before, module._MOST_SWEEPS = module._MOST_SWEEPS, sweeps
    try:
        amounts, numbers = found.of_each(by_number(found, sets), 5)
    finally:
        module._MOST_SWEEPS = before

    expected = [brute_force(nodes, edges, sets, number) for number in range(5)]
    assert list(zip(amounts.tolist(), numbers.tolist(), strict=True)) == expected


@settings(max_examples=200, deadline=None)
@given(divided_graphs(), st.integers(1, 5), st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_the_largest_are_those_that_retain_most(
    given_graph: tuple[int, Edges, list[int]], wanted: int, guesses: list[int]
) -> None:
    nodes, edges, sets = given_graph
    found = questions(nodes, edges)

    chosen, amounts, numbers = found.largest(by_number(found, sets), np.array(guesses), wanted)

    expected = [(number, *brute_force(nodes, edges, sets, number)) for number in range(5)]
    expected.sort(key=lambda row: (-row[1], row[0]))
    assert list(zip(chosen.tolist(), amounts.tolist(), numbers.tolist(), strict=True)) == expected[:wanted]


def test_groups_are_summed_up_over_the_chosen_vertices() -> None:
    found = questions(5, [(0, 3), (3, 1), (0, 2), (0, 4)], np.array([0, 1, 10, 100, 1000]))
    group_of, chosen = np.array([0, 2, 0, 2, 1], np.int32), np.array([0, 1, 1, 1, 0], np.bool_)

    sums = module.sum_up(
        found.tree, group_of, 4, chosen, np.arange(5, dtype=np.uint32), np.array([0, 1, 10, 100, 1000])
    )

    assert (sums.groups.tolist(), sums.counts.tolist(), sums.totals.tolist()) == ([0, 2], [1, 2], [10, 101])
    by_vertex = dict(zip(found.tree.order.tolist(), sums.sets.tolist(), strict=True))
    assert by_vertex == {0: -1, 1: 1, 2: 0, 3: 1, 4: -1}


def test_a_group_that_is_none_is_refused() -> None:
    tree = questions(2, [(0, 1)]).tree

    with pytest.raises(InternalError, match="groups from 3 to 3"):
        module.sum_up(
            tree,
            np.array([0, 3], np.int32),
            3,
            np.ones(2, np.bool_),
            np.zeros(2, np.uint32),
            np.ones(2, np.int64),
        )


def test_two_ways_through_one_set_are_no_way_around_it() -> None:
    # 0 → 1 → 3, 0 → 2 → 3: neither 1 nor 2 dominates 3; both together hold it.
    found = questions(4, [(0, 1), (0, 2), (1, 3), (2, 3)], np.array([0, 10, 20, 400]))

    alone, _ = found.of_each(by_number(found, [-1, 0, 1, -1]), 2)
    together, counts = found.of_each(by_number(found, [-1, 0, 0, -1]), 1)

    assert alone.tolist() == [10, 20]
    assert (together.tolist(), counts.tolist()) == ([430], [3])


def test_members_that_hold_one_another_count_once() -> None:
    found = questions(4, [(0, 1), (1, 2), (2, 3)], np.array([0, 1, 1, 1]))

    amounts, counts = found.of_each(by_number(found, [-1, 0, 0, 0]), 1)

    assert (amounts.tolist(), counts.tolist()) == ([3], [3])


def test_the_65th_set_is_counted_as_the_first() -> None:
    nodes = 71
    found = questions(nodes, [(0, v) for v in range(1, nodes)], np.arange(nodes))

    amounts, counts = found.of_each(by_number(found, [-1, *range(70)]), 70)

    assert amounts.tolist() == list(range(1, 71))
    assert set(counts.tolist()) == {1}


def chain_held_at_both_ends(length: int) -> Edges:
    """A doubly linked list whose first node one vertex holds and whose last another."""
    first, last = 3, 2 + length
    forwards = [(v, v + 1) for v in range(first, last)]
    return [(0, 1), (0, 2), (1, first), (2, last), *forwards, *((b, a) for a, b in forwards)]


def test_a_list_held_at_both_ends_takes_few_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """That nobody holds it alone must travel from one end to the other: not a sweep for each node."""
    found = questions(2003, chain_held_at_both_ends(2000), np.ones(2003, np.int64))
    sweeps = []
    for name in ("sweep_up", "sweep_down"):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, real=real: sweeps.append(1) or real(*args))

    amounts, _ = found.of_each(by_number(found, [-1, 0, 1, *[-1] * 2000]), 2)

    assert amounts.tolist() == [1, 1]
    assert len(sweeps) <= 5


def test_a_sweep_begins_where_the_one_before_changed_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen count: 30 rungs that lead back one after the other take as many sweeps, but few numbers each."""
    # The root refers to 30,000 leaves, to 1, and to the last rung; 1 refers to every rung, rung r + 1 to rung r.
    leaves, rungs = 30_000, 30
    first = 2 + leaves
    edges = [*((0, v) for v in range(2, first)), (0, 1), *((1, first + r) for r in range(rungs))]
    edges += [(first + r + 1, first + r) for r in range(rungs - 1)] + [(0, first + rungs - 1)]
    found = questions(first + rungs, edges, np.ones(first + rungs, np.int64))
    looked = []
    real = module.sweep_up
    monkeypatch.setattr(
        module, "sweep_up", lambda *args: looked.append(found.tree.reached_count - args[-2]) or real(*args)
    )

    amounts, _ = found.of_each(by_number(found, [-1, 0, *[-1] * (leaves + rungs)]), 1)

    assert amounts.tolist() == [1]  # the last rung is the root's too, and with it all the others
    assert looked[0] == found.tree.reached_count - 1
    assert sum(looked[1:]) <= rungs * rungs


def test_only_what_its_dominator_does_not_refer_to_looks_at_its_referrers() -> None:
    # 1 refers to 2 to 1001 and each of these to the next: their dominator refers to them itself.
    fan = [(0, 1), *((1, v) for v in range(2, 1002)), *((v, v + 1) for v in range(2, 1001))]
    found = questions(1002, fan, np.ones(1002, np.int64))

    assert found.heads.size == 0
    assert found.referrers.size == 0


@pytest.mark.parametrize(("guess", "most"), [("good", 8), ("none", 18)])
def test_twenty_of_ten_thousand_sets_take_few_passes(
    guess: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen count: a pass for each 64 sets would be 157."""
    nodes = 10_001
    rng = np.random.default_rng(6)
    sizes = np.concatenate(([0], (rng.pareto(1.2, nodes - 1) * 100).astype(np.int64)))
    found = questions(nodes, [(0, v) for v in range(1, nodes)], sizes)
    passes = []
    monkeypatch.setattr(module, "add_lost", lambda *args: passes.append(1) or counted(*args))

    guesses = sizes[1:] if guess == "good" else np.zeros(nodes - 1, np.int64)
    chosen, amounts, _ = found.largest(by_number(found, [-1, *range(nodes - 1)]), guesses, 20)

    assert amounts.tolist() == sorted(sizes.tolist(), reverse=True)[:20]
    assert len(set(chosen.tolist())) == 20
    assert len(passes) <= most


counted = module.add_lost

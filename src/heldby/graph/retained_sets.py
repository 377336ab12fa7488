"""What whole sets of vertices retain together: all objects of a type, of a package, of a stack.

A set retains what is lost without all of its members: what every way from the root leads to through one or
another of them. That is more than the members retain one by one, and less than their sum where they dominate
one another. A traversal that avoids the set finds it; this finds it for 64 disjoint sets at once.

With ``lost[v]``, the sets without which v is unreachable, as bits: ``lost[v]`` is v's own set, and what is in
``lost[p]`` of every referrer p; the greatest solution is the answer. The dominator tree makes it cheap:
``lost[v]`` contains that of v's dominator, and when the dominator refers to v itself there is no more to it.
Only the other vertices, a few in a hundred of most heaps, must look at their referrers. In preorder that is one
pass; ways that lead backwards take a few more.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import InternalError
from heldby.graph.csr import NONE, Graph
from heldby.graph.dominators import DominatorTree
from heldby.graph.set_kernels import (
    add_lost,
    collect_referrers,
    mark_direct,
    number_sets,
    settle,
    sum_groups,
    sweep_down,
    sweep_up,
)

SETS_AT_ONCE: Final = 64
_MOST_SWEEPS: Final = 12
_NO_BITS: Final = np.uint64(0)
_ALL_BITS: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class RetainedSets:
    """Answers for the sets of one graph; make it with `retained_sets`.

    Attributes:
        graph: the edges.
        tree: their dominator tree.
        retained: ``int64[k]``, bytes by number, as `heldby.graph.dominators.retained` returns them.
        counts: ``uint32[k]``, vertices likewise.
        heads: ``uint32[h]``, ascending: numbers that their dominators do not refer to.
        starts: ``int64[h + 1]``: the referrers of ``heads[i]`` are ``referrers[starts[i]:starts[i + 1]]``.
        referrers: ``uint32[r]``, numbers.
    """

    graph: Graph
    tree: DominatorTree
    retained: NDArray[np.int64]
    counts: NDArray[np.uint32]
    heads: NDArray[np.uint32]
    starts: NDArray[np.int64]
    referrers: NDArray[np.uint32]

    def of(
        self, sets: NDArray[np.int32], groups: NDArray[np.uint64], room: NDArray[np.uint64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what groups of sets retain: bytes and vertices, ``int64[64]`` each, by bit.

        About 5 ns for each reachable vertex, whatever the number of groups; 8 bytes for each.

        Args:
            sets: ``int32[k]``, the set of each number, -1 for none.
            groups: ``uint64[sets]``, the bit of each set's group (sets of one group count as one), 0 for a set
                that is not asked for.
            room: ``uint64[k]`` that is overwritten, for whoever asks several times.
        """
        if sets.shape != self.tree.idom.shape:
            raise InternalError(f"sets have the shape {sets.shape}, not {self.tree.idom.shape}")
        bit_of = np.concatenate((np.zeros(1, np.uint64), groups))
        lost = self._room() if room is None else room
        lost.fill(_ALL_BITS)
        lost[0] = bit_of[int(sets[0]) + 1]
        if not self._sweep(sets, bit_of, lost):
            self._settle(sets, bit_of, lost)
        amounts, numbers = np.zeros(SETS_AT_ONCE, np.int64), np.zeros(SETS_AT_ONCE, np.int64)
        add_lost(self.tree.idom, lost, self.retained, self.counts, amounts, numbers)
        return amounts, numbers

    def _sweep(self, sets: NDArray[np.int32], bit_of: NDArray[np.uint64], lost: NDArray[np.uint64]) -> bool:
        """Sweep up and down until nothing changes; False when that would take too long.

        A pass leaves open only what refers back from numbers that it changed, so the next one begins there.
        """
        arrays = (self.tree.idom, sets, bit_of, lost, self.heads, self.starts, self.referrers)
        changed = np.array([1, 0], np.int64)
        work = _MOST_SWEEPS * self.tree.reached_count
        while work > 0:
            work -= self.tree.reached_count - int(changed[0])
            sweep_up(*arrays, int(changed[0]), changed)
            if not changed[1]:
                return True
            work -= int(sweep_down(*arrays, int(changed[1]), changed))
            if not changed[1]:
                return True
        return False

    def _room(self) -> NDArray[np.uint64]:
        return np.empty(self.tree.reached_count, np.uint64)

    def _settle(self, sets: NDArray[np.int32], bit_of: NDArray[np.uint64], lost: NDArray[np.uint64]) -> None:
        tree = self.tree
        waiting = np.zeros(tree.reached_count, np.uint8)
        queue = np.empty(tree.reached_count, np.uint32)
        settle(
            self.graph.offsets,
            self.graph.targets,
            tree.number,
            tree.order,
            sets,
            bit_of,
            lost,
            waiting,
            queue,
        )

    def of_each(self, sets: NDArray[np.int32], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return bytes and vertices that each of `count` sets retains, ``int64[count]``; a pass for each 64."""
        amounts, numbers = np.zeros(count, np.int64), np.zeros(count, np.int64)
        room = self._room()
        for low in range(0, count, SETS_AT_ONCE):
            size = min(SETS_AT_ONCE, count - low)
            groups = np.zeros(count, np.uint64)
            groups[low : low + size] = np.uint64(1) << np.arange(size, dtype=np.uint64)
            found = self.of(sets, groups, room)
            amounts[low : low + size], numbers[low : low + size] = found[0][:size], found[1][:size]
        return amounts, numbers

    def largest(
        self, sets: NDArray[np.int32], guesses: NDArray[np.int64], wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the `wanted` sets that retain most, and what they retain: numbers of sets, bytes, vertices.

        Not each set is looked at: several as one retain at least what each of them does, so a group that
        retains less than the last wanted one is out, and only the others are divided further. Sets that retain
        equally much come in order of their numbers.

        Args:
            sets: ``int32[k]``, the set of each number, -1 for none.
            guesses: ``int64[sets]``, the larger, the earlier a set is looked at by itself; good guesses (what the
                members retain one by one) save passes, bad ones only cost them.
            wanted: how many.
        """
        count = guesses.size
        exact: dict[int, tuple[int, int]] = {}
        pending: list[tuple[int, int, NDArray[np.int64]]] = []  # a heap: what groups retain, negative
        likely = np.argsort(-guesses, kind="stable")
        alone = count if count <= SETS_AT_ONCE else SETS_AT_ONCE // 2
        batch = [*np.split(likely[:alone], alone)] if count else []
        if count > alone:
            batch += _even(likely[alone:], SETS_AT_ONCE - alone)
        room = self._room()
        while batch:
            amounts, numbers = self.of(sets, _bits(batch, count), room)
            for bit, part in enumerate(batch):
                if part.size == 1:
                    exact[int(part[0])] = int(amounts[bit]), int(numbers[bit])
                else:
                    heapq.heappush(pending, (-int(amounts[bit]), bit + 64 * len(exact), part))
            batch = _next_batch(pending, exact, wanted)
        order = sorted(exact, key=lambda number: (-exact[number][0], number))[:wanted]
        return (
            np.array(order, np.int64),
            np.array([exact[number][0] for number in order], np.int64),
            np.array([exact[number][1] for number in order], np.int64),
        )


def _bits(batch: list[NDArray[np.int64]], count: int) -> NDArray[np.uint64]:
    groups = np.full(count, _NO_BITS, np.uint64)
    for bit, part in enumerate(batch):
        groups[part] = np.uint64(1 << bit)
    return groups


def _next_batch(
    pending: list[tuple[int, int, NDArray[np.int64]]], exact: dict[int, tuple[int, int]], wanted: int
) -> list[NDArray[np.int64]]:
    """Divide the groups that may hold a wanted set, those that retain most first, into at most 64 parts."""
    best = sorted((amount for amount, _ in exact.values()), reverse=True)
    enough = best[wanted - 1] if len(best) >= wanted else -1
    batch: list[NDArray[np.int64]] = []
    while pending and -pending[0][0] >= enough and (room := SETS_AT_ONCE - len(batch)) >= 2:
        amount, _, part = heapq.heappop(pending)
        # So many that most of them fall below what is enough, if they are alike; the first takes half the room.
        parts = min(-2 * amount // enough, room // 2) if enough > 0 else room // 2
        batch += _even(part, max(parts, 2))
    return batch


def _even(part: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    return np.array_split(part, min(parts, part.size))


def retained_sets(
    graph: Graph, tree: DominatorTree, retained: NDArray[np.int64], counts: NDArray[np.uint32]
) -> RetainedSets:
    """Prepare questions about sets: three passes over the references; 4 bytes for each that heads have."""
    direct = np.zeros(tree.reached_count, np.uint8)
    mark_direct(graph.offsets, graph.targets, tree.number, tree.order, tree.idom, direct)
    direct[0] = 1
    heads = np.flatnonzero(direct == 0).astype(np.uint32)
    del direct
    head = np.full(tree.reached_count, NONE, np.uint32)
    head[heads] = np.arange(heads.size, dtype=np.uint32)
    cursor = np.zeros(heads.size, np.int64)
    none = np.zeros(0, np.uint32)
    arrays = (graph.offsets, graph.targets, tree.number, tree.order, head)
    total = int(collect_referrers(*arrays, cursor, none, False))
    starts = np.zeros(heads.size + 1, np.int64)
    np.cumsum(cursor, out=starts[1:])
    cursor[:] = starts[:-1]
    referrers = np.empty(total, np.uint32)
    collect_referrers(*arrays, cursor, referrers, True)
    return RetainedSets(graph, tree, retained, counts, heads, starts, referrers)


@dataclass(frozen=True, slots=True, eq=False)
class GroupSums:
    """What the chosen vertices of each group are, without what they retain.

    Attributes:
        groups: ``int64[s]``, the groups that have chosen vertices, ascending: the sets.
        counts: ``int64[s]``, how many vertices.
        totals: ``int64[s]``, their shallow bytes together.
        sets: ``int32[k]``, the set of each number, as `RetainedSets` takes it.
    """

    groups: NDArray[np.int64]
    counts: NDArray[np.int64]
    totals: NDArray[np.int64]
    sets: NDArray[np.int32]


def sum_up(
    tree: DominatorTree,
    group_of: NDArray[np.int32],
    count: int,
    chosen: NDArray[np.bool_],
    class_of: NDArray[np.uint32],
    sizes: NDArray[np.int64],
) -> GroupSums:
    """Make sets of the groups of vertices 1 to n. Two passes; 4 bytes for each reachable vertex.

    Args:
        tree: the dominator tree.
        group_of: see `group_sums`, as for what follows.
        count: the number of groups.
        chosen: vertices that belong to a set.
        class_of: the class of each vertex.
        sizes: shallow bytes of the vertices of each class.
    """
    counts, totals = group_sums(group_of, count, chosen, class_of, sizes)
    groups = np.flatnonzero(counts)
    set_of_group = np.full(count, -1, np.int32)
    set_of_group[groups] = np.arange(groups.size, dtype=np.int32)
    sets = np.empty(tree.reached_count, np.int32)
    number_sets(tree.order, group_of, chosen, set_of_group, sets)
    return GroupSums(groups, counts[groups], totals[groups], sets)


def group_sums(
    group_of: NDArray[np.int32],
    count: int,
    chosen: NDArray[np.bool_],
    class_of: NDArray[np.uint32],
    sizes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many chosen vertices each group has, and their bytes, ``int64[count]`` each. One pass.

    Args:
        group_of: ``int32[n + 1]``, the group of each vertex, 0 to `count` - 1; what stands at 0 means nothing.
        count: the number of groups.
        chosen: ``bool[n + 1]``, vertices that count.
        class_of: ``uint32[n + 1]``, the row of `sizes` of each vertex (an object's span).
        sizes: ``int64``, shallow bytes of the vertices of each class.
    """
    if not chosen.shape == class_of.shape == group_of.shape or int(class_of.max(initial=0)) >= sizes.size:
        raise InternalError(
            f"groups of {group_of.size} vertices, {chosen.size} chosen, {class_of.size} sizes"
        )
    if group_of.size > 1 and not 0 <= int(group_of[1:].min()) <= int(group_of[1:].max()) < count:
        raise InternalError(f"groups from {group_of[1:].min()} to {group_of[1:].max()}, not below {count}")
    counts, totals = np.zeros(count, np.int64), np.zeros(count, np.int64)
    sum_groups(group_of, chosen, class_of, sizes, counts, totals)
    return counts, totals

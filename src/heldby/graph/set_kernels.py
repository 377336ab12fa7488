"""Compiled loops of what sets of vertices retain: up to 64 sets at once, a bit for each.

``lost[i]`` has the bit of each set without which number i is not reachable.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, prefetch, trailing_zeros, u64

_NONE = np.uint32(0xFFFFFFFF)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel
def mark_direct(offsets, targets, number, order, idom, direct):
    """Set ``direct[j]`` (uint8) where j's dominator refers to j itself."""
    for i in range(u64(order.size)):
        v = u64(order[i])
        if i + u64(16) < u64(order.size):
            prefetch(offsets, u64(order[i + u64(16)]))
        end = u64(offsets[v + ONE])
        for e in range(u64(offsets[v]), end):
            j = u64(number[u64(targets[e])])
            if u64(idom[j]) == i:
                direct[j] = 1


@kernel
def collect_referrers(offsets, targets, number, order, head, cursor, referrers, fill):
    """Count in `cursor` the referrers of each head, or with `fill` put them in place.

    ``head[j]`` is the row of number j among the heads, NONE for the others; ``cursor[row]`` is the place of the
    next referrer. A number's edges to itself are left out.
    """
    total = ZERO
    for i in range(u64(order.size)):
        v = u64(order[i])
        if i + u64(16) < u64(order.size):
            prefetch(offsets, u64(order[i + u64(16)]))
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            j = u64(number[u64(targets[e])])
            if head[j] != _NONE and j != i:
                row = u64(head[j])
                if fill:
                    referrers[u64(cursor[row])] = np.uint32(i)
                cursor[row] += 1
                total += ONE
    return total


@kernel
def sweep_up(idom, sets, bit_of, lost, heads, starts, referrers, first, changed):
    """Take from `lost` what one pass over the numbers from `first` on disproves.

    What is lost without a set: its members, what they dominate, and what is lost on every way to it. Only `heads`,
    which their dominators do not refer to, have several ways that count. ``changed`` (int64[2]) becomes the first
    and the last number that changed; 0 and 0 for none.
    """
    changed[ZERO] = changed[ONE] = 0
    low, high = ZERO, u64(heads.size)
    while low < high:
        middle = (low + high) >> ONE
        if u64(heads[middle]) < u64(first):
            low = middle + ONE
        else:
            high = middle
    next_head = low
    for i in range(u64(first), u64(idom.size)):
        found = lost[u64(idom[i])] | bit_of[u64(sets[i] + 1)]
        if next_head < u64(heads.size) and u64(heads[next_head]) == i:
            common = _ALL
            for e in range(u64(starts[next_head]), u64(starts[next_head + ONE])):
                common &= lost[u64(referrers[e])]
            found |= common
            next_head += ONE
        if found != lost[i]:
            left = lost[i] & found
            if left != lost[i]:
                lost[i] = left
                changed[ONE] = np.int64(i)
                if changed[ZERO] == 0:
                    changed[ZERO] = np.int64(i)


@kernel
def sweep_down(idom, sets, bit_of, lost, heads, starts, referrers, last, changed):
    """Take from `lost` what one pass over the heads up to `last`, from above, disproves; as in `sweep_up`.

    After a pass up the others lack nothing: they depend on their dominators only, which have lower numbers. Returns
    how many heads were looked at.
    """
    changed[ZERO] = changed[ONE] = 0
    looked = ZERO
    row = u64(heads.size)
    while row > ZERO:
        row -= ONE
        i = u64(heads[row])
        if i > u64(last):
            continue
        looked += ONE
        common = _ALL
        for e in range(u64(starts[row]), u64(starts[row + ONE])):
            common &= lost[u64(referrers[e])]
        left = lost[i] & (lost[u64(idom[i])] | bit_of[u64(sets[i] + 1)] | common)
        if left != lost[i]:
            lost[i] = left
            changed[ZERO] = np.int64(i)
            if changed[ONE] == 0:
                changed[ONE] = np.int64(i)
    return looked


@kernel
def settle(offsets, targets, number, order, sets, bit_of, lost, waiting, queue):
    """Take from `lost` all that is left to disprove, by following references from where it changes.

    `waiting` (uint8[k]) must be 0 and `queue` (uint32[k]) have room for every number. A number is looked at once
    for each of its bits at most. Returns how many were looked at.
    """
    count = u64(order.size)
    for i in range(count):
        queue[i] = np.uint32(i)
        waiting[i] = 1
    head, held, looked = ZERO, count, ZERO
    while held > ZERO:
        i = u64(queue[head])
        head = head + ONE if head + ONE < count else ZERO
        held -= ONE
        waiting[i] = 0
        looked += ONE
        v = u64(order[i])
        here = lost[i]
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            j = u64(number[u64(targets[e])])
            if j == ZERO:
                continue
            left = lost[j] & (here | bit_of[u64(sets[j] + 1)])
            if left != lost[j]:
                lost[j] = left
                if waiting[j] == 0:
                    waiting[j] = 1
                    at = head + held
                    queue[at if at < count else at - count] = np.uint32(j)
                    held += ONE
    return looked


@kernel
def add_lost(idom, lost, retained, counts, amounts, numbers):
    """Add what each set retains to ``amounts[bit]`` and ``numbers[bit]`` (int64[64]).

    A bit that a number has and its dominator has not counts for all that the number dominates.
    """
    for i in range(ONE, u64(idom.size)):
        new = lost[i] & ~lost[u64(idom[i])]
        while new != ZERO:
            bit = trailing_zeros(new)
            amounts[bit] += retained[i]
            numbers[bit] += np.int64(counts[i])
            new &= new - ONE


@kernel
def sum_groups(group_of, chosen, class_of, amounts, counts, totals):
    """Count the chosen vertices of each group, and add up ``amounts[class_of[v]]``; vertex 0 is none."""
    for v in range(ONE, u64(group_of.size)):
        if chosen[v]:
            g = u64(group_of[v])
            counts[g] += 1
            totals[g] += amounts[u64(class_of[v])]


@kernel
def number_sets(order, group_of, chosen, set_of_group, sets):
    """Set ``sets[i]`` to the set of the vertex that has number i, -1 where it is none of the chosen ones."""
    for i in range(u64(order.size)):
        if i + u64(16) < u64(order.size):
            ahead = u64(order[i + u64(16)])
            if ahead < u64(group_of.size):
                prefetch(group_of, ahead)
                prefetch(chosen, ahead)
        v = u64(order[i])
        sets[i] = -1
        if v != ZERO and v < u64(group_of.size) and chosen[v]:
            sets[i] = set_of_group[u64(group_of[v])]

"""Compiled loops of the dominator tree: Semi-NCA (Georgiadis, 2005) in preorder numbers.

The walk emits only the edges that are not in its spanning tree (about half of a Go heap's), so a node with
one referrer has no predecessors to look at and a leaf is never pushed.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, kernel, prefetch, u64

_NONE = np.uint32(0xFFFFFFFF)
_AHEAD = u64(12)


@kernel
def walk(offsets, targets, number, order, parent, in_degree, stack, cursor, tails, heads):
    """Walk depth first from vertex 0; return how many vertices were reached and edges emitted.

    `number` must be all NONE and `in_degree` all 0. Emitted edges run from ``tails[e]`` to ``heads[e]``, in
    preorder numbers, self-loops left out; `in_degree` counts them by head.
    """
    number[ZERO] = 0
    order[ZERO] = 0
    parent[ZERO] = 0
    reached = ONE
    emitted = ZERO
    depth = ONE
    stack[ZERO] = 0
    cursor[ZERO] = offsets[ZERO]
    while depth > ZERO:
        i = u64(stack[depth - ONE])
        v = u64(order[i])
        e = u64(cursor[depth - ONE])
        end = u64(offsets[v + ONE])
        descended = False
        while e < end:
            w = u64(targets[e])
            if e + _AHEAD < end:
                far = u64(targets[e + _AHEAD])
                prefetch(number, far)
                prefetch(offsets, far)
            e += ONE
            j = u64(number[w])
            if j != u64(_NONE):
                if j != i:
                    tails[emitted] = i
                    heads[emitted] = j
                    emitted += ONE
                    in_degree[j] += ONE
                continue
            number[w] = reached
            order[reached] = w
            parent[reached] = i
            first = u64(offsets[w])
            last = u64(offsets[w + ONE])
            if first < last:
                for f in range(first, min(last, first + _AHEAD)):
                    near = u64(targets[f])
                    prefetch(number, near)
                    prefetch(offsets, near)
                cursor[depth - ONE] = e
                stack[depth] = reached
                cursor[depth] = first
                depth += ONE
                reached += ONE
                descended = True
                break
            reached += ONE
        if not descended:
            depth -= ONE
    return reached, emitted


@kernel
def group_by_head(starts, tails, heads, emitted, predecessors):
    """Turn in-degrees into starts, in place, and put each tail among its head's predecessors."""
    total = ZERO
    for i in range(u64(starts.size)):
        total += u64(starts[i])
        starts[i] = total
    for e in range(u64(emitted)):
        j = u64(heads[e])
        at = u64(starts[j]) - ONE
        starts[j] = at
        predecessors[at] = tails[e]


@kernel
def semi_nca(parent, starts, predecessors, link, idom, stack):
    """Find the immediate dominators; `idom` and both columns of `link` must be copies of `parent` before.

    ``link[v]`` is v's ancestor in the compressed forest and the least semidominator on the way to it, side by
    side for the cache.
    """
    w = u64(idom.size) - ONE
    while w > ZERO:
        first = u64(starts[w])
        last = u64(starts[w + ONE])
        if first != last:
            least = u64(parent[w])
            for e in range(first, last):
                v = u64(predecessors[e])
                if v <= w:
                    least = min(least, v)
                    continue
                depth = ZERO
                above = u64(link[v, ZERO])
                while above > w:
                    stack[depth] = v
                    depth += ONE
                    v = above
                    above = u64(link[v, ZERO])
                best = u64(link[v, ONE])
                while depth > ZERO:
                    depth -= ONE
                    y = u64(stack[depth])
                    own = u64(link[y, ONE])
                    if best < own:
                        link[y, ONE] = best
                    else:
                        best = own
                    link[y, ZERO] = above
                least = min(least, best)
            link[w, ONE] = least
            idom[w] = least
        w -= ONE
    for w in range(ONE, u64(idom.size)):
        semidominator = u64(idom[w])
        d = u64(parent[w])
        while d > semidominator:
            d = u64(idom[d])
        idom[w] = d


@kernel
def add_to_parents(parent, amounts, counts):
    """Add to each node what its children hold; a parent's number must be less than its child's."""
    i = u64(parent.size)
    while i > ONE:
        i -= ONE
        p = u64(parent[i])
        amounts[p] += amounts[i]
        counts[p] += counts[i]


@kernel
def find_tops(idom, top):
    """Set ``top[i]`` to the ancestor of i that is a child of the root, 0 for the root."""
    top[ZERO] = 0
    for i in range(ONE, u64(idom.size)):
        d = u64(idom[i])
        top[i] = i if d == ZERO else top[d]


@kernel
def find_direct_edges(offsets, targets, number, idom, direct):
    """Set ``direct[j]`` to the first edge from j's dominator to j; `direct` must be -1 before."""
    edges = u64(targets.size)
    for v in range(u64(offsets.size) - ONE):
        i = u64(number[v])
        if i == u64(_NONE):
            continue
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            if e + u64(32) < edges:
                prefetch(number, u64(targets[e + u64(32)]))
            if e + u64(16) < edges:
                near = u64(number[u64(targets[e + u64(16)])])
                if near != u64(_NONE):
                    prefetch(idom, near)
            j = u64(number[u64(targets[e])])
            if j != ZERO and u64(idom[j]) == i and direct[j] < 0:
                direct[j] = e


@kernel
def find_first_referrers(offsets, targets, number, idom, direct, via):
    """For each j without a direct edge find its referrer of least number.

    It becomes ``via[j]``, the number e of its edge ``direct[j] = -2 - e``.

    What the root dominates is left alone. `via` must be NONE before. The parent in the depth-first walk is a
    referrer of lesser number, so there always is one.
    """
    for v in range(u64(offsets.size) - ONE):
        i = number[v]
        if i == np.uint32(_NONE):
            continue
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            j = u64(number[u64(targets[e])])
            if direct[j] < 0 and j != ZERO and idom[j] != 0 and i < via[j]:
                via[j] = i
                direct[j] = -2 - np.int64(e)


@kernel
def collect_owners(offsets, targets, number, idom, top, group, pairs):
    """Put ``shared << 32 | group of the referrer's top`` in `pairs`, for each edge into a child of the root.

    Edges from the root and from below the child itself are left out. Returns the number of pairs.
    """
    edges = u64(targets.size)
    found = ZERO
    for v in range(ONE, u64(offsets.size) - ONE):
        i = u64(number[v])
        if i == u64(_NONE):
            continue
        own = u64(top[i])
        owner = u64(group[own])
        for e in range(u64(offsets[v]), u64(offsets[v + ONE])):
            if e + u64(32) < edges:
                prefetch(number, u64(targets[e + u64(32)]))
            if e + u64(16) < edges:
                near = u64(number[u64(targets[e + u64(16)])])
                if near != u64(_NONE):
                    prefetch(idom, near)
            j = u64(number[u64(targets[e])])
            if j == own or idom[j] != 0:
                continue
            if j != ZERO:
                pairs[found] = j << u64(32) | owner
                found += ONE
    return found

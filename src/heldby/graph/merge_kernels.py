"""Compiled loops that merge paths with the same signature, and their hash table.

A row of the table is ``(key, above << 32 | value)``; all ones in the second word mean an empty row. The
table has a power of two of rows, at most half of them full. When a kernel runs out of room it leaves in
`state` where it stopped; the caller grows the arrays and calls again.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import ONE, ZERO, inline_kernel, kernel, prefetch, u64

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
COLUMNS = 8
PARENT, KEY, DEPTH, COUNT, OBJECTS, SHALLOW, RECURSIVE, FIRST = range(COLUMNS)

_NONE = u64(0xFFFFFFFF)
_HALF = u64(32)
_GOLDEN = u64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: Fibonacci hashing takes the product's top bits
_MIX = u64(0xD6E8FEB86659FD93)


@inline_kernel
def find_row(table, shift, key, above):
    """Return the row of (key, above), or the empty row where it belongs."""
    mask = u64(table.shape[0]) - ONE
    mixed = key ^ (above * _MIX)
    mixed ^= mixed >> _HALF
    row = (mixed * _GOLDEN) >> shift
    while True:
        rest = table[row, ONE]
        if rest == EMPTY or (rest >> _HALF == above and table[row, ZERO] == key):
            return row
        row = (row + ONE) & mask


@kernel
def move_rows(old, new, shift):
    """Copy the rows of `old` to their places in the empty table `new`."""
    for i in range(u64(old.shape[0])):
        rest = old[i, ONE]
        if rest != EMPTY:
            row = find_row(new, u64(shift), old[i, ZERO], rest >> _HALF)
            new[row, ZERO] = old[i, ZERO]
            new[row, ONE] = rest


_STEP = np.uint64((1 << 62) - 1)
_LABEL = np.uint64(((1 << 62) - 1) ^ 0xFFFFFFFF)


@kernel
def merge_paths(idom, step, via, order, sizes, path_of, table, shift, paths, max_depth, max_paths, state):
    """Give each vertex, dominators first, the path of its dominator's path and its own step.

    `via` is empty or names, by number, the referrer that an indirect step starts from (NONE for a direct
    one): a step from the path on which its referrer lies, or the same step again.

    `paths` has one row of `COLUMNS` words for each path. `state` holds the next vertex, the numbers of paths
    and of table rows, and how many vertices were folded for lack of depth or paths.
    """
    room = u64(paths.shape[0])
    rows_room = u64(table.shape[0]) >> ONE
    size = u64(idom.size)
    found = state[1]
    rows = state[2]
    folded = state[3]
    last_above = _NONE
    last_key = ZERO
    last_path = ZERO
    for i in range(state[0], size):
        if i + u64(16) < size:
            prefetch(sizes, u64(order[i + u64(16)]))
        above = u64(path_of[u64(idom[i])])
        key = u64(step[i])
        path = above
        if via.size and via[i] != np.uint32(_NONE):
            # A step from a referrer below the dominator: it leads on from the referrer's path.
            start = u64(path_of[u64(via[i])])
            label = key & _LABEL
            if start != ZERO and (label == ZERO or u64(step[paths[start, FIRST]]) & _STEP == key):
                path_of[i] = start
                paths[start, OBJECTS] += ONE
                paths[start, SHALLOW] += u64(sizes[u64(order[i])])
                if label != ZERO:
                    paths[start, COUNT] += ONE
                    paths[start, RECURSIVE] += ONE
                continue
            key = label | start
        if key != ZERO:
            if paths[above, DEPTH] >= u64(max_depth):
                folded += ONE
            else:
                if above != last_above or key != last_key:
                    row = find_row(table, u64(shift), key, above)
                    if table[row, ONE] == EMPTY:
                        if rows >= rows_room or (found >= room and found < u64(max_paths)):
                            state[0] = i
                            state[1] = found
                            state[2] = rows
                            state[3] = folded
                            return False
                        p = above
                        while p != ZERO and paths[p, KEY] != key:
                            p = paths[p, PARENT]
                        if p != ZERO:
                            path = p
                        elif found < u64(max_paths):  # otherwise the vertex stays on the path above
                            path = found
                            paths[path, PARENT] = above
                            paths[path, KEY] = key
                            paths[path, DEPTH] = paths[above, DEPTH] + ONE
                            paths[path, COUNT] = ZERO
                            paths[path, OBJECTS] = ZERO
                            paths[path, SHALLOW] = ZERO
                            paths[path, RECURSIVE] = ZERO
                            paths[path, FIRST] = i
                            found += ONE
                        if paths[path, KEY] == key:
                            table[row, ZERO] = key
                            table[row, ONE] = above << _HALF | path
                            rows += ONE
                        last_path = path
                    else:
                        last_path = table[row, ONE] & _NONE
                    last_above = above
                    last_key = key
                path = last_path
                if paths[path, KEY] != key:
                    folded += ONE
                else:
                    paths[path, COUNT] += ONE
                    if paths[path, PARENT] != above:
                        paths[path, RECURSIVE] += ONE
        path_of[i] = path
        paths[path, OBJECTS] += ONE
        paths[path, SHALLOW] += u64(sizes[u64(order[i])])
    state[0] = size
    state[1] = found
    state[2] = rows
    state[3] = folded
    return True

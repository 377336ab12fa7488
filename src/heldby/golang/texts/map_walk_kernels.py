"""Going through the entries of a map, by groups (internal/runtime/maps) or by buckets (runtime/map.go, Go 1.23).

A map has parts in arrays. Swiss maps have tables, each with an array of groups; maps made of buckets have one
array of buckets, while they grow a second one of those that were not evacuated yet, and overflow buckets that hang
on each bucket. An entry that was evacuated is marked in the old bucket, so that each entry is found once.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heldby.golang.texts.json_text_kernels import read64, read_byte
from heldby.jit import ONE, ZERO, inline_kernel, inner_kernel, u64

MOST_TABLES = u64(1 << 24)
MOST_GROUPS = u64(1 << 27)
_SAME_SIZE = u64(8)  # runtime/map.go, sameSizeGrow
_FIRST_TOP_HASH = u64(5)  # runtime/map.go, minTopHash: what is less marks an empty or evacuated slot
_EMPTY_OR_DELETED = u64(0x80)


class MapLayout(NamedTuple):
    """Where the structures of maps have what is needed; of the kind that the program does not have, 0.

    Attributes:
        used: in the header of a map, how many entries it has.
        directory, directory_length: in the header of a Swiss map (internal/runtime/maps, Map).
        groups, group_mask: in a table.
        buckets, old_buckets, bucket_bits, flags: in the header of a map made of buckets (runtime.hmap); `buckets`
            is never 0 there.
    """

    used: np.uint64
    directory: np.uint64
    directory_length: np.uint64
    groups: np.uint64
    group_mask: np.uint64
    buckets: np.uint64
    old_buckets: np.uint64
    bucket_bits: np.uint64
    flags: np.uint64


@inner_kernel
def array_count(memory, layout, header):
    """Return how many arrays of parts the map at `header` may have."""
    if layout.buckets:
        return u64(2)
    length = min(read64(memory, header + layout.directory_length), MOST_TABLES)
    return max(length, ONE)


@inner_kernel
def array_at(memory, layout, header, number, last):
    """Return where array `number` of the map at `header` starts, its parts, and what tells it from the next.

    `last` is what was returned for the array before. A table fills neighbouring entries of the directory
    (Map.directorySet): of an array that was there before there are 0 parts.
    """
    if layout.buckets:
        count = ONE << min(read_byte(memory, header + layout.bucket_bits), u64(40))
        first = read64(memory, header + layout.buckets)
        if number:
            first = read64(memory, header + layout.old_buckets)
            if not read_byte(memory, header + layout.flags) & _SAME_SIZE:
                count >>= ONE
        return first, count if first else ZERO, first
    first = read64(memory, header + layout.directory)
    if not read64(memory, header + layout.directory_length):
        return first, ONE if first else ZERO, first
    table = read64(memory, first + (number << u64(3)))
    if not table or table == last:
        return ZERO, ZERO, table
    mask = read64(memory, table + layout.group_mask)
    return read64(memory, table + layout.groups), min(mask, MOST_GROUPS) + ONE, table


@inner_kernel
def overflow_of(memory, layout, part, part_bytes):
    """Return the next bucket of the chain of the one at `part`; 0 at its end, and for groups.

    The pointer to it is the last word of a bucket (runtime/map.go, bmap.overflow).
    """
    if layout.buckets:
        return read64(memory, part + part_bytes - u64(8))
    return ZERO


@inline_kernel
def is_full(layout, control):
    """Tell from the control byte of a slot, or its top hash, whether an entry lies there."""
    if layout.buckets:
        return control >= _FIRST_TOP_HASH
    return not control & _EMPTY_OR_DELETED

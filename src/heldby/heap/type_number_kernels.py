"""Numbers of objects' types, those of unknown type by the size of their slots, without a column of them."""

# mypy: ignore-errors
from __future__ import annotations

from heldby.jit import ONE, kernel, u64


@kernel
def mark_types(packed, first, unknown, seen):
    """Set ``seen[place]`` (uint8) for each object.

    The place is its packed type, or ``unknown[span]`` where that is 0; the objects of span s are ``first[s]`` to
    ``first[s + 1]``.
    """
    for s in range(u64(unknown.size)):
        for o in range(u64(first[s]), u64(first[s + ONE])):
            place = packed[o]
            seen[u64(place if place else unknown[s])] = 1


@kernel
def look_up_types(packed, first, unknown, table, out):
    """Set ``out[object]`` to what `table` has at its place, as in `mark_types`."""
    for s in range(u64(unknown.size)):
        for o in range(u64(first[s]), u64(first[s + ONE])):
            place = packed[o]
            out[o] = table[u64(place if place else unknown[s])]

"""What the rows of objects consist of: garbage by type and by allocation site, live slots' rounding and headers."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import Frame, RssPart
from heldby.analysis.estimates import estimates
from heldby.analysis.finalizer_reach import GARBAGE, LIVE
from heldby.analysis.sites import sampled_objects, shown_stacks
from heldby.golang.spans import SpanTable
from heldby.golang.type_word_kernels import BY_CHOICE, BY_PREFIX
from heldby.heap.heap import Heap

_MOST_TYPES: Final = 12
_FIRST_TYPES: Final = 4
_MOST_SITES: Final = 2
_HEADER: Final = 8
_STRETCH: Final = 1 << 20


def live_parts(heap: Heap, states: NDArray[np.uint8], virtual: NDArray[np.int64]) -> tuple[RssPart, ...]:
    """Return what of live objects is no payload, in address space; O(objects).

    Rounding is exact for large objects, whose size the runtime keeps; of the others it is what is above the
    size of a single value of known type, and arrays are not counted: their length is not kept with them.

    Args:
        heap: with its types.
        states: of the objects.
        virtual: bytes by span and state.
    """
    spans = heap.objects.spans
    live = virtual[:, LIVE] // np.maximum(spans.elemsize, np.uint64(1)).astype(np.int64)
    headers = int(live[spans.has_headers].sum())
    large = spans.large & (live > 0)
    rounding = int((spans.elemsize - spans.extent)[large].sum())
    small, count = _rounding(heap, states, spans)
    parts = (
        RssPart(name="of it rounding of single values (heldby cost has all)", bytes=small, count=count),
        RssPart(name="of it malloc headers", bytes=headers * _HEADER, count=headers),
        RssPart(name="of it rounding of large objects", bytes=rounding, count=int(large.sum())),
    )
    return tuple(part for part in parts if part.bytes)


def _rounding(heap: Heap, states: NDArray[np.uint8], spans: SpanTable) -> tuple[int, int]:
    """Return the bytes behind single values of known type in live slots, and how many slots have some."""
    types = heap.naming.types
    sizes, taken = types.layouts.types.size, spans.elemsize.astype(np.int64)
    taken -= np.where(spans.has_headers, _HEADER, 0)
    total = count = 0
    for low in range(0, states.size, _STRETCH):
        part = slice(low, low + _STRETCH)
        evidence, packed = types.evidence[part], types.packed[part]
        single = (states[part] == LIVE) & (packed != 0) & ((packed & 1) == 0)
        single &= (evidence != BY_CHOICE) & (evidence != BY_PREFIX)
        chosen = np.flatnonzero(single)
        span = heap.objects.span[part][chosen]
        rest = taken[span] - sizes[packed[chosen] >> np.uint32(1)].astype(np.int64)
        rest = rest[(rest > 0) & ~spans.large[span]]
        total, count = total + int(rest.sum()), count + rest.size
    return total, count


def garbage_parts(heap: Heap, states: NDArray[np.uint8]) -> tuple[RssPart, ...]:
    """Return garbage by type, largest first (address space), after the first few by allocation site, if sampled."""
    garbage = np.flatnonzero(states == GARBAGE)[1:]
    if not garbage.size:
        return ()
    sizes = heap.objects.spans.elemsize[heap.objects.span[garbage]]
    types, inverse, counts = np.unique(heap.naming.type_of[garbage], return_inverse=True, return_counts=True)
    amounts = np.bincount(inverse, sizes, types.size).astype(np.int64)
    order = np.argsort(-amounts, kind="stable")[:_MOST_TYPES]
    by_type = [
        RssPart(name=heap.naming.type_name(int(types[i])), bytes=int(amounts[i]), count=int(counts[i]))
        for i in order.tolist()
    ]
    return (*by_type[:_FIRST_TYPES], *_garbage_sites(heap, states), *by_type[_FIRST_TYPES:])


def _garbage_sites(heap: Heap, states: NDArray[np.uint8]) -> tuple[RssPart, ...]:
    """Return where most garbage was allocated: estimates from samples, whose number is the part's count."""
    profile = heap.profile
    if profile.rate is None or profile.rate <= 0:
        return ()
    objects, bucket, _ = sampled_objects(heap)
    bucket = bucket[states[objects] == GARBAGE]
    if not bucket.size:
        return ()
    buckets, which = np.unique(bucket, return_inverse=True)
    stacks, site_of = shown_stacks(profile, buckets)
    found = estimates(site_of[which], len(stacks), profile.size[bucket], profile.rate)
    order = np.argsort(-found.bytes, kind="stable")[:_MOST_SITES]
    return tuple(
        RssPart(
            name=f"allocated at {_place(stacks[i])} (estimate)",
            bytes=int(found.bytes[i]),
            count=int(found.samples[i]),
        )
        for i in order.tolist()
        if stacks[i]
    )


def _place(stack: tuple[Frame, ...]) -> str:
    leaf = stack[0]
    file = f" {PurePath(leaf.file).name}:{leaf.line}" if leaf.file else ""
    return leaf.func + file

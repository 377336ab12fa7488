"""What the rows of objects consist of: garbage by type and by allocation site, live slots' rounding and headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.allocation.estimates import estimates
from heldby.analysis.allocation.sites import sampled_objects, shown_stacks
from heldby.analysis.answer import Frame, RssPart
from heldby.analysis.rss.finalizer_reach import GARBAGE, LIVE
from heldby.golang.objects.spans import SpanTable
from heldby.golang.typing.type_word_kernels import BY_CHOICE, BY_PREFIX
from heldby.heap.heap import Heap

_MOST_TYPES: Final = 12
_FIRST_TYPES: Final = 4
_NAMED_TYPES: Final = 2
_WORTH_NAMING: Final = 0.05
_MOST_SITES: Final = 2
_HEADER: Final = 8
_STRETCH: Final = 1 << 16


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


@dataclass(frozen=True, slots=True)
class Garbage:
    """What garbage consists of.

    Attributes:
        parts: by type, largest first (bytes of address space, exact), after the first few by allocation site, where
            the process samples (estimates, with the samples as their count).
        note: the largest types and the largest site in a few words, with the share whose type is not known; None
            where there is no garbage.
    """

    parts: tuple[RssPart, ...]
    note: str | None


def garbage_of(heap: Heap, states: NDArray[np.uint8]) -> Garbage:
    """Return what garbage consists of; O(objects + samples), a stretch of objects at a time."""
    numbers, sizes, counts = _by_type(heap, states, GARBAGE)
    if not numbers.size:
        return Garbage((), None)
    by_type = _type_parts(heap, numbers, sizes, counts)
    sites = _garbage_sites(heap, states)
    total = int(sizes.sum())
    known = np.array([heap.naming.is_known(int(number)) for number in numbers], np.bool_)
    said = [
        f"{size / total:.0%} {heap.naming.type_name(int(number))}"
        for number, size in zip(numbers[known][:_NAMED_TYPES], sizes[known][:_NAMED_TYPES], strict=True)
        if size / total >= _WORTH_NAMING
    ]
    unknown = int(sizes[~known].sum())
    if unknown / total >= _WORTH_NAMING:
        said.append(f"{unknown / total:.0%} of unknown type")
    if sites:
        said.append(f"most {sites[0].name}")
    parts = (*by_type[:_FIRST_TYPES], *sites, *by_type[_FIRST_TYPES:])
    return Garbage(parts, ", ".join(said) or None)


def parts_by_type(heap: Heap, states: NDArray[np.uint8], state: int) -> tuple[RssPart, ...]:
    """Return the objects in one state by type, largest first (bytes of address space). O(objects)."""
    return tuple(_type_parts(heap, *_by_type(heap, states, state)))


def _type_parts(
    heap: Heap, numbers: NDArray[np.int64], sizes: NDArray[np.int64], counts: NDArray[np.int64]
) -> list[RssPart]:
    rows = zip(numbers[:_MOST_TYPES], sizes[:_MOST_TYPES], counts[:_MOST_TYPES], strict=True)
    return [
        RssPart(name=heap.naming.type_name(int(number)), bytes=int(size), count=int(count))
        for number, size, count in rows
    ]


def _by_type(
    heap: Heap, states: NDArray[np.uint8], state: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the types as `Naming.types_of` numbers them, bytes and objects of each in `state`; largest first."""
    slot, naming = heap.objects.spans.elemsize.astype(np.int64), heap.naming
    packed = naming.types.packed
    amounts, counts = np.zeros((2, int(packed.max(initial=0)) + 1), np.int64)
    unknown = [np.zeros((3, 0), np.int64)]
    for low in range(1, states.size, _STRETCH):
        chosen = low + np.flatnonzero(states[low : low + _STRETCH] == state)
        types, sizes = packed[chosen], slot[heap.objects.span[chosen]]
        counts += np.bincount(types, minlength=counts.size)
        amounts += np.bincount(types, sizes, counts.size).astype(np.int64)
        untyped = types == 0
        # Of these, all of one number have slots of one size.
        numbers, first, objects = np.unique(
            naming.types_of(chosen[untyped].astype(np.uint32)), return_index=True, return_counts=True
        )
        unknown.append(np.stack((numbers.astype(np.int64), sizes[untyped][first] * objects, objects)))
    counts[0] = 0
    known = np.flatnonzero(counts)
    rows = np.concatenate((np.stack((known, amounts[known], counts[known])), *unknown), axis=1)
    distinct, inverse = np.unique(rows[0], return_inverse=True)
    sizes = np.bincount(inverse, rows[1], distinct.size).astype(np.int64)
    order = np.argsort(-sizes, kind="stable")
    return (
        distinct[order],
        sizes[order],
        np.bincount(inverse, rows[2], distinct.size).astype(np.int64)[order],
    )


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

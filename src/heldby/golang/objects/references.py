"""References: the pointers from object to object, as the collector sees them.

Precise only: bits at the end of the span up to 512 bytes, the type in the malloc header above, the span's
type for large objects (runtime/mbitmap.go, Go 1.22+); in Go 1.21 the arena's bits for all. Noscan objects refer
to nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.arena_bitmaps import ArenaBitmaps
from heldby.golang.objects.objects import ObjectTable, first_objects
from heldby.golang.objects.reference_kernels import (
    NO_POINTERS,
    POINTER_BITS,
    TYPE_MASK,
    ScanPlan,
    extract_references,
    read_headers,
)
from heldby.golang.objects.spans import SpanTable
from heldby.golang.objects.type_masks import TypeMask, TypeMasks
from heldby.golang.runtime.runtime import Runtime

_THREADS: Final = 2
_CHUNK_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Who refers to whom, in compressed sparse rows over objects 0..n (row 0 is empty).

    Attributes:
        offsets: ``int64[n + 2]``; the references of object i are ``offsets[i]:offsets[i + 1]``.
        targets: ``uint32[m]``, object referred to.
        words: ``uint32[m]``, index of the pointer's word within the slot.
        typed_objects: ``uint32[h]``, objects whose slot or span names their type, ascending.
        typed_descriptors: ``uint64[h]``, address of that type's descriptor, 0 when unreadable.
        uncaptured_words: pointer words in pages that are not in the capture.
        unreadable_types: objects whose type could not be read; their references are unknown.
    """

    offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]
    words: NDArray[np.uint32]
    typed_objects: NDArray[np.uint32]
    typed_descriptors: NDArray[np.uint64]
    uncaptured_words: int
    unreadable_types: int


def read_references(runtime: Runtime, objects: ObjectTable) -> References:
    """Return all references between objects. O(pointer words); 8 bytes a reference, 8 an object."""
    plan, typed_objects, typed_descriptors = _scan_plan(runtime, objects)
    bounds = _chunk_bounds(objects.spans)
    counts = np.zeros((len(bounds), 2), np.int64)
    nothing64, nothing32 = np.zeros(0, np.int64), np.zeros(0, np.uint32)

    def count(part: int) -> int:
        low, high = bounds[part]
        return int(
            extract_references(
                runtime.pages,
                objects.index,
                plan,
                low,
                high,
                False,
                0,
                nothing64,
                nothing32,
                nothing32,
                counts[part],
            )
        )

    def fill(part: int) -> None:
        low, high = bounds[part]
        first = starts[part]
        extract_references(
            runtime.pages, objects.index, plan, low, high, True, first, offsets, targets, words, counts[part]
        )

    parts = range(len(bounds))
    with ThreadPoolExecutor(_THREADS) as pool:
        totals = list(pool.map(count, parts))
        starts = np.concatenate(([0], np.cumsum(totals)))
        counts[:] = 0
        offsets = np.zeros(len(objects) + 2, np.int64)
        targets = np.empty(int(starts[-1]), np.uint32)
        words = np.empty(int(starts[-1]), np.uint32)
        list(pool.map(fill, parts))
    offsets[-1] = starts[-1]
    return References(
        offsets=offsets,
        targets=targets,
        words=words,
        typed_objects=typed_objects,
        typed_descriptors=typed_descriptors,
        uncaptured_words=int(counts[:, 0].sum()),
        unreadable_types=int(counts[:, 1].sum()),
    )


def _chunk_bounds(spans: SpanTable) -> list[tuple[int, int]]:
    """Cut the span table into as many stretches of equal bytes as there are threads."""
    ends = np.cumsum(spans.pages.astype(np.int64))
    if not ends.size:
        return []
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, _THREADS) // _THREADS)
    edges = [0, *(int(cut) for cut in cuts), len(spans)]
    return [(low, high) for low, high in pairwise(edges) if low < high]


def _scan_plan(
    runtime: Runtime, objects: ObjectTable
) -> tuple[ScanPlan, NDArray[np.uint32], NDArray[np.uint64]]:
    spans = objects.spans
    how = np.full(len(spans), NO_POINTERS, np.uint8)
    has_bits = spans.pointer_bits != 0
    how[has_bits] = POINTER_BITS
    by_type = ~spans.noscan & ~has_bits
    how[by_type] = TYPE_MASK
    first = first_objects(objects.index)
    typed_objects, descriptors = _typed_objects(runtime, objects, by_type)
    if spans.types_in_slots:
        mask_of, masks = _masks(TypeMasks(runtime), descriptors)
    else:
        mask_of, masks = _scattered_masks(ArenaBitmaps(runtime), objects, typed_objects)
    per_span = np.zeros(len(spans), np.int64)
    counts = np.diff(first)
    per_span[by_type] = counts[by_type]
    first_typed = np.concatenate(([0], np.cumsum(per_span)[:-1])) if len(spans) else per_span
    plan = ScanPlan(
        how=how,
        base=spans.base,
        elemsize=spans.elemsize,
        nelems=spans.nelems,
        first_word=np.ascontiguousarray(objects.index.spans[:, 3]),
        first_object=first[:-1].astype(np.uint64),
        bitmap=spans.pointer_bits,
        data_words=spans.has_headers.astype(np.uint64),
        first_typed=first_typed.astype(np.uint64),
        mask_of=mask_of,
        **_packed(masks),
    )
    return plan, typed_objects, descriptors


def _typed_objects(
    runtime: Runtime, objects: ObjectTable, by_type: NDArray[np.bool_]
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Return the objects that name their type (ascending) and the descriptor addresses that they name."""
    spans = objects.spans
    chosen = np.flatnonzero(by_type & spans.types_in_slots)
    mine = by_type[objects.span]
    mine[0] = False
    typed = np.flatnonzero(mine).astype(np.uint32)
    descriptors = np.zeros(typed.size, np.uint64)
    index = objects.index
    read_headers(
        runtime.pages,
        spans.base,
        spans.elemsize,
        spans.nelems,
        np.ascontiguousarray(index.spans[:, 3]),
        chosen,
        index.bits,
        descriptors,
    )
    span_of = objects.span[typed]
    return typed, np.where(spans.large[span_of], spans.large_type[span_of], descriptors)


def _masks(reader: TypeMasks, descriptors: NDArray[np.uint64]) -> tuple[NDArray[np.int32], list[TypeMask]]:
    """Return for each object the number of its mask (-1: none can be read) and the distinct masks."""
    distinct, inverse = np.unique(descriptors, return_inverse=True)
    masks: list[TypeMask] = []
    numbers = np.full(distinct.size, -1, np.int32)
    for row, descriptor in enumerate(distinct.tolist()):
        mask = reader.of(descriptor)
        if mask is not None:
            numbers[row] = len(masks)
            masks.append(mask)
    return numbers[inverse].astype(np.int32), masks


def _scattered_masks(
    bitmaps: ArenaBitmaps, objects: ObjectTable, chosen: NDArray[np.uint32]
) -> tuple[NDArray[np.int32], list[TypeMask]]:
    """Return the masks of objects in spans that lie in several arenas of Go 1.21, each with one of its own.

    There are few: no more than the objects of one span for each border between arenas.
    """
    masks: list[TypeMask] = []
    numbers = np.full(chosen.size, -1, np.int32)
    sizes = objects.spans.elemsize[objects.span[chosen]]
    for row, (addr, size) in enumerate(zip(objects.addr[chosen].tolist(), sizes.tolist(), strict=True)):
        pointers = bitmaps.mask(addr, size)
        if pointers is not None:
            numbers[row] = len(masks)
            masks.append(TypeMask(size // 8, pointers))
    return numbers, masks


def _packed(masks: list[TypeMask]) -> dict[str, NDArray[np.uint64]]:
    """Return the masks as one bit array; short ones are repeated so that a step covers 64 words at once."""
    starts, pointers, periods, parts, at = [], [], [], [], 0
    for mask in masks:
        repeat = max(1, _CHUNK_BITS // mask.period)
        period = mask.period * repeat
        # As far as the last pointer; a damaged type's size says nothing about memory.
        known = mask.period * (repeat - 1) + mask.pointers.size
        bits = np.zeros(-(-known // _CHUNK_BITS) * _CHUNK_BITS, np.bool_)
        for tile in range(repeat):
            bits[tile * mask.period : tile * mask.period + mask.pointers.size] = mask.pointers
        starts.append(at)
        pointers.append(known)
        periods.append(period)
        parts.append(np.packbits(bits, bitorder="little").view(np.uint64))
        at += parts[-1].size
    return {
        "mask_start": np.array(starts, np.uint64),
        "mask_pointers": np.array(pointers, np.uint64),
        "mask_period": np.array(periods, np.uint64),
        "mask_bits": np.concatenate([*parts, np.zeros(1, np.uint64)]),
    }

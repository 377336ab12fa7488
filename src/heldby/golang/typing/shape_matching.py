"""Typing by shape: objects that no typed pointer leads to, above all those that stripped globals hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.digests import mixed
from heldby.golang.code.code_types import CodeTypes
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_layout import TypeLayouts
from heldby.golang.typing.large_shapes import LargeShapes
from heldby.golang.typing.shape_index import ShapeIndex
from heldby.golang.typing.shape_kernels import (
    IMPOSSIBLE,
    POINT,
    common_targets,
    match_shapes,
    read_pointer_bits,
)
from heldby.golang.typing.type_word_kernels import DynamicTypes, HeapView, TypeColumns, TypingState
from heldby.golang.typing.typing_arrays import group_equal

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
_SAMPLE: Final = 2048
_MAX_CANDIDATES: Final = 2048
_MAX_PAIRS: Final = 1 << 23
_MAX_ALL_PAIRS: Final = 1 << 26
_MAX_OBJECTS: Final = 1 << 22
_MAX_SAMPLED: Final = 1 << 19
_MAX_CHOICE: Final = 16


class _Scored(NamedTuple):
    """Objects with the types that they can be: sorted by object, then the best score first."""

    object: U32
    type: U32
    score: NDArray[np.int32]


def best_first(objects: U32, types: U32, score: NDArray[np.int32]) -> _Scored:
    """Return pairs of objects and types sorted by object, the best score first, then by type.

    One sort of numbers that hold all three: `numpy.lexsort` sorts three times, by way of indexes, and took half
    of the time of typing a stripped server of 1.6 million objects.
    """
    if not objects.size:
        return _Scored(objects, types, score)
    best = int(score.max())
    behind = (best - score.astype(np.int64)).astype(np.uint64)
    type_bits, score_bits = int(types.max()).bit_length(), int(behind.max()).bit_length()
    if int(objects.max()).bit_length() + type_bits + score_bits > 64:
        order = np.lexsort((types, behind, objects))
        return _Scored(objects[order], types[order], score[order])
    key = objects.astype(np.uint64) << np.uint64(score_bits) | behind
    key = key << np.uint64(type_bits) | types
    key.sort()
    found = (key & np.uint64((1 << type_bits) - 1)).astype(np.uint32)
    key >>= np.uint64(type_bits)
    behind = key & np.uint64((1 << score_bits) - 1)
    key >>= np.uint64(score_bits)
    return _Scored(key.astype(np.uint32), found, (best - behind.astype(np.int64)).astype(np.int32))


class ShapeMatcher:
    """Finds types by shape for objects that are still unknown; the caller follows what they lead to."""

    def __init__(
        self,
        runtime: Runtime,
        heap: HeapView,
        index: ShapeIndex,
        layouts: TypeLayouts,
        code: CodeTypes,
        large: LargeShapes | None = None,
    ) -> None:
        self._runtime = runtime
        self._large = large
        self._heap = heap
        self._index = index
        self._layouts = layouts
        self._code = code
        self._turn = 0
        self._budget = _MAX_ALL_PAIRS
        self._candidates: dict[tuple[int, int], U32] = {}
        self._choices: dict[tuple[int, ...], int] = {}
        self._lots = mixed(np.arange(1 << 16, dtype=np.uint64)) >> np.uint64(1) | np.uint64(1)
        ranges = [module.range("text", "end") for module in runtime.modules]
        self._low, self._high = min(low for low, _ in ranges), max(high for _, high in ranges)

    def match(
        self,
        objects: U32,
        state: TypingState,
        dynamic: DynamicTypes,
        columns: Callable[[], TypeColumns],
        *,
        confirmed: bool,
        sample: int | None,
    ) -> tuple[U32, U32]:
        """Return objects whose type their shape and contents decide, and their packed types.

        Args:
            objects: unknown objects of at most 512 bytes.
            state: what is known of all objects.
            dynamic: interface words.
            columns: builds the type columns, once the programs of all candidates are there.
            confirmed: accept only types for which something in the contents speaks.
            sample: look at no more than this many objects of one shape; None for all.
        """
        scored = self._scored(objects, state, dynamic, columns, sample)
        first, size, best, second = _ranks(scored)
        # Without anything that speaks for it a type must be the only possible one.
        good = ((size == 1) | (best > second)) & ((best >= POINT) if confirmed else (best >= 0))
        return scored.object[first[good]], scored.type[first[good]]

    def choose(
        self,
        objects: U32,
        state: TypingState,
        dynamic: DynamicTypes,
        columns: Callable[[], TypeColumns],
    ) -> tuple[U32, U32]:
        """Return objects with several equally possible types, and a type that says what these agree on.

        What every candidate says of a word is true whichever it is; so a list's head leads to elements even
        though a head and an element look alike.
        """
        scored = self._scored(objects, state, dynamic, columns, None)
        first, _, best, _ = _ranks(scored)
        lead = np.repeat(np.arange(first.size), np.diff(np.append(first, scored.object.size)))
        tied = scored.score == best[lead]
        draws = np.where(tied, self._lots[scored.type % self._lots.size], np.uint64(0))
        together = np.add.reduceat(draws, first) if first.size else draws
        count = np.add.reduceat(tied.astype(np.int64), first) if first.size else first
        packed = np.zeros(first.size, np.uint32)
        elemsize = self._heap.elemsize[self._heap.span[scored.object[first]]]
        example, group = group_equal(together, elemsize)
        chosen = np.zeros(example.size, np.uint32)
        for row, place in enumerate(example.tolist()):
            rows = slice(int(first[place]), int(first[place]) + int(count[place]))
            chosen[row] = self._choice(scored.type[rows], int(elemsize[place]))
        packed = chosen[group]
        decided = packed != 0
        return scored.object[first[decided]], packed[decided]

    def _choice(self, candidates: U32, elemsize: int) -> int:
        """Return the packed type that stands for "one of these", 0 when nothing can be said."""
        if not 1 < candidates.size <= _MAX_CHOICE or (candidates & np.uint32(1)).any():
            return 0
        key = tuple(sorted((candidates >> np.uint32(1)).tolist()))
        if key not in self._choices:
            self._choices[key] = self._layouts.add_choice(key, elemsize)
        return self._choices[key] * 2

    def _scored(
        self,
        objects: U32,
        state: TypingState,
        dynamic: DynamicTypes,
        columns: Callable[[], TypeColumns],
        sample: int | None,
    ) -> _Scored:
        """Return all possible types of the objects, best first for each object."""
        # A part of very many, another one each time: what is learnt of them types the others.
        stride = -(-objects.size // (_MAX_OBJECTS if sample is None else _MAX_SAMPLED))
        self._turn += 1
        objects = objects[self._turn % max(stride, 1) :: max(stride, 1)]
        bits = np.zeros(objects.size, np.uint64)
        read_pointer_bits(self._runtime.pages, self._heap, objects, bits)
        pair_object, pair_type = self._pairs(objects[bits != 0], bits[bits != 0], state, sample)
        if self._large is not None:
            wide = objects[self._heap.bitmap[self._heap.span[objects]] == 0]
            some, types = self._large_pairs(self._large, wide, state, sample)
            pair_object, pair_type = np.concatenate([pair_object, some]), np.concatenate([pair_type, types])
        numbers = np.unique(pair_type >> np.uint32(1))
        self._layouts.ensure(numbers)
        table = columns()
        score = np.zeros(pair_object.size, np.int32)
        match_shapes(
            self._runtime.pages,
            self._heap,
            table,
            dynamic,
            self._index.checks(table.size.size, numbers),
            self._used_types(table.size.size),
            self._index.first_parts(table.size.size),
            state.type,
            state.evidence,
            self._low,
            self._high,
            pair_object,
            pair_type,
            score,
        )
        possible = score > IMPOSSIBLE
        pair_object, pair_type, score = pair_object[possible], pair_type[possible], score[possible]
        return best_first(pair_object, pair_type, score)

    def _large_pairs(
        self, large: LargeShapes, objects: U32, state: TypingState, sample: int | None
    ) -> tuple[U32, U32]:
        pair_object, pair_type, plain = large.pairs(self._heap, objects, sample)
        agreed = np.zeros(plain.size, np.uint32)
        common_targets(self._runtime.pages, self._heap, state.type, plain, agreed)
        runs, leads = self._pointer_runs(plain, agreed)
        return np.concatenate([pair_object, runs]), np.concatenate([pair_type, leads])

    def _used_types(self, total: int) -> NDArray[np.bool_]:
        """Return which packed types the code allocates; the parts of a map or channel where it makes one."""
        types, allocated = self._layouts.types, self._code.allocated
        used, repeated = np.zeros(total, np.bool_), np.zeros(total, np.bool_)
        used[: allocated.size] = allocated
        if not allocated.any():
            return np.repeat(used, 2)
        sequences = np.isin(types.kind[: len(types)], (scan.SLICE, scan.ARRAY, scan.CHAN))
        repeated[: allocated.size] = self._code.repeated
        repeated[types.elem[: len(types)][sequences]] = True
        made = np.arange(allocated.size, len(types))
        used[made] = used[types.elem[made]]
        repeated[made] = True
        maps = np.flatnonzero(used[: allocated.size] & (types.kind[: allocated.size] == scan.MAP))
        for number in maps.tolist():
            used[types.map_slots(number)] = repeated[types.map_slots(number)] = True
        return np.stack((used, used & repeated), axis=1).reshape(-1)

    def _pairs(self, objects: U32, bits: U64, state: TypingState, sample: int | None) -> tuple[U32, U32]:
        elemsize = self._heap.elemsize[self._heap.span[objects]]
        example, group = group_equal(elemsize, bits)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(example.size + 1))
        agreed = np.zeros(objects.size, np.uint32)
        common_targets(self._runtime.pages, self._heap, state.type, objects, agreed)
        left, pair_object, pair_type = min(_MAX_PAIRS, self._budget), [objects[:0]], [objects[:0]]
        for row, (size, mask) in enumerate(
            zip(elemsize[example].tolist(), bits[example].tolist(), strict=True)
        ):
            mine = order[bounds[row] : bounds[row + 1]]
            found = self._shape_candidates(size, mask)
            if sample is not None and mine.size > sample:
                mine = mine[:: mine.size // sample]
            if mask & (mask + 1) == 0:
                some, leads = self._pointer_runs(objects[mine], agreed[mine])
                pair_object.append(some)
                pair_type.append(leads)
            if mine.size * found.size > left or found.size > _MAX_CANDIDATES:
                continue
            left -= mine.size * found.size
            self._budget -= mine.size * found.size
            pair_object.append(np.repeat(objects[mine], found.size))
            pair_type.append(np.tile(found, mine.size))
        return np.concatenate(pair_object), np.concatenate(pair_type)

    def _shape_candidates(self, elemsize: int, bits: int) -> U32:
        key = (elemsize, bits)
        if key not in self._candidates:
            self._candidates[key] = self._index.candidates(elemsize, bits)
        return self._candidates[key]

    def _pointer_runs(self, objects: U32, agreed: U32) -> tuple[U32, U32]:
        """Return runs of pointers that all lead to objects of one type, and the run's type."""
        leads = np.zeros(objects.size, np.uint32)
        for packed in np.unique(agreed).tolist():
            pointer = self._index.pointer_to.get(packed >> 1, 0) if packed and not packed & 1 else 0
            if pointer:
                leads[agreed == packed] = pointer * 2 + 1
        return objects[leads != 0], leads[leads != 0]


def _ranks(
    scored: _Scored,
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return for each object: where its types start, how many there are, the best and second-best score."""
    objects, score = scored.object, scored.score
    if not objects.size:
        return np.zeros(0, np.intp), np.zeros(0, np.int64), score, score
    first = np.flatnonzero(np.append(True, objects[1:] != objects[:-1]))
    size = np.diff(np.append(first, objects.size))
    second = score[np.minimum(first + 1, objects.size - 1)]
    return first, size, score[first], np.where(size > 1, second, np.int32(IMPOSSIBLE))

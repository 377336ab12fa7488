"""Which types an object of more than 512 bytes can have, where nothing in the slot says it (Go 1.21).

From Go 1.22 on such objects name their type. In 1.21 all that is known are pointer bits, one for each word: a type,
or a run of values of it, whose bits and size are those of the object is a candidate. Compared are the first 64 bits,
the place of the last pointer and how many there are; `match_shapes` then looks at the contents.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.spans import SpanTable
from heldby.golang.objects.type_masks import TypeMasks
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.types import FIRST_DESCRIPTOR, TypeTable
from heldby.golang.typing.large_shape_kernels import summarise_pointer_bits
from heldby.golang.typing.type_word_kernels import HeapView
from heldby.golang.typing.typing_arrays import group_equal, slot_bytes_of

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
_FIRST_BITS: Final = 64
_MAX_CANDIDATES: Final = 512
# Different shapes that one round looks at, those of most bytes first.
_MAX_SHAPES: Final = 1 << 14
# Words of the objects that one round looks at, each object counted once for every candidate.
_MAX_WORDS: Final = 1 << 26


class LargeShapes:
    """Types by the shape of their values, for objects of more than 512 bytes.

    Args:
        runtime: of the process.
        types: of the program.
        numbers: ``uint32[k]``, the types that such an object can have, or be a run of.
        spans: where the objects lie.
    """

    def __init__(self, runtime: Runtime, types: TypeTable, numbers: U32, spans: SpanTable) -> None:
        self._pages = runtime.pages
        self._spans = spans
        self._budget = _MAX_WORDS
        reader = TypeMasks(runtime)
        rows = [_summary(types, reader, number) for number in numbers.tolist()]
        sound = [row for row in rows if row is not None]
        self._numbers = np.array([row[0] for row in sound], np.uint32)
        self._size, self._first, self._prefix, self._pointers = (
            np.array([row[column] for row in sound], np.uint64) for column in range(1, 5)
        )
        self._slot = slot_bytes_of(self._size)
        self._known: dict[tuple[int, ...], U32] = {}

    def pairs(self, heap: HeapView, objects: U32, sample: int | None) -> tuple[U32, U32, U32]:
        """Return objects with the packed types that they can have, one row each, and those of pointers only.

        The first two are the rows; the third are the objects all of whose words up to the last pointer are
        pointers, which can be runs of pointers of any kind.
        """
        spans = self._spans
        span = heap.span[objects]
        objects, span = objects[spans.pointer_bits[span] != 0], span[spans.pointer_bits[span] != 0]
        first, last, count = (np.zeros(objects.size, np.uint64) for _ in range(3))
        summarise_pointer_bits(
            self._pages,
            spans.pointer_bits,
            spans.base,
            spans.elemsize,
            heap.addr,
            span,
            objects,
            first,
            last,
            count,
        )
        elemsize = spans.elemsize[span]
        room = np.where(spans.large[span], spans.extent[span], np.uint64(0))
        example, group = group_equal(elemsize, room, first, last, count)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(example.size + 1))
        pair_object, pair_type = [objects[:0]], [objects[:0]]
        most = np.argsort(-np.diff(bounds) * elemsize[example].astype(np.int64), kind="stable")[:_MAX_SHAPES]
        for row in most.tolist():
            place = example[row]
            mine = order[bounds[row] : bounds[row + 1]]
            if sample is not None and mine.size > sample:
                mine = mine[:: mine.size // sample]
            shape = tuple(int(v[place]) for v in (elemsize, room, first, last, count))
            if shape not in self._known:
                self._known[shape] = self._candidates(*shape)
            found = self._known[shape]
            work = mine.size * found.size * int(elemsize[place]) // 8
            if found.size > _MAX_CANDIDATES or work > self._budget:
                continue
            self._budget -= work
            pair_object.append(np.repeat(objects[mine], found.size))
            pair_type.append(np.tile(found, mine.size))
        return np.concatenate(pair_object), np.concatenate(pair_type), objects[(last == count) & (count != 0)]

    def _candidates(self, elemsize: int, room: int, first: int, last: int, count: int) -> U32:
        """Return the packed types whose values have these bits in a slot of that size."""
        if not count:
            return self._numbers[:0]
        step = self._size >> np.uint64(3)
        fits_one = (self._slot == elemsize) if not room else (self._size == room)
        one = fits_one & (self._first == first) & (self._prefix == last) & (self._pointers == count)
        many = (self._prefix <= last) & (step > 0)
        distance = np.where(many, np.uint64(last) - self._prefix, np.uint64(0))
        times = distance // np.maximum(step, np.uint64(1)) + np.uint64(1)
        many &= (distance % np.maximum(step, np.uint64(1)) == 0) & (times > 1)
        many &= times * self._pointers == count
        total = times * self._size
        many &= (total == room) if room else (slot_bytes_of(total) == elemsize)
        rows = np.flatnonzero(many)
        tiled = np.array([_tiled(int(self._first[r]), int(step[r]), int(times[r])) for r in rows], np.uint64)
        rows = rows[tiled == np.uint64(first)]
        return np.concatenate([self._numbers[one] * 2, self._numbers[rows] * 2 + 1]).astype(np.uint32)


def _summary(types: TypeTable, reader: TypeMasks, number: int) -> tuple[int, int, int, int, int] | None:
    """Return number, size, first 64 pointer bits, words up to the last pointer, and pointers of a type."""
    size, prefix = int(types.size[number]), int(types.ptrbytes[number]) // 8
    mask = int(types.pointer_mask[number])
    if not mask and number >= FIRST_DESCRIPTOR and number - FIRST_DESCRIPTOR < types.descriptor_addrs.size:
        known = reader.of(int(types.descriptor_addrs[number - FIRST_DESCRIPTOR]))
        if known is None or not known.pointers.any():
            return None
        words = np.flatnonzero(known.pointers)
        first = sum(1 << int(word) for word in words[words < _FIRST_BITS])
        return number, size, first, int(words[-1]) + 1, int(words.size)
    return (number, size, mask, mask.bit_length(), mask.bit_count()) if mask and prefix else None


def _tiled(mask: int, step: int, times: int) -> int:
    """Return the first 64 bits of `times` values of `step` words one after the other."""
    bits = 0
    for place in range(min(times, -(-_FIRST_BITS // step))):
        bits |= mask << place * step
    return bits & ((1 << _FIRST_BITS) - 1)

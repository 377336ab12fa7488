"""Pointer bits of Go 1.21: one bit for every word of an arena, kept in the arena's own record.

runtime/mbitmap.go (1.21), heapBitsForAddr: word w of the arena has bit ``w % 64`` of ``heapArena.bitmap[w / 64]``.
The allocator writes all bits of a slot, zeros behind the last pointer included (writeHeapBits.flush), so the
second map, noMorePtrs, says nothing that these bits do not say.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.runtime.runtime import Runtime

U64 = NDArray[np.uint64]
_ARENA_SHIFT: Final = 26  # runtime/malloc.go, logHeapArenaBytes on 64-bit Linux
_MAX_MASK_WORDS: Final = 1 << 27


class ArenaBitmaps:
    """Finds the pointer bits of addresses.

    Args:
        runtime: whose layout has ``heapArena.bitmap``.
    """

    def __init__(self, runtime: Runtime) -> None:
        layout = runtime.layout
        self._image = runtime.image
        self._table = runtime.mheap_word("arenas")
        self._bitmap = layout.offset("runtime.heapArena", "bitmap")
        # runtime/malloc.go, arenaIndex: addresses count from arenaBaseOffset, which is negative on amd64.
        self._base = layout.const("runtime.arenaBaseOffsetUintptr") & ((1 << 64) - 1)
        self._arenas: dict[int, int] = {}

    def addresses(self, base: U64, size: U64) -> U64:
        """Return where the bits of each ``[base, base + size)`` begin; 0 where they do not lie in one piece.

        `base` must be a multiple of 512 bytes, so that a word of bits begins there. O(arenas).
        """
        arena = base >> np.uint64(_ARENA_SHIFT)
        whole = arena == (base + np.maximum(size, np.uint64(1)) - np.uint64(1)) >> np.uint64(_ARENA_SHIFT)
        distinct, inverse = np.unique(arena, return_inverse=True)
        records = np.array([self._record(int(number) << _ARENA_SHIFT) for number in distinct], np.uint64)
        record = records[inverse] if distinct.size else np.zeros(0, np.uint64)
        within = base & np.uint64((1 << _ARENA_SHIFT) - 1)
        found = record + np.uint64(self._bitmap) + ((within >> np.uint64(9)) << np.uint64(3))
        return np.where(whole & (record != 0), found, np.uint64(0))

    def mask(self, start: int, size: int) -> NDArray[np.bool_] | None:
        """Return which words of ``[start, start + size)`` are pointers, up to the last one; over several arenas.

        None when a part of the bits is not in the capture.
        """
        if size // 8 > _MAX_MASK_WORDS:
            return None
        parts: list[NDArray[np.bool_]] = []
        at, end = start, start + size
        while at < end:
            stop = min(end, ((at >> _ARENA_SHIFT) + 1) << _ARENA_SHIFT)
            record, first = self._record(at), (at & ((1 << _ARENA_SHIFT) - 1)) >> 3
            count = (stop - at) >> 3
            if not record:
                return None
            try:
                raw = self._image.read_array(record + self._bitmap + first // 8, (first % 8 + count + 7) // 8)
            except NotCaptured:
                return None
            bits = np.unpackbits(raw, bitorder="little")[first % 8 : first % 8 + count]
            parts.append(bits.astype(np.bool_))
            at = stop
        whole = np.concatenate(parts)
        last = np.flatnonzero(whole)
        return whole[: int(last[-1]) + 1 if last.size else 0]

    def _record(self, addr: int) -> int:
        """Return the address of the heapArena that `addr` belongs to, 0 when it is not in the capture."""
        number = ((addr - self._base) & ((1 << 64) - 1)) >> _ARENA_SHIFT
        if number not in self._arenas:
            try:
                self._arenas[number] = self._image.u64(self._table + 8 * number)
            except NotCaptured:
                self._arenas[number] = 0
        return self._arenas[number]

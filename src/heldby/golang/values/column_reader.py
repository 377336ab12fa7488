"""Reads the columns that `field_columns` describes: one value for each address, and which are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.runtime.structs import words_at
from heldby.golang.texts.text_kernels import copy_pieces
from heldby.golang.values import field_columns as columns
from heldby.golang.values.field_columns import Leaf
from heldby.golang.values.memory import GoMemory
from heldby.memory.paging_kernels import PageTable

LONGEST_TEXT: Final = 1 << 16
MOST_TEXT: Final = 1 << 28
_DTYPES: Final[dict[tuple[int, int], Any]] = {
    **{(columns.SIGNED, size): np.dtype(f"i{size}") for size in (1, 2, 4, 8)},
    **{(columns.UNSIGNED, size): np.dtype(f"u{size}") for size in (1, 2, 4, 8)},
    **{(columns.REAL, size): np.dtype(f"f{size}") for size in (4, 8)},
}
# Seconds from January 1 of year 1 to 1970, and to 1885 (time/time.go); those around 1970 that microseconds in int64
# and DuckDB's TIMESTAMP hold, from 289,568 BC to 293,507.
_UNIX: Final = 62135596800
_WALL: Final = 59453308800
_FARTHEST: Final = 9_200_000_000_000
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]


class TooMuchText(Exception):
    """The texts of these rows together take more than `MOST_TEXT`: ask for fewer rows."""


class ColumnReader:
    """Reads columns of one process.

    Args:
        memory: of the process.
        program: pages of the program's read-only parts, where constant strings lie.
    """

    def __init__(self, memory: GoMemory, program: PageTable) -> None:
        self._memory = memory
        self._pages = memory.runtime.pages
        self._program = program

    def read(self, leaf: Leaf, addrs: U64) -> tuple[NDArray[Any], Bools]:
        """Return the value at each address of a value, and which are unknown: behind nil, not captured.

        Numbers as they are, texts and names of types as objects (str), times as ``datetime64[us]``. O(addresses).

        Raises:
            TooMuchText: see there.
        """
        unknown = np.zeros(addrs.size, np.bool_)
        zero = np.zeros(addrs.size, np.bool_)
        for at, hop in enumerate(leaf.hops):
            addrs, present = self._words(addrs + np.uint64(hop))
            nil = present & (addrs == 0) & ~unknown
            if leaf.nil_is_zero and at == len(leaf.hops) - 1:
                zero = nil
            else:
                unknown |= nil
            unknown |= ~present
        values, missing = self._values(leaf, addrs + np.uint64(leaf.offset), unknown | zero)
        if zero.any():
            values[zero] = 0
        return values, (missing | unknown) & ~zero

    def _words(self, addrs: U64) -> tuple[U64, Bools]:
        """Return the words at `addrs`, which may lie in the program too."""
        words, present = words_at(self._pages, addrs)
        rest = np.flatnonzero(~present)
        if rest.size:
            words[rest], present[rest] = words_at(self._program, addrs[rest])
        return words, present

    def _values(self, leaf: Leaf, addrs: U64, skipped: Bools) -> tuple[NDArray[Any], Bools]:
        if leaf.what == columns.TEXT:
            return self._texts(addrs, skipped)
        words, present = self._words(addrs & ~np.uint64(7))
        missing = ~present
        if leaf.what == columns.TIME:
            return self._times(words, addrs, missing)
        if leaf.what == columns.DYNAMIC:
            return self._names(leaf, words, missing | skipped)
        words >>= (addrs & np.uint64(7)) << np.uint64(3)
        if leaf.what == columns.BOOL:
            return (words & np.uint64(255)) != 0, missing
        if leaf.what == columns.ADDRESS:
            return words, missing | (words == 0)
        if leaf.what == columns.COUNT:
            return words.view(np.int64), missing | (words >> np.uint64(48) != 0)
        dtype = _DTYPES[leaf.what, leaf.size]
        return words.view(np.uint8).reshape(-1, 8)[:, : leaf.size].copy().view(dtype).reshape(-1), missing

    def _times(self, wall: U64, addrs: U64, missing: Bools) -> tuple[NDArray[Any], Bools]:
        ext, present = self._words(addrs + np.uint64(8))
        monotonic = wall >> np.uint64(63) != 0
        since = np.int64(_WALL) + ((wall << np.uint64(1)) >> np.uint64(31)).astype(np.int64)
        seconds = np.where(monotonic, since, ext.view(np.int64))
        known = present & ~missing & (seconds > _UNIX - _FARTHEST) & (seconds < _UNIX + _FARTHEST)
        seconds = np.where(known, seconds - _UNIX, 0)
        fraction = (wall & np.uint64((1 << 30) - 1)).astype(np.int64) // 1000
        return (seconds * 1_000_000 + fraction).view("datetime64[us]"), ~known

    def _names(self, leaf: Leaf, words: U64, missing: Bools) -> tuple[NDArray[Any], Bools]:
        """Return the concrete type of each interface; Python for each distinct first word."""
        distinct, codes = np.unique(np.where(missing, np.uint64(0), words), return_inverse=True)
        names = np.empty(distinct.size, object)
        for row, word in enumerate(distinct.tolist()):
            number = self._memory.dynamic_type(word, leaf.type)
            names[row] = self._memory.types.display_name(number) if number else None
        return names[codes], missing | np.array([name is None for name in names], np.bool_)[codes]

    def _texts(self, headers: U64, skipped: Bools) -> tuple[NDArray[Any], Bools]:
        address, present = self._words(headers)
        length, whole = self._words(headers + np.uint64(8))
        unknown = skipped | ~present | ~whole | ~self._plausible(address, length)
        wanted = np.where(unknown, np.uint64(0), np.minimum(length, np.uint64(LONGEST_TEXT))).astype(np.int64)
        starts = np.zeros(wanted.size + 1, np.int64)
        np.cumsum(wanted, out=starts[1:])
        if starts[-1] > MOST_TEXT and wanted.size > 1:
            raise TooMuchText
        out, there = np.zeros(int(starts[-1]), np.uint8), np.zeros(wanted.size, np.uint8)
        copy_pieces(self._pages, address, starts, out, there)
        self._copy_constants(address, starts, out, there)
        unknown |= (there == 0) & (wanted > 0)
        data, bounds = out.tobytes(), starts.tolist()
        # No loop of Python's: map runs in C, a third of a microsecond a text.
        pieces = map(data.__getitem__, map(slice, bounds[:-1], bounds[1:]))
        texts = np.empty(wanted.size, object)
        texts[:] = list(map(str, pieces, repeat("utf-8"), repeat("backslashreplace")))
        return texts, unknown

    def _plausible(self, address: U64, length: U64) -> Bools:
        """Tell which lengths can be: of data in the heap those that end within the data's object."""
        objects = self._memory.objects
        target = objects.find(address)
        span = objects.span_of(target)
        spans = objects.spans
        size = np.where(spans.large[span], spans.extent[span], spans.elemsize[span])
        room = size - np.minimum(address - objects.address_of(target), size)
        found: Bools = np.where(target != 0, length <= room, length < np.uint64(1 << 30))
        return found

    def _copy_constants(
        self, address: U64, starts: NDArray[np.int64], out: NDArray[np.uint8], there: NDArray[np.uint8]
    ) -> None:
        """Fill in the texts that the capture does not have but the program does."""
        rows = np.flatnonzero((there == 0) & (starts[1:] > starts[:-1]))
        if not rows.size:
            return
        lengths = (starts[1:] - starts[:-1])[rows]
        own = np.zeros(rows.size + 1, np.int64)
        np.cumsum(lengths, out=own[1:])
        found, present = np.zeros(int(own[-1]), np.uint8), np.zeros(rows.size, np.uint8)
        copy_pieces(self._program, address[rows], own, found, present)
        places = np.repeat(starts[:-1][rows] - own[:-1], lengths) + np.arange(found.size)
        out[places] = found
        there[rows] = present


def read_all(reader: Callable[[U64], tuple[NDArray[Any], Bools]], addrs: U64) -> tuple[NDArray[Any], Bools]:
    """Read a column of as many rows as there are, in halves where their texts are too much at once."""
    try:
        return reader(addrs)
    except TooMuchText:
        middle = addrs.size // 2
        low, high = read_all(reader, addrs[:middle]), read_all(reader, addrs[middle:])
        return np.concatenate((low[0], high[0])), np.concatenate((low[1], high[1]))

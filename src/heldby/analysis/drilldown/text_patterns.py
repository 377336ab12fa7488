"""What a text is searched for: bytes, or a regular expression, in many pieces of the process's memory at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.texts.text_kernels import copy_pieces
from heldby.golang.texts.text_search_kernels import find_bytes
from heldby.heap.heap import Heap

LONGEST: Final = 1 << 20
"""So many bytes of a text are searched with a regular expression."""
NOT_CAPTURED: Final = 2
_META: Final = re.compile(r"[.^$*+?{}\[\]\\|()]")
_MOST_BYTES: Final = 1 << 26
_STRETCH: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class TextPattern:
    """What to search for; make it with `text_pattern`.

    Attributes:
        literal: bytes that every match has; empty for none.
        expression: what decides where `literal` was found; None when the literal alone does.
        note: what to say when it was meant to be a regular expression and is none.
    """

    literal: bytes
    expression: re.Pattern[bytes] | None = None
    note: str | None = None

    def matches(
        self, heap: Heap, address: NDArray[np.uint64], length: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return 1 for each text that matches, 0 for one that does not, `NOT_CAPTURED` for one that may. O(bytes)."""
        found = np.ones(address.size, np.uint8)
        if self.literal:
            needle = np.frombuffer(self.literal, np.uint8)
            find_bytes(heap.process.runtime.pages, address, length, needle, found)
        if self.expression is not None:
            rows = np.flatnonzero(found == 1)
            found[rows] = _matching(heap, address[rows], np.minimum(length[rows], LONGEST), self.expression)
        return found


def text_pattern(text: str) -> TextPattern:
    """Return what `text` means: a regular expression (Python's ``re``, on bytes), or plain text if it is none."""
    data = text.encode("utf-8", "surrogateescape")
    if not _META.search(text):
        return TextPattern(data)
    try:
        return TextPattern(_required(data), re.compile(data))
    except re.error as error:
        return TextPattern(data, note=f"searched as plain text, since it is no regular expression: {error}")


def _required(expression: bytes) -> bytes:
    """Return the longest run of bytes that every match must have; empty when that cannot be told.

    Looking for it is ten times faster than looking for the expression. Python's own parser says what it is made
    of; that is no public part of Python, so its absence costs time and nothing else.
    """
    try:
        from re import _constants, _parser  # type: ignore[attr-defined]

        parsed: Any = _parser.parse(expression)
        if parsed.state.flags & re.IGNORECASE:
            return b""
        runs, run = [b""], b""
        for operation, argument in parsed:
            if operation is _constants.LITERAL:
                run += bytes((argument,))
            else:
                run = b""
            runs.append(run)
        return max(runs, key=len)
    except (ImportError, AttributeError, TypeError, ValueError):
        return b""


def _matching(
    heap: Heap, address: NDArray[np.uint64], length: NDArray[np.int64], expression: re.Pattern[bytes]
) -> NDArray[np.uint8]:
    found = np.zeros(address.size, np.uint8)
    ends = np.cumsum(length)
    low = 0
    while low < address.size:
        before = int(ends[low - 1]) if low else 0
        high = max(min(int(np.searchsorted(ends, before + _MOST_BYTES)), low + _STRETCH), low + 1)
        starts = np.zeros(high - low + 1, np.int64)
        starts[1:] = ends[low:high] - before
        out, present = np.zeros(int(starts[-1]), np.uint8), np.zeros(high - low, np.uint8)
        copy_pieces(heap.process.runtime.pages, address[low:high], starts, out, present)
        data, bounds = out.tobytes(), starts.tolist()
        # No loop of Python's: map runs in C.
        pieces = map(data.__getitem__, map(slice, bounds[:-1], bounds[1:]))
        matches = np.fromiter(map(bool, map(expression.search, pieces)), np.bool_, high - low)
        found[low:high] = np.where(present == 0, NOT_CAPTURED, matches)
        low = high
    return found

"""The string values in objects: where they are, how long, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.string_values import Strings, joined, strings_of_objects, strings_of_roots
from heldby.golang.texts.text_kernels import copy_pieces
from heldby.sql.facts import Facts, Known, Texts

LONGEST_TEXT: Final = 1024
_STRETCH: Final = 1 << 16


def find_strings(facts: Facts) -> Strings:
    """Return the string values of all objects and variables. O(references)."""
    heap = facts.heap
    return joined([*(part.copy() for part in strings_of_objects(heap)), strings_of_roots(heap)])


def texts_of(facts: Facts, strings: Strings) -> list[str | None]:
    """Return the first `LONGEST_TEXT` bytes of each string as text, None where they were not captured."""
    found: list[str | None] = []
    for low in range(0, strings.edges.size, _STRETCH):
        part = slice(low, low + _STRETCH)
        lengths = np.minimum(strings.length[part], LONGEST_TEXT)
        starts = np.zeros(lengths.size + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        out, present = np.zeros(int(starts[-1]), np.uint8), np.zeros(lengths.size, np.uint8)
        copy_pieces(facts.heap.process.runtime.pages, strings.address[part], starts, out, present)
        data, bounds = out.tobytes(), starts.tolist()
        # No loop of Python's: map runs in C, a third of a microsecond a string.
        pieces = map(data.__getitem__, map(slice, bounds[:-1], bounds[1:]))
        decoded: list[str | None] = list(map(str, pieces, repeat("utf-8"), repeat("replace")))
        for row in np.flatnonzero((present == 0) | ~strings.known[part]).tolist():
            decoded[row] = None
        found += decoded
    return found


def string_column(name: str) -> Callable[[Facts], Any]:
    """Return where the column `name` of the table of strings comes from."""

    def values(facts: Facts) -> NDArray[Any] | Known | Texts:
        strings = facts.shared(find_strings)
        heap, sources = facts.heap, strings.source
        if name == "source":
            return facts.address_of(sources)
        if name == "root":
            return facts.root_of(sources)
        if name == "object":
            return heap.objects.addr[strings.target]
        if name == "address":
            return strings.address, ~strings.known
        if name == "bytes":
            return strings.length, ~strings.known
        if name == "field":
            return heap.naming.types.layouts.labels.texts, heap.naming.labels(strings.edges, sources)
        return texts_of(facts, strings), np.arange(strings.edges.size, dtype=np.uint32)

    return values

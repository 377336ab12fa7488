"""The string values in objects: where they are, how long, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.structs import words_at
from heldby.golang.text_kernels import copy_pieces
from heldby.golang.type_layout import STRING
from heldby.sql.facts import Facts, Known, Texts

LONGEST_TEXT: Final = 1024
_STRETCH: Final = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """String values, one for each reference of an object or root to string data in the heap.

    Attributes:
        edges: the references.
        address: where the data begin.
        length: bytes; what the header says, if that lies within the data's object.
        known: which lengths and addresses are known.
    """

    edges: NDArray[np.int64]
    address: NDArray[np.uint64]
    length: NDArray[np.int64]
    known: NDArray[np.bool_]


def find_strings(facts: Facts) -> Strings:
    """Return the string values of all objects and variables. O(references)."""
    heap = facts.heap
    in_object = facts.sources[facts.edges] <= heap.object_count
    inside, rooted = facts.edges[in_object], facts.edges[~in_object]
    inside = inside[heap.naming.word_kinds(inside, facts.sources[inside]) == STRING]
    rooted = rooted[_root_word_kinds(facts, rooted) == STRING]
    edges = np.concatenate((inside, rooted))
    words = heap.words[inside].astype(np.uint64) * np.uint64(8)
    header = np.concatenate(
        (heap.objects.addr[facts.sources[inside]] + words, heap.roots.slot_addr[heap.words[rooted]])
    )
    pages = heap.process.runtime.pages
    address, has_address = words_at(pages, header)
    length, has_length = words_at(pages, header + np.uint64(8))
    in_register = header == 0
    target = facts.targets[edges]
    spans, span = heap.objects.spans, heap.objects.span[target]
    first = heap.objects.addr[target]
    size = np.where(spans.large[span], spans.extent[span], spans.elemsize[span])
    offset = address - first
    # A length that leads out of the data's object was being written, or is no length.
    fits = (offset <= size) & (length <= size - np.minimum(offset, size))
    known = has_address & has_length & ~in_register & fits
    return Strings(edges, address, np.where(known, length, np.uint64(0)).astype(np.int64), known)


def _root_word_kinds(facts: Facts, edges: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return what kind of word each of these edges of roots lies in; Python for each distinct variable word."""
    heap = facts.heap
    roots, layouts = heap.roots, heap.naming.types.layouts
    slots = heap.words[edges]
    keys = roots.slot_type[slots].astype(np.uint64) << np.uint64(32) | roots.slot_word[slots]
    distinct, inverse = np.unique(keys, return_inverse=True)
    kinds = []
    for key in distinct.tolist():
        program = layouts.program(key >> 32)
        at = np.flatnonzero(program.word == (key & 0xFFFFFFFF))
        kinds.append(int(program.kind[at[0]]) if at.size else 0)
    return np.array(kinds, np.uint32)[inverse]


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
        heap, sources = facts.heap, facts.sources[strings.edges]
        if name == "source":
            return facts.address_of(sources)
        if name == "root":
            return facts.root_of(sources)
        if name == "object":
            return heap.objects.addr[facts.targets[strings.edges]]
        if name == "address":
            return strings.address, ~strings.known
        if name == "bytes":
            return strings.length, ~strings.known
        if name == "field":
            return heap.naming.types.layouts.labels.texts, heap.naming.labels(strings.edges, sources)
        return texts_of(facts, strings), np.arange(strings.edges.size, dtype=np.uint32)

    return values

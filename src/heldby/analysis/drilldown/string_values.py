"""String values and slices of bytes, by the references to their data: where they lie and how long they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heldby.golang.texts.string_header_kernels import read_string_headers
from heldby.golang.types.type_layout import SLICE, STRING
from heldby.heap.heap import Heap

U32 = NDArray[np.uint32]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """String values, one for each reference of an object or root to string data in the heap.

    Attributes:
        rows: which of the references that were asked about.
        edges: the references.
        address: where the data begin.
        length: bytes; what the header says, if that lies within the data's object.
        known: which lengths and addresses are known.
    """

    rows: NDArray[np.intp]
    edges: I64
    address: NDArray[np.uint64]
    length: I64
    known: NDArray[np.bool_]


def string_values(heap: Heap, edges: I64, sources: U32, targets: U32, *, with_bytes: bool = False) -> Strings:
    """Return the strings among some references of objects and variables. O(references).

    Args:
        heap: what to look at.
        edges: the references.
        sources: of each of `edges`, as the collector sees them.
        targets: of each of `edges`.
        with_bytes: slices of bytes too.
    """
    in_object = sources <= heap.object_count
    naming, own, rooted = heap.naming, edges[in_object], ~in_object
    kinds, elements = np.empty(edges.size, np.uint32), np.empty(edges.size, np.uint32)
    if own.size == edges.size:
        kinds = naming.word_kinds(edges, sources)
    else:
        kinds[in_object] = naming.word_kinds(own, sources[in_object])
        kinds[rooted], elements[rooted] = _root_words(heap, edges[rooted])
    chosen = kinds == STRING
    if with_bytes:
        slices = np.flatnonzero(in_object & (kinds == SLICE))
        elements[slices] = naming.word_targets(edges[slices], sources[slices])
        bytes_type = np.array(naming.types.layouts.types.named("uint8"), np.uint32)
        chosen |= (kinds == SLICE) & np.isin(elements, bytes_type)
    # Those of objects first: a table of strings is in the order of memory.
    rows = np.concatenate((np.flatnonzero(chosen & in_object), np.flatnonzero(chosen & ~in_object)))
    edges, sources, target = edges[rows], sources[rows], targets[rows]
    objects, spans = heap.objects, heap.objects.spans
    address, length = np.empty(rows.size, np.uint64), np.empty(rows.size, np.int64)
    known = np.empty(rows.size, np.bool_)
    read_string_headers(
        heap.process.runtime.pages,
        _headers(heap, edges, sources, int(np.count_nonzero(in_object[rows]))),
        target,
        objects.addr,
        objects.span,
        np.where(spans.large, spans.extent, spans.elemsize).astype(np.uint64),
        address,
        length,
        known,
    )
    return Strings(rows, edges, address, length, known)


def _headers(heap: Heap, edges: I64, sources: U32, in_objects: int) -> NDArray[np.uint64]:
    """Return where the headers lie, the first ones in objects; 0 for those in registers."""
    words = heap.words[edges]
    headers = words.astype(np.uint64) * np.uint64(8)
    headers[:in_objects] += heap.objects.addr[sources[:in_objects]]
    headers[in_objects:] = heap.roots.slot_addr[words[in_objects:]]
    return headers


def text_bytes(heap: Heap, vertex: int) -> int | None:
    """Return how many bytes of the object the strings that refer to it use; None when no string is known to.

    The allocator does not clear what lies behind a string in its slot. One pass over the references.
    """
    graph = heap.graph
    edges = np.flatnonzero(graph.targets == np.uint32(vertex))
    sources = (np.searchsorted(graph.offsets, edges, side="right") - 1).astype(np.uint32)
    real = (sources != 0) & (sources != np.uint32(vertex))
    edges, sources = edges[real], sources[real]
    found = string_values(heap, edges, sources, np.full(edges.size, vertex, np.uint32), with_bytes=True)
    if not found.known.any():
        return None
    ends = found.address[found.known] + found.length[found.known].astype(np.uint64)
    return int(ends.max()) - heap.address_of(vertex)


def _root_words(heap: Heap, edges: I64) -> tuple[U32, U32]:
    """Return kind and type of the word that each of these edges of roots lies in; Python for each distinct word."""
    roots, layouts = heap.roots, heap.naming.types.layouts
    slots = heap.words[edges]
    keys = roots.slot_type[slots].astype(np.uint64) << np.uint64(32) | roots.slot_word[slots]
    distinct, inverse = np.unique(keys, return_inverse=True)
    kinds, targets = np.zeros(distinct.size, np.uint32), np.zeros(distinct.size, np.uint32)
    for row, key in enumerate(distinct.tolist()):
        program = layouts.program(key >> 32)
        at = np.flatnonzero(program.word == (key & 0xFFFFFFFF))
        if at.size:
            kinds[row], targets[row] = program.kind[at[0]], program.target[at[0]]
    return kinds[inverse], targets[inverse]

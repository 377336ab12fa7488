"""String values and slices of bytes, by the references to their data: where they lie and how long they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.objects import first_objects
from heldby.golang.texts.string_header_kernels import find_strings, read_string_headers
from heldby.golang.types.type_layout import SLICE, STRING
from heldby.heap.heap import Heap

U32 = NDArray[np.uint32]
I64 = NDArray[np.int64]

_STRETCH: Final = 1 << 19


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """String values, one for each reference of an object or root to string data in the heap.

    Attributes:
        edges: the references.
        source: the objects and roots that the references lie in.
        target: the objects that the data lie in, as the collector sees it.
        address: where the data begin.
        length: bytes; what the header says, if that lies within the data's object.
        known: which lengths and addresses are known.
    """

    edges: I64
    source: U32
    target: U32
    address: NDArray[np.uint64]
    length: I64
    known: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Strings:
        """Return some of them; without a copy where a mask takes all."""
        if isinstance(rows, np.ndarray) and rows.dtype == np.bool_ and rows.all():
            return self
        return Strings(*(getattr(self, field.name)[rows] for field in fields(self)))

    def copy(self) -> Strings:
        """Return them in arrays of their own."""
        return Strings(*(getattr(self, field.name).copy() for field in fields(self)))


def joined(parts: Iterable[Strings]) -> Strings:
    """Return the strings of all `parts`, one after the other."""
    found = [Strings(*_columns(0)), *parts]
    return Strings(*(np.concatenate([getattr(part, f.name) for part in found]) for f in fields(Strings)))


def strings_of_objects(
    heap: Heap, counted: NDArray[np.bool_] | None = None, *, with_bytes: bool = False
) -> Iterator[Strings]:
    """Give the strings in objects in the order of memory, those of some spans at a time.

    What is given holds until the next is asked for: the arrays are used again.

    Args:
        heap: what to look at.
        counted: ``bool[n + 1]``, which objects to look at; None for all.
        with_bytes: slices of bytes too.
    """
    objects, spans, graph, naming = heap.objects, heap.objects.spans, heap.graph, heap.naming
    types, wanted = naming.word_marks(lambda kind, target: _is_text(heap, kind, target, with_bytes))
    if counted is None:
        counted = np.ones(heap.object_count + 1, np.bool_)
    slot_bytes = _slot_bytes(heap)
    # The first edge of each span, and where the last one ends.
    edge = graph.offsets[first_objects(objects.index)]
    low = 0
    columns = _columns(0)
    while low < len(spans):
        high = max(int(np.searchsorted(edge, edge[low] + _STRETCH, side="right")) - 1, low + 1)
        room = int(edge[high] - edge[low])
        if room > columns[0].size:
            columns = _columns(room)
        deferred = slice(*np.searchsorted(heap.deferred.edges, (edge[low], edge[high])))
        count = find_strings(
            heap.process.runtime.pages,
            objects.index,
            slot_bytes,
            naming.label_view,
            graph.offsets,
            graph.targets,
            heap.deferred.edges[deferred],
            heap.deferred.targets[deferred],
            naming.types.packed,
            types,
            wanted,
            counted.view(np.uint8),
            low,
            high,
            *columns,
        )
        yield Strings(*columns).take(slice(0, count))
        low = high


def strings_of_roots(heap: Heap, *, with_bytes: bool = False) -> Strings:
    """Return the strings in global variables and on stacks. O(roots)."""
    return string_values(heap, *heap.references_of_roots(), with_bytes=with_bytes)


def string_values(heap: Heap, edges: I64, sources: U32, targets: U32, *, with_bytes: bool = False) -> Strings:
    """Return the strings among some references of objects and variables, those of objects first. O(references).

    Args:
        heap: what to look at.
        edges: the references.
        sources: of each of `edges`.
        targets: of each of `edges`, as the collector sees them.
        with_bytes: slices of bytes too.
    """
    in_object = sources <= heap.object_count
    own, rooted = edges[in_object], ~in_object
    kinds, elements = np.empty(edges.size, np.uint32), np.empty(edges.size, np.uint32)
    kinds[in_object] = heap.naming.word_kinds(own, sources[in_object])
    elements[in_object] = heap.naming.word_targets(own, sources[in_object])
    kinds[rooted], elements[rooted] = _root_words(heap, edges[rooted])
    chosen = _is_text(heap, kinds, elements, with_bytes)
    rows = np.concatenate((np.flatnonzero(chosen & in_object), np.flatnonzero(chosen & rooted)))
    found = Strings(edges[rows], sources[rows], targets[rows], *_columns(rows.size)[3:])
    read_string_headers(
        heap.process.runtime.pages,
        _headers(heap, found.edges, found.source, int(np.count_nonzero(in_object[rows]))),
        heap.objects.span_of(found.target),
        heap.objects.spans.base,
        heap.objects.spans.extent,
        _slot_bytes(heap),
        found.address,
        found.length,
        found.known,
    )
    return found


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


def _is_text(heap: Heap, kinds: NDArray[Any], elements: U32, with_bytes: bool) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = kinds == STRING
    if with_bytes:
        byte = np.array(heap.naming.types.layouts.types.named("uint8"), np.uint32)
        chosen |= (kinds == SLICE) & np.isin(elements, byte)
    return chosen


def _columns(size: int) -> tuple[I64, U32, U32, NDArray[np.uint64], I64, NDArray[np.bool_]]:
    return (
        np.empty(size, np.int64),
        np.empty(size, np.uint32),
        np.empty(size, np.uint32),
        np.empty(size, np.uint64),
        np.empty(size, np.int64),
        np.empty(size, np.bool_),
    )


def _slot_bytes(heap: Heap) -> NDArray[np.uint64]:
    spans = heap.objects.spans
    return np.where(spans.large, spans.extent, spans.elemsize).astype(np.uint64)


def _headers(heap: Heap, edges: I64, sources: U32, in_objects: int) -> NDArray[np.uint64]:
    """Return where the headers lie, the first ones in objects; 0 for those in registers."""
    words = heap.words[edges]
    headers = words.astype(np.uint64) * np.uint64(8)
    headers[:in_objects] += heap.objects.address_of(sources[:in_objects])
    headers[in_objects:] = heap.roots.slot_addr[words[in_objects:]]
    return headers


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

"""Who refers to an object, and what it refers to: every reference by the field that holds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.selection import EVERYTHING, Selection
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.table import Kind, Table, column, text_column
from heldby.errors import UsageError
from heldby.golang.functions.functions import short_name
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind


def object_at(heap: Heap, addr: int) -> int:
    """Return the object that holds the byte at `addr`. Raises `UsageError` where there is none."""
    found = int(heap.objects.find(np.array([addr & (1 << 64) - 1], np.uint64))[0])
    if not found:
        raise UsageError(
            f"there is no object at {addr:#x}",
            cause="it is free, a variable, on a stack, or not in the heap at all",
            next_step="addresses of objects are in the output of: heldby tree TARGET PATH --objects",
        )
    return found


def references(
    heap: Heap,
    addr: int,
    *,
    into: bool,
    selection: Selection = EVERYTHING,
    min_size: int = 0,
    limit: int | None = None,
) -> Table:
    """Return the references of the object at `addr`, or with `into` those that lead to it.

    Out: O(its references). In: one pass over all references. The runtime's own ways are among them. With `limit`
    only that many are named, those that retain most. A `selection` says what must be at the other end: then roots
    are left out, as is garbage, and with `min_size` what retains less.
    """
    vertex = object_at(heap, addr)
    graph, deferred = heap.graph, heap.deferred
    if into:
        # What is deferred points back at its source, so what points at the object from elsewhere is all the rest.
        put_back = np.flatnonzero(deferred.targets == np.uint32(vertex))
        edges = np.union1d(np.flatnonzero(graph.targets == np.uint32(vertex)), deferred.edges[put_back])
        sources = (np.searchsorted(graph.offsets, edges, side="right") - 1).astype(np.uint32)
        real = sources != np.uint32(vertex)
        others = sources
    else:
        sources, edges = graph.edges_from(np.array([vertex], np.uint32))
        others = deferred.led_to(graph, edges)
        real = np.ones(edges.size, np.bool_)
    if selection:
        inside = others <= np.uint32(heap.object_count)
        real &= inside & selection.objects(heap)[np.where(inside, others, 0)]
    if min_size:
        known, garbage = _retained(heap, others)
        real &= ~garbage & (known >= min_size)
    sources, edges, others = sources[real], edges[real], others[real]
    own = heap.naming.type_name(heap.naming.type_at(vertex))
    address = heap.address_of(vertex)
    retained, unreachable = _retained(heap, others)
    addrs = heap.addresses_of(others)
    total = edges.size
    order = np.lexsort((addrs, -np.where(unreachable, -1, retained)))[:limit]
    sources, edges, others, addrs = sources[order], edges[order], others[order], addrs[order]
    retained, unreachable = retained[order], unreachable[order]
    is_object = others <= np.uint32(heap.object_count)
    labels = heap.naming.labels(edges, sources)
    names = _names(heap, others)
    fields = [heap.naming.label_text(int(label)) or "*" for label in labels]
    return Table(
        "refs",
        (
            text_column("from" if into else "to", names),
            text_column("field", fields),
            column("addr", Kind.ADDRESS, addrs, unknown=~is_object),
            column("shallow_bytes", Kind.BYTES, heap.sizes_of(others), unknown=~is_object),
            column("retained_bytes", Kind.BYTES, retained, unknown=unreachable),
            text_column("path", _paths(heap, others)),
        ),
        title=f"{'Who refers to' if into else 'What is referred to by'} the {own} at {address:#x}",
        notes=("garbage retains nothing that is known: its retained bytes are unknown",)
        if (unreachable & is_object).any()
        else (),
        details=("path",),
        total_rows=total if total > order.size else None,
    )


def names_of(heap: Heap, vertices: NDArray[np.uint32]) -> tuple[list[str], NDArray[np.intp]]:
    """Return the distinct names of vertices and the row of each among them; Python for each distinct vertex or type."""
    first = heap.object_count + 1
    is_object = vertices < first
    keys = np.where(
        is_object, heap.naming.types_of(np.where(is_object, vertices, np.uint32(0))), vertices
    ).astype(np.uint64)
    keys |= np.where(is_object, np.uint64(0), np.uint64(1) << np.uint64(32))
    _, example, codes = np.unique(keys, return_index=True, return_inverse=True)
    return _names(heap, vertices[example]), codes.reshape(-1)


def _names(heap: Heap, vertices: NDArray[np.uint32]) -> list[str]:
    """Return the type of an object, the name of a root."""
    first = heap.object_count + 1
    names = []
    for vertex in vertices.tolist():
        if vertex < first:
            names.append(heap.naming.type_name(heap.naming.type_at(vertex)))
        else:
            node = vertex - first
            goroutine = heap.roots.kind[node] in (RootKind.GOROUTINE, RootKind.GOROUTINE_GROUP)
            name = short_name(heap.roots.name_of(node))
            names.append(f"goroutine {name}" if goroutine else name)
    return names


def _paths(heap: Heap, vertices: NDArray[np.uint32]) -> list[str | None]:
    tree = build_holder_tree(heap)
    numbers = heap.tree.number[vertices]
    return [
        tree.text(int(tree.paths.path_of[number])).strip() if number != NONE else None
        for number in numbers.tolist()
    ]


def _retained(heap: Heap, vertices: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    numbers = heap.tree.number[vertices]
    unreachable = numbers == np.uint32(NONE)
    return heap.retained_bytes[np.where(unreachable, 0, numbers)], unreachable

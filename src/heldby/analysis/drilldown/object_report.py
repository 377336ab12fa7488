"""All that is known of one object or variable: its value, what it costs, who holds it, where it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heldby.analysis.allocation.sites import shown_stacks
from heldby.analysis.answer import Frame
from heldby.analysis.drilldown.elsewhere import no_object, variable_at
from heldby.analysis.drilldown.paths import paths, way_text
from heldby.analysis.drilldown.references import references
from heldby.analysis.drilldown.string_values import text_bytes
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.analysis.holding.ownership import NOBODY, ownership_of
from heldby.analysis.rss.evidence import read_evidence
from heldby.analysis.table import Table
from heldby.golang.functions.functions import short_name
from heldby.golang.objects.specials import CLEANUP, FINALIZER, PROFILE, WEAK_HANDLE
from heldby.golang.types.types import STRING_DATA
from heldby.golang.typing.object_types import EVIDENCE_NAMES
from heldby.golang.values import Limits, Value
from heldby.golang.values.places import path_at
from heldby.graph.csr import NONE
from heldby.graph.ways import way_from_a_root
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind
from heldby.heap.values import values_of

_SPECIALS = {FINALIZER: "finalizer", CLEANUP: "cleanup", WEAK_HANDLE: "weak pointer"}
_LONGEST_CHAIN = 1 << 16
_LEVELS = 12
DOMINATORS_SHOWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominator:
    """One that keeps the object: without it nothing would reach the object.

    Attributes:
        name: type of an object, name of a root.
        address: of an object, None for a root.
        retained_bytes: what it keeps, the object included.
    """

    name: str
    address: int | None
    retained_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectReport:
    """What is known of one object or variable.

    Attributes:
        asked: the address that was asked for.
        address: where it begins.
        inside: what `asked` means inside it, ``.Name``; empty for all of it.
        variable: name of a global variable; None for an object.
        type: Go type.
        evidence: how the type of an object is known.
        live: reachable; otherwise garbage.
        marked: the collector marked it in its last cycle; None for a variable.
        value: what lies there.
        shallow_bytes: of the slot, or of the variable.
        retained_bytes, retained_objects: what would be freed with it; None for garbage.
        share: of the live bytes.
        slot_bytes: of its size class, 0 for a large object; None for a variable.
        has_pointers: whether the collector looks into it; None for a variable.
        holder: the row of the first screen that counts it; None for garbage.
        path: the merged path that it lies at.
        shortest: the shortest way from a root.
        dominators: nearest first, at most `DOMINATORS_SHOWN`; empty when several roots hold it.
        dominator_count: how many there are.
        referrers: who refers to it, by field; those that retain most. Of a variable: None.
        resident_bytes, swapped_bytes: of its own bytes; None when the capture does not say.
        site: where it was allocated, leaf first; None when it was not sampled.
        specials: finalizers and the like that hang on it.
    """

    asked: int
    address: int
    inside: str
    variable: str | None
    type: str
    evidence: str | None
    live: bool
    marked: bool | None
    value: Value
    shallow_bytes: int
    retained_bytes: int | None
    retained_objects: int | None
    share: float | None
    slot_bytes: int | None
    has_pointers: bool | None
    holder: str | None
    path: str | None
    shortest: str | None
    dominators: tuple[Dominator, ...]
    dominator_count: int
    referrers: Table | None
    resident_bytes: int | None
    swapped_bytes: int | None
    site: tuple[Frame, ...] | None
    specials: tuple[str, ...]


def object_report(
    heap: Heap, tree: HolderTree, addr: int, *, limits: Limits | None = None, referrers: int = 10
) -> ObjectReport:
    """Return what is known of the object or variable that holds the byte at `addr`.

    Three passes over the references; everything else costs by what is shown.

    Raises:
        UsageError: neither lies there; the message says what does.
    """
    vertex = values_of(heap).object_at(addr)
    if vertex:
        return _of_object(heap, tree, addr, vertex, limits, referrers)
    row = variable_at(heap, addr)
    if row is None:
        raise no_object(heap, addr)
    return _of_variable(heap, addr, row, limits)


def value_at(heap: Heap, addr: int, limits: Limits) -> tuple[Value, int, str]:
    """Return what lies at `addr`, where it begins, and its type; an object or a variable. See `object_report`."""
    vertex = values_of(heap).object_at(addr)
    if vertex:
        name = heap.naming.type_name(heap.naming.type_at(vertex))
        return read_object(heap, vertex, limits), heap.address_of(vertex), name
    row = variable_at(heap, addr)
    if row is None:
        raise no_object(heap, addr)
    value = _variable_value(heap, row, limits)
    return value, int(heap.variables.start[row]), value.type


def read_object(heap: Heap, vertex: int, limits: Limits | None = None) -> Value:
    """Return the value of an object; of a string's data as much as strings use, if any is known to."""
    is_text = int(heap.naming.types.packed[vertex]) >> 1 == STRING_DATA
    used = text_bytes(heap, vertex) if is_text else None
    return values_of(heap).read_object(vertex, limits, text_bytes=used)


def _of_object(
    heap: Heap, tree: HolderTree, addr: int, vertex: int, limits: Limits | None, referrers: int
) -> ObjectReport:
    one = np.array([vertex], np.uint32)
    spans, span = heap.objects.spans, int(heap.objects.span_of(one)[0])
    start, size = heap.address_of(vertex), int(heap.sizes_of(one)[0])
    number = int(heap.tree.number[vertex])
    live = number != NONE
    ownership = ownership_of(tree)
    owner = int(ownership.of(one)[0])
    retained, objects = _retained(heap, vertex)
    chain, length = _dominators(heap, number) if live else ((), 0)
    resident, swapped = _residency(heap, start, size)
    return ObjectReport(
        asked=addr,
        address=start,
        inside=_inside(heap, vertex, addr),
        variable=None,
        type=heap.naming.type_name(heap.naming.type_at(vertex)),
        evidence=EVIDENCE_NAMES[int(heap.naming.types.evidence[vertex])],
        live=live,
        marked=heap.objects.is_marked(vertex),
        value=read_object(heap, vertex, limits),
        shallow_bytes=size,
        retained_bytes=retained,
        retained_objects=objects,
        share=retained / max(heap.live_bytes, 1) if retained is not None else None,
        slot_bytes=0 if spans.large[span] else int(spans.elemsize[span]),
        has_pointers=not bool(spans.noscan[span]),
        holder=_holder(tree, ownership.rows[owner].path if 0 <= owner < len(ownership.rows) else None, owner),
        path=tree.text(int(tree.paths.path_of[number])).strip() if live else None,
        shortest=_shortest(heap, vertex) if live else None,
        dominators=chain,
        dominator_count=length,
        referrers=references(heap, start, into=True, limit=referrers),
        resident_bytes=resident,
        swapped_bytes=swapped,
        site=_site(heap, vertex),
        specials=_specials(heap, vertex),
    )


def _variable_value(heap: Heap, row: int, limits: Limits | None) -> Value:
    """Return what a global variable holds; bytes when its type is not known."""
    start, number = int(heap.variables.start[row]), int(heap.variables.types[row])
    reader = values_of(heap)
    if number:
        return reader.read(start, number, limits)
    return reader.read_memory(start, int(heap.variables.size[row]), limits)


def _of_variable(heap: Heap, addr: int, row: int, limits: Limits | None) -> ObjectReport:
    variables = heap.variables
    start, size, number = int(variables.start[row]), int(variables.size[row]), int(variables.types[row])
    types = heap.naming.types.layouts.types
    nodes = np.flatnonzero((heap.roots.kind == RootKind.GLOBAL) & (heap.roots.item == row))
    vertex = int(nodes[0]) + heap.object_count + 1 if nodes.size else None
    retained, objects = _retained(heap, vertex) if vertex is not None else (0, 0)
    name = short_name(variables.names[row])
    resident, swapped = _residency(heap, start, size)
    return ObjectReport(
        asked=addr,
        address=start,
        inside=path_at(types, number, addr - start) if number else "",
        variable=name,
        type=types.display_name(number) if number else "unknown",
        evidence=None,
        live=True,
        marked=None,
        value=_variable_value(heap, row, limits),
        shallow_bytes=size,
        retained_bytes=retained,
        retained_objects=objects,
        share=retained / max(heap.live_bytes, 1) if retained is not None else None,
        slot_bytes=None,
        has_pointers=None,
        holder=None,
        path=name,
        shortest=name,
        dominators=(),
        dominator_count=0,
        referrers=None,
        resident_bytes=resident,
        swapped_bytes=swapped,
        site=None,
        specials=(),
    )


def _inside(heap: Heap, vertex: int, addr: int) -> str:
    """Return which part of the object an address means."""
    start, _ = values_of(heap).contents_of(vertex)
    packed = int(heap.naming.types.packed[vertex])
    types, offset = heap.naming.types.layouts.types, addr - start
    size = int(types.size[packed >> 1])
    if offset <= 0 or not packed >> 1 or not size:
        return ""
    if not packed & 1:
        return path_at(types, packed >> 1, offset)
    return f"[{offset // size}]{path_at(types, packed >> 1, offset % size)}"


def _holder(tree: HolderTree, path: int | None, owner: int) -> str | None:
    if path is not None:
        return tree.text(path).strip()
    return None if owner == NOBODY else "everything else"


def _retained(heap: Heap, vertex: int) -> tuple[int | None, int | None]:
    """Return the bytes and objects that a vertex retains; a root is no object."""
    number = int(heap.tree.number[vertex])
    if number == NONE:
        return None, None
    is_root = vertex > heap.object_count
    return int(heap.retained_bytes[number]), int(heap.retained_counts[number]) - int(is_root)


def _dominators(heap: Heap, number: int) -> tuple[tuple[Dominator, ...], int]:
    found, length = [], 0
    number = int(heap.tree.idom[number])
    while number and length < _LONGEST_CHAIN:
        length += 1
        if length <= DOMINATORS_SHOWN:
            found.append(_dominator(heap, number))
        number = int(heap.tree.idom[number])
    return tuple(found), length


def _dominator(heap: Heap, number: int) -> Dominator:
    vertex, retained = int(heap.tree.order[number]), int(heap.retained_bytes[number])
    if vertex <= heap.object_count:
        name = heap.naming.type_name(heap.naming.type_at(vertex))
        return Dominator(name=name, address=heap.address_of(vertex), retained_bytes=retained)
    node = vertex - heap.object_count - 1
    goroutine = heap.roots.kind[node] in (RootKind.GOROUTINE, RootKind.GOROUTINE_GROUP)
    name = short_name(heap.roots.name_of(node))
    return Dominator(name=f"goroutine {name}" if goroutine else name, address=None, retained_bytes=retained)


def _shortest(heap: Heap, vertex: int) -> str | None:
    """Return the shortest way from a root: searched backwards, and forwards only when it is long."""
    first_root = heap.object_count + 1
    found = way_from_a_root(heap.graph, heap.tree, vertex, first_root, levels=_LEVELS)
    if found is not None:
        return way_text(heap, heap.graph, *found)[0].strip()
    table = paths(heap, f"{heap.address_of(vertex):#x}")
    return str(table["path"].to_list()[0]) if len(table) else None


def _residency(heap: Heap, start: int, size: int) -> tuple[int | None, int | None]:
    evidence = read_evidence(heap.process.core)
    if evidence.pages is None:
        return None, None
    swapped = evidence.swapped.between(start, start + size) if evidence.swapped is not None else 0
    return evidence.pages.between(start, start + size), swapped


def _site(heap: Heap, vertex: int) -> tuple[Frame, ...] | None:
    rows = np.flatnonzero((heap.specials.kind == PROFILE) & (heap.specials.object == vertex))
    buckets = heap.profile.rows_of(heap.specials.payload[rows, 0])
    buckets = buckets[buckets >= 0]
    return shown_stacks(heap.profile, buckets)[0][0] if buckets.size else None


def _specials(heap: Heap, vertex: int) -> tuple[str, ...]:
    kinds = heap.specials.kind[heap.specials.object == vertex].tolist()
    return tuple(_SPECIALS[kind] for kind in kinds if kind in _SPECIALS)

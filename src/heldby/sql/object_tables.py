"""Tables of objects: objects, types, fields, spans, dominators."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.grouping import package_of_type
from heldby.analysis.table import Kind
from heldby.golang.types.types import FIRST_DESCRIPTOR, GoType, TypeTable
from heldby.golang.typing.object_types import EVIDENCE_NAMES
from heldby.heap.type_numbers import type_numbers
from heldby.sql.facts import Facts, Known, Texts, texts
from heldby.sql.schema import ColumnOf, TableOf

_EVIDENCE: Final = (
    "none: unknown, or one of several",
    "choice: one of a few types",
    "prefix: its beginning is known",
    "shape, interior, interface, pointer, runtime, header: ever more direct",
)


def _retained(facts: Facts, vertices: slice) -> Known:
    return facts.by_number(facts.heap.retained_bytes, vertices)


OBJECTS: Final = TableOf(
    "objects",
    "An object: an allocated slot of the heap, garbage included.",
    (
        ColumnOf("address", Kind.ADDRESS, "where the slot begins", lambda f: f.heap.objects.addr[1:]),
        ColumnOf("bytes", Kind.BYTES, "of the slot (shallow)", lambda f: f.heap.objects.sizes()[1:]),
        ColumnOf("type", Kind.TEXT, "Go type, `[]T` for a run of values", lambda f: f.grouped(f.types)),
        ColumnOf("package", Kind.TEXT, "import path of the type's package", lambda f: f.grouped(f.packages)),
        ColumnOf("live", Kind.FLAG, "reachable from the roots; otherwise garbage", lambda f: f.heap.live[1:]),
        ColumnOf(
            "retained_bytes",
            Kind.BYTES,
            "what would be freed with it, itself included; NULL for garbage",
            lambda f: _retained(f, f.objects),
        ),
        ColumnOf(
            "retained_objects",
            Kind.COUNT,
            "objects that would be freed with it, itself included; NULL for garbage",
            lambda f: f.by_number(f.object_counts, f.objects),
        ),
        ColumnOf(
            "holder",
            Kind.TEXT,
            "`holders.path` of the row of the first screen that counts it; NULL for garbage",
            lambda f: f.holder_texts(),
        ),
        ColumnOf(
            "holder_row",
            Kind.NUMBER,
            "`holders.holder` of that row, to join with: two rows may have the same path; NULL for garbage",
            lambda f: (f.holder_rows, f.holder_rows < 0),
        ),
        ColumnOf(
            "path",
            Kind.TEXT,
            "the merged path that it lies at, as in `heldby tree`; NULL for garbage",
            lambda f: f.path_texts(),
        ),
        ColumnOf(
            "evidence",
            Kind.TEXT,
            "how the type is known: " + "; ".join(_EVIDENCE),
            lambda f: (EVIDENCE_NAMES, f.heap.naming.types.evidence[1:]),
        ),
        ColumnOf(
            "marked",
            Kind.FLAG,
            "the collector marked it in its last finished cycle",
            lambda f: f.heap.objects.marked[1:] != 0,
        ),
        ColumnOf(
            "span",
            Kind.ADDRESS,
            "`spans.address` of the span that it lies in",
            lambda f: f.by_span(f.heap.objects.spans.base),
        ),
    ),
)

DOMINATORS: Final = TableOf(
    "dominators",
    "A live object and the nearest object or root without which nothing would reach it.",
    (
        ColumnOf("address", Kind.ADDRESS, "of the object", lambda f: f.heap.objects.addr[_live(f)]),
        ColumnOf(
            "dominator",
            Kind.ADDRESS,
            "the object that every way leads through; NULL when it is a root, or when several roots hold it",
            lambda f: f.address_of(f.dominator[_live(f)]),
        ),
        ColumnOf(
            "root",
            Kind.NUMBER,
            "`roots.root` of the root that dominates it directly; NULL otherwise",
            lambda f: f.root_of(f.dominator[_live(f)]),
        ),
        ColumnOf(
            "retained_bytes",
            Kind.BYTES,
            "what the object retains, itself included",
            lambda f: f.heap.retained_bytes[f.number[_live(f)]],
        ),
    ),
)


def _live(facts: Facts) -> NDArray[np.intp]:
    return np.flatnonzero(facts.heap.live)


def _live_sums(facts: Facts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return facts.types.sums(facts.heap, facts.heap.live)


def _all_sums(facts: Facts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    chosen = np.ones(facts.heap.object_count + 1, np.bool_)
    chosen[0] = False
    return facts.types.sums(facts.heap, chosen)


def _type_numbers(facts: Facts) -> NDArray[np.uint32]:
    """Return for each distinct name of a type its first number, as `Naming.types_of` has it."""
    name_of = facts.heap.naming.type_name
    first: dict[str, int] = {}
    for number in type_numbers(facts.heap).distinct.tolist():
        first.setdefault(name_of(number), number)
    return np.array([first[name] for name in facts.types.names], np.uint32)


def _packages(facts: Facts) -> Texts:
    types = facts.heap.naming.types.layouts.types
    return texts(package_of_type(types, number) for number in facts.shared(_type_numbers).tolist())


def _value_bytes(facts: Facts) -> Known:
    numbers = facts.shared(_type_numbers)
    unknown = (numbers >= 1 << 31) | (numbers < 2)
    types = facts.heap.naming.types.layouts.types
    return types.size[np.where(unknown, 0, numbers >> 1)], unknown


TYPES: Final = TableOf(
    "types",
    "A type that objects have, by its name.",
    (
        ColumnOf("type", Kind.TEXT, "as in `objects.type`", lambda f: texts(f.types.names)),
        ColumnOf("package", Kind.TEXT, "import path of its package", _packages),
        ColumnOf(
            "value_bytes",
            Kind.BYTES,
            "of one value, of one element for `[]T`; NULL when unknown",
            _value_bytes,
        ),
        ColumnOf("objects", Kind.COUNT, "live objects", lambda f: f.shared(_live_sums)[0]),
        ColumnOf("bytes", Kind.BYTES, "of live objects (shallow)", lambda f: f.shared(_live_sums)[1]),
        ColumnOf(
            "all_objects",
            Kind.COUNT,
            "objects, garbage included",
            lambda f: f.shared(_all_sums)[0],
        ),
        ColumnOf(
            "all_bytes",
            Kind.BYTES,
            "of all objects, garbage included",
            lambda f: f.shared(_all_sums)[1],
        ),
    ),
)


def _described(facts: Facts) -> tuple[TypeTable, list[tuple[GoType, int]]]:
    """Return the fields of all types of the program, whether objects have them or not: (type, which field)."""
    types = facts.heap.naming.types.layouts.types
    known = (types[number] for number in range(FIRST_DESCRIPTOR, len(types)))
    return types, [(each, at) for each in known for at in range(len(each.fields))]


def _field_texts(facts: Facts, which: str) -> Texts:
    types, rows = _described(facts)
    if which == "type":
        return texts(each.name for each, _ in rows)
    if which == "field":
        return texts(each.fields[at].name for each, at in rows)
    numbers = (each.fields[at].type for each, at in rows)
    return texts(types.display_name(number) if number else None for number in numbers)


def _field_numbers(facts: Facts, which: str) -> NDArray[Any]:
    types, rows = _described(facts)
    if which == "offset":
        return np.array([each.fields[at].offset for each, at in rows], np.int64)
    if which == "embedded":
        return np.array([each.fields[at].embedded for each, at in rows], np.bool_)
    return types.size[np.array([each.fields[at].type for each, at in rows], np.int64)]


FIELDS: Final = TableOf(
    "fields",
    "A field of a struct type of the program, or a variable that a closure captured.",
    (
        ColumnOf("type", Kind.TEXT, "the struct", partial(_field_texts, which="type")),
        ColumnOf("field", Kind.TEXT, "name of the field", partial(_field_texts, which="field")),
        ColumnOf(
            "field_type", Kind.TEXT, "its type; NULL when unknown", partial(_field_texts, which="field_type")
        ),
        ColumnOf(
            "offset", Kind.BYTES, "from the start of the struct", partial(_field_numbers, which="offset")
        ),
        ColumnOf("bytes", Kind.BYTES, "of the field", partial(_field_numbers, which="bytes")),
        ColumnOf("embedded", Kind.FLAG, "embedded", partial(_field_numbers, which="embedded")),
    ),
    cost="reads every type of the program, about 0.1 s for 10,000",
)


def _span_objects(facts: Facts) -> NDArray[np.int64]:
    objects = facts.heap.objects
    return np.bincount(objects.span[1:], minlength=len(objects.spans))


SPANS: Final = TableOf(
    "spans",
    "An mspan of the heap: pages that are cut into slots of one size.",
    (
        ColumnOf("address", Kind.ADDRESS, "of its first slot", lambda f: f.heap.objects.spans.base),
        ColumnOf("bytes", Kind.BYTES, "of its pages", lambda f: f.heap.objects.spans.pages * np.uint64(8192)),
        ColumnOf("slot_bytes", Kind.BYTES, "of a slot", lambda f: f.heap.objects.spans.elemsize),
        ColumnOf(
            "size_class", Kind.NUMBER, "0 for a large object", lambda f: f.heap.objects.spans.spanclass >> 1
        ),
        ColumnOf("noscan", Kind.FLAG, "its objects hold no pointers", lambda f: f.heap.objects.spans.noscan),
        ColumnOf("slots", Kind.COUNT, "slots", lambda f: f.heap.objects.spans.nelems),
        ColumnOf("objects", Kind.COUNT, "allocated slots, garbage included", _span_objects),
        ColumnOf("swept", Kind.FLAG, "swept since the last mark phase", lambda f: f.heap.objects.spans.swept),
    ),
)

"""Tables of references: edges, roots, strings."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.table import Kind
from heldby.heap.roots import NO_GROUP, RootKind
from heldby.sql.facts import Facts, Known, Texts
from heldby.sql.schema import ColumnOf, TableOf
from heldby.sql.strings import string_column

ROOT_KINDS: Final = {
    RootKind.GLOBAL: "global",
    RootKind.GOROUTINE: "goroutine",
    RootKind.GOROUTINE_GROUP: "goroutines",
    RootKind.SPECIAL: "special",
    RootKind.RUNTIME: "runtime",
}


def _labels(facts: Facts) -> Texts:
    codes = facts.labels()
    return facts.heap.naming.types.layouts.labels.texts, codes


def _deferred(facts: Facts) -> NDArray[np.bool_]:
    flags = np.zeros(facts.heap.graph.edge_count, np.bool_)
    flags[facts.heap.deferred.edges] = True
    return flags[facts.edges]


EDGES: Final = TableOf(
    "edges",
    "A reference: a pointer in an object or root that leads to an object.",
    (
        ColumnOf(
            "source",
            Kind.ADDRESS,
            "`objects.address` of the object that holds the pointer; NULL when a root does",
            lambda f: f.address_of(f.sources),
        ),
        ColumnOf(
            "root",
            Kind.NUMBER,
            "`roots.root` of the root that holds the pointer; NULL when an object does",
            lambda f: f.root_of(f.sources),
        ),
        ColumnOf(
            "target",
            Kind.ADDRESS,
            "`objects.address` of what it leads to",
            lambda f: f.heap.objects.addr[f.targets],
        ),
        ColumnOf("field", Kind.TEXT, "the way from the source: `.Seen`, `[*]`, `[key]`, `+0x18`", _labels),
        ColumnOf(
            "deferred",
            Kind.FLAG,
            "one of the runtime's own ways, which holds only what no other way reaches",
            _deferred,
        ),
    ),
    cost="4 to 30 bytes a reference and column; about 0.2 s for 10 million",
)


def _root_kinds(facts: Facts) -> Texts:
    kinds = list(ROOT_KINDS)
    row_of = np.zeros(max(kinds) + 1, np.uint32)
    row_of[kinds] = np.arange(len(kinds), dtype=np.uint32)
    return [ROOT_KINDS[kind] for kind in kinds], row_of[facts.heap.roots.kind]


def _parents(facts: Facts) -> Known:
    group = facts.heap.roots.group
    return group.astype(np.int64), group == np.uint32(NO_GROUP)


ROOTS: Final = TableOf(
    "roots",
    "A root: what the collector starts from, or a group of such.",
    (
        ColumnOf("root", Kind.NUMBER, "its number", lambda f: np.arange(len(f.heap.roots))),
        ColumnOf("kind", Kind.TEXT, ", ".join(f"`{kind}`" for kind in ROOT_KINDS.values()), _root_kinds),
        ColumnOf(
            "name",
            Kind.TEXT,
            "of the variable, of the function that the goroutine started with, or of the kind of special",
            lambda f: (f.heap.roots.names, f.heap.roots.name),
        ),
        ColumnOf("parent", Kind.NUMBER, "the root (a group) that it belongs to; NULL for none", _parents),
        ColumnOf(
            "deferred",
            Kind.FLAG,
            "the runtime's own: holds only what no other root reaches",
            lambda f: f.heap.roots.deferred,
        ),
        ColumnOf(
            "pointers",
            Kind.COUNT,
            "pointers into the heap",
            lambda f: np.bincount(f.heap.roots.slot_node, minlength=len(f.heap.roots)),
        ),
        ColumnOf(
            "retained_bytes",
            Kind.BYTES,
            "what would be freed without it; NULL when nothing reaches it",
            lambda f: f.by_number(f.heap.retained_bytes, f.roots),
        ),
        ColumnOf(
            "retained_objects",
            Kind.COUNT,
            "objects that would be freed without it",
            lambda f: f.by_number(f.object_counts, f.roots),
        ),
    ),
)

STRINGS: Final = TableOf(
    "strings",
    "A string value whose data lies in the heap: one row for each reference of an object or root to such data.",
    (
        ColumnOf(
            "source",
            Kind.ADDRESS,
            "`objects.address` of the object that has the string; NULL when a root has it",
            string_column("source"),
        ),
        ColumnOf(
            "root",
            Kind.NUMBER,
            "`roots.root` of the root that has the string; NULL when an object has it",
            string_column("root"),
        ),
        ColumnOf("field", Kind.TEXT, "where in it: `.Name`, `[key]`", string_column("field")),
        ColumnOf("object", Kind.ADDRESS, "`objects.address` of the data's object", string_column("object")),
        ColumnOf(
            "address",
            Kind.ADDRESS,
            "where the data begin; NULL when it was not captured",
            string_column("address"),
        ),
        ColumnOf("bytes", Kind.BYTES, "length of the string; NULL when not captured", string_column("bytes")),
        ColumnOf(
            "text",
            Kind.TEXT,
            "its first 1,024 bytes, bytes that are no UTF-8 as U+FFFD; NULL when not captured",
            string_column("text"),
            secret=True,
        ),
    ),
    cost="expensive: half a microsecond a string with its text, and 100 bytes of memory",
)

"""A `Heap` made of what is kept: each part is read from disk, or from the capture, when someone first asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import Answer
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.golang.code.variables import Variables
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.objects.objects import ObjectTable, read_slots
from heldby.golang.objects.references import References
from heldby.golang.objects.spans import read_spans
from heldby.golang.objects.specials import read_specials
from heldby.golang.profile.memory_profile import MemoryProfile
from heldby.golang.types.type_layout import LabelTable, Program, TypeLayouts
from heldby.golang.types.types import Field, GoType, MadeTypes, TypeTable
from heldby.golang.typing.object_types import ObjectTypes
from heldby.graph.csr import Graph, offsets_of
from heldby.graph.deferral import Deferred
from heldby.graph.dominators import DominatorTree
from heldby.graph.merged import MergedTree
from heldby.graph.retained_sets import RetainedSets
from heldby.heap.allocation_profile import allocation_profile
from heldby.heap.code_knowledge import CodeKnowledge, read_code
from heldby.heap.heap import Heap
from heldby.heap.naming import Naming
from heldby.heap.process import Process
from heldby.heap.roots import RootTable
from heldby.store.contents import TABLES
from heldby.store.lazily import lazily
from heldby.store.plain import from_plain
from heldby.store.reader import Reader
from heldby.store.tables import Damaged

_PATH_COLUMNS: Final = tuple(column.name for column in TABLES["paths"])


def restored_heap(process: Process, reader: Reader) -> Heap:
    """Return the heap of `process` as it was analysed before. Reads nothing yet."""
    parts = _Parts(process, reader)
    facts = reader.facts
    loaders: dict[str, Callable[[], Any]] = {
        "process": lambda: process,
        "objects": parts.objects,
        "graph": parts.graph,
        "words": lambda: parts.column("edges", "word"),
        "roots": parts.roots,
        "variables": parts.variables,
        "code": parts.code,
        "specials": parts.specials,
        "profile": parts.profile,
        "deferred": parts.deferred,
        "naming": parts.naming,
        "goroutine_count": lambda: facts["goroutine_count"],
        "caveats": lambda: list(facts["caveats"]),
        "losses": lambda: list(facts["losses"]),
        "kept_results": lambda: {
            HolderTree: lambda: HolderTree(heap, parts.paths()),
            Answer: lambda: from_plain(Answer, reader.document("answer")),
        },
        "_results": dict,
        "tree": parts.tree,
        "live_bytes": lambda: facts["live_bytes"],
        "retained_bytes": parts.retained_bytes,
        "retained_counts": parts.retained_counts,
        "_retained": lambda: (parts.retained_bytes(), parts.retained_counts()),
        "retained_sets": parts.retained_sets,
    }
    heap = lazily(Heap, loaders)
    return heap


class _Parts:
    """What a heap is made of, each made once."""

    def __init__(self, process: Process, reader: Reader) -> None:
        self._process = process
        self._reader = reader
        # Several parts share a column; it is read once and lives as long as they do.
        self.column = cache(reader.column)
        self.objects = cache(self._objects)
        self.specials = cache(lambda: read_specials(process.runtime, self.objects()))
        self.graph = cache(self._graph)
        self.roots = cache(self._roots)
        self.tree = cache(self._tree)
        self.retained_bytes = lambda: self.column("reached", "retained_bytes")
        self.retained_counts = lambda: self.column("reached", "retained_count")
        self._offsets = cache(self._read_offsets)
        self._names = cache(self._read_names)
        self._types = cache(self._read_types)

    def _objects(self) -> ObjectTable:
        """Return the objects; few questions need all addresses, and fewer who is marked."""
        runtime = self._process.runtime
        spans = cache(lambda: read_spans(runtime))
        slots = cache(lambda: read_slots(runtime, spans()))
        return lazily(
            ObjectTable,
            {
                "addr": lambda: slots().list_all(rows=False, marks=False)[0],
                "span": lambda: slots().span_column(),
                "marked": lambda: slots().list_all(addresses=False, rows=False)[2],
                "spans": spans,
                "index": lambda: slots().index,
                "marks": lambda: slots().marks,
                "count_mismatches": lambda: slots().count_mismatches(),
            },
        )

    def _graph(self) -> Graph:
        sizes = self._reader.sizes
        return lazily(
            Graph,
            {
                "offsets": self._offsets,
                "targets": lambda: self.column("edges", "target"),
                "node_count": lambda: sizes["vertices"],
                "edge_count": lambda: sizes["edges"],
            },
        )

    def _read_offsets(self) -> NDArray[np.int64]:
        offsets = offsets_of(self._reader.column("vertices", "degree"))
        if int(offsets[-1]) != self._reader.sizes["edges"]:
            self._reader.give_up(Damaged("the degrees do not add up to the edges"))
            return self._reader.fresh.graph.offsets
        return offsets

    def deferred(self) -> Deferred:
        """Return the ways that name no holder."""
        return lazily(
            Deferred,
            {
                "edges": lambda: self.column("deferred", "edge"),
                "targets": lambda: self.column("deferred", "target"),
                "firmly_reached": lambda: self.column("vertices", "firmly_reached"),
            },
        )

    def _tree(self) -> DominatorTree:
        return lazily(
            DominatorTree,
            {
                "order": lambda: self.column("reached", "vertex"),
                "idom": lambda: self.column("reached", "dominator"),
                "number": lambda: self.column("vertices", "number"),
                "reached_count": lambda: self._reader.sizes["reached"],
            },
        )

    def retained_sets(self) -> RetainedSets:
        """Return what is asked for what sets of objects retain."""
        return lazily(
            RetainedSets,
            {
                "graph": self.graph,
                "tree": self.tree,
                "retained": self.retained_bytes,
                "counts": self.retained_counts,
                "heads": lambda: self.column("heads", "number"),
                "starts": self._read_starts,
                "referrers": lambda: self.column("referrers", "number"),
            },
        )

    def _read_starts(self) -> NDArray[np.int64]:
        starts = offsets_of(self._reader.column("heads", "referrers"))
        if int(starts[-1]) != self._reader.sizes["referrers"]:
            self._reader.give_up(Damaged("the heads' referrers do not add up"))
            return self._reader.fresh.retained_sets.starts
        return starts

    def paths(self) -> MergedTree:
        """Return the merged paths."""
        small = cache(lambda: self._reader.columns("paths"))
        columns: dict[str, Callable[[], Any]] = {name: _item(small, name) for name in _PATH_COLUMNS}
        columns["path_of"] = lambda: self.column("reached", "path")
        columns["folded_count"] = lambda: self._reader.facts["folded_count"]
        return lazily(MergedTree, columns)

    def _read_names(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = self._reader.document("names")
        return names

    def _roots(self) -> RootTable:
        columns = self._reader.columns("roots") | self._reader.columns("slots")
        names = self._names()
        return RootTable(names=names["root names"], labels=names["slot labels"], **columns)

    def variables(self) -> Variables:
        """Return the global variables."""
        return Variables(names=self._names()["variables"], **self._reader.columns("variables"))

    def code(self) -> CodeKnowledge | None:
        """Return what the code tells of nameless variables: scanned again, a quarter of a second at most."""
        if not self._reader.facts["has_code"]:
            return None
        runtime = self._process.runtime
        return read_code(runtime, FunctionTable(runtime), self._types(), [])

    def profile(self) -> MemoryProfile:
        """Return the memory profile: read again, some 30 ms."""
        runtime = self._process.runtime
        return allocation_profile(runtime, FunctionTable(runtime), self.specials(), self.code())

    def naming(self) -> Naming:
        """Return the names of types and references."""
        references = lazily(
            References,
            {
                "offsets": lambda: self.graph().offsets,
                "targets": lambda: self.graph().targets,
                "words": lambda: self.column("edges", "word"),
            },
        )
        types = lazily(
            ObjectTypes,
            {
                "packed": lambda: self.column("objects", "type"),
                "evidence": lambda: self.column("objects", "evidence"),
                "layouts": self._layouts,
                "unreadable_interfaces": lambda: self._reader.facts["unreadable_interfaces"],
            },
        )
        roots = lazily(RootTable, {name: _attribute(self.roots, name) for name in RootTable.__slots__})
        objects = lazily(
            ObjectTable, {name: _attribute(self.objects, name) for name in ObjectTable.__slots__}
        )
        return Naming(objects, references, roots, types)

    def _read_types(self) -> TypeTable:
        types = TypeTable.read(self._process.runtime)
        types.make_again(_made_types(self._reader.document("types")))
        return types

    def _layouts(self) -> TypeLayouts:
        columns = self._reader.columns("programs")
        number = columns.pop("type")
        starts = np.flatnonzero(np.append(True, number[1:] != number[:-1])) if number.size else number
        ends = np.append(starts[1:], number.size)
        programs = (
            {
                int(number[start]): Program(**{name: column[start:end] for name, column in columns.items()})
                for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            }
            if number.size
            else {}
        )
        return TypeLayouts(self._types(), LabelTable(self._names()["labels"]), programs)


def _attribute(of: Callable[[], Any], name: str) -> Callable[[], Any]:
    return lambda: getattr(of(), name)


def _item(of: Callable[[], dict[str, Any]], name: str) -> Callable[[], Any]:
    return lambda: of()[name]


def _made_types(document: dict[str, Any]) -> MadeTypes:
    types = tuple(_go_type(entry) for entry in document["types"])
    parts = {(role, base): number for role, base, number in document["parts"]}
    return MadeTypes(types, tuple(document["pointer_masks"]), parts)


def _go_type(entry: dict[str, Any]) -> GoType:
    fields = tuple(Field(**field) for field in entry["fields"])
    return GoType(**{**entry, "fields": fields})

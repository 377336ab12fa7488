"""What is kept of an analysis: the one list of columns and texts, for whoever writes and whoever reads them.

Kept is what takes long to find: references, types, the dominator tree, roots, merged paths, the answer. Not kept
is what the capture tells faster than a file would: the process, its spans and objects (0.1 s for 10 million),
its specials, its functions, its code. Nor is what follows from a column at hand: sizes, numbers, who is live.

To keep a new field of `Heap`: say here where its columns come from, and in `restoring` what is made of them.
A field that neither knows fails `tests/store`, and a test compares all answers of a kept heap with a fresh one.
Contents of the process's memory, strings above all, are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import Answer
from heldby.analysis.answering import answer_of
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.golang.types.type_layout import Program
from heldby.golang.typing.object_types import EVIDENCE_NAMES
from heldby.heap.heap import Heap
from heldby.store.plain import to_plain

Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """A column.

    Attributes:
        name: in the file.
        dtype: of the array.
        of: where a heap has it.
        below: what every value must be less than, given the rows of each table; None for any value. Kernels
            index with these numbers unchecked.
        none: whether `heldby.graph.csr.NONE` may stand there as well.
        mapped: kept as wide as it is read, since most questions read it: widening it takes longer than mapping it.
        narrow: read as narrow as it was written.
    """

    name: str
    dtype: type[np.generic]
    of: Callable[[Heap], NDArray[Any]]
    below: Callable[[Sizes], int] | None = None
    none: bool = False
    mapped: bool = False
    narrow: bool = False


def _rows_of(table: str) -> Callable[[Sizes], int]:
    return lambda sizes: sizes[table]


def _paths(name: str) -> Callable[[Heap], NDArray[Any]]:
    return lambda heap: getattr(build_holder_tree(heap).paths, name)


def _roots(name: str) -> Callable[[Heap], NDArray[Any]]:
    return lambda heap: getattr(heap.roots, name)


def _variables(name: str) -> Callable[[Heap], NDArray[Any]]:
    return lambda heap: getattr(heap.variables, name)


def _programs(name: str) -> Callable[[Heap], NDArray[Any]]:
    def column(heap: Heap) -> NDArray[Any]:
        programs = heap.naming.types.layouts.programs
        parts = [getattr(program, name) for program in programs.values()]
        return np.concatenate(parts) if parts else np.zeros(0, Program.__annotations__[name])

    return column


def _program_types(heap: Heap) -> NDArray[np.uint32]:
    programs = heap.naming.types.layouts.programs
    numbers = np.array(list(programs), np.uint32)
    return np.repeat(numbers, np.array([program.word.size for program in programs.values()], np.int64))


def _degrees(heap: Heap) -> NDArray[np.uint32]:
    out = np.empty(heap.graph.node_count, np.uint32)
    np.subtract(heap.graph.offsets[1:], heap.graph.offsets[:-1], out=out, casting="unsafe")
    return out


TABLES: Final[Mapping[str, tuple[Kept, ...]]] = {
    # Node 0, the objects, the roots.
    "vertices": (
        Kept("degree", np.uint32, _degrees, narrow=True),
        Kept("number", np.uint32, lambda heap: heap.tree.number, _rows_of("reached"), none=True),
        Kept("firmly_reached", np.uint8, lambda heap: heap.deferred.firmly_reached),
    ),
    "edges": (
        Kept("target", np.uint32, lambda heap: heap.graph.targets, _rows_of("vertices")),
        Kept("word", np.uint32, lambda heap: heap.words, mapped=True),
    ),
    "deferred": (
        Kept("edge", np.int64, lambda heap: heap.deferred.edges, _rows_of("edges")),
        Kept("target", np.uint32, lambda heap: heap.deferred.targets, _rows_of("vertices")),
    ),
    # Node 0 and the objects.
    "objects": (
        Kept(
            "type",
            np.uint32,
            lambda heap: heap.naming.types.packed,
            lambda sizes: 2 * sizes["types"],
            mapped=True,
        ),
        Kept("evidence", np.uint8, lambda heap: heap.naming.types.evidence, lambda _: len(EVIDENCE_NAMES)),
    ),
    # The dominator tree, in its own numbers.
    "reached": (
        Kept("vertex", np.uint32, lambda heap: heap.tree.order, _rows_of("vertices")),
        Kept("dominator", np.uint32, lambda heap: heap.tree.idom, _rows_of("reached")),
        Kept("path", np.uint32, _paths("path_of"), _rows_of("paths")),
        Kept("retained_bytes", np.int64, lambda heap: heap.retained_bytes),
        Kept("retained_count", np.uint32, lambda heap: heap.retained_counts),
    ),
    # What `RetainedSets` is made of: who refers to numbers that their dominators do not refer to.
    "heads": (
        Kept("number", np.uint32, lambda heap: heap.retained_sets.heads, _rows_of("reached")),
        Kept(
            "referrers",
            np.uint32,
            lambda heap: np.diff(heap.retained_sets.starts).astype(np.uint32),
            narrow=True,
        ),
    ),
    "referrers": (Kept("number", np.uint32, lambda heap: heap.retained_sets.referrers, _rows_of("reached")),),
    "paths": (
        Kept("parent", np.uint32, _paths("parent"), _rows_of("paths")),
        Kept("key", np.uint64, _paths("key")),
        Kept("depth", np.uint32, _paths("depth")),
        Kept("first", np.uint32, _paths("first"), _rows_of("reached")),
        *(Kept(name, np.int64, _paths(name)) for name in ("count", "recursive", "objects", "shallow")),
        *(Kept(name, np.int64, _paths(name)) for name in ("retained", "retained_objects")),
    ),
    "roots": (
        Kept("kind", np.uint8, _roots("kind")),
        Kept("name", np.uint32, _roots("name"), _rows_of("root names")),
        Kept("group", np.uint32, _roots("group")),
        Kept("deferred", np.bool_, _roots("deferred")),
        Kept("item", np.int64, _roots("item")),
    ),
    "slots": (
        Kept("slot_node", np.uint32, _roots("slot_node"), _rows_of("roots")),
        Kept("slot_target", np.uint32, _roots("slot_target"), _rows_of("vertices")),
        Kept("slot_addr", np.uint64, _roots("slot_addr")),
        Kept("slot_label", np.uint32, _roots("slot_label"), _rows_of("slot labels")),
        Kept("slot_word", np.uint32, _roots("slot_word")),
        Kept("slot_type", np.uint32, _roots("slot_type"), _rows_of("types")),
    ),
    "variables": (
        Kept("start", np.uint64, _variables("start")),
        Kept("size", np.uint64, _variables("size")),
        Kept("runtime_owned", np.bool_, _variables("runtime_owned")),
        Kept("types", np.uint32, _variables("types"), _rows_of("types")),
        Kept("nameless", np.bool_, _variables("nameless")),
        Kept("used_at", np.uint64, _variables("used_at")),
    ),
    # What lies in each pointer word of the types that were met.
    "programs": (
        Kept("type", np.uint32, _program_types, _rows_of("types")),
        Kept("word", np.int64, _programs("word")),
        Kept("kind", np.uint8, _programs("kind")),
        Kept("target", np.uint32, _programs("target"), _rows_of("types")),
        Kept("aux", np.uint32, _programs("aux"), _rows_of("types")),
        Kept("label", np.uint32, _programs("label"), _rows_of("labels")),
    ),
}


def file_of(table: str) -> str:
    """Return the name of the file that has `table`."""
    return f"{table}.parquet"


def _types(heap: Heap) -> Any:
    made = heap.naming.types.layouts.types.made()
    parts = [[role, base, number] for (role, base), number in made.parts.items()]
    return {"types": to_plain(made.types), "pointer_masks": list(made.pointer_masks), "parts": parts}


DOCUMENTS: Final[Mapping[str, Callable[[Heap], Any]]] = {
    "answer": lambda heap: to_plain(answer_of(heap)),
    "names": lambda heap: {
        "root names": heap.roots.names,
        "slot labels": heap.roots.labels,
        "variables": heap.variables.names,
        "labels": heap.naming.types.layouts.labels.texts,
    },
    "types": _types,
}
"""What is no column: JSON files."""


def facts_of(heap: Heap) -> dict[str, Any]:
    """Return the few numbers and texts that stand in the manifest."""
    return {
        "goroutine_count": heap.goroutine_count,
        "caveats": list(heap.caveats),
        "losses": list(heap.losses),
        "live_bytes": heap.live_bytes,
        "has_code": heap.code is not None,
        "folded_count": build_holder_tree(heap).paths.folded_count,
        "unreadable_interfaces": heap.naming.types.unreadable_interfaces,
    }


def sizes_of(heap: Heap) -> dict[str, int]:
    """Return how many there are of what has no table of its own."""
    return {
        "types": len(heap.naming.types.layouts.types),
        "labels": len(heap.naming.types.layouts.labels.texts),
        "root names": len(heap.roots.names),
        "slot labels": len(heap.roots.labels),
    }


def results_of(heap: Heap) -> tuple[HolderTree, Answer]:
    """Return what is kept and may not have been asked for yet; the rest of the lists read it."""
    return build_holder_tree(heap), answer_of(heap)

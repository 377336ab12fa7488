"""Who has most: shallow and retained bytes of sets of objects, and of single roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown import grouping
from heldby.analysis.drilldown.owner_groups import by_holder, by_root
from heldby.analysis.drilldown.selection import EVERYTHING, Selection, large_rows
from heldby.analysis.drilldown.whole_maps import by_whole_type
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.holding.holders import holder_rows
from heldby.analysis.table import Column, Kind, Table, column, text_column
from heldby.errors import UsageError
from heldby.golang.functions.functions import short_name
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import read_goroutines
from heldby.graph.csr import NONE
from heldby.graph.retained_sets import sum_up
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind

By = Literal["type", "holder", "package", "module", "root", "size-class", "goroutine"]
DIMENSIONS: Final[tuple[str, ...]] = get_args(By)

_GROUPINGS: Final[dict[str, Callable[[Heap], grouping.Grouping]]] = {
    "type": by_whole_type,
    "package": grouping.by_package,
    "module": grouping.by_module,
    "size-class": grouping.by_size_class,
}
_OWNERS: Final = ("holder", "root")
"""What some objects can be divided among; of all objects `_holders` and `_roots` say more."""
_OVERLAP: Final = ("retained bytes of sets overlap: what one row retains may be part of another's",)
_KIND_NAMES: Final = {
    RootKind.GLOBAL: "global",
    RootKind.GOROUTINE: "goroutine",
    RootKind.GOROUTINE_GROUP: "goroutines",
    RootKind.SPECIAL: "special",
    RootKind.RUNTIME: "runtime",
}


def top(
    heap: Heap,
    by: str,
    *,
    selection: Selection = EVERYTHING,
    min_size: int | None = None,
    limit: int | None = None,
    parts: bool = False,
) -> Table:
    """Return who has most, by retained bytes.

    The retained bytes of a set of objects are exact: what would be freed if all of them went. Sets overlap
    (what an ``[]T`` retains contains its Ts), so their shares do not add up to 1; holders are different: each
    live byte belongs to one.

    Args:
        heap: what to look at.
        by: one of `DIMENSIONS`.
        selection: objects that count; single goroutines have none.
        min_size: least retained bytes of a row.
        limit: rows; for sets, a few rows cost less than all (see `RetainedSets.largest`).
        parts: give the parts of maps rows of their own, by type; otherwise a map is one row with all of them.

    Raises:
        UsageError: no object is selected, or single goroutines should be listed by the objects that they hold.
    """
    if by in _GROUPINGS:
        groups = grouping.by_type(heap) if parts and by == "type" else _GROUPINGS[by](heap)
        return _sets(heap, by, groups, selection, min_size, limit, parts)
    if selection and by not in _OWNERS:
        raise UsageError(
            f"{selection} chooses objects, which single goroutines are not asked for",
            next_step=f"see which roots hold them, goroutines by function: heldby top TARGET --by root {selection}",
        )
    if selection and by == "holder":
        return _divided(heap, by_holder(heap), selection, min_size)
    if selection:
        return _sets(heap, by, by_root(heap), selection, min_size, limit)
    if by == "holder":
        return _holders(heap, min_size)
    return _roots(heap, by, min_size)


def _sets(
    heap: Heap,
    by: str,
    groups: grouping.Grouping,
    selection: Selection,
    min_size: int | None,
    limit: int | None,
    parts: bool = False,
) -> Table:
    sizes = heap.objects.spans.elemsize.astype(np.int64)
    chosen = selection.objects(heap)
    found = sum_up(heap.tree, groups.of, len(groups.names), chosen, heap.objects.span, sizes)
    asked = heap.retained_sets
    if limit is not None:
        rows, retained, held = asked.largest(found.sets, found.totals, limit)
    else:
        retained, held = asked.of_each(found.sets, found.groups.size)
        rows = np.lexsort((np.arange(found.groups.size), -retained))
        retained, held = retained[rows], held[rows]
    live = heap.live_bytes
    table = Table(
        "top",
        (
            text_column(by.replace("-", "_"), groups.names, found.groups[rows].astype(np.uint32)),
            column("objects", Kind.COUNT, found.counts[rows]),
            column("shallow_bytes", Kind.BYTES, found.totals[rows]),
            column("retained_bytes", Kind.BYTES, retained),
            column("retained_objects", Kind.COUNT, held),
            column("share", Kind.SHARE, retained / max(live, 1)),
        ),
        title=f"What the objects of each {by.replace('-', ' ')} retain together"
        + (f": those of {selection}" if selection else ""),
        notes=_notes(groups, found.groups[rows]) if by == "type" and not parts else _OVERLAP,
        total_rows=int(found.groups.size),
    )
    return large_rows(table, "retained_bytes", min_size)


def _divided(heap: Heap, groups: grouping.Grouping, selection: Selection, min_size: int | None) -> Table:
    """Return how many of the chosen objects each holder keeps: every one belongs to one row.

    What they retain is left out: with all that they lead to, a few objects of one row retain most of another's.
    """
    sizes = heap.objects.spans.elemsize.astype(np.int64)
    found = sum_up(heap.tree, groups.of, len(groups.names), selection.objects(heap), heap.objects.span, sizes)
    rows = np.lexsort((np.arange(found.groups.size), -found.totals))
    table = Table(
        "top",
        (
            text_column("holder", groups.names, found.groups[rows].astype(np.uint32)),
            column("objects", Kind.COUNT, found.counts[rows]),
            column("shallow_bytes", Kind.BYTES, found.totals[rows]),
            column("share", Kind.SHARE, found.totals[rows] / max(heap.live_bytes, 1)),
        ),
        title=f"Who holds the objects of {selection}; each belongs to one row",
        total_rows=int(found.groups.size),
    )
    return large_rows(table, "shallow_bytes", min_size)


def _notes(groups: grouping.Grouping, shown: NDArray[np.int64]) -> tuple[str, ...]:
    maps = any(groups.names[row].startswith("map[") for row in shown.tolist())
    return (
        (*_OVERLAP, "a map counts with its tables and groups; --parts lists them apart") if maps else _OVERLAP
    )


def _holders(heap: Heap, min_size: int | None) -> Table:
    tree = build_holder_tree(heap)
    rows, rest = holder_rows(tree)
    kept = [row for row in rows if row.bytes >= (min_size or 0)]
    texts = [tree.text(row.path).strip() for row in kept]
    types = [tree.type_text(row.path) for row in kept]
    if rest.bytes >= max(min_size or 0, 1):
        kept.append(rest)
        texts.append("everything else")
        types.append(None)
    live = max(heap.live_bytes, 1)
    sizes = np.array([row.bytes for row in kept], np.int64)
    shallow = [int(tree.paths.shallow[row.path]) for row in kept]
    return Table(
        "top",
        (
            text_column("holder", texts),
            text_column("type", types),
            column("shallow_bytes", Kind.BYTES, shallow),
            column("retained_bytes", Kind.BYTES, sizes),
            column("retained_objects", Kind.COUNT, [row.objects for row in kept]),
            column("share", Kind.SHARE, sizes / live),
        ),
        title="Who holds the live bytes; each byte belongs to one row",
    )


def _roots(heap: Heap, by: str, min_size: int | None) -> Table:
    """Return the single roots, or the single goroutines, that retain something."""
    roots = heap.roots
    first = heap.object_count + 1
    is_goroutine = roots.kind == RootKind.GOROUTINE
    wanted = is_goroutine if by == "goroutine" else ~is_goroutine
    numbers = heap.tree.number[first : first + len(roots)]
    rows = np.flatnonzero(wanted & (numbers != np.uint32(NONE)))
    retained = heap.retained_bytes[numbers[rows]]
    rows = rows[np.lexsort((rows, -retained))]
    retained = heap.retained_bytes[numbers[rows]]
    rows = rows[retained >= (min_size or 0)]
    retained = heap.retained_bytes[numbers[rows]]
    inner = _root_vertices_below(heap)[numbers[rows]]
    objects = heap.retained_counts[numbers[rows]].astype(np.int64) - inner
    names = [short_name(name) for name in roots.names]
    kinds = [""] * (max(RootKind) + 1)
    for kind, text in _KIND_NAMES.items():
        kinds[kind] = text
    live = max(heap.live_bytes, 1)
    return Table(
        "top",
        (
            text_column(by, names, roots.name[rows]),
            _goids(heap, rows) if by == "goroutine" else text_column("kind", kinds, roots.kind[rows]),
            column("retained_bytes", Kind.BYTES, retained),
            column("retained_objects", Kind.COUNT, objects),
            column("share", Kind.SHARE, retained / live),
        ),
        title=f"What each {by} retains alone",
        notes=("what several hold belongs to none of them here; heldby top --by holder divides all of it",),
    )


def _goids(heap: Heap, rows: NDArray[np.intp]) -> Column:
    """Return the ids of goroutines by root row; ``heldby what-if --without 'goroutine 17'`` takes them."""
    runtime = heap.process.runtime
    table = read_goroutines(runtime, find_goroutines(runtime, heap.objects))
    return column("goid", Kind.NUMBER, table.goid[heap.roots.item[rows]].astype(np.int64))


def _root_vertices_below(heap: Heap) -> NDArray[np.int64]:
    """Return for each number how many roots it dominates, itself included; groups dominate their members."""
    first = heap.object_count + 1
    numbers = heap.tree.number[first : first + len(heap.roots)]
    numbers = numbers[numbers != np.uint32(NONE)]
    found = np.zeros(heap.tree.reached_count, np.int64)
    found[numbers] = 1
    # A root's dominator is the virtual root or its group: nothing else refers to roots.
    above = heap.tree.idom[numbers]
    np.add.at(found, above, 1)
    return found

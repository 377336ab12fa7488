"""What would be freed without a reference: without a field, a variable, a group of goroutines.

Exact, by the collector's own graph: everything that is reachable now and would not be without the references
that were named. Retained bytes say the same for a single place when nothing of the runtime's reaches it too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.path_lookup import find_place
from heldby.analysis.drilldown.path_references import PathReferences, vertices_on
from heldby.analysis.drilldown.selection import EVERYTHING, Selection, large_rows
from heldby.analysis.drilldown.whole_maps import by_whole_type
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.table import Kind, Table, column, text_column
from heldby.errors import UsageError
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import read_goroutines
from heldby.graph.csr import Graph
from heldby.graph.reach import reachability
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind
from heldby.units import format_bytes, format_count

_GOROUTINE: Final = re.compile(r"goroutine (\d{1,19})")


def what_if(
    heap: Heap, without: Sequence[str], *, selection: Selection = EVERYTHING, min_size: int | None = None
) -> Table:
    """Return by type what would be freed without all of `without` together, largest first.

    Args:
        heap: what to look at.
        without: paths as heldby prints them (``main.manager.paths``: that field in all objects that the path leads to),
            variables (``main.manager``), groups of goroutines (``goroutine main.serve``), or one of them
            (``goroutine 17``). One traversal of the references, whatever their number.
        selection: which of the objects that would be freed are listed; the title speaks of all.
        min_size: least freed bytes of a row.

    Raises:
        UsageError: one of them names nothing.
    """
    tree = build_holder_tree(heap)
    graph = heap.whole_graph
    cut = 0
    notes: list[str] = []
    for text in without:
        cut += _cut(tree, graph, text, notes)
    left = reachability(graph)[: heap.object_count + 1]
    freed = heap.live & ~left
    groups = by_whole_type(heap)
    objects, freed_bytes = groups.sums(heap, freed)
    total, count = int(freed_bytes.sum()), int(objects.sum())
    if selection:
        objects, freed_bytes = groups.sums(heap, freed & selection.objects(heap))
    rows = np.lexsort((np.arange(objects.size), -freed_bytes))
    rows = rows[objects[rows] > 0]
    live = max(heap.live_bytes, 1)
    if not count and not notes:
        notes.append("something else still reaches all of it; see heldby paths")
    if count and selection:
        notes.append(
            f"listed is what fits {selection}: {format_bytes(int(freed_bytes.sum()))} in "
            f"{int(objects.sum()):,} objects"
        )
    table = Table(
        "what_if",
        (
            text_column("type", groups.names, rows.astype(np.uint32)),
            column("freed_bytes", Kind.BYTES, freed_bytes[rows]),
            column("freed_objects", Kind.COUNT, objects[rows]),
            column("share", Kind.SHARE, freed_bytes[rows] / live),
        ),
        title=_title(without, total, count, live, cut),
        notes=tuple(notes),
    )
    return large_rows(table, "freed_bytes", min_size)


def _title(without: Sequence[str], total: int, count: int, live: int, cut: int) -> str:
    objects = "1 object" if count == 1 else f"{format_count(count)} objects"
    references = "1 reference" if cut == 1 else f"{format_count(cut)} references"
    freed = f"{format_bytes(total)} in {objects} would be freed, {total / live:.1%} of the live heap"
    return f"Without {' and '.join(without)} ({references}): {freed}"


def _cut(tree: HolderTree, graph: Graph, text: str, notes: list[str]) -> int:
    """Turn the references that `text` names into self-references, in place; return how many they were.

    What is not cut although it looks so is added to `notes`.
    """
    heap = tree.heap
    number = _GOROUTINE.fullmatch(text.strip())
    if number is not None:
        return _cut_goroutine(heap, graph, int(number[1]))
    references = PathReferences(tree)
    place = find_place(tree, text, references)
    sources, edges, _ = references.find(place.sources)
    if not references.whole:
        notes.append(
            f"more would go: {text} leads into a list that others hold too, which was not followed to its end"
        )
    graph.targets[edges] = sources
    count = int(edges.size)
    roots = [path for path in place.paths if tree.step(path)[0] == "root"]
    if roots:
        on_path = np.zeros(tree.paths.path_count, np.bool_)
        on_path[roots] = True
        vertices = vertices_on(tree, on_path)
        gone, staying = _cut_roots(heap, graph, vertices[vertices > np.uint32(heap.object_count)])
        count += gone
        if staying:
            notes.append(
                f"{text} points to a value that was laid out with the program: that and its {staying:,} references "
                f"stay, whatever {text} is set to; give its fields, as in {_example(tree, roots, text)}"
            )
    elif not count:
        # A row for what several hold: all ways into its objects.
        count = _cut_ways_into(tree, graph, place.paths)
    return count


def _example(tree: HolderTree, roots: list[int], text: str) -> str:
    """Return the largest path below a variable."""
    offsets, children = tree.paths.children()
    below = [child for root in roots for child in children[offsets[root] : offsets[root + 1]].tolist()]
    named = [child for child in below if tree.text(child) != text]
    return (
        tree.text(max(named, key=lambda child: int(tree.paths.retained[child]))) if named else f"{text}.Field"
    )


def _cut_roots(heap: Heap, graph: Graph, vertices: NDArray[np.uint32]) -> tuple[int, int]:
    """Cut what the given roots refer to; goroutines among them end, with their records.

    Returns how many references to objects were cut, and how many stay: those of values that the linker laid out
    (``var cache = &Cache{...}``), which the collector scans whatever the variable points to.
    """
    nodes = vertices.astype(np.int64) - heap.object_count - 1
    goroutines = nodes[heap.roots.kind[nodes] == RootKind.GOROUTINE]
    groups = nodes[heap.roots.kind[nodes] == RootKind.GOROUTINE_GROUP]
    members = np.flatnonzero(np.isin(heap.roots.group, groups.astype(np.uint32)))
    goroutines = np.union1d(goroutines, members)
    everything = np.union1d(nodes, goroutines)
    sources, edges = graph.edges_from((everything + heap.object_count + 1).astype(np.uint32))
    static = _in_static_values(heap, sources, edges)
    real = graph.targets[edges] <= np.uint32(heap.object_count)  # not a group's members
    graph.targets[edges[~static]] = sources[~static]
    records = _records_of(heap, goroutines)
    own, ways = graph.edges_from(records)
    outward = ~np.isin(graph.targets[ways], records)  # the records themselves wait for the next goroutines
    graph.targets[ways[outward]] = own[outward]
    return int((real & ~static).sum()), int((real & static).sum())


def _in_static_values(heap: Heap, sources: NDArray[np.uint32], edges: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which references of roots lie in a static value that a variable only points to."""
    roots, variables = heap.roots, heap.variables
    found = np.zeros(edges.size, np.bool_)
    of_variables = np.flatnonzero(
        roots.kind[sources.astype(np.int64) - heap.object_count - 1] == RootKind.GLOBAL
    )
    row = variables.at(roots.slot_addr[heap.words[edges[of_variables]]])
    found[of_variables] = (row >= 0) & (variables.used_at[row] != variables.start[row])
    return found


def _records_of(heap: Heap, nodes: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the ``g`` and the first ``sudog`` of goroutines: when one ends, these refer to nothing more."""
    if not nodes.size:
        return np.zeros(0, np.uint32)
    runtime = heap.process.runtime
    table = read_goroutines(runtime, find_goroutines(runtime, heap.objects))
    rows = heap.roots.item[nodes]
    found = heap.objects.find(np.concatenate((table.addr[rows], table.waiting[rows])))
    return np.unique(found[found != 0])


def _cut_goroutine(heap: Heap, graph: Graph, goid: int) -> int:
    runtime = heap.process.runtime
    table = read_goroutines(runtime, find_goroutines(runtime, heap.objects))
    roots = heap.roots
    nodes = np.flatnonzero(roots.kind == RootKind.GOROUTINE)
    nodes = nodes[table.goid[roots.item[nodes]] == np.uint64(goid)]
    if not nodes.size:
        raise UsageError(
            f"there is no goroutine {goid} that holds anything",
            next_step="list goroutines with: heldby goroutines TARGET",
        )
    return _cut_roots(heap, graph, (nodes + heap.object_count + 1).astype(np.uint32))[0]


def _cut_ways_into(tree: HolderTree, graph: Graph, paths: list[int]) -> int:
    """Cut every reference into the top objects of the given rows."""
    heap = tree.heap
    on_path = np.zeros(tree.paths.path_count, np.bool_)
    on_path[paths] = True
    numbers = np.flatnonzero(on_path[tree.paths.path_of])
    above = heap.tree.idom[numbers]
    outer = numbers[~on_path[tree.paths.path_of[above]]]
    wanted = np.zeros(graph.node_count, np.bool_)
    wanted[heap.tree.order[outer]] = True
    edges = np.flatnonzero(wanted[graph.targets])
    sources = np.searchsorted(graph.offsets, edges, side="right") - 1
    graph.targets[edges] = sources.astype(np.uint32)
    return int(edges.size)

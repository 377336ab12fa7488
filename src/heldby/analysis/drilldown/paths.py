"""Shortest ways from the roots to objects, merged by signature; or from every root that reaches them."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.grouping import of_types
from heldby.analysis.drilldown.path_lookup import find_place
from heldby.analysis.drilldown.path_references import vertices_on
from heldby.analysis.drilldown.references import object_at
from heldby.analysis.drilldown.selection import EVERYTHING, Selection, large_rows, pattern
from heldby.analysis.holding.holder_tree import build_holder_tree, merge_ways
from heldby.analysis.table import Kind, Table, column, number_column, text_column
from heldby.errors import UsageError
from heldby.golang.functions.functions import short_name
from heldby.graph.csr import NONE, Graph
from heldby.graph.reach import ShortestPaths
from heldby.graph.ways import ways_back, ways_to
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind

_POOLS: Final = re.compile(
    r"(\[\d*\])?sync\.(poolLocal|poolLocalInternal|poolChain|poolChainElt|poolDequeue|eface)"
)
# Packages whose variables are caches that only grow with the program's types (reflect.TypeOf and the like).
_CACHES: Final = ("reflect.", "encoding/", "internal/reflectlite.")
_MOST_HOPS: Final = 1 << 16
_STEPS_SHOWN: Final = 64


def objects_called(heap: Heap, text: str) -> NDArray[np.uint32]:
    """Return the live objects that `text` means: an address, a type's name (or pattern), or a path.

    Raises:
        UsageError: it means none.
    """
    if text.lower().startswith("0x"):
        try:
            return np.array([object_at(heap, int(text, 16))], np.uint32)
        except ValueError:
            raise UsageError(f"{text} is no address", next_step="write it as 0xc000012340") from None
    found = np.flatnonzero(of_types(heap, pattern(text)) & heap.live)
    if found.size:
        return found.astype(np.uint32)
    tree = build_holder_tree(heap)
    on_path = np.zeros(tree.paths.path_count, np.bool_)
    on_path[find_place(tree, text).paths] = True
    vertices = vertices_on(tree, on_path)
    inside = vertices[(vertices > 0) & (vertices <= np.uint32(heap.object_count))]
    if not inside.size:
        raise UsageError(
            f"no live object is called {text}",
            next_step="give an address, a type as heldby top prints it, or a path as heldby tree prints it",
        )
    return inside


def paths(
    heap: Heap,
    text: str,
    *,
    strong: bool = False,
    selection: Selection = EVERYTHING,
    min_size: int | None = None,
) -> Table:
    """Return the shortest ways from the roots to what `text` means, merged by signature, most objects first.

    Args:
        heap: what to look at.
        text: see `objects_called`.
        strong: leave out ways that the runtime or a cache may drop (see `without_weak_ways`).
        selection: which of these objects.
        min_size: least shallow bytes of the objects of a way.
    """
    targets = _chosen(heap, text, selection)
    graph = without_weak_ways(heap) if strong else heap.graph
    tree = ways_to(graph, targets)
    merged = merge_ways(heap, tree, graph)
    numbers = tree.number[targets]
    reached = numbers != np.uint32(NONE)
    targets, numbers = targets[reached], numbers[reached]
    rows, first, inverse = np.unique(merged.paths.path_of[numbers], return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    objects = np.bincount(inverse, minlength=rows.size)
    shallow = np.bincount(inverse, heap.sizes_of(targets), rows.size).astype(np.int64)
    order = np.lexsort((rows, -objects))
    unreached = int((~reached).sum())
    reason = "no other way than those that were left out" if strong else "no way at all: garbage"
    notes = [f"{unreached:,} of these objects: {reason}"] if unreached else []
    table = Table(
        "paths",
        (
            column("objects", Kind.COUNT, objects[order]),
            column("shallow_bytes", Kind.BYTES, shallow[order]),
            number_column(
                "steps", Kind.COUNT, [_steps(tree.idom, int(numbers[first[row]])) for row in order]
            ),
            column("addr", Kind.ADDRESS, heap.objects.address_of(targets[first[order]])),
            text_column("path", [merged.text(int(rows[row])).strip() for row in order]),
        ),
        title=f"The shortest ways to {text}",
        notes=tuple(notes),
        details=("path",),
    )
    return large_rows(table, "shallow_bytes", min_size)


def _chosen(heap: Heap, text: str, selection: Selection) -> NDArray[np.uint32]:
    targets = objects_called(heap, text)
    if not selection:
        return targets
    targets = targets[selection.objects(heap)[targets]]
    if not targets.size:
        raise UsageError(
            f"no live object called {text} fits {selection}",
            next_step=f"see which there are with: heldby paths TARGET '{text}'",
        )
    return targets


def _steps(before: NDArray[np.uint32], number: int) -> int | None:
    """Return how many references the way to `number` has, roots and groups not counted as such."""
    for steps in range(_MOST_HOPS):
        if not number:
            return steps
        number = int(before[number])
    return None


def paths_of_all_roots(
    heap: Heap, text: str, *, strong: bool = False, selection: Selection = EVERYTHING
) -> Table:
    """Return the shortest way from every root that reaches what `text` means; roots of one name are one row."""
    targets = _chosen(heap, text, selection)
    graph = without_weak_ways(heap) if strong else heap.graph
    back = ways_back(graph, targets)
    first_root = heap.object_count + 1
    roots = back.visited[back.visited >= np.uint32(first_root)]
    nodes = roots.astype(np.int64) - first_root
    leaders = heap.roots.kind[nodes] != RootKind.GOROUTINE_GROUP
    linked = _linked(graph, heap, nodes) if strong else np.ones(nodes.size, np.bool_)
    roots, nodes = roots[leaders & linked], nodes[leaders & linked]
    keys = heap.roots.name[nodes].astype(np.uint64) << np.uint64(8) | heap.roots.kind[nodes].astype(np.uint64)
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    order = np.argsort(first, kind="stable")  # nearest first, as the search found them
    ways = [way_text(heap, graph, back, int(roots[first[row]])) for row in order]
    return Table(
        "paths",
        (
            text_column("root", [_root_name(heap, int(nodes[first[row]])) for row in order]),
            column("roots", Kind.COUNT, counts[order]),
            number_column("steps", Kind.COUNT, [steps for _, steps, _ in ways]),
            column("addr", Kind.ADDRESS, [addr for _, _, addr in ways]),
            text_column("path", [path for path, _, _ in ways]),
        ),
        title=f"Every root that reaches {text}, by its shortest way",
        details=("path",),
    )


def _linked(graph: Graph, heap: Heap, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which roots lead anywhere at all; those that were cut off refer to themselves only."""
    vertices = (nodes + heap.object_count + 1).astype(np.uint32)
    sources, edges = graph.edges_from(vertices)
    leads = np.zeros(graph.node_count, np.bool_)
    leads[sources[graph.targets[edges] != sources]] = True
    found: NDArray[np.bool_] = leads[vertices]
    return found


def _root_name(heap: Heap, node: int) -> str:
    name = short_name(heap.roots.name_of(node))
    return f"goroutine {name}" if heap.roots.kind[node] == RootKind.GOROUTINE else name


def way_text(heap: Heap, graph: Graph, back: ShortestPaths, root: int) -> tuple[str, int | None, int]:
    """Return text, references and end of the way from `root` to the nearest target."""
    vertex, steps = root, 0
    sources, edges = [], []
    while int(back.parent[vertex]) != vertex and steps < _MOST_HOPS:
        following = int(back.parent[vertex])
        if steps < _STEPS_SHOWN:
            at = int(graph.offsets[vertex])
            sources.append(vertex)
            edges.append(at + int(np.flatnonzero(graph.targets_of(vertex) == following)[0]))
        vertex, steps = following, steps + 1
    labels = heap.naming.labels(np.array(edges, np.int64), np.array(sources, np.uint32)).tolist()
    parts = [_root_name(heap, root - heap.object_count - 1)]
    if heap.roots.kind[root - heap.object_count - 1] == RootKind.GOROUTINE:
        parts.append(" ")
    before = None
    for label in labels:
        text = heap.naming.label_text(label)
        if label == before and text:
            if not parts[-1].endswith(")*"):
                parts[-1] = f"({parts[-1]})*"
            continue
        before = label
        parts.append(text)
    if steps > len(labels):
        parts.append("...")
    addr = heap.address_of(vertex) if vertex <= heap.object_count else 0
    return "".join(parts), steps if steps < _MOST_HOPS else None, addr


def without_weak_ways(heap: Heap) -> Graph:
    """Return the graph without ways that go away by themselves or grow with the program only.

    Left out: what sync.Pool keeps, finalizers, cleanups and their queues, the runtime's own roots, and the
    variables of reflect and the encoding packages, which are caches by type (not in a stripped program, where
    variables have no names).
    """
    targets = heap.graph.targets.copy()
    graph = Graph(heap.graph.offsets, targets)
    vertices = np.flatnonzero(of_types(heap, _POOLS))
    roots = heap.roots
    caches = np.array([name.startswith(_CACHES) for name in roots.names], np.bool_)
    weak = roots.deferred | np.isin(roots.kind, (RootKind.SPECIAL, RootKind.RUNTIME))
    weak |= (roots.kind == RootKind.GLOBAL) & caches[roots.name]
    cut = np.concatenate((vertices, np.flatnonzero(weak) + heap.object_count + 1))
    sources, edges = graph.edges_from(cut.astype(np.uint32))
    targets[edges] = sources
    return graph

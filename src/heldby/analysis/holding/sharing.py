"""Who holds what nobody holds alone: the ways into a shared object, in words.

One object stands for all of its signature. Its ways are its referrers by the paths that lead to them; the
goroutines of a group are counted: ``412 goroutines in server.(*Server).AcceptLoop``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

import numpy as np

from heldby.analysis.holding.holder_tree import HolderTree
from heldby.golang.functions.functions import short_name
from heldby.graph.predecessors import predecessors
from heldby.heap.roots import RootKind
from heldby.units import format_count

_MAX_WAYS: Final = 6


def ways_into(tree: HolderTree, paths: list[int]) -> dict[int, tuple[str, ...]]:
    """Return for each shared path (a child of the root) who refers to its first object, most ways first.

    Two passes over the references for all paths together.
    """
    heap = tree.heap
    vertex_of = {path: int(heap.tree.order[tree.paths.first[path]]) for path in paths}
    wanted = np.array(sorted(set(vertex_of.values())), np.uint32)
    if not wanted.size:
        return {}
    sources, edges = predecessors(heap.graph, heap.tree, wanted)
    labels = heap.naming.labels(edges, sources)
    ways: dict[int, Counter[str]] = defaultdict(Counter)
    goroutines: dict[int, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    first_root = heap.object_count + 1
    targets = heap.graph.targets[edges]
    for source, target, label in zip(sources.tolist(), targets.tolist(), labels.tolist(), strict=True):
        node = source - first_root
        if node >= 0 and heap.roots.kind[node] == RootKind.GOROUTINE:
            goroutines[target][int(heap.roots.group[node])].add(node)
        elif source:
            ways[target][_way(tree, source, label)] += 1
    return {path: _texts(tree, ways[vertex], goroutines[vertex]) for path, vertex in vertex_of.items()}


def _way(tree: HolderTree, source: int, label: int) -> str:
    heap = tree.heap
    path = int(tree.paths.path_of[heap.tree.number[source]])
    text = tree.text(path).strip() + (heap.naming.label_text(label) if label else "")
    return f"global {text}" if tree.root_kind(tree.root_of(path)) == "global" else text


def _texts(tree: HolderTree, ways: Counter[str], groups: dict[int, set[int]]) -> tuple[str, ...]:
    found = [(not text.startswith("global "), -count, False, text) for text, count in ways.items()]
    for group, members in groups.items():
        count = len(members)
        name = short_name(tree.heap.roots.name_of(group))
        text = f"{format_count(count)} goroutine{'s' if count != 1 else ''} in {name}"
        found.append((True, -count, True, text))
    shown = [text for *_, text in sorted(found)]
    more = len(shown) - _MAX_WAYS
    return (*shown[:_MAX_WAYS], f"{more} other way{'s' if more != 1 else ''}") if more > 0 else tuple(shown)

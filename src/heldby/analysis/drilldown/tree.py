"""The dominator tree, merged by path or object by object, from any node down."""

from __future__ import annotations

import heapq
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.path_lookup import below, find_place
from heldby.analysis.drilldown.paths import objects_called
from heldby.analysis.drilldown.selection import EVERYTHING, Selection
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.table import Kind, Table, column, number_column, text_column
from heldby.errors import UsageError
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap

MOST_LINES: Final = 10_000


def merged_tree(
    heap: Heap,
    node: str | None = None,
    *,
    depth: int = 3,
    width: int = 10,
    min_size: int = 1,
    most: int = MOST_LINES,
    selection: Selection = EVERYTHING,
) -> Table:
    """Return the tree of paths from `node` (a path as heldby prints it; None for all) down, largest first.

    Args:
        heap: what to look at.
        node: the path to begin with.
        depth: levels below it.
        width: children of each node at most; a line says what the others retain together.
        min_size: least bytes of a line: retained, or with a selection those of the objects that it chooses.
        most: lines at most; those with most bytes are taken.
        selection: only lines that lead to these objects, with how many there are at and below each.

    Raises:
        UsageError: no path is called so, or no object is selected.
    """
    tree = build_holder_tree(heap)
    chosen = _chosen_at_or_below(tree, selection) if selection else None
    weight = tree.paths.retained if chosen is None else chosen.bytes
    starts = [0] if node is None else find_place(tree, node).paths
    if not starts:
        raise UsageError(
            f"{node} has no row of its own: what it refers to is held by others too",
            next_step=f"see what would be freed without it: heldby what-if TARGET --without '{node}'",
        )
    lines = _chosen_lines(tree, starts, weight, depth, width, max(min_size, 1), most)
    cut = (f"only the {most:,} lines that retain most; see fewer levels, or more with --limit",)
    return _table(heap, lines, cut if len(lines) >= most else (), chosen, selection)


class _Chosen(NamedTuple):
    """Of each path, how many of the selected objects lie at and below it, and their shallow bytes."""

    objects: NDArray[np.int64]
    bytes: NDArray[np.int64]


def _chosen_at_or_below(tree: HolderTree, selection: Selection) -> _Chosen:
    heap, paths = tree.heap, tree.paths
    vertices = np.flatnonzero(selection.objects(heap)).astype(np.uint32)
    at = paths.path_of[heap.tree.number[vertices]]
    objects = np.bincount(at, minlength=paths.path_count)
    sizes = np.bincount(at, heap.sizes_of(vertices), paths.path_count).astype(np.int64)
    for level in range(int(paths.depth.max()), 0, -1):
        rows = np.flatnonzero(paths.depth == level)
        np.add.at(objects, paths.parent[rows], objects[rows])
        np.add.at(sizes, paths.parent[rows], sizes[rows])
    return _Chosen(objects, sizes)


class _Line(NamedTuple):
    """A line of the tree: `path` -1 stands for `others`, children of the line above that are not shown."""

    level: int
    path: int
    retained: int
    shallow: int
    others: tuple[int, ...] = ()


def _chosen_lines(
    tree: HolderTree,
    starts: list[int],
    weight: NDArray[np.int64],
    depth: int,
    width: int,
    min_size: int,
    most: int,
) -> list[tuple[_Line, str, str, str | None, int | None]]:
    """Return the lines with most `weight`, a parent before its children, with their texts."""
    offsets, children = tree.paths.children()
    retained, shallow = tree.paths.retained, tree.paths.shallow
    below: dict[int, list[_Line]] = {}
    waiting = [(-int(weight[path]), path, 0) for path in starts]
    heapq.heapify(waiting)
    taken: set[int] = set()
    while waiting and len(taken) < most:
        _, path, level = heapq.heappop(waiting)
        taken.add(path)
        if level >= depth:
            continue
        kids = children[offsets[path] : offsets[path + 1]]
        kids = kids[weight[kids] >= min_size]
        kids = kids[np.argsort(-weight[kids], kind="stable")]
        lines = [
            _Line(level + 1, kid, int(retained[kid]), int(shallow[kid])) for kid in kids[:width].tolist()
        ]
        rest = kids[width:]
        if rest.size:
            lines.append(
                _Line(
                    level + 1, -1, int(retained[rest].sum()), int(shallow[rest].sum()), tuple(rest.tolist())
                )
            )
        below[path] = lines
        for line in lines:
            if line.path >= 0:
                heapq.heappush(waiting, (-int(weight[line.path]), line.path, line.level))
    found: list[tuple[_Line, str, str, str | None, int | None]] = []
    tops = sorted(starts, key=lambda path: (-int(weight[path]), path))
    pending = [(_Line(0, path, int(retained[path]), int(shallow[path])), "") for path in reversed(tops)]
    while pending:
        line, above = pending.pop()
        if line.path < 0:
            found.append((line, f"{len(line.others):,} more (--width)", "", None, None))
        elif line.path in taken:
            text = tree.text(line.path)
            if line.path:
                step = text[len(above) :] if above and text.startswith(above) else text
                kind, objects = tree.type_text(line.path), tree.objects_retained(line.path)
                found.append((line, step.strip(), text.strip(), kind, objects))
            pending += [(kid, text) for kid in reversed(below.get(line.path, []))]
    return found


def _table(
    heap: Heap,
    lines: list[tuple[_Line, str, str, str | None, int | None]],
    notes: tuple[str, ...],
    chosen: _Chosen | None,
    selection: Selection,
) -> Table:
    live = max(heap.live_bytes, 1)
    least = min((line.level for line, *_ in lines), default=0)
    retained = np.array([line.retained for line, *_ in lines], np.int64)
    columns = [
        column("depth", Kind.COUNT, [line.level - least for line, *_ in lines]),
        text_column("step", [step for _, step, *_ in lines]),
        text_column("path", [text or None for _, _, text, *_ in lines]),
        text_column("type", [kind for *_, kind, _ in lines]),
        column("retained_bytes", Kind.BYTES, retained),
        column("share", Kind.SHARE, retained / live),
        number_column("retained_objects", Kind.COUNT, [objects for *_, objects in lines]),
        column("shallow_bytes", Kind.BYTES, [line.shallow for line, *_ in lines]),
    ]
    title = "Who holds what: each line is part of the one above it that stands further left"
    if chosen is not None:
        paths = [list(line.others) or [line.path] for line, *_ in lines]
        columns[4:4] = [
            number_column(name, kind, [int(values[some].sum()) for some in paths])
            for name, kind, values in (
                ("chosen_bytes", Kind.BYTES, chosen.bytes),
                ("chosen_objects", Kind.COUNT, chosen.objects),
            )
        ]
        title = f"What leads to the objects of {selection}: chosen are those at and below each line"
    return Table(
        "tree",
        tuple(columns),
        title=title,
        notes=notes,
        outline="depth",
        hidden=("path",) if chosen is None else ("path", "share", "retained_objects", "shallow_bytes"),
    )


def object_tree(
    heap: Heap,
    node: str | None = None,
    *,
    depth: int = 1,
    width: int = 10,
    min_size: int = 0,
    selection: Selection = EVERYTHING,
) -> Table:
    """Return single objects: those on a path, or what the object at an address dominates, largest first.

    With a `selection` its objects, at or below the path if one is given, and what they dominate. O(vertices) for
    each level, whatever the number of lines.

    Raises:
        UsageError: the node is not there, or no object is selected; an address together with a selection.
    """
    dominator = heap.tree
    if selection:
        first = _largest(heap, _selected(heap, node, selection), width)
    elif node is not None and node.lower().startswith("0x"):
        vertex = int(objects_called(heap, node)[0])
        number = int(dominator.number[vertex])
        if number == NONE:
            raise UsageError(f"the object at {node} is garbage: nothing holds it")
        first = np.array([number], np.int64)
    elif node is None:
        first = np.array([0], np.int64)
    else:
        tree = build_holder_tree(heap)
        on_path = np.zeros(tree.paths.path_count, np.bool_)
        on_path[find_place(tree, node).paths] = True
        first = np.flatnonzero(on_path[tree.paths.path_of])
        first = _largest(heap, first, width)
    lines = [
        (level, number)
        for level, number in _descend(heap, first, depth, width)
        if heap.retained_bytes[number] >= min_size
    ]
    return _object_table(heap, lines)


def _selected(heap: Heap, node: str | None, selection: Selection) -> NDArray[np.int64]:
    """Return the numbers of the selected objects at or below a path."""
    if node is not None and node.lower().startswith("0x"):
        raise UsageError(
            f"{selection} chooses among the objects below a path, not below one object",
            next_step=f"list all of them with: heldby tree TARGET --objects {selection}",
        )
    chosen = selection.objects(heap)
    numbers = heap.tree.number[np.flatnonzero(chosen)].astype(np.int64)
    if node is not None:
        tree = build_holder_tree(heap)
        numbers = numbers[below(tree, find_place(tree, node).paths)[tree.paths.path_of[numbers]]]
    return numbers


def _largest(heap: Heap, numbers: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    if numbers.size > width:
        kept = np.argpartition(-heap.retained_bytes[numbers], width - 1)[:width]
        numbers = numbers[kept]
    found: NDArray[np.int64] = numbers[np.lexsort((numbers, -heap.retained_bytes[numbers]))]
    return found


def _descend(heap: Heap, first: NDArray[np.int64], depth: int, width: int) -> list[tuple[int, int]]:
    """Return level and number of each line, a parent before its children."""
    below: dict[int, NDArray[np.int64]] = {}
    level = first
    idom = heap.tree.idom
    for _ in range(depth):
        wanted = np.zeros(heap.tree.reached_count, np.bool_)
        wanted[level] = True
        kids = np.flatnonzero(wanted[idom])
        kids = kids[kids != 0]
        order = np.argsort(idom[kids], kind="stable")
        kids = kids[order]
        parents, starts = np.unique(idom[kids], return_index=True)
        parts = np.split(kids, starts[1:]) if parents.size else []
        found = []
        for parent, part in zip(parents.tolist(), parts, strict=True):
            below[parent] = _largest(heap, part, width)
            found.append(below[parent])
        if not found:
            break
        level = np.concatenate(found)
    lines: list[tuple[int, int]] = []
    pending = [(0, number) for number in first[::-1].tolist()]
    while pending:
        at, number = pending.pop()
        lines.append((at, number))
        if at < depth:
            pending += [(at + 1, kid) for kid in below.get(number, first[:0])[::-1].tolist()]
    return lines


def _object_table(heap: Heap, lines: list[tuple[int, int]]) -> Table:
    tree = build_holder_tree(heap)
    lines = [(level, number) for level, number in lines if number]
    numbers = np.array([number for _, number in lines], np.int64)
    vertices = heap.tree.order[numbers]
    is_object = vertices <= np.uint32(heap.object_count)
    types = [
        heap.naming.type_name(heap.naming.type_at(vertex)) if inside else None
        for vertex, inside in zip(vertices.tolist(), is_object.tolist(), strict=True)
    ]
    least = min((level for level, _ in lines), default=0)
    retained = heap.retained_bytes[numbers]
    return Table(
        "tree",
        (
            column("depth", Kind.COUNT, [level - least for level, _ in lines]),
            text_column("path", [tree.text(int(path)).strip() for path in tree.paths.path_of[numbers]]),
            text_column("type", types),
            column("addr", Kind.ADDRESS, heap.addresses_of(vertices), unknown=~is_object),
            column("retained_bytes", Kind.BYTES, retained),
            column("share", Kind.SHARE, retained / max(heap.live_bytes, 1)),
            column("shallow_bytes", Kind.BYTES, heap.sizes_of(vertices)),
        ),
        title="Single objects, with what each retains; each is held by the one above it that stands further left",
        outline="depth",
    )

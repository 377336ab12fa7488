"""Who holds what as a pprof profile: reference paths in place of call stacks.

The outermost frame is a root, each further frame one step of the path, so pprof's *cumulative* value of a
frame is exactly what that place retains (the paths come from the dominator tree, and every live byte is in
one sample). A frame is called by its whole path, so that ``pprof -top`` says it in full; its file is the Go
type, so that ``pprof -files`` is the heap by type.

``retained_space`` counts the same bytes but charges them to the place where they pile up: its *flat* value
is what a holder retains. ``inuse_space`` and ``inuse_objects`` charge each path with its own objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.profiles.pprof_write import FrameName, ProfileBuilder

Ints = NDArray[np.int64]

MOST_PATHS: Final = 50_000
"""Paths in a file at most; pprof becomes slow beyond that."""
PILE_SHARE: Final = 0.5
"""Bytes pile up where no single step onward retains this share of the place."""
_LONGEST_NAME: Final = 300
_SYSTEM_NAME: Final = "reference path"
"""Differs from the name on purpose: pprof takes a path with brackets for C++ and cuts ``(*T)`` out of it,
unless the two differ (google/pprof internal/symbolizer, Demangle)."""

COMMENTS: Final = (
    "Written by heldby: stacks are reference paths, the root outermost; nothing here is a call.",
    "inuse_space: the cumulative value of a frame is what that place retains, exactly.",
    "retained_space: the same bytes, charged to the holder where they pile up; read the flat value.",
    "A frame's file is the Go type of what lies there: pprof -files shows the heap by type.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTree:
    """The dominator tree with like siblings merged; node 0 is the virtual root.

    Attributes:
        parent: integers ``[n]``; a parent comes before its children; ``parent[0]`` is not read.
        count: ``int64[n]``, objects merged into the node.
        shallow: ``int64[n]``, bytes of these objects alone.
        retained: ``int64[n]``, their bytes and all below them.
        path: the whole path of a node, ``main.manager.paths[*]``; asked for the nodes that are written.
        type_name: the Go type of node i's objects; empty when unknown.
        root_kind: what kind of root a top is; asked for the tops only, what lies below inherits it.
        goroutine: the function of the goroutines that a top stands for, empty for other roots; likewise.
    """

    parent: Ints | NDArray[np.uint32]
    count: Ints
    shallow: Ints
    retained: Ints
    path: Callable[[int], str]
    type_name: Callable[[int], str]
    root_kind: Callable[[int], str] = lambda _node: ""
    goroutine: Callable[[int], str] = lambda _node: ""

    def frame(self, node: int) -> FrameName:
        """Return the frame that stands for a node."""
        return FrameName(_shortened(self.path(node).strip()), _SYSTEM_NAME, file=self.type_name(node))

    def labels(self, node: int, top: int) -> dict[str, str]:
        """Return the labels of a sample at a node below `top`."""
        return {
            "type": self.type_name(node),
            "root_kind": self.root_kind(top),
            "goroutine": self.goroutine(top),
        }


def holder_profile(
    tree: PathTree,
    *,
    holders: Sequence[int] | None = None,
    executable: str = "",
    build_id: str = "",
    time_nanos: int = 0,
    comments: Sequence[str] = (),
    most_paths: int = MOST_PATHS,
) -> bytes:
    """Return the profile of `tree` as a ``.pb.gz``; O(nodes) with NumPy, O(written paths) in Python.

    Args:
        tree: the merged dominator tree.
        holders: the nodes that are rows of the answer, each owning what no row below it owns; when None,
            the topmost nodes where `PILE_SHARE` says that bytes pile up.
        executable: the program's path.
        build_id: the program's build id.
        time_nanos: when the target was paused.
        comments: more lines, such as the caveats of the answer.
        most_paths: the nodes that retain most are written, up to this many; the bytes and objects of the
            others count for their nearest written ancestor, and a comment says how many they are.
    """
    parents = tree.parent.astype(np.int64)
    parents[0] = 0
    tree = replace(tree, parent=parents)
    if np.any(parents[1:] >= np.arange(1, parents.size)):
        raise ValueError("a parent must come before its children")
    kept = _largest(tree, most_paths)
    shallow, count = _folded(tree, kept)
    owner = _owners(tree, kept, _holder_nodes(tree, kept, holders), nearest=holders is not None)
    retained = np.zeros(tree.parent.size, np.int64)
    np.add.at(retained, owner[kept], shallow[kept])
    notes = [*COMMENTS, *comments]
    if kept.size < tree.parent.size:
        notes.append(
            f"{tree.parent.size - kept.size:,} small paths are counted with the place that leads to them."
        )
    builder = ProfileBuilder(
        (("retained_space", "bytes"), ("inuse_space", "bytes"), ("inuse_objects", "count")),
        default_sample_type="inuse_space",
        executable=executable,
        build_id=build_id,
        time_nanos=time_nanos,
        comments=notes,
    )
    stacks: dict[int, tuple[int, ...]] = {0: ()}
    tops: dict[int, int] = {}
    for node in kept[1:].tolist():
        parent = int(tree.parent[node])
        tops[node] = node if parent == 0 else tops[parent]
        stacks[node] = (builder.location(tree.frame(node)), *stacks[parent])
        values = (int(retained[node]), int(shallow[node]), int(count[node]))
        if any(values):
            builder.add_stack(stacks[node], values, tree.labels(node, tops[node]))
    if shallow[0] or retained[0] or count[0]:
        frame = FrameName("(too small to show)")
        builder.add((frame,), (int(retained[0]), int(shallow[0]), int(count[0])))
    return builder.to_bytes()


def _largest(tree: PathTree, most: int) -> Ints:
    """Return the nodes to write, ascending: with a node always its ancestors, and always node 0."""
    n = tree.parent.size
    if n <= most:
        return np.arange(n, dtype=np.int64)
    # An ancestor retains no less and has the smaller number, so this order never puts it behind.
    order = np.lexsort((np.arange(n), -tree.retained))
    chosen = np.sort(order[:most])
    return chosen if chosen[0] == 0 else np.concatenate([np.zeros(1, np.int64), chosen])


def _folded(tree: PathTree, kept: Ints) -> tuple[Ints, Ints]:
    """Return shallow bytes and counts per node with those of unwritten nodes moved to written ones."""
    n = tree.parent.size
    target = tree.parent.copy()
    target[kept] = kept
    while True:  # pointer jumping: log2(depth) rounds
        further = target[target]
        if np.array_equal(further, target):
            break
        target = further
    shallow, count = np.zeros(n, np.int64), np.zeros(n, np.int64)
    np.add.at(shallow, target, tree.shallow)
    np.add.at(count, target, tree.count)
    return shallow, count


def _holder_nodes(tree: PathTree, kept: Ints, holders: Sequence[int] | None) -> NDArray[np.bool_]:
    piles = np.zeros(tree.parent.size, np.bool_)
    if holders is not None:
        piles[np.asarray(holders, np.int64)] = True
        return piles
    best = np.zeros(tree.parent.size, np.int64)
    np.maximum.at(best, tree.parent[1:], tree.retained[1:])
    piles[kept] = best[kept] < tree.retained[kept] * PILE_SHARE
    piles[0] = False
    return piles


def _owners(tree: PathTree, kept: Ints, holder: NDArray[np.bool_], *, nearest: bool) -> Ints:
    """Return for each written node the nearest or the topmost holder at or above it, else itself."""
    owner = np.arange(tree.parent.size, dtype=np.int64)
    for node in kept[1:].tolist():
        above = owner[tree.parent[node]]
        if holder[above] and not (nearest and holder[node]):
            owner[node] = above
    return owner


def _shortened(path: str) -> str:
    """Return `path`, or both its ends when it is very long."""
    if len(path) <= _LONGEST_NAME:
        return path
    return path[: _LONGEST_NAME // 2] + "…" + path[-_LONGEST_NAME // 2 :]

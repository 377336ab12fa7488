"""The holder tree of a heap as a pprof profile; see `heldby.profiles.holder_paths` for how to read it."""

from __future__ import annotations

import numpy as np

from heldby.analysis.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.holders import holder_rows
from heldby.heap.heap import Heap
from heldby.profiles.holder_paths import PathTree, holder_profile
from heldby.progress import QUIET, Progress


def holder_profile_of(heap: Heap, *, progress: Progress = QUIET) -> bytes:
    """Return who holds what in `heap` as a ``.pb.gz``; the bytes of all samples are the live bytes."""
    with progress.phase("merging paths"):
        tree = build_holder_tree(heap)
        rows, _rest = holder_rows(tree)
    with progress.phase("writing the profile"):
        executable = heap.process.executable
        return holder_profile(
            path_tree(tree),
            holders=[row.path for row in rows],
            executable=executable.name,
            build_id=executable.gnu_build_id or executable.go_build_id or "",
            comments=heap.caveats,
        )


def path_tree(tree: HolderTree) -> PathTree:
    """Return `tree` as the profile writer wants it: roots are no objects and have no bytes."""
    paths, heap = tree.paths, tree.heap
    roots = np.flatnonzero(heap.tree.order > np.uint32(heap.object_count))
    root_counts = np.bincount(paths.path_of[roots], minlength=paths.path_count)
    counts = paths.objects - root_counts
    counts[0] -= 1  # the virtual root
    return PathTree(
        parent=paths.parent,
        count=counts,
        shallow=paths.shallow,
        retained=paths.retained,
        path=lambda path: tree.text(path).strip(),
        type_name=lambda path: _type_name(tree, path),
        root_kind=tree.root_kind,
    )


def _type_name(tree: HolderTree, path: int) -> str:
    number = tree.type_of(path)
    return tree.heap.naming.type_name(number) if number else ""

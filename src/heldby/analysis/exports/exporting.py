"""A heap as pprof profiles: who holds what, what the process itself would serve, and both in one."""

from __future__ import annotations

import numpy as np

from heldby.analysis.allocation.estimates import weights
from heldby.analysis.allocation.sites import profile_rate, sampled_objects, shown_stacks
from heldby.analysis.exports.mapped_code import mapped_code
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.holding.holders import holder_rows
from heldby.analysis.process_facts import capture_facts, process_facts
from heldby.errors import MissingData
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap
from heldby.profiles.heap_profile import heap_profile
from heldby.profiles.holder_paths import PathTree, holder_profile
from heldby.profiles.joined import GARBAGE, Share, joined_profile
from heldby.profiles.pprof_write import FrameName
from heldby.progress import QUIET, Progress


def holder_profile_of(heap: Heap, *, progress: Progress = QUIET) -> bytes:
    """Return the holders as a pprof profile whose stacks are reference paths (a ``.pb.gz``)."""
    with progress.phase("dominator tree"):
        _ = heap.tree
    with progress.phase("holders"):
        tree = build_holder_tree(heap)
        rows, _ = holder_rows(tree)
    facts = process_facts(heap.process.core, heap.process)
    return holder_profile(
        _path_tree(tree),
        holders=[row.path for row in rows],
        executable=facts.exe or "",
        build_id=facts.build_id or "",
        time_nanos=_time_nanos(heap),
        comments=heap.caveats,
    )


def heap_profile_of(heap: Heap) -> bytes:
    """Return the heap profile that the process would have served when it was captured (a ``.pb.gz``).

    Raises:
        MissingData: the process has no memory profile, or the capture lacks a part of it.
    """
    profile = heap.profile
    rate = profile_rate(heap)
    if not profile.complete:
        raise MissingData(
            "the memory profile is not whole in this capture",
            cause=f"{profile.damaged:,} of its records are missing or damaged, or their list was not found",
            next_step="take the capture again with: heldby capture PID -o FILE",
        )
    return heap_profile(profile, rate=rate, code=mapped_code(heap.process), time_nanos=_time_nanos(heap))


def joined_profile_of(heap: Heap, *, progress: Progress = QUIET) -> bytes:
    """Return allocation stacks with the reference paths of what they allocated on top (a ``.pb.gz``).

    Raises:
        MissingData: the process has no memory profile.
    """
    rate = profile_rate(heap)
    with progress.phase("dominator tree"):
        _ = heap.tree
    with progress.phase("holders"):
        tree = build_holder_tree(heap)
    objects, bucket, _ = sampled_objects(heap)
    buckets, which = np.unique(bucket, return_inverse=True)
    stacks, site_of = shown_stacks(heap.profile, buckets)
    number = heap.tree.number[objects]
    live = number != np.uint32(NONE)
    path = np.full(objects.size, GARBAGE, np.int64)
    path[live] = tree.paths.path_of[number[live]]
    pairs, of_sample = np.unique(
        np.stack((site_of[which], path), axis=1) if objects.size else np.zeros((0, 2), np.int64),
        axis=0,
        return_inverse=True,
    )
    of_sample = of_sample.reshape(-1)
    sizes = heap.profile.size[bucket]
    scale = weights(sizes, rate)
    count = len(pairs)
    totals = [np.bincount(of_sample, weights=some, minlength=count) for some in (sizes * scale, scale)]
    samples = np.bincount(of_sample, minlength=count)
    frames = [
        tuple(FrameName(frame.func, file=frame.file or "", line=frame.line or 0) for frame in stack)
        for stack in stacks
    ]
    facts = process_facts(heap.process.core, heap.process)
    return joined_profile(
        _path_tree(tree),
        [
            Share(frames[site], node, round(float(size)), round(float(amount)), int(seen))
            for (site, node), size, amount, seen in zip(pairs.tolist(), *totals, samples, strict=True)
        ],
        rate=rate,
        executable=facts.exe or "",
        build_id=facts.build_id or "",
        time_nanos=_time_nanos(heap),
        comments=heap.caveats,
    )


def _time_nanos(heap: Heap) -> int:
    return int((capture_facts(heap.process.core).time or 0) * 1e9)


def _path_tree(tree: HolderTree) -> PathTree:
    paths = tree.paths
    naming = tree.heap.naming

    def type_name(path: int) -> str:
        number = tree.type_of(path)
        return naming.type_name(number) if number else ""

    def goroutine(path: int) -> str:
        return tree.heap.roots.names[tree.step(path)[1]] if tree.root_kind(path) == "goroutine" else ""

    objects = paths.objects.copy()
    for path, count in tree.roots_on_path().items():
        objects[path] -= count
    return PathTree(
        parent=paths.parent,
        count=objects,
        shallow=paths.shallow,
        retained=paths.retained,
        path=tree.text,
        type_name=type_name,
        root_kind=tree.root_kind,
        goroutine=goroutine,
    )

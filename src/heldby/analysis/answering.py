"""`answer_of`: the three answers for one heap, as plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.advice.findings import findings_of
from heldby.analysis.advice.goroutine_leaks import leaked_goroutines
from heldby.analysis.allocation.sites import profile_caveats, profile_facts, site_matrix
from heldby.analysis.answer import (
    Answer,
    HeapTotals,
)
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.holding.holders import describe_rows
from heldby.analysis.holding.ownership import ownership_of
from heldby.analysis.process_facts import capture_facts, process_facts
from heldby.analysis.rss import rss_account
from heldby.analysis.small_objects.costs import measure_costs, with_costs
from heldby.analysis.statements.storing import with_statements
from heldby.heap.heap import Heap
from heldby.progress import QUIET, Progress

_STRETCH: Final = 1 << 16
_MEASURED_AS_TEXTS: Final = 3
"""Holders whose data is measured as texts for the first screen."""


def answer_of(heap: Heap, *, progress: Progress = QUIET) -> Answer:
    """Return where the memory went and who holds it, made once for each heap. O(vertices + references)."""
    return heap.result(Answer, lambda: _made(heap, progress))


def _made(heap: Heap, progress: Progress) -> Answer:
    with progress.phase("dominator tree"):
        _ = heap.tree
    with progress.phase("holders"):
        tree = build_holder_tree(heap)
        ownership = ownership_of(tree)
        holders = describe_rows(tree, ownership.rows, ownership.rest)
    with progress.phase("statements that store"):
        holders = with_statements(tree, holders, [row.path for row in ownership.rows])
    costs = measure_costs(ownership, texts=_MEASURED_AS_TEXTS, sampled=True, progress=progress)
    with progress.phase("allocation sites"):
        matrix = site_matrix(ownership)
        profile = profile_facts(heap.profile, matrix)
    totals = heap_totals(heap)
    core = heap.process.core
    with progress.phase("leaked goroutines"):
        leaked = leaked_goroutines(heap)
    with progress.phase("resident memory"):
        account = rss_account(core, heap.process, heap, detailed=False)
    return Answer(
        capture=capture_facts(core),
        process=process_facts(core, heap.process, heap.goroutine_count),
        heap=totals,
        rss=account,
        holders=with_costs(holders, costs),
        profile=profile,
        sites=matrix.sites() if matrix is not None else (),
        held=matrix.held() if matrix is not None else (),
        findings=findings_of(holders, costs, leaked, account, totals.live_bytes or 0),
        caveats=(*heap.caveats, *profile_caveats(profile, matrix)),
    )


def heap_totals(heap: Heap) -> HeapTotals:
    """Return the heap in numbers."""
    objects = heap.objects
    sizes = heap.sizes[: heap.object_count + 1]
    live = heap.live
    marked = objects.marked.astype(np.bool_)
    spans = objects.spans
    object_bytes, live_bytes = int(sizes.sum()), int(sizes.sum(where=live))
    return HeapTotals(
        objects=heap.object_count,
        object_bytes=object_bytes,
        live_objects=int(live.sum()),
        live_bytes=live_bytes,
        garbage_objects=heap.object_count - int(live.sum()),
        garbage_bytes=object_bytes - live_bytes,
        typed_bytes=_typed_bytes(heap, sizes, live),
        marked_objects=int(marked.sum()),
        marked_bytes=int(sizes.sum(where=marked)),
        free_slot_bytes=int((spans.nelems * spans.elemsize).sum()) - object_bytes,
    )


def _typed_bytes(heap: Heap, sizes: NDArray[np.int64], live: NDArray[np.bool_]) -> int:
    """Return the live bytes of known type: a stretch at a time, or it would need 32 bytes an object."""
    types, total = heap.naming.types, 0
    for low in range(0, sizes.size, _STRETCH):
        part = slice(low, low + _STRETCH)
        some = replace(types, packed=types.packed[part], evidence=types.evidence[part])
        total += int(some.typed_sizes(sizes[part]).sum(where=live[part]))
    return total

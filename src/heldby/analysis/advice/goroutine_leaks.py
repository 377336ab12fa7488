"""Goroutines leaked for certain, summed up for the first screen: how many, what they keep, who started most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from heldby.analysis.drilldown.leaks import find_leaks
from heldby.analysis.rss.evidence import read_evidence
from heldby.golang.functions.functions import FunctionTable, short_name
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import read_goroutines
from heldby.heap.heap import Heap

_FEW: Final = 100
"""Fewer goroutines than this are not worth a traversal of the heap on the first screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakedGoroutines:
    """What is proven of them.

    Attributes:
        count: how many.
        kept_bytes: objects that nothing else keeps.
        stack_bytes: their stacks, what of them is resident where the capture says it.
        creator, file, line: the ``go`` statement that started most of them, None if unknown.
        of_creator: how many it started.
    """

    count: int
    kept_bytes: int
    stack_bytes: int
    creator: str | None
    file: str | None
    line: int | None
    of_creator: int

    @property
    def saving_bytes(self) -> int:
        """What a collection frees when they have ended."""
        return self.kept_bytes + self.stack_bytes


def leaked_goroutines(heap: Heap) -> LeakedGoroutines | None:
    """Return what leaked goroutines keep, None if there are none or too few goroutines to matter.

    One traversal of the references (`find_leaks`); stacks are not read.
    """
    if (heap.goroutine_count or 0) < _FEW:
        return None
    runtime = heap.process.runtime
    table = read_goroutines(runtime, find_goroutines(runtime, heap.objects))
    leaks = find_leaks(heap, table)
    rows = np.flatnonzero(leaks.leaked)
    if not rows.size:
        return None
    pcs, counts = np.unique(table.go_pc[rows], return_counts=True)
    most = int(np.argmax(counts))
    calls = FunctionTable(runtime).inlined(int(pcs[most]) - 1) if pcs[most] else ()
    made = calls[0] if calls else None
    resident = read_evidence(heap.process.core).resident(table.stack_lo[rows], table.stack_hi[rows])
    return LeakedGoroutines(
        count=int(rows.size),
        kept_bytes=leaks.kept_bytes,
        stack_bytes=int(table.stack_sizes()[rows].sum()) if resident is None else resident,
        creator=short_name(made.function) if made else None,
        file=made.file if made else None,
        line=made.line if made else None,
        of_creator=int(counts[most]) if made else 0,
    )

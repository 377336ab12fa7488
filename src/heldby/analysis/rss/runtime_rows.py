"""Rows of what the runtime keeps beside the objects: stacks, and its own structures."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import RssRow
from heldby.analysis.rss.evidence import Claims, Evidence
from heldby.golang.books import runtime_metadata as metadata
from heldby.golang.books.memory_statistics import MemoryStatistics
from heldby.golang.books.runtime_metadata import Structures
from heldby.golang.books.stack_memory import StackMemory
from heldby.units import format_count

STACKS_ROW: Final = "goroutine stacks, used"
UNUSED_STACKS_ROW: Final = "goroutine stacks, unused"
FREE_STACKS_ROW: Final = "free stacks"
OTHER_ROW: Final = "other runtime metadata"

_SOURCE: Final = "the runtime's pointers to it, by page"
_NOTES: Final = {
    metadata.MSPANS: "one for each span that ever was",
    metadata.MCACHES: "one for each P",
    metadata.GC_BITS: "allocation and mark bits",
    metadata.ARENA_MAPS: "which span each page belongs to",
    metadata.PAGE_SUMMARIES: "which pages are free",
    metadata.PROFILING: "stacks of the memory, block and mutex profiles",
    metadata.SPAN_LIST: "all mspans",
}


def stack_rows(stacks: StackMemory, evidence: Evidence) -> list[RssRow]:
    """Return the rows of stacks in the heap's address space. O(goroutines)."""
    unclaimed = _complement(stacks)

    def row(name: str, ranges: NDArray[np.uint64], note: str | None, remedy: str) -> RssRow:
        starts, ends = ranges[:, 0], ranges[:, 1]
        return RssRow(
            name=name,
            bytes=evidence.resident(starts, ends),
            note=note,
            virtual_bytes=int((ends - starts).sum()),
            swapped_bytes=evidence.in_swap(starts, ends),
            group="stacks",
            source="goroutines and their stack pointers, by page",
            remedy=remedy,
        )

    count = format_count(stacks.goroutines)
    return [
        row(STACKS_ROW, stacks.used, f"{count} goroutines", "by fewer goroutines, or less deep ones"),
        row(
            UNUSED_STACKS_ROW,
            stacks.unused,
            f"below the stack pointers of {count} goroutines",
            "a collection halves a stack of which less than a quarter is used",
        ),
        row("stacks of the ended", stacks.ended, "kept for the next ones", "by the next collection"),
        row(FREE_STACKS_ROW, unclaimed, "in pools, for new goroutines", "by the next collection"),
        row("runtime's own stacks", stacks.threads, "scheduling and signals", "with their threads"),
    ]


def _complement(stacks: StackMemory) -> NDArray[np.uint64]:
    """Return what of the stack spans nobody owns."""
    owned = Claims()
    for ranges in (stacks.used, stacks.unused, stacks.ended, stacks.threads):
        owned.add(ranges[:, 0], ranges[:, 1])
    parts = [owned.gaps(low, high) for low, high in _joined(stacks.spans)]
    if not parts:
        return np.zeros((0, 2), np.uint64)
    return np.stack((np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])), axis=1)


def _joined(ranges: NDArray[np.uint64]) -> list[tuple[int, int]]:
    joined = Claims()
    joined.add(ranges[:, 0], ranges[:, 1])
    return list(zip(joined.starts.tolist(), joined.ends.tolist(), strict=True))


def structure_rows(
    structures: list[Structures],
    stacks: StackMemory | None,
    statistics: MemoryStatistics | None,
    evidence: Evidence,
    claims: Claims,
) -> list[RssRow]:
    """Return the rows of the runtime's structures and claim their addresses.

    A byte belongs to the first kind that names it, so the sizes of kinds that overlap are differences.
    """
    virtual = {} if statistics is None else _counters(statistics)
    rows: list[RssRow] = []
    joined = Claims()
    before, before_swap = 0, 0
    for item in structures:
        joined.add(item.starts, item.ends)
        claims.add(item.starts, item.ends)
        size = evidence.resident(joined.starts, joined.ends)
        swapped = evidence.in_swap(joined.starts, joined.ends)
        name = OTHER_ROW if item.kind == metadata.IMMORTAL else item.kind
        rows.append(
            RssRow(
                name=name,
                bytes=None if size is None else size - before,
                note=_NOTES.get(item.kind),
                virtual_bytes=virtual.get(item.kind),
                swapped_bytes=None if swapped is None else swapped - before_swap,
                group="runtime",
                source=_SOURCE,
                remedy="the runtime never gives it back",
            )
        )
        before, before_swap = size or 0, swapped or 0
    if stacks is not None:
        starts, ends = stacks.buffers[:, 0], stacks.buffers[:, 1]
        rows.append(
            RssRow(
                name="collector's work buffers",
                bytes=evidence.resident(starts, ends),
                virtual_bytes=int((ends - starts).sum()),
                group="runtime",
                source="spans, by page",
                remedy="by the runtime, after a collection",
            )
        )
    return rows


def _counters(statistics: MemoryStatistics) -> dict[str, int]:
    return {
        metadata.MSPANS: statistics.mspan_sys,
        metadata.MCACHES: statistics.mcache_sys,
        metadata.PROFILING: statistics.profiling_sys,
        metadata.IMMORTAL: statistics.other_sys + statistics.gc_misc_sys,
    }

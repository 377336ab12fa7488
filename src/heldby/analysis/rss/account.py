"""`rss_account`: the rows of a process's resident memory, and what is left when all have been added up.

Every address belongs to one row. Inside the heap's address space rows are by span and object, counted page by
page; the runtime's structures are found from its own pointers; the rest is by mapping. What cannot be read
makes its rows coarser, not wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from heldby.analysis.answer import RssAccount, RssRow
from heldby.analysis.rss.cgroup import charge_of
from heldby.analysis.rss.evidence import Claims, Evidence, read_evidence
from heldby.analysis.rss.finalizer_reach import object_states
from heldby.analysis.rss.heap_rows import GARBAGE_ROW, claim_heap, free_page_rows, object_rows, span_rows
from heldby.analysis.rss.mapping_rows import MappingRows, claim_arenas, total
from heldby.analysis.rss.runtime_rows import OTHER_ROW, stack_rows, structure_rows
from heldby.analysis.rss.settings import collector_facts, settings_of
from heldby.analysis.rss.verdict import verdict_of
from heldby.errors import HeldbyError
from heldby.golang.books.collector import Collector, read_collector
from heldby.golang.books.free_pages import FreePages, heap_arenas, read_free_pages
from heldby.golang.books.memory_statistics import MemoryStatistics, read_memory_statistics
from heldby.golang.books.runtime_metadata import runtime_structures
from heldby.golang.books.stack_memory import StackMemory, stack_memory
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import read_goroutines
from heldby.golang.goroutines.scheduler import find_processors, find_threads
from heldby.golang.objects.spans import SpanTable, read_spans
from heldby.golang.runtime.runtime import Runtime
from heldby.heap.heap import Heap
from heldby.heap.process import Process
from heldby.memory.core_file import CoreFile
from heldby.units import format_bytes

_GROUPS: Final = ("heap", "stacks", "runtime", "program", "outside")


@dataclass(frozen=True, slots=True)
class _Facts:
    """What could be read of the runtime; None for each part that could not."""

    spans: SpanTable | None = None
    free: FreePages | None = None
    stacks: StackMemory | None = None
    statistics: MemoryStatistics | None = None
    collector: Collector | None = None


def rss_account(
    core: CoreFile, process: Process | None = None, heap: Heap | None = None, *, detailed: bool = True
) -> RssAccount:
    """Return where the memory went, as far as can be told.

    O(objects + goroutines + mappings). Without `heap` the heap's objects are one row, without `process` all
    anonymous memory is.

    Args:
        core: the core or capture.
        process: with its program and runtime.
        heap: its heap.
        detailed: with what of live objects is no payload.
    """
    evidence = read_evidence(core)
    claims = Claims()
    rows: list[RssRow] = []
    facts = _Facts()
    if process is not None:
        facts = _read_facts(core, process.runtime, heap)
        rows = _go_rows(process.runtime, facts, heap, evidence, claims, detailed=detailed)
    if evidence.memory:
        budget = _runtime_budget(facts.statistics, rows)
        rows = _joined([*rows, *MappingRows(core, process, evidence, claims, budget).rows()])
    charge = charge_of(evidence)
    account = RssAccount(
        total_bytes=evidence.total,
        rows=tuple(rows),
        unexplained_bytes=None if evidence.total is None else evidence.total - total(rows),
        beyond=charge.rows,
        limit_bytes=charge.limit,
        collector=collector_facts(facts.collector, facts.statistics, core.note),
        settings=settings_of(facts.collector, facts.statistics, evidence, charge, rows),
    )
    verdict = verdict_of(account)
    return replace(account, verdict=verdict.sentence, cause=verdict.cause, rows=_noted(account))


def _read_facts(core: CoreFile, runtime: Runtime, heap: Heap | None) -> _Facts:
    statistics = read_memory_statistics(runtime)
    collector = read_collector(runtime, statistics)
    try:
        spans = heap.objects.spans if heap is not None else read_spans(runtime)
    except HeldbyError:
        return _Facts(statistics=statistics, collector=collector)
    free = read_free_pages(runtime, find_processors(runtime))
    stacks = None
    if heap is not None:
        goroutines = read_goroutines(runtime, find_goroutines(runtime, heap.objects))
        if len(goroutines):
            stacks = stack_memory(runtime, spans, goroutines, find_threads(runtime), core.threads)
    return _Facts(spans, free, stacks, statistics, collector)


def _go_rows(
    runtime: Runtime,
    facts: _Facts,
    heap: Heap | None,
    evidence: Evidence,
    claims: Claims,
    *,
    detailed: bool,
) -> list[RssRow]:
    rows: list[RssRow] = []
    if facts.spans is not None:
        if heap is not None:
            rows += object_rows(heap, object_states(heap), evidence, detailed=detailed)
        else:
            rows += span_rows(facts.spans, evidence)
        if facts.free is not None:
            rows += free_page_rows(facts.free, evidence)
        rows += _stack_rows(facts, evidence)
        claim_heap(claims, facts.spans, facts.free)
    try:
        arenas = heap_arenas(runtime)
        rows.append(claim_arenas(claims, arenas.starts, arenas.ends, evidence))
    except HeldbyError:
        pass
    buckets = heap.profile.address if heap is not None else np.zeros(0, np.uint64)
    structures = runtime_structures(runtime, facts.spans, find_processors(runtime), buckets)
    return rows + structure_rows(structures, facts.stacks, facts.statistics, evidence, claims)


def _stack_rows(facts: _Facts, evidence: Evidence) -> list[RssRow]:
    if facts.stacks is not None:
        return stack_rows(facts.stacks, evidence)
    spans = facts.spans
    if spans is None:
        return []
    starts, ends = spans.manual_base, spans.manual_base + spans.manual_pages * np.uint64(8192)
    return [
        RssRow(
            name="stacks and collector's buffers",
            bytes=evidence.resident(starts, ends),
            note="the goroutines could not be read",
            virtual_bytes=int((ends - starts).sum()),
            group="stacks",
            source="spans, by page",
        )
    ]


def _runtime_budget(statistics: MemoryStatistics | None, rows: list[RssRow]) -> int:
    """Return what the runtime took for structures of its own and no row has; a row has at most what it took."""
    if statistics is None:
        return 0
    known = sum(row.bytes or 0 for row in rows if row.group == "runtime")
    return max(0, statistics.metadata - known)


def _joined(rows: list[RssRow]) -> list[RssRow]:
    """Return the rows with those of the same name as one."""
    found: dict[str, RssRow] = {}
    for row in rows:
        known = found.get(row.name)
        if known is None:
            found[row.name] = row
            continue
        found[row.name] = replace(
            known,
            bytes=(known.bytes or 0) + (row.bytes or 0),
            virtual_bytes=(known.virtual_bytes or 0) + (row.virtual_bytes or 0),
            parts=(*known.parts, *row.parts),
            note=known.note or row.note,
        )
    return sorted(
        found.values(), key=lambda row: (_GROUPS.index(row.group or "outside"), row.name == OTHER_ROW)
    )


def _noted(account: RssAccount) -> tuple[RssRow, ...]:
    """Return the rows with what only the collector's state tells of garbage."""
    collector = account.collector
    if collector is None:
        return account.rows
    if collector.goal_bytes is None:
        when = "GOGC=off: no collection is due"
    else:
        setting = "GOGC=off" if collector.gogc is None else f"GOGC={collector.gogc}"
        when = f"{setting}, goal {format_bytes(collector.goal_bytes)}"
    return tuple(
        replace(row, note=f"{row.note} ({when})") if row.name == GARBAGE_ROW else row for row in account.rows
    )

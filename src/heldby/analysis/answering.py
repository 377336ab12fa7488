"""`answer_of`: the three answers for one heap, as plain values."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import (
    Answer,
    CaptureFacts,
    HeapTotals,
    ProcessFacts,
    RssAccount,
    RssRow,
)
from heldby.analysis.costs import measure_costs, text_findings, with_costs
from heldby.analysis.holder_tree import build_holder_tree
from heldby.analysis.holders import describe_rows
from heldby.analysis.ownership import ownership_of
from heldby.analysis.sites import profile_caveats, profile_facts, site_matrix
from heldby.analysis.storing import with_statements
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
    process = process_facts(heap)
    return Answer(
        capture=capture_facts(heap),
        process=process,
        heap=totals,
        rss=_rss_totals(process.rss_bytes, totals),
        holders=with_costs(holders, costs),
        profile=profile,
        sites=matrix.sites() if matrix is not None else (),
        held=matrix.held() if matrix is not None else (),
        findings=text_findings(costs, totals.live_bytes or 0),
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


def capture_facts(heap: Heap) -> CaptureFacts:
    """Return how the bytes were taken; most is unknown for a core that another tool wrote."""
    note = heap.process.core.note
    if note is None:
        return CaptureFacts(method="core")
    pause, seconds, captured = (_number(note.get(key)) for key in ("pause_ns", "seconds", "captured_bytes"))
    return CaptureFacts(
        method=str(note.get("method", "core")),
        pause_ms=round(pause / 1e6, 3) if pause is not None else None,
        seconds=seconds,
        captured_bytes=int(captured) if captured is not None else None,
        time=_timestamp(note.get("taken_at")),
    )


def process_facts(heap: Heap) -> ProcessFacts:
    """Return which process it was."""
    process = heap.process
    note: dict[str, Any] = process.core.note or {}
    path = _part(note, "executable").get("path")
    if not isinstance(path, str) or not path:
        path = process.executable.name
    pid = _number(note.get("pid"))
    if pid is None and process.core.threads:
        pid = process.core.threads[0].tid
    return ProcessFacts(
        pid=int(pid) if pid is not None else None,
        go_version=process.runtime.version,
        arch=process.core.machine,
        exe=path,
        build_id=process.executable.gnu_build_id or process.executable.go_build_id,
        stripped=process.executable.is_stripped,
        rss_bytes=_resident_bytes(note),
        name=Path(path).name or None,
        uptime_seconds=_age(note),
        threads=len(process.core.threads) or None,
        goroutines=heap.goroutine_count,
    )


def _rss_totals(rss: int | None, totals: HeapTotals) -> RssAccount:
    """Return what is known of the resident set so far: the heap's own parts, the rest in one row."""
    rows: tuple[RssRow, ...] = (
        RssRow(name="live objects", bytes=totals.live_bytes),
        RssRow(name="garbage, not swept", bytes=totals.garbage_bytes, note="freed by the next collection"),
        RssRow(
            name="free slots in spans",
            bytes=totals.free_slot_bytes,
            note="reused by new objects of their size",
        ),
    )
    known = sum(row.bytes or 0 for row in rows)
    if rss is None or rss < known:
        return RssAccount(total_bytes=rss, rows=rows)
    note = "free pages, stacks, the runtime's own, C, files"
    rows = (*rows, RssRow(name="the rest", bytes=rss - known, note=note))
    return RssAccount(total_bytes=rss, rows=rows, unexplained_bytes=0)


def _number(value: object) -> int | float | None:
    """Return what may be a number of a damaged or foreign note, None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    return None


def _part(note: dict[str, Any], key: str) -> dict[str, Any]:
    value = note.get(key)
    return value if isinstance(value, dict) else {}


def _age(note: dict[str, Any]) -> float | None:
    """Return how long the process had run at the pause: the machine's clock less what its ``stat`` says.

    ``starttime`` is word 22 of /proc/PID/stat, in ticks, 100 a second for user space on every Linux of amd64 and
    arm64 (proc_pid_stat(5), USER_HZ). The name before it, in brackets, may hold anything.
    """
    proc = _part(note, "proc")
    stat, uptime = proc.get("stat"), proc.get("uptime")
    if not isinstance(stat, str) or not isinstance(uptime, str):
        return None
    words, clock = stat.rpartition(")")[2].split(), uptime.split()
    try:
        age = float(clock[0]) - int(words[22 - 3]) / 100
    except (ValueError, IndexError, OverflowError):
        return None
    return round(age, 2) if 0 <= age < math.inf else None


def _timestamp(text: object) -> float | None:
    from datetime import datetime

    try:
        seconds = datetime.fromisoformat(str(text)).timestamp() if text else -1.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < 1 << 33 else None  # in nanoseconds it must fit 64 bits


def _resident_bytes(note: dict[str, Any]) -> int | None:
    """Return the resident set: the sum over smaps, which is exact; VmRSS counts in batches and lags behind."""
    proc = _part(note, "proc")
    smaps = proc.get("smaps")
    lines = smaps.splitlines() if isinstance(smaps, str) else []
    sizes = [line.split() for line in lines if line.startswith("Rss:")]
    if sizes:
        return sum(_kibibytes(size[1]) or 0 for size in sizes if len(size) > 1) * 1024
    words = _fields(proc.get("status")).get("VmRSS", "").split()
    known = _kibibytes(words[0]) if words else None
    return known * 1024 if known is not None else None


def _kibibytes(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _fields(status: object) -> dict[str, str]:
    """Return ``/proc/PID/status`` as a dictionary."""
    lines = status.splitlines() if isinstance(status, str) else []
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

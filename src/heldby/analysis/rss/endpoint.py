"""What a program says of itself over HTTP: MemStats, beside the kernel's figures where it runs on this machine.

MemStats counts address space that the runtime took, not what of it is resident, so its rows have no resident
bytes; what the kernel counts is divided by mapping only.
"""

from __future__ import annotations

import time
from dataclasses import replace

from heldby.analysis.answer import (
    Answer,
    CaptureFacts,
    CollectorFacts,
    HeapTotals,
    ProcessFacts,
    RssAccount,
    RssRow,
)
from heldby.analysis.process_facts import process_facts
from heldby.analysis.rss import heap_rows as heap
from heldby.analysis.rss import mapping_rows as mappings
from heldby.analysis.rss.account import rss_account
from heldby.memory.core_file import CoreFile
from heldby.profiles.memory_statistics import MemStats
from heldby.units import format_bytes

_SOURCE = "MemStats, from the program itself"


def endpoint_answer(
    stats: MemStats, shown: str, figures: CoreFile | None, caveats: tuple[str, ...]
) -> Answer:
    """Return the account of a program that serves its heap profile.

    Args:
        stats: what it says.
        shown: its address, for messages.
        figures: what /proc says of it (`heldby.capture.listening.running_figures`); None when it runs elsewhere.
        caveats: what a reader should know.
    """
    local = RssAccount() if figures is None else rss_account(figures)
    rows = (*local.rows, *_rows(stats))
    account = replace(
        local,
        rows=rows,
        verdict=_verdict(stats, local),
        cause="unknown",
        collector=_collector(stats),
    )
    known = (
        f"{shown} says what its runtime took, not what of it is resident; heldby rss PID tells page by page"
    )
    return Answer(
        capture=CaptureFacts(method="endpoint", time=round(time.time(), 3)),
        process=ProcessFacts(name=shown) if figures is None else process_facts(figures),
        heap=HeapTotals(),
        rss=account,
        caveats=(known, *caveats),
    )


def _rows(stats: MemStats) -> list[RssRow]:
    values, taken = stats.values, stats.taken
    pairs = (
        (
            "objects, live or garbage",
            "heap",
            values["HeapAlloc"],
            "HeapAlloc: garbage counts until it is swept",
        ),
        (heap.FREE_SLOTS_ROW, "heap", values["HeapInuse"] - values["HeapAlloc"], "and ends of spans"),
        (
            heap.KEPT_ROW,
            "heap",
            values["HeapIdle"] - values["HeapReleased"],
            "for the heap to grow into again",
        ),
        (heap.RETURNED_ROW, "heap", values["HeapReleased"], "resident only with MADV_FREE or huge pages"),
        ("stacks", "stacks", taken["Stack"], "of goroutines, and free ones"),
        ("mspans", "runtime", taken["MSpan"], None),
        ("mcaches", "runtime", taken["MCache"], None),
        ("profiling buckets", "runtime", values["BuckHashSys"], None),
        ("collector's metadata", "runtime", values["GCSys"], None),
        ("other runtime metadata", "runtime", values["OtherSys"], None),
    )
    return [
        RssRow(name=name, bytes=None, note=note, virtual_bytes=max(0, size), group=group, source=_SOURCE)
        for name, group, size, note in pairs
    ]


def _collector(stats: MemStats) -> CollectorFacts:
    values = stats.values
    last = values["LastGC"] / 1e9
    return CollectorFacts(
        goal_bytes=values["NextGC"] if values["NextGC"] < 1 << 62 else None,
        heap_bytes=values["HeapAlloc"],
        cycles=values["NumGC"],
        forced_cycles=values["NumForcedGC"],
        cpu_share=stats.cpu_share,
        seconds_since_last=round(max(0.0, time.time() - last), 3) if last else None,
    )


def _verdict(stats: MemStats, local: RssAccount) -> str:
    values = stats.values
    objects, taken = values["HeapAlloc"], values["Sys"] - values["HeapReleased"]
    said = f"{format_bytes(taken)} in the hands of the Go runtime, {format_bytes(objects)} of it objects"
    goal = values["NextGC"]
    if goal < 1 << 62:
        said += f" (the heap may reach {format_bytes(goal)})"
    if local.total_bytes is None:
        return f"{said}; what else the process has, only its machine knows."
    outside = local.total_bytes - taken
    names = (mappings.C_ROW, mappings.THREADS_ROW, mappings.FILES_ROW, mappings.SHARED_ROW)
    known = sum(row.bytes or 0 for row in local.rows if row.name in names)
    beyond = f"; {format_bytes(known)} is C, threads and mapped files" if known else ""
    more = f"; at least {format_bytes(outside)} lies outside it" if outside > taken // 10 else ""
    return f"{format_bytes(local.total_bytes)}: {said}{more}{beyond}."

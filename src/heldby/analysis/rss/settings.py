"""The collector's state, and what other settings would give: peaks by the pacer's own formula (runtime/mgcpacer.go).

A collection starts so that it ends when the heap reaches the goal; so the goal is the heap's peak, and how
often it collects is inverse to the room between what is live and the goal, at the same rate of allocation.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from heldby.analysis.answer import CollectorFacts, RssRow, Setting
from heldby.analysis.rss.cgroup import Charge
from heldby.analysis.rss.evidence import Evidence
from heldby.golang.books.collector import Collector
from heldby.golang.books.memory_statistics import MemoryStatistics
from heldby.units import format_bytes

_PERCENTS: Final = (50, 100, 200)
_MARGIN: Final = 0.05  # of a limit, for what is between two looks: stacks that grow, buffers of the kernel
_MEBIBYTE: Final = 1 << 20


def collector_facts(
    collector: Collector | None, statistics: MemoryStatistics | None, note: dict[str, Any] | None
) -> CollectorFacts | None:
    """Return the collector's state as plain values; None when nothing of it is known."""
    if collector is None and statistics is None:
        return None
    last = None if statistics is None else statistics.last_collection_unix
    taken = _seconds(note.get("taken_at")) if note is not None else None
    facts = CollectorFacts(
        cycles=None if statistics is None else statistics.collections,
        forced_cycles=None if statistics is None else statistics.forced_collections,
        cpu_share=None if statistics is None else statistics.cpu_share,
        seconds_since_last=None if last is None or taken is None else round(max(0.0, taken - last), 3),
        pause_total_seconds=None if statistics is None else statistics.pause_total_ns / 1e9,
        longest_recent_pause_seconds=None if statistics is None else statistics.longest_recent_pause_ns / 1e9,
    )
    if collector is None:
        return facts
    return CollectorFacts(
        gogc=collector.percent,
        gogc_off=collector.percent is None,
        memory_limit_bytes=collector.memory_limit,
        goal_bytes=collector.goal,
        marked_bytes=collector.heap_marked,
        heap_bytes=collector.heap_live,
        cycles=facts.cycles,
        forced_cycles=facts.forced_cycles,
        cpu_share=facts.cpu_share,
        seconds_since_last=facts.seconds_since_last,
        pause_total_seconds=facts.pause_total_seconds,
        longest_recent_pause_seconds=facts.longest_recent_pause_seconds,
    )


def settings_of(
    collector: Collector | None,
    statistics: MemoryStatistics | None,
    evidence: Evidence,
    charge: Charge,
    rows: list[RssRow],
) -> tuple[Setting, ...]:
    """Return what GOGC=50, 100 and 200 would give, and a GOMEMLIMIT that fits the cgroup's limit."""
    if collector is None or not collector.heap_marked:
        return ()
    share = None if statistics is None or not statistics.collections else statistics.cpu_share
    found = [
        _setting(f"GOGC={percent}", collector.goal_at(percent), collector, share)
        for percent in _PERCENTS
        if percent != collector.percent
    ]
    if charge.limit is not None and evidence.total is not None:
        found.append(_limited(charge.limit, collector, charge, rows, share))
    return tuple(found)


def _setting(name: str, goal: int, collector: Collector, share: float | None) -> Setting:
    today = collector.goal
    peak = max(today or 0, collector.heap_live)
    factor = None
    if today is not None and goal > collector.heap_marked < today:
        factor = round((today - collector.heap_marked) / (goal - collector.heap_marked), 2)
    note = None
    if factor is not None and share is not None:
        then = _percent(min(1.0, share * factor))
        note = f"the collector took {_percent(share)} of the CPU so far, then about {then}"
    elif today is None:
        note = "today no collection is due at any size"
    return Setting(setting=name, goal_bytes=goal, saving_bytes=peak - goal, collections=factor, note=note)


def _limited(
    limit: int, collector: Collector, charge: Charge, rows: list[RssRow], share: float | None
) -> Setting:
    """Return the GOMEMLIMIT that leaves room in the cgroup for everything that is not the runtime's."""
    outside = sum(row.bytes or 0 for row in rows if row.group in ("program", "outside"))
    room = int(limit * (1 - _MARGIN)) - outside - charge.firm
    room = max(room, 0) // _MEBIBYTE * _MEBIBYTE
    name = f"GOMEMLIMIT={room // _MEBIBYTE}MiB"
    beside = max(0, collector.mapped_ready - collector.heap_free - collector.heap_allocated)
    goal = room - beside
    goal -= max(_MEBIBYTE, goal * 3 // 100)
    today = collector.goal
    fits = f"leaves the limit of {format_bytes(limit)} {format_bytes(limit - room)} for all else"
    if goal <= collector.heap_marked * 1.05:
        note = "does not fit: what is live nearly fills it, and the collector would run without end"
        return Setting(setting=name, goal_bytes=max(goal, 0), saving_bytes=0, note=note)
    if today is not None and goal >= today:
        note = f"{fits}; no cost today: GOGC collects before it is reached"
        return Setting(setting=name, goal_bytes=goal, saving_bytes=0, collections=1.0, note=note)
    found = _setting(name, goal, collector, share)
    return Setting(
        setting=name,
        goal_bytes=goal,
        saving_bytes=found.saving_bytes,
        collections=found.collections,
        note="; ".join(part for part in (fits, found.note) if part),
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _seconds(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return None

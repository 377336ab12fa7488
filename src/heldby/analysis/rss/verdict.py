"""The verdict: one sentence on what takes the memory, and whether anything leaks outside the heap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from heldby.analysis.answer import CollectorFacts, RssAccount, RssRow
from heldby.analysis.rss import heap_rows as heap
from heldby.analysis.rss import mapping_rows as mappings
from heldby.analysis.rss import runtime_rows as runtime
from heldby.units import format_bytes

_WORTH_SAYING: Final = 0.05
_WORTH_SAYING_TOO: Final = 0.15
_OUTSIDE: Final = ("C", "threads", "files", "anonymous")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sentence` for people, `cause` in a word; None when too little is known."""

    sentence: str | None
    cause: str | None


def verdict_of(account: RssAccount) -> Verdict:
    """Return the verdict on an account."""
    total = account.total_bytes
    rows = {row.name: row for row in account.rows}
    if total is None or not total:
        return Verdict(None, None)
    amounts = _amounts(rows, account)
    if mappings.UNDIVIDED_ROW in rows:
        size = format_bytes(_bytes(rows, mappings.UNDIVIDED_ROW))
        return Verdict(
            f"{format_bytes(total)}: {size} is anonymous memory that could not be divided.", "unknown"
        )
    if heap.LIVE_ROW not in rows:
        amounts["unknown"] = _bytes(rows, heap.IN_USE_ROW)
    cause = max(amounts, key=lambda name: amounts[name])
    others = sorted((name for name in amounts if name != "live"), key=lambda name: -amounts[name])
    said = [
        _phrase(name, amounts[name], rows, account)
        for place, name in enumerate(others[:2])
        if amounts[name] >= total * (_WORTH_SAYING if place == 0 else _WORTH_SAYING_TOO)
    ]
    parts = [f"{format_bytes(total)}: {format_bytes(amounts['live'])} live"]
    if cause == "live":
        parts[0] += f" ({amounts['live'] / total:.0%}), held by the program"
    return Verdict("; ".join([*parts, *said, *_leak(amounts, total)]) + ".", cause)


def _amounts(rows: dict[str, RssRow], account: RssAccount) -> dict[str, int]:
    kept = _bytes(rows, heap.KEPT_ROW)
    headroom = min(kept, _headroom(rows, account.collector))
    stacks = sum(row.bytes or 0 for row in account.rows if row.group == "stacks")
    metadata = sum(row.bytes or 0 for row in account.rows if row.group == "runtime")
    return {
        "live": _bytes(rows, heap.LIVE_ROW),
        "finalizers": _bytes(rows, heap.FINALIZERS_ROW),
        "garbage": _bytes(rows, heap.GARBAGE_ROW),
        "fragmentation": _bytes(rows, heap.FREE_SLOTS_ROW),
        "headroom": headroom,
        "not returned": kept - headroom,
        "given back": _bytes(rows, heap.RETURNED_ROW),
        "stacks": stacks,
        "runtime": metadata + _bytes(rows, heap.TAILS_ROW, mappings.HEAP_REST_ROW),
        "program": sum(row.bytes or 0 for row in account.rows if row.group == "program"),
        "C": _bytes(rows, mappings.C_ROW),
        "threads": _bytes(rows, mappings.THREADS_ROW),
        "files": _bytes(rows, mappings.FILES_ROW, mappings.SHARED_ROW, mappings.LIBRARIES_ROW),
        "anonymous": _bytes(rows, mappings.ANONYMOUS_ROW),
    }


def _bytes(rows: dict[str, RssRow], *names: str) -> int:
    return sum(rows[name].bytes or 0 for name in names if name in rows)


def _headroom(rows: dict[str, RssRow], collector: CollectorFacts | None) -> int:
    """Return how much free memory the heap would fill before the next collection: its goal less what is in use."""
    if collector is None or collector.goal_bytes is None:
        return 0
    names = (heap.LIVE_ROW, heap.FINALIZERS_ROW, heap.GARBAGE_ROW, heap.FREE_SLOTS_ROW, heap.IN_USE_ROW)
    return max(0, collector.goal_bytes - _bytes(rows, *names))


def _phrase(name: str, amount: int, rows: dict[str, RssRow], account: RssAccount) -> str:
    size = format_bytes(amount)
    goal = _goal(account.collector)
    stacks = rows.get(runtime.STACKS_ROW)
    phrases = {
        "finalizers": "only finalizers or cleanups that have not run still reach {size}",
        "garbage": "{size} is garbage that the next collection frees{goal}",
        "fragmentation": "{size} is free slots between live objects, fragmentation",
        "headroom": "{size} is free and kept as headroom{goal}",
        "not returned": "{size} is free and not returned to the kernel{why}",
        "given back": "{size} was given back and is still resident until the kernel wants it",
        "stacks": "{size} is stacks of {goroutines}",
        "runtime": "{size} is the runtime's own metadata",
        "program": "{size} is the program itself",
        "C": "{size} was allocated by C, where no Go profile looks",
        "threads": "{size} is stacks of threads",
        "files": "{size} is mapped files, which the kernel drops when it must",
        "anonymous": "{size} is mapped outside the Go heap, where no Go profile looks",
        "unknown": "{size} of the heap's spans could not be read",
    }
    collector = account.collector
    why = " (GOGC=off: the runtime keeps all)" if collector is not None and collector.gogc_off else ""
    goroutines = (stacks.note if stacks is not None else None) or "goroutines"
    return phrases[name].format(size=size, goal=goal, why=why, goroutines=goroutines)


def _goal(collector: CollectorFacts | None) -> str:
    if collector is None:
        return ""
    if collector.goal_bytes is None:
        return " (GOGC=off: none is due)"
    setting = f"GOGC={collector.gogc}" if collector.gogc is not None else "GOGC=off with GOMEMLIMIT"
    return f" ({setting} lets the heap reach {format_bytes(collector.goal_bytes)})"


def _leak(amounts: dict[str, int], total: int) -> Iterable[str]:
    outside = sum(amounts[name] for name in _OUTSIDE)
    if outside < total * 0.1:
        yield "nothing leaks outside the heap"

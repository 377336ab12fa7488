"""The collector's settings and goal: `runtime.gcController` (runtime/mgcpacer.go), with or without symbols.

Without a symbol it is known by three words in a row, heapInUse, heapReleased and heapFree, which are the same
sums that `runtime.memstats` keeps in another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from heldby.errors import NotCaptured
from heldby.golang.books.memory_statistics import MemoryStatistics
from heldby.golang.runtime.runtime import Runtime
from heldby.memory.image import ADDRESS_END

_STATE: Final = "runtime.gcControllerState"
_NO_LIMIT: Final = (1 << 63) - 1
_MOST_PERCENT: Final = 1 << 24
# A span that is on its way between two states at the pause is in one counter and not yet in the other.
_SLACK: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """How the collector is set and where it stands, in bytes.

    Attributes:
        percent: GOGC, None when it is off.
        memory_limit: GOMEMLIMIT, None when there is none.
        heap_minimum: the goal is never lower.
        percent_goal: what GOGC lets the heap reach before the next collection is done; None without GOGC.
        heap_live: reached or allocated since the last collection began.
        heap_allocated: bytes of objects, those included that were not swept yet.
        heap_marked: what the last collection reached.
        stack_scan, globals_scan: bytes of stacks and of variables that it scans.
        mapped_ready: all memory of the runtime that is not given back; what GOMEMLIMIT limits.
        heap_free: pages that are in no span and not given back.
    """

    percent: int | None
    memory_limit: int | None
    heap_minimum: int
    percent_goal: int | None
    heap_live: int
    heap_allocated: int
    heap_marked: int
    stack_scan: int
    globals_scan: int
    mapped_ready: int
    heap_free: int

    def goal_at(self, percent: int) -> int:
        """Return the goal that GOGC `percent` would give after the last collection (mgcpacer.go, commit)."""
        scanned = self.heap_marked + self.stack_scan + self.globals_scan
        minimum = 4 * (1 << 20) * percent // 100
        return max(self.heap_marked + scanned * percent // 100, minimum)

    def goal_under(self, limit: int) -> int:
        """Return the goal that a memory limit gives (mgcpacer.go, memoryLimitHeapGoal), at least what is live.

        Heap that is free but kept counts as room; three percent, at least a mebibyte, are held back.
        """
        beside = max(0, self.mapped_ready - self.heap_free - self.heap_allocated)
        over = max(0, self.mapped_ready - limit)
        goal = limit - beside - over
        goal -= max(1 << 20, goal * 3 // 100)
        return max(goal, self.heap_marked)

    @property
    def goal(self) -> int | None:
        """The heap size at which the next collection should be done; None when nothing asks for one."""
        goals = [] if self.percent_goal is None else [self.percent_goal]
        if self.memory_limit is not None:
            goals.append(self.goal_under(self.memory_limit))
        return min(goals, default=None)


def read_collector(runtime: Runtime, statistics: MemoryStatistics | None) -> Collector | None:
    """Return the collector's state; None where it is not found or contradicts itself."""
    for at in _candidates(runtime, statistics):
        try:
            found = _read(runtime, at)
        except NotCaptured:
            continue
        if found is not None:
            return found
    return None


def _candidates(runtime: Runtime, statistics: MemoryStatistics | None) -> Iterator[int]:
    named = runtime.symbols.get("runtime.gcController")
    if named is not None:
        yield named
    if statistics is None:
        return
    offset = runtime.layout.offset(_STATE, "heapInUse")
    for module in runtime.modules[:1]:
        low, high = module.range("noptrdata", "end")
        data, _ = runtime.image.read_available(low, (high - low) & ~7)
        words = np.frombuffer(data, np.uint64).astype(np.float64)
        if words.size < 3:
            return
        wanted = (statistics.in_heap, statistics.released, statistics.free)
        distance = np.zeros(words.size - 2)
        for i, value in enumerate(wanted):
            distance += np.abs(words[i : words.size - 2 + i] - value)
        near = np.flatnonzero(distance <= min(_SLACK, statistics.in_heap // 8))
        for index in near[np.argsort(distance[near], kind="stable")][:64].tolist():
            yield low + 8 * index - offset


def _read(runtime: Runtime, at: int) -> Collector | None:
    image, layout = runtime.image, runtime.layout

    def word(field: str) -> int:
        return image.u64(at + layout.offset(_STATE, field))

    percent = image.i32(at + layout.offset(_STATE, "gcPercent"))
    limit, marked, live = word("memoryLimit"), word("heapMarked"), word("heapLive")
    ready, in_use = word("mappedReady"), word("heapInUse")
    # What is in use is mapped; the pacer never lets live be more than that by much (it counts whole spans).
    sound = -1 <= percent < _MOST_PERCENT and 0 < limit <= _NO_LIMIT and in_use <= ready < ADDRESS_END
    if not sound or marked > ready or live > ready + _SLACK:
        return None
    return Collector(
        percent=percent if percent >= 0 else None,
        memory_limit=limit if limit < _NO_LIMIT else None,
        heap_minimum=word("heapMinimum"),
        percent_goal=word("gcPercentHeapGoal") if percent >= 0 else None,
        heap_live=live,
        heap_allocated=max(0, word("totalAlloc") - word("totalFree")),
        heap_marked=marked,
        stack_scan=word("lastStackScan"),
        globals_scan=word("globalsScan"),
        mapped_ready=ready,
        heap_free=word("heapFree"),
    )

"""Goroutines by stack, as pprof groups them: what they do, for how long, what they keep, and which are leaked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.leaks import Leaks, find_leaks
from heldby.analysis.drilldown.selection import large_rows, pattern
from heldby.analysis.table import Column, Kind, Table, column, text_column
from heldby.digests import mixed
from heldby.errors import UsageError
from heldby.golang.functions.functions import FunctionTable, package_of, short_name
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import Goroutines, read_goroutines
from heldby.golang.goroutines.stacks import Stacks, read_stacks
from heldby.golang.layouts.layout import Layout
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap
from heldby.heap.roots import RootKind
from heldby.units import format_bytes, format_count

_STATES: Final = {
    "runtime._Grunnable": "runnable",
    "runtime._Grunning": "running",
    "runtime._Gsyscall": "syscall",
    "runtime._Gwaiting": "waiting",
    "runtime._Gleaked": "waiting",  # what a leak profile called leaked waits all the same
    "runtime._Gcopystack": "copystack",
    "runtime._Gpreempted": "preempted",
}
_GONE: Final = ("runtime._Gidle", "runtime._Gdead", "runtime._Gdeadextra")
_FRAMES_SHOWN: Final = 8


@dataclass(frozen=True, eq=False)
class GoroutineStacks:
    """All goroutines of a heap with their stacks; read again from the capture, O(goroutines + frames).

    Attributes:
        heap: what they belong to.
        table: one row each, dead ones included.
        stacks: their frames.
        functions: names them.
    """

    heap: Heap
    table: Goroutines
    stacks: Stacks
    functions: FunctionTable

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """Which rows are goroutines that have not ended, ``bool[g]``."""
        layout = self.heap.process.runtime.layout
        gone = [layout.const(name) for name in _GONE if layout.has_const(name)]
        alive: NDArray[np.bool_] = self.table.present & ~np.isin(self.table.status, np.array(gone, np.uint64))
        return alive

    @cached_property
    def states(self) -> tuple[list[str], NDArray[np.uint32]]:
        """What each goroutine does, in words, and the row of each: ``chan receive``, ``running``."""
        layout = self.heap.process.runtime.layout
        texts = _state_texts(layout)
        distinct: dict[str, int] = {}
        waiting = np.isin(self.table.status, _numbers(layout, "waiting"))
        reasons = np.where(waiting, np.minimum(self.table.wait_reason, np.uint64(255)), np.uint64(0))
        keys = np.minimum(self.table.status, np.uint64(255)) << np.uint64(8) | reasons
        found, inverse = np.unique(keys, return_inverse=True)
        codes = []
        for key in found.tolist():
            reason = key & 255
            text = texts.get(key >> 8, "unknown state")
            if reason and reason < len(layout.wait_reasons):
                text = layout.wait_reasons[reason]
            codes.append(distinct.setdefault(text, len(distinct)))
        return list(distinct), np.array(codes, np.uint32)[inverse.reshape(-1)]

    @cached_property
    def stack_hash(self) -> NDArray[np.uint64]:
        """A number for each goroutine that is the same for the same stack, ``uint64[g]``."""
        frames = self.stacks.frames
        place = np.arange(len(frames), dtype=np.uint64) - frames.first[frames.goroutine].astype(np.uint64)
        sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(mixed(frames.pc ^ mixed(place)))))
        found: NDArray[np.uint64] = sums[frames.first[1:]] - sums[frames.first[:-1]]
        return found

    @cached_property
    def _symbol_pcs(self) -> NDArray[np.uint64]:
        return self.stacks.frames.symbol_pcs(self.functions)

    def calls(self, row: int) -> Iterator[str]:
        """Give the functions on the stack of a goroutine, innermost first, inlined ones too."""
        frames, pcs = self.stacks.frames, self._symbol_pcs
        for at in range(int(frames.first[row]), int(frames.first[row + 1])):
            yield from (call.function for call in self.functions.inlined(int(pcs[at])))

    def stack_text(self, row: int, *, most: int = _FRAMES_SHOWN) -> str:
        """Return the calls of a goroutine, innermost first: ``main.wait < main.serve``; without gopark."""
        names = list(islice(self.calls(row), most + 9))
        while len(names) > 1 and names[0].startswith("runtime."):
            names.pop(0)
        while len(names) > 1 and names[-1] in ("runtime.goexit", "runtime.main"):
            names.pop()
        more = [] if len(names) <= most else ["..."]
        return " < ".join([*(short_name(name) for name in names[:most]), *more])


def read_goroutine_stacks(heap: Heap) -> GoroutineStacks:
    """Return the goroutines of `heap`. 100,000 parked ones take about 0.3 s."""
    runtime = heap.process.runtime
    functions = FunctionTable(runtime)
    table = read_goroutines(runtime, find_goroutines(runtime, heap.objects))
    stacks = read_stacks(runtime, functions, table, heap.process.core.threads)
    return GoroutineStacks(heap, table, stacks, functions)


def goroutines(
    found: GoroutineStacks,
    *,
    only_leaked: bool = False,
    function: str | None = None,
    min_size: int | None = None,
    limit: int | None = None,
) -> Table:
    """Return groups of goroutines with the same stack and state, those that retain most first.

    Args:
        found: what `read_goroutine_stacks` returned.
        only_leaked: only those that are leaked for certain.
        function: pattern of functions or packages that the stack must pass through.
        min_size: least retained bytes of a group.
        limit: groups; a few cost less than all.

    Raises:
        UsageError: no stack passes through `function`.
    """
    heap, table = found.heap, found.table
    leaks = find_leaks(heap, table)
    rows = np.flatnonzero(found.alive & (leaks.leaked if only_leaked else True))
    if function is not None:
        rows = _passing(found, rows, function)
    states, state = found.states
    keys = np.empty(rows.size, [("stack", np.uint64), ("state", np.uint32), ("leaked", np.bool_)])
    keys["stack"], keys["state"], keys["leaked"] = found.stack_hash[rows], state[rows], leaks.leaked[rows]
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    sets = np.full(len(table), -1, np.int32)
    sets[rows] = group
    chosen, retained, objects = _retained(heap, sets, group, first.size, limit if min_size is None else None)
    members = np.bincount(group, minlength=first.size)
    stack_bytes = np.bincount(group, table.stack_sizes()[rows], first.size)
    some = rows[first[chosen]]
    shown = Table(
        "goroutines",
        (
            column("goroutines", Kind.COUNT, members[chosen]),
            text_column("state", states, state[some]),
            column("leaked", Kind.FLAG, leaks.leaked[some]),
            _waited(found, rows, group, first.size).take(chosen),
            column("stack_bytes", Kind.BYTES, stack_bytes[chosen].astype(np.int64)),
            column("retained_bytes", Kind.BYTES, retained),
            column("retained_objects", Kind.COUNT, objects),
            text_column("stack", [found.stack_text(int(row)) for row in some]),
            text_column("created_by", [_creator(found, int(row)) for row in some]),
            column("goid", Kind.NUMBER, table.goid[some].astype(np.int64)),
        ),
        title=_title(int(found.alive.sum()), leaks),
        notes=_notes(heap, leaks),
        total_rows=first.size,
        details=("stack", "created_by"),
    )
    return large_rows(shown, "retained_bytes", min_size)


def _passing(found: GoroutineStacks, rows: NDArray[np.intp], function: str) -> NDArray[np.intp]:
    """Return the goroutines whose stack passes through what the pattern means. Python for each distinct stack."""
    wanted = pattern(function)
    _, first, stack = np.unique(found.stack_hash[rows], return_index=True, return_inverse=True)
    fits = [
        any(wanted.fullmatch(name) or wanted.fullmatch(package_of(name)) for name in found.calls(int(row)))
        for row in rows[first]
    ]
    rows = rows[np.array(fits, np.bool_)[stack.reshape(-1)]]
    if not rows.size:
        raise UsageError(
            f"no goroutine's stack passes through {function}",
            next_step="list all stacks with: heldby goroutines TARGET; ... stands for any text, as in net/...",
        )
    return rows


def _retained(
    heap: Heap, sets: NDArray[np.int32], group: NDArray[np.intp], count: int, limit: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the groups in order, what they retain together, and the objects that are, without themselves."""
    order = heap.tree.order
    roots = heap.roots
    by_number = np.full(order.size, -1, np.int32)
    nodes = np.flatnonzero(roots.kind == RootKind.GOROUTINE)
    numbers = heap.tree.number[nodes + heap.object_count + 1]
    reached = numbers != np.uint32(NONE)
    by_number[numbers[reached]] = sets[roots.item[nodes[reached]]]
    members = np.bincount(by_number[by_number >= 0], minlength=count)
    if limit is None or limit >= count:
        retained, objects = heap.retained_sets.of_each(by_number, count)
        chosen = np.lexsort((-np.bincount(group, minlength=count), -retained))
        return chosen, retained[chosen], (objects - members)[chosen]
    guesses = np.zeros(count, np.int64)
    held = by_number[numbers[reached]]
    inside = held >= 0
    np.add.at(guesses, held[inside], heap.retained_bytes[numbers[reached][inside]])
    chosen, retained, objects = heap.retained_sets.largest(by_number, guesses, limit)
    return chosen, retained, objects - members[chosen]


def _waited(found: GoroutineStacks, rows: NDArray[np.intp], group: NDArray[np.intp], count: int) -> Column:
    """Return how long the longest of each group has waited at least; the runtime notes it at collections."""
    since = found.table.wait_since[rows].astype(np.int64)
    longest = np.full(count, np.iinfo(np.int64).max, np.int64)
    known = since > 0
    np.minimum.at(longest, group[known], since[known])
    unknown = longest == np.iinfo(np.int64).max
    waited = np.where(unknown, 0, np.maximum(_now(found) - longest, 0)) / 1e9
    return column("waited_seconds", Kind.SECONDS, waited, unknown=unknown)


def _now(found: GoroutineStacks) -> int:
    """Return the runtime's clock at the capture; without one that says so, the latest time that it noted."""
    note = found.heap.process.core.note or {}
    clock = note.get("monotonic_ns")
    latest = int(found.table.wait_since.astype(np.int64).max(initial=0))
    if isinstance(clock, int) and not isinstance(clock, bool) and 0 < clock < 1 << 62:
        return max(clock, latest)
    return latest


def _creator(found: GoroutineStacks, row: int) -> str | None:
    # The runtime itself makes the main goroutine; a traceback does not say so either (runtime.printcreatedby).
    pc = int(found.table.go_pc[row]) if found.table.goid[row] != 1 else 0
    index = found.functions.index(pc - 1) if pc else -1
    return short_name(found.functions.name(index)) if index >= 0 else None


def _state_texts(layout: Layout) -> dict[int, str]:
    return {layout.const(name): text for name, text in _STATES.items() if layout.has_const(name)}


def _numbers(layout: Layout, text: str) -> NDArray[np.uint64]:
    return np.array([number for number, found in _state_texts(layout).items() if found == text], np.uint64)


def _title(alive: int, leaks: Leaks) -> str:
    count = int(leaks.leaked.sum())
    people = f"{format_count(alive)} goroutine{'' if alive == 1 else 's'}"
    if not count:
        return f"{people}; none is certainly leaked"
    objects = "1 object" if leaks.kept_objects == 1 else f"{format_count(leaks.kept_objects)} objects"
    kept = f"they keep {format_bytes(leaks.kept_bytes)} in {objects}"
    return f"{people}; {format_count(count)} leaked for certain: nothing can wake them, and {kept}"


def _notes(heap: Heap, leaks: Leaks) -> tuple[str, ...]:
    notes = []
    if leaks.unknown:
        notes.append(
            f"{leaks.unknown:,} goroutines wait on something that cannot be told; they may be leaked too"
        )
    if not (heap.process.core.note or {}).get("monotonic_ns"):
        notes.append("the core does not say when it was taken; waits are counted up to the last collection")
    return tuple(notes)

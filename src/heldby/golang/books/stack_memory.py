"""Memory of stacks: which part of which span is a goroutine's, and how much of it lies above its stack pointer.

Stacks lie in spans of the heap's address space that the runtime manages by hand. What no goroutine and no
thread of the runtime owns is free: in pools and in the caches of the Ps (runtime/stack.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.goroutines.goroutines import Goroutines, read_goroutines
from heldby.golang.layouts.layout import Layout
from heldby.golang.objects.spans import PAGE_BYTES, SpanTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows
from heldby.memory.core_file import Thread

U64 = NDArray[np.uint64]
_STACK_POINTERS: Final = ("rsp", "sp")
_LARGEST: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class StackMemory:
    """Address ranges ``[start, end)`` in stack spans, each an array of two columns, which do not overlap.

    Attributes:
        spans: all spans of stacks.
        buffers: spans of the collector's work buffers.
        used: of goroutines, from the stack pointer up.
        unused: of goroutines, below the stack pointer.
        ended: of goroutines that ended and keep their stack for the next one.
        threads: of the runtime's own on each thread: scheduling and signals.
        goroutines: how many goroutines have a stack.
    """

    spans: U64
    buffers: U64
    used: U64
    unused: U64
    ended: U64
    threads: U64
    goroutines: int


def stack_memory(
    runtime: Runtime, spans: SpanTable, goroutines: Goroutines, ms: U64, threads: Sequence[Thread]
) -> StackMemory:
    """Return who owns the stacks. O(goroutines + spans).

    Args:
        runtime: of the process.
        spans: all spans.
        goroutines: all of them.
        ms: addresses of the runtime's threads (`heldby.golang.goroutines.scheduler.find_threads`).
        threads: registers; the stack pointer of a goroutine that runs is there and nowhere else.
    """
    starts = spans.manual_base
    ends = starts + spans.manual_pages * np.uint64(PAGE_BYTES)
    order = np.argsort(starts)
    starts, ends, elemsize = starts[order], ends[order], spans.manual_elemsize[order]
    stacks = np.stack((starts, ends), axis=1)[elemsize != 0]
    low, high = goroutines.stack_lo, goroutines.stack_hi
    owned = _in_spans(stacks, low, high)
    dead = _ended(runtime.layout, goroutines.status)
    alive = owned & ~dead
    pointer = _stack_pointers(goroutines, threads)
    # A stack pointer outside means that nothing is known: the whole stack counts as used then.
    inside = (pointer >= low) & (pointer <= high)
    pointer = np.where(inside, pointer, low)
    return StackMemory(
        spans=stacks,
        buffers=np.stack((starts, ends), axis=1)[elemsize == 0],
        used=np.stack((pointer, high), axis=1)[alive],
        unused=np.stack((low, pointer), axis=1)[alive],
        ended=np.stack((low, high), axis=1)[owned & dead],
        threads=_thread_stacks(runtime, stacks, ms),
        goroutines=int(alive.sum()),
    )


def _in_spans(stacks: U64, low: U64, high: U64) -> NDArray[np.bool_]:
    if not stacks.size:
        return np.zeros(low.size, np.bool_)
    row = np.searchsorted(stacks[:, 0], low, side="right").astype(np.int64) - 1
    at = np.maximum(row, 0)
    inside: NDArray[np.bool_] = (row >= 0) & (low < high) & (high <= stacks[at, 1]) & (high - low < _LARGEST)
    return inside


def _ended(layout: Layout, status: U64) -> NDArray[np.bool_]:
    names = ("runtime._Gidle", "runtime._Gdead", "runtime._Gdeadextra")
    gone = [layout.const(name) for name in names if layout.has_const(name)]
    return np.isin(status, np.array(gone, np.uint64))


def _stack_pointers(goroutines: Goroutines, threads: Sequence[Thread]) -> U64:
    pointer = np.where(goroutines.syscall_sp != 0, goroutines.syscall_sp, goroutines.sched_sp)
    registers = [next((t.registers[n] for n in _STACK_POINTERS if n in t.registers), 0) for t in threads]
    running = np.array(registers, np.uint64)
    if not len(goroutines):
        return pointer
    order = np.argsort(goroutines.stack_lo)
    row = order[np.maximum(np.searchsorted(goroutines.stack_lo[order], running).astype(np.int64) - 1, 0)]
    on_it = (goroutines.stack_lo[row] < running) & (running <= goroutines.stack_hi[row])
    pointer[row[on_it]] = running[on_it]
    return pointer


def _thread_stacks(runtime: Runtime, stacks: U64, ms: U64) -> U64:
    rows = StructRows(runtime.pages, runtime.layout, "runtime.m", ms)
    own = np.concatenate((rows.column("g0"), rows.column("gsignal")))
    found = read_goroutines(runtime, np.unique(own[own != 0]))
    inside = _in_spans(stacks, found.stack_lo, found.stack_hi)
    return np.stack((found.stack_lo, found.stack_hi), axis=1)[inside]

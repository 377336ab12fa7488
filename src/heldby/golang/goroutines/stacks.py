"""The stacks of all goroutines: their frames, and the words in them that keep objects alive.

Follows the garbage collector exactly where it is precise, and is conservative only where it is. What cannot
be unwound is scanned word by word, so that nothing alive is taken for garbage, and is counted in
`Stacks.unknowns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import FunctionTable
from heldby.golang.goroutines import stack_kernels as unwinding
from heldby.golang.goroutines import stack_root_kernels as rooting
from heldby.golang.goroutines import stack_task_kernels as tasks
from heldby.golang.goroutines.executing import Executing, find_executing
from heldby.golang.goroutines.goroutines import Goroutines
from heldby.golang.layouts.differences import VECTOR_REGISTERS_ARE_ROOTS
from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.runtime import Runtime
from heldby.memory.core_file import Thread
from heldby.memory.image import ADDRESS_END

Words = NDArray[np.uint64]

_MAX_OVERLAPS: Final = 64
_MACHINES: Final = {
    # Fields of `Machine`. Before its pointers abi.RegArgs has 9 + 15 words on amd64, 16 + 16 on arm64.
    "amd64": (1, 0, 8, 0, 0, 0, 272, 24, 33),
    "arm64": (4, 1, 0, 8, 16, 16, 392, 32, 48),
}


class RootKind(IntEnum):
    """How a root on a stack is known."""

    LOCAL = int(tasks.KIND_LOCAL)
    ARGUMENT = int(tasks.KIND_ARGUMENT)
    STACK_OBJECT = int(tasks.KIND_STACK_OBJECT)
    CONSERVATIVE = int(tasks.KIND_CONSERVATIVE)
    DEFER = int(tasks.KIND_DEFER)
    PANIC = int(tasks.KIND_PANIC)
    CONTEXT = int(tasks.KIND_CONTEXT)
    REGISTER = int(tasks.KIND_REGISTER)


class Outcome(IntEnum):
    """How the unwinding of a goroutine ended."""

    NO_STACK = unwinding.NOT_UNWOUND
    WHOLE = unwinding.WHOLE
    UNKNOWN_PC = unwinding.UNKNOWN_PC
    BAD_STACK_POINTER = unwinding.BAD_STACK_POINTER
    MISSING_MEMORY = unwinding.MISSING_MEMORY
    BAD_FRAME_SIZE = unwinding.BAD_FRAME_SIZE
    UNEXPECTED_SP_WRITE = unwinding.UNEXPECTED_SP_WRITE
    WRONG_TOP = unwinding.WRONG_TOP
    NO_START = unwinding.NO_START


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """All frames, goroutine by goroutine, innermost first.

    Attributes:
        goroutine: ``uint32[n]``, row in `Goroutines`.
        function: ``int32[n]``, number in `FunctionTable`.
        flags: ``uint8[n]``, 1 where the thread was stopped, 2 after a trap or preemption, else 0.
        pc: ``uint64[n]``, where the frame goes on: a return address unless `flags` says otherwise.
        sp: ``uint64[n]``, lowest address of the frame.
        fp: ``uint64[n]``, its caller's sp (DWARF's canonical frame address).
        continpc: ``uint64[n]``, pc for liveness, 0 for a frame that never goes on.
        first: ``int64[goroutines + 1]``, the frames of goroutine g are ``first[g]`` up to ``first[g + 1]``.
    """

    goroutine: NDArray[np.uint32]
    function: NDArray[np.int32]
    flags: NDArray[np.uint8]
    pc: NDArray[np.uint64]
    sp: NDArray[np.uint64]
    fp: NDArray[np.uint64]
    continpc: NDArray[np.uint64]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.pc.size)

    def symbol_pcs(self, functions: FunctionTable) -> NDArray[np.uint64]:
        """Return the pcs that names and lines belong to (runtime/traceback.go ``symPC``), ``uint64[n]``."""
        at_call = (self.flags == 0) & (self.pc > functions.arrays.entry[self.function])
        pcs: NDArray[np.uint64] = self.pc - at_call.astype(np.uint64)
        return pcs


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRoots:
    """Words that the collector takes for pointers, other than into the goroutine's own stack.

    Not yet known to point at objects; the same value may come more than once.

    Attributes:
        goroutine: ``uint32[n]``, row in `Goroutines`.
        frame: ``int32[n]``, row in `Frames`; -1 for defers, panics, contexts, registers and unknown parts.
        slot: ``uint64[n]``, address of the word, 0 for a register and for a record itself.
        value: ``uint64[n]``, never 0.
        kind: ``uint8[n]``, `RootKind`.
    """

    goroutine: NDArray[np.uint32]
    frame: NDArray[np.int32]
    slot: NDArray[np.uint64]
    value: NDArray[np.uint64]
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.value.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """Frames and roots of all goroutines.

    Attributes:
        outcome: ``uint8[goroutines]``, `Outcome`.
        unknowns: what could not be read, by name, only counts above 0.
    """

    frames: Frames
    roots: StackRoots
    executing: Executing
    outcome: NDArray[np.uint8]
    unknowns: dict[str, int]


def read_stacks(
    runtime: Runtime, functions: FunctionTable, goroutines: Goroutines, threads: Sequence[Thread]
) -> Stacks:
    """Unwind every goroutine and find the roots on its stack.

    O(frames + live words); about 40 bytes a frame and 25 a root. 100,000 parked goroutines take about 0.3 s.

    Args:
        runtime: whose memory is read.
        functions: its functions.
        goroutines: its goroutines.
        threads: of the capture, for goroutines that were running.
    """
    executing = find_executing(runtime, functions, goroutines, threads)
    machine = _machine(runtime.layout.arch)
    stacks = _stack_rows(runtime.layout, goroutines, executing)
    frames, first = _unwind(runtime, functions, machine, stacks)
    no_start = (stacks[:, unwinding.MODE] == 0) & _has_stack(runtime.layout, goroutines)
    stacks[no_start, unwinding.OUTCOME] = unwinding.NO_START
    roots, counts = _find_roots(runtime, functions, machine, stacks, executing, frames, first)
    outcome = stacks[:, unwinding.OUTCOME].astype(np.uint8)
    return Stacks(
        frames=_frames(frames, first),
        roots=_roots(roots),
        executing=executing,
        outcome=outcome,
        unknowns=_unknowns(runtime.layout, goroutines, outcome, counts),
    )


def _machine(arch: str) -> unwinding.Machine:
    quantum, link, *sizes = _MACHINES[arch]
    return unwinding.Machine(np.int64(quantum), np.int64(link), *(np.uint64(size) for size in sizes))


def _alive(layout: Layout, goroutines: Goroutines) -> NDArray[np.bool_]:
    """Tell which goroutines the collector scans: not those that are idle or dead."""
    gone = [layout.const(f"runtime.{name}", -1) for name in ("_Gidle", "_Gdead", "_Gdeadextra")]
    alive: NDArray[np.bool_] = goroutines.present & ~np.isin(goroutines.status.astype(np.int64), gone)
    return alive


def _has_stack(layout: Layout, goroutines: Goroutines) -> NDArray[np.bool_]:
    """Tell whose stack can be one: a power of two of bytes (runtime/stack.go), overlapping no smaller one."""
    lo, hi = goroutines.stack_lo, goroutines.stack_hi
    size = hi - lo
    possible: NDArray[np.bool_] = (
        _alive(layout, goroutines) & (lo < hi) & (hi < np.uint64(ADDRESS_END)) & (size & (size - 1) == 0)
    )
    for _ in range(_MAX_OVERLAPS):
        rows = np.flatnonzero(possible)
        rows = rows[np.argsort(lo[rows], kind="stable")]
        before, after = rows[:-1], rows[1:]
        overlap = hi[before] > lo[after]
        if not overlap.any():
            return possible
        possible[np.where(size[before] >= size[after], before, after)[overlap]] = False
    return np.zeros_like(possible)


def _has_vectors(layout: Layout, goroutines: Goroutines) -> NDArray[np.bool_]:
    """Tell whose saved vector registers count: the collector looks at them in some releases."""
    return goroutines.async_safe_point & VECTOR_REGISTERS_ARE_ROOTS.holds(layout)


def _stack_rows(layout: Layout, goroutines: Goroutines, executing: Executing) -> Words:
    in_syscall = goroutines.syscall_sp != 0
    rows = np.zeros((len(goroutines), unwinding.STACK_COLUMNS), np.uint64)
    rows[:, unwinding.START_PC] = np.where(in_syscall, goroutines.syscall_pc, goroutines.sched_pc)
    rows[:, unwinding.START_SP] = np.where(in_syscall, goroutines.syscall_sp, goroutines.sched_sp)
    rows[:, unwinding.START_LR] = np.where(in_syscall, np.uint64(0), goroutines.sched_lr)
    rows[:, unwinding.LO] = goroutines.stack_lo
    rows[:, unwinding.HI] = goroutines.stack_hi
    rows[:, unwinding.TOP] = goroutines.stack_top_sp
    rows[:, unwinding.REST] = goroutines.stack_lo
    rows[:, unwinding.DEFER] = goroutines.defer
    rows[:, unwinding.PANIC] = goroutines.panic
    rows[:, unwinding.CONTEXT] = goroutines.addr + np.uint64(layout.offset("runtime.g", "sched", "ctxt"))
    rows[:, unwinding.EXTENDED] = np.where(_has_vectors(layout, goroutines), goroutines.extended_registers, 0)
    # What a running goroutine saved last is stale, unless its thread was found on a system stack.
    running = (goroutines.status == np.uint64(layout.const("runtime._Grunning"))) & ~in_syscall
    running[executing.on_system_stack] = False
    mode = np.where(_has_stack(layout, goroutines) & ~running, unwinding.MODE_SAVED, unwinding.MODE_LEAVE_OUT)
    own = executing.goroutine
    mode[own] = np.where(executing.interrupted, unwinding.MODE_INTERRUPTED, unwinding.MODE_SAVED)
    rows[:, unwinding.MODE] = mode
    rows[own, unwinding.START_PC] = executing.pc
    rows[own, unwinding.START_SP] = executing.sp
    rows[own, unwinding.START_LR] = executing.lr
    rows[own, unwinding.REGISTERS] = np.where(executing.interrupted, np.arange(own.size) + 1, 0)
    return rows


def _unwind(
    runtime: Runtime, functions: FunctionTable, machine: unwinding.Machine, stacks: Words
) -> tuple[Words, NDArray[np.int64]]:
    """Fill the written columns of `stacks`; return all frames and where each goroutine's begin."""
    count = stacks.shape[0]
    frames = np.empty((8 * count + 1024, unwinding.FRAME_COLUMNS), np.uint64)
    cache = np.full((unwinding.CACHE_SIZE, unwinding.CACHE_COLUMNS), -1, np.int64)
    first, used = 0, 0
    while True:
        first, used = unwinding.unwind(
            runtime.pages, functions.arrays, machine, stacks, first, frames, used, cache
        )
        if first == count:
            break
        frames = _grown(frames, used)
    # A stack of which nothing is known, or whose frames end outside of it, counts whole.
    rest, lo, hi = (stacks[:, n] for n in (unwinding.REST, unwinding.LO, unwinding.HI))
    stacks[:, unwinding.REST] = np.where((rest >= lo) & (rest <= hi), rest, lo) & ~np.uint64(7)
    frames = frames[:used]
    per_goroutine = np.bincount(frames[:, unwinding.GOROUTINE].astype(np.int64), minlength=count)
    return frames, np.concatenate(([0], np.cumsum(per_goroutine))).astype(np.int64)


def _find_roots(
    runtime: Runtime,
    functions: FunctionTable,
    machine: unwinding.Machine,
    stacks: Words,
    executing: Executing,
    frames: Words,
    first_frames: NDArray[np.int64],
) -> tuple[Words, NDArray[np.int64]]:
    """Return the rows of all roots and what was counted on the way."""
    layout = runtime.layout
    offsets = tasks.Offsets(
        np.uint64(layout.offset("runtime._defer", "heap")),
        np.uint64(layout.offset("runtime._defer", "fn")),
        np.uint64(layout.offset("runtime._defer", "link")),
        np.uint64(layout.size("runtime.xRegState") if layout.has("runtime.xRegState") else 0),
    )
    roots = np.empty((2 * len(frames) + 1024, rooting.ROOT_COLUMNS), np.uint64)
    scratch = np.empty((4096, tasks.SCRATCH_COLUMNS), np.uint64)
    counts = np.zeros(2 * tasks.COUNTS, np.int64)
    first = 0
    while True:
        first, cramped = rooting.find_roots(
            runtime.pages,
            functions.arrays,
            machine,
            offsets,
            stacks,
            executing.registers,
            frames,
            first_frames,
            first,
            roots,
            scratch,
            counts,
        )
        if first == stacks.shape[0]:
            return roots[: counts[tasks.USED]], counts
        if cramped:
            scratch = np.empty((2 * scratch.shape[0], tasks.SCRATCH_COLUMNS), np.uint64)
        else:
            roots = _grown(roots, int(counts[tasks.USED]))


def _grown(rows: Words, used: int) -> Words:
    """Return an array of twice the length that begins with the first `used` rows."""
    longer = np.empty((2 * rows.shape[0], rows.shape[1]), np.uint64)
    longer[:used] = rows[:used]
    return longer


def _frames(rows: Words, first: NDArray[np.int64]) -> Frames:
    return Frames(
        goroutine=rows[:, unwinding.GOROUTINE].astype(np.uint32),
        function=rows[:, unwinding.FUNCTION].astype(np.int32),
        flags=rows[:, unwinding.FRAME_FLAGS].astype(np.uint8),
        pc=rows[:, unwinding.PC].copy(),
        sp=rows[:, unwinding.SP].copy(),
        fp=rows[:, unwinding.FP].copy(),
        continpc=rows[:, unwinding.CONTINPC].copy(),
        first=first,
    )


def _roots(rows: Words) -> StackRoots:
    return StackRoots(
        goroutine=rows[:, rooting.ROOT_GOROUTINE].astype(np.uint32),
        frame=rows[:, rooting.ROOT_FRAME].astype(np.uint32).view(np.int32),
        slot=rows[:, rooting.ROOT_SLOT].copy(),
        value=rows[:, rooting.ROOT_VALUE].copy(),
        kind=rows[:, rooting.ROOT_KIND].astype(np.uint8),
    )


def _unknowns(
    layout: Layout, goroutines: Goroutines, outcome: NDArray[np.uint8], counts: NDArray[np.int64]
) -> dict[str, int]:
    no_stack = _alive(layout, goroutines) & (outcome == Outcome.NO_STACK)
    found = {
        "goroutines that are not in the capture": int((~goroutines.present).sum()),
        "goroutines whose stack has impossible bounds": int(no_stack.sum()),
    }
    for value, text in _OUTCOME_TEXTS.items():
        found[text] = int((outcome == value).sum())
    for number, text in _COUNT_TEXTS.items():
        found[text] = int(counts[number])
    return {text: number for text, number in found.items() if number}


_OUTCOME_TEXTS: Final = {
    Outcome.UNKNOWN_PC: "stacks that end at an address outside of Go code",
    Outcome.BAD_STACK_POINTER: "stacks whose frames leave the stack",
    Outcome.MISSING_MEMORY: "stacks that are not whole in the capture",
    Outcome.BAD_FRAME_SIZE: "stacks with a frame of impossible size",
    Outcome.UNEXPECTED_SP_WRITE: "stacks that end in a function that switches stacks",
    Outcome.WRONG_TOP: "stacks that end in the wrong place",
    Outcome.NO_START: "running goroutines without the registers of their thread",
}
_COUNT_TEXTS: Final = {
    tasks.UNKNOWN_LOCALS: "frames without a map of their locals",
    tasks.UNKNOWN_ARGUMENTS: "frames without a map of their arguments",
    tasks.UNKNOWN_OBJECTS: "frames with unreadable stack objects",
    tasks.MISSING_WORDS: "stack words that are not in the capture",
    tasks.BAD_DEFERS: "lists of defers that cannot be followed",
}

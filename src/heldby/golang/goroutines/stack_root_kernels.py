"""Roots on stacks: which words of which frames the garbage collector follows.

The tasks of `stack_task_kernels` are worked off one goroutine at a time. Words that point into the
goroutine's own stack are no roots; they make the stack object that they hit live, and its words follow
(runtime/mgcmark.go ``scanstack``, runtime/mgcstack.go).
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.golang.goroutines.stack_kernels import HI, LO, NOT_UNWOUND, OUTCOME
from heldby.golang.goroutines.stack_task_kernels import (
    ALL,
    BAD_DEFERS,
    CONSERVATIVE,
    COUNTS,
    DOUBTFUL_POINTER,
    EVERY_WORD,
    IN_FUNCDATA,
    IN_MEMORY,
    IN_RODATA,
    ITSELF,
    KIND_CONSERVATIVE,
    KIND_REGISTER,
    KIND_STACK_OBJECT,
    MISSING_WORDS,
    OBJECT_FRAME,
    OBJECT_MASK,
    OBJECT_SIZE,
    OBJECT_START,
    OBJECT_WORDS,
    OF_DEFERS,
    OF_THREAD,
    POINTER,
    PRECISE,
    REG_ARGS,
    SCANNED,
    STACK_OBJECTS,
    TASK_AT,
    TASK_BASE,
    TASK_COUNT,
    TASK_FRAME,
    TASK_HOW,
    TASK_KIND,
    TASKS,
    USED,
    add_goroutine,
    add_task,
)
from heldby.jit import ZERO, kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load8, load64, page_of

# Columns of a root's row. ROOT_FRAME is NO_FRAME for what belongs to the goroutine as a whole.
ROOT_GOROUTINE, ROOT_FRAME, ROOT_SLOT, ROOT_VALUE, ROOT_KIND = range(5)
ROOT_COLUMNS = 5


@kernel
def _next_object_task(machine, scratch, counts):
    """Turn the next pointer into the stack into a task, when it hits a stack object for the first time.

    Precise pointers go first, so that objects are scanned precisely where any is. False when none is left.
    """
    kind = KIND_STACK_OBJECT
    if counts[PRECISE] > 0:
        counts[PRECISE] -= 1
        value = scratch[u64(counts[PRECISE]), POINTER]
    elif counts[CONSERVATIVE] > 0:
        counts[CONSERVATIVE] -= 1
        value = scratch[u64(counts[CONSERVATIVE]), DOUBTFUL_POINTER]
        kind = KIND_CONSERVATIVE
    else:
        return False
    low = u64(0)
    high = u64(counts[STACK_OBJECTS])
    while low < high:
        middle = (low + high) >> u64(1)
        if scratch[middle, OBJECT_START] <= value:
            low = middle + u64(1)
        else:
            high = middle
    if low == u64(0):
        return True
    o = low - u64(1)
    words = scratch[o, OBJECT_WORDS]
    if words == SCANNED or value - scratch[o, OBJECT_START] >= scratch[o, OBJECT_SIZE]:
        return True
    scratch[o, OBJECT_WORDS] = SCANNED
    start = scratch[o, OBJECT_START]
    mask = scratch[o, OBJECT_MASK]
    if mask == REG_ARGS:
        start += machine.reg_args_first << u64(3)
        words = machine.reg_args_end - machine.reg_args_first
        add_task(scratch, counts, start, words, ALL, ZERO, kind, scratch[o, OBJECT_FRAME])
    elif mask == EVERY_WORD:
        add_task(scratch, counts, start, words, ALL, ZERO, KIND_CONSERVATIVE, scratch[o, OBJECT_FRAME])
    else:
        add_task(scratch, counts, start, words, IN_RODATA, mask, kind, scratch[o, OBJECT_FRAME])
    return True


@kernel
def find_roots(
    pages, functions, machine, offsets, stacks, registers, frames, frame_starts, first, roots, scratch, counts
):
    """Find the roots of goroutines from number `first` on, until all are done or an array is full.

    Args:
        pages: `PageTable`.
        functions: `FunctionArrays`.
        machine: `Machine`.
        offsets: `Offsets`.
        stacks: ``uint64[n, STACK_COLUMNS]``, unwound.
        registers: ``uint64[rows, k]``, general registers of stopped threads.
        frames: ``uint64[m, FRAME_COLUMNS]``.
        frame_starts: ``int64[n + 1]``, the frames of goroutine g are ``frame_starts[g]`` up to that of g + 1.
        first: int64.
        roots: ``uint64[capacity, ROOT_COLUMNS]`` to fill.
        scratch: ``uint64[capacity, SCRATCH_COLUMNS]``.
        counts: ``int64[2 * COUNTS]``, 0 at first; ``counts[USED]`` roots are filled.

    Returns:
        The first goroutine that is not done, its counts taken back, and whether it is the scratch memory that
        was too small for it (else it is the roots).
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    capacity = np.int64(scratch.shape[0])
    for number in range(first, np.int64(stacks.shape[0])):
        g = u64(number)
        if stacks[g, OUTCOME] == u64(NOT_UNWOUND):
            continue
        counts[TASKS] = 0
        counts[STACK_OBJECTS] = 0
        counts[PRECISE] = 0
        counts[CONSERVATIVE] = 0
        for i in range(u64(COUNTS)):
            counts[i + u64(COUNTS)] = counts[i]
        lo = stacks[g, LO]
        hi = stacks[g, HI]
        begin, end = frame_starts[g], frame_starts[g + u64(1)]
        add_goroutine(
            pages, functions, machine, offsets, stacks, g, registers, frames, begin, end, scratch, counts
        )
        task = np.int64(0)
        full = False
        mark, steps, limit = u64(0), np.int64(0), np.int64(1)
        while not full:
            if counts[TASKS] > capacity or counts[STACK_OBJECTS] > capacity:
                full = True
                break
            if task == counts[TASKS]:
                if not _next_object_task(machine, scratch, counts):
                    break
                continue
            row = u64(task)
            task += 1
            base = scratch[row, TASK_BASE]
            how = scratch[row, TASK_HOW]
            at = scratch[row, TASK_AT]
            kind = scratch[row, TASK_KIND]
            bits = u64(1)
            for i in range(scratch[row, TASK_COUNT]):
                if how == IN_FUNCDATA:
                    bits = u64(functions.funcdata[at + (i >> u64(3))]) >> (i & u64(7))
                elif how == IN_RODATA:
                    bits = u64(functions.rodata[at + (i >> u64(3))]) >> (i & u64(7))
                elif how == IN_MEMORY:
                    bits = load8(directory, tables, words, at + (i >> u64(3))) >> (i & u64(7))
                if bits & u64(1) == u64(0):
                    continue
                slot = base + (i << u64(3))
                if how == OF_DEFERS:
                    slot = base + (offsets.defer_fn if i == u64(0) else offsets.defer_link)
                if how == OF_DEFERS and i == u64(2):
                    if load8(directory, tables, words, base + offsets.defer_heap) == u64(0):
                        continue
                    value = base
                    slot = u64(0)
                elif how == ITSELF:
                    value = base
                    slot = u64(0)
                elif how == OF_THREAD:
                    value = registers[at, i]
                    slot = u64(0)
                elif page_of(directory, tables, slot) == np.int64(PAGE_MISSING):
                    counts[MISSING_WORDS] += 1
                    continue
                else:
                    value = load64(directory, tables, words, slot)
                if value == u64(0):
                    continue
                if value >= lo and value < hi:
                    doubtful = kind in (KIND_CONSERVATIVE, KIND_REGISTER)
                    which = CONSERVATIVE if doubtful else PRECISE
                    if counts[which] >= capacity:
                        full = True
                        break
                    scratch[u64(counts[which]), u64(DOUBTFUL_POINTER if doubtful else POINTER)] = value
                    counts[which] += 1
                    continue
                if counts[USED] < roots.shape[0]:
                    root = u64(counts[USED])
                    roots[root, ROOT_GOROUTINE] = g
                    roots[root, ROOT_FRAME] = scratch[row, TASK_FRAME]
                    roots[root, ROOT_SLOT] = slot
                    roots[root, ROOT_VALUE] = value
                    roots[root, ROOT_KIND] = kind
                counts[USED] += 1
            if how == OF_DEFERS:
                # Defers weave between stack and heap; the same row serves them one after the other. Each is
                # compared with an ever later one before it (Brent), so that a circle ends.
                following = load64(directory, tables, words, base + offsets.defer_link)
                if following & u64(7) or following == mark:
                    counts[BAD_DEFERS] += np.int64(following != u64(0))
                elif following != u64(0):
                    scratch[row, TASK_BASE] = following
                    task -= 1
                steps += 1
                if steps == limit:
                    mark, steps, limit = following, np.int64(0), limit * 2
        if full or counts[USED] > roots.shape[0]:
            for i in range(u64(COUNTS)):
                counts[i] = counts[i + u64(COUNTS)]
            return number, full
    return np.int64(stacks.shape[0]), False

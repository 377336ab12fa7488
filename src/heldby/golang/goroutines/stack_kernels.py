"""Unwinding of all stacks at once, as the garbage collector does it.

One frame after the other from the innermost, by the frame sizes of the function table (runtime/traceback.go,
``unwinder.resolveInternal`` and ``next``, Go 1.26). Each address is checked against the goroutine's own stack
before it is read, and stack pointers only grow, so a damaged stack ends early and is counted.

Goroutines and frames are rows of one ``uint64`` array each: Numba pays for every array of a kernel.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heldby.golang.functions.function_kernels import (
    BAD_TABLE,
    DEFERRETURN,
    FLAG_SP_WRITE,
    FLAG_TOP_FRAME,
    FLAGS,
    FRAME_SIZES,
    MAP_NUMBERS,
    ROLE,
    ROLE_ASYNC_PREEMPT,
    ROLE_CGOCALLBACK,
    ROLE_DEBUG_CALL,
    ROLE_SIGPANIC,
    find_function,
    pc_value,
)
from heldby.jit import kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of

# Columns of a goroutine's row. START_*: where unwinding begins; LO, HI, TOP: the stack and where it must end.
START_PC, START_SP, START_LR, LO, HI, TOP = range(6)
MODE = 6
"""`MODE_*`."""
OUTCOME = 7
"""How unwinding ended, written."""
REST = 8
"""The stack pointer behind the last frame, written."""
DEFER, PANIC = 9, 10
"""Heads of the lists of defers and panics."""
CONTEXT = 11
"""Address of the word ``sched.ctxt``."""
EXTENDED = 12
"""Address of saved vector registers, 0 for none."""
REGISTERS = 13
"""1 + the row of the registers of the thread that ran it, 0 for none."""
STACK_COLUMNS = 14

MODE_LEAVE_OUT = 0
MODE_SAVED = 1
"""The start was saved at a call."""
MODE_INTERRUPTED = 2
"""The start is where a thread was stopped."""

NOT_UNWOUND = 0
WHOLE = 1
UNKNOWN_PC = 2
BAD_STACK_POINTER = 3
MISSING_MEMORY = 4
BAD_FRAME_SIZE = 5
UNEXPECTED_SP_WRITE = 6
WRONG_TOP = 7
NO_START = 8

# Columns of a frame's row.
GOROUTINE, FUNCTION, MAP_NUMBER, FRAME_FLAGS, PC, SP, FP, CONTINPC = range(8)
FRAME_COLUMNS = 8
NO_MAP = 0xFFFFFFFF

FRAME_INTERRUPTED = 1
"""The frame's pc is where the thread was stopped: no stack map is valid there."""
FRAME_TRAPPED = 2
"""The frame's pc is an instruction that faulted or was preempted, not a return address."""

_CACHE_BITS = 14
CACHE_SIZE = 1 << _CACHE_BITS
# Columns of the cache of what was found for a pc, direct-mapped: the same few hundred pcs fill all stacks.
_CACHED_PC, _CACHED_FUNCTION, _CACHED_SIZE, _CACHED_MAP = range(4)
CACHE_COLUMNS = 4


class Machine(NamedTuple):
    """What differs between architectures (internal/goarch, runtime/internal/sys, internal/abi).

    Attributes:
        quantum: unit of pc deltas.
        link: 1 when calls leave the return address in a register (arm64), 0 when on the stack.
        return_size: bytes of the return address that a call pushes.
        min_frame: bytes between a stack pointer and the callee's arguments.
        min_locals: a frame up to this size has no locals.
        injected: bytes of the frame that a signal handler pushes for an injected call.
        reg_args_size: bytes of ``abi.RegArgs``, rounded up to words.
        reg_args_first: its first pointer word.
        reg_args_end: the word behind its last pointer word.
    """

    quantum: np.int64
    link: np.int64
    return_size: np.uint64
    min_frame: np.uint64
    min_locals: np.uint64
    injected: np.uint64
    reg_args_size: np.uint64
    reg_args_first: np.uint64
    reg_args_end: np.uint64


@kernel
def _map_number_at(functions, index, pc, quantum):
    """Return the stack map number that holds when `pc` continues (runtime/stkframe.go ``getStackMap``)."""
    if pc == functions.entry[index]:
        return np.int64(0)
    distance = np.int64(pc - functions.entry[index]) - 1
    number = pc_value(functions.pctab, functions.rows[index, MAP_NUMBERS], distance, quantum)
    if number == -1:
        return np.int64(0)
    return number


@kernel
def unwind(pages, functions, machine, stacks, first, frames, used, cache):
    """Unwind goroutines from number `first` on until all are done or `frames` is full.

    Args:
        pages: `PageTable`.
        functions: `FunctionArrays`.
        machine: `Machine`.
        stacks: ``uint64[n, STACK_COLUMNS]``, goroutines; OUTCOME and REST are written.
        first: int64.
        frames: ``uint64[capacity, FRAME_COLUMNS]`` to fill.
        used: int64, frames already filled.
        cache: ``int64[CACHE_SIZE, CACHE_COLUMNS]``, -1 at first.

    Returns:
        The first goroutine that is not done, and the number of frames filled.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    capacity = np.int64(frames.shape[0])
    for number in range(first, np.int64(stacks.shape[0])):
        g = u64(number)
        if stacks[g, MODE] == u64(MODE_LEAVE_OUT):
            continue
        pc = stacks[g, START_PC]
        sp = stacks[g, START_SP]
        lr = stacks[g, START_LR]
        lo = stacks[g, LO]
        hi = stacks[g, HI]
        begin = used
        outcome = WHOLE
        stacks[g, REST] = sp
        callee = np.int64(0)
        innermost = True
        last = False
        if pc == u64(0) and sp >= lo and sp < hi and sp & u64(7) == u64(0):
            # A call of a nil function: the frame is the caller's (unwinder.initAt).
            pc = load64(directory, tables, words, sp)
            if machine.link == 0:
                sp += u64(8)
        while not last:
            if sp < lo or sp >= hi or sp & u64(7):
                outcome = BAD_STACK_POINTER
                break
            slot = (pc * u64(0x9E3779B97F4A7C15)) >> u64(64 - _CACHE_BITS)
            if cache[slot, _CACHED_PC] != np.int64(pc):
                found = find_function(functions.entry, functions.limit, pc)
                cache[slot, _CACHED_PC] = np.int64(pc)
                cache[slot, _CACHED_FUNCTION] = found
                if found >= 0:
                    index = u64(found)
                    table = functions.rows[index, FRAME_SIZES]
                    distance = np.int64(pc - functions.entry[index])
                    cache[slot, _CACHED_SIZE] = pc_value(functions.pctab, table, distance, machine.quantum)
                    cache[slot, _CACHED_MAP] = _map_number_at(functions, index, pc, machine.quantum)
            if cache[slot, _CACHED_FUNCTION] < 0:
                outcome = UNKNOWN_PC
                break
            index = u64(cache[slot, _CACHED_FUNCTION])
            map_number = cache[slot, _CACHED_MAP]
            size = cache[slot, _CACHED_SIZE]
            fp = sp + u64(size) + machine.return_size
            if size == BAD_TABLE or size < 0 or u64(size) > hi - sp or fp > hi:
                outcome = BAD_FRAME_SIZE
                break
            role = functions.rows[index, ROLE]
            flags = functions.rows[index, FLAGS]
            from_memory = False
            at = sp
            if flags & FLAG_TOP_FRAME:
                last = True
            elif flags & FLAG_SP_WRITE and not innermost and role != ROLE_CGOCALLBACK:
                # Only cgocallback keeps its frame on both stacks unwindable.
                outcome = UNEXPECTED_SP_WRITE
                last = True
            elif machine.link == 0:
                from_memory = True
                at = fp - u64(8)
            elif (innermost and sp < fp) or lr == u64(0):
                from_memory = True
            if from_memory:
                lr = load64(directory, tables, words, at)
                if page_of(directory, tables, at) == np.int64(PAGE_MISSING):
                    outcome = MISSING_MEMORY
                    last = True
            continpc = pc
            if callee == ROLE_SIGPANIC:
                # The faulting instruction never continues; a deferred recover may (resolveInternal).
                continpc = u64(0)
                if functions.rows[index, DEFERRETURN] > 0:
                    continpc = functions.entry[index] + u64(functions.rows[index, DEFERRETURN]) + u64(1)
                    map_number = _map_number_at(functions, index, continpc, machine.quantum)
            if used >= capacity:
                return number, begin
            frame = u64(used)
            frames[frame, GOROUTINE] = g
            frames[frame, FUNCTION] = index
            frames[frame, MAP_NUMBER] = u64(NO_MAP) if map_number < 0 else u64(map_number)
            kind = u64(0)
            if callee in (ROLE_SIGPANIC, ROLE_ASYNC_PREEMPT, ROLE_DEBUG_CALL):
                kind = u64(FRAME_TRAPPED)
            elif innermost and stacks[g, MODE] == u64(MODE_INTERRUPTED):
                kind = u64(FRAME_INTERRUPTED)
            frames[frame, FRAME_FLAGS] = kind
            frames[frame, PC] = pc
            frames[frame, SP] = sp
            frames[frame, FP] = fp
            frames[frame, CONTINPC] = continpc
            used += 1
            stacks[g, REST] = fp
            if last:
                if outcome == WHOLE and sp != stacks[g, TOP]:
                    outcome = WRONG_TOP
                break
            if machine.link and fp == sp and (lr == pc or used - begin > np.int64((hi - lo) >> u64(3))):
                outcome = BAD_FRAME_SIZE
                break
            callee = role
            innermost = False
            pc = lr
            lr = u64(0)
            sp = fp
            if machine.link and callee in (ROLE_SIGPANIC, ROLE_ASYNC_PREEMPT, ROLE_DEBUG_CALL):
                # The signal handler stored the interrupted link register below the injected call.
                if sp + machine.injected > hi:
                    outcome = BAD_STACK_POINTER
                    break
                saved = load64(directory, tables, words, sp)
                sp += machine.injected
                found = find_function(functions.entry, functions.limit, pc)
                if found < 0:
                    pc = saved
                else:
                    distance = np.int64(pc - functions.entry[u64(found)])
                    table = functions.rows[u64(found), FRAME_SIZES]
                    if pc_value(functions.pctab, table, distance, machine.quantum) == 0:
                        lr = saved
        stacks[g, OUTCOME] = u64(outcome)
    return np.int64(stacks.shape[0]), used

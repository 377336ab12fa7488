"""Unwinding of all stacks at once, as the garbage collector does it.

One frame after the other from the innermost, by the frame sizes of the function table (runtime/traceback.go,
``unwinder.resolveInternal`` and ``next``, Go 1.26). Every address is checked against the goroutine's own stack
before it is read, and stack pointers only grow, so a damaged stack ends early and is counted.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.function_kernels import (
    BAD_TABLE,
    FLAG_SP_WRITE,
    FLAG_TOP_FRAME,
    ROLE_ASYNC_PREEMPT,
    ROLE_CGOCALLBACK,
    ROLE_DEBUG_CALL,
    ROLE_SIGPANIC,
    find_function,
    pc_value,
)
from heldby.jit import kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of

# How a goroutine's unwinding ended; the order is that of `stacks.OUTCOMES`.
NOT_UNWOUND = 0
WHOLE = 1
UNKNOWN_PC = 2
BAD_STACK_POINTER = 3
MISSING_MEMORY = 4
BAD_FRAME_SIZE = 5
UNEXPECTED_SP_WRITE = 6
WRONG_TOP = 7
NO_START = 8

FRAME_INTERRUPTED = 1
"""The frame's pc is where the thread was stopped: no stack map is valid there."""
FRAME_TRAPPED = 2
"""The frame's pc is an instruction that faulted or was preempted, not a return address."""

_CACHE_BITS = 14
CACHE_SIZE = 1 << _CACHE_BITS


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


class Starts(NamedTuple):
    """Where unwinding begins, one entry for each goroutine.

    Attributes:
        pc, sp, lr: ``uint64[n]``; `lr` only on arm64.
        lo, hi, top: ``uint64[n]``, the stack's bounds and where unwinding must end.
        mode: ``uint8[n]``: 0 leave out, 1 saved at a call, 2 registers of a stopped thread.
    """

    pc: NDArray[np.uint64]
    sp: NDArray[np.uint64]
    lr: NDArray[np.uint64]
    lo: NDArray[np.uint64]
    hi: NDArray[np.uint64]
    top: NDArray[np.uint64]
    mode: NDArray[np.uint8]


class FrameColumns(NamedTuple):
    """Frames in order of goroutines, innermost first; `map_number` is the stack map that holds in the frame."""

    goroutine: NDArray[np.uint32]
    function: NDArray[np.int32]
    map_number: NDArray[np.int32]
    flags: NDArray[np.uint8]
    pc: NDArray[np.uint64]
    sp: NDArray[np.uint64]
    fp: NDArray[np.uint64]
    continpc: NDArray[np.uint64]


class FunctionCache(NamedTuple):
    """What was found for a pc before, direct-mapped: the same few hundred pcs fill all stacks."""

    pc: NDArray[np.uint64]
    function: NDArray[np.int64]
    frame_size: NDArray[np.int64]
    map_number: NDArray[np.int64]


@kernel
def map_number_at(functions, index, pc, quantum):
    """Return the stack map number that holds when `pc` continues (runtime/stkframe.go ``getStackMap``)."""
    if pc == functions.entry[index]:
        return np.int64(0)
    distance = np.int64(pc - functions.entry[index]) - 1
    number = pc_value(functions.pctab, functions.map_numbers[index], distance, quantum)
    if number == -1:
        return np.int64(0)
    return number


@kernel
def unwind(pages, functions, machine, starts, first, frames, used, cache, outcomes, ends):
    """Unwind goroutines from number `first` on until all are done or `frames` is full.

    Args:
        pages: `PageTable`.
        functions: `FunctionColumns`.
        machine: `Machine`.
        starts: `Starts`.
        first: int64.
        frames: `FrameColumns` to fill.
        used: int64, frames already filled.
        cache: `FunctionCache`.
        outcomes: ``uint8[n]``, written.
        ends: ``uint64[n]``, written: the stack pointer that the last frame hands to its caller.

    Returns:
        The first goroutine that is not done, and the number of frames filled.
    """
    capacity = frames.pc.size
    for g in range(first, starts.pc.size):
        if starts.mode[g] == 0:
            continue
        pc = starts.pc[g]
        sp = starts.sp[g]
        lr = starts.lr[g]
        lo = starts.lo[g]
        hi = starts.hi[g]
        begin = used
        outcome = WHOLE
        ends[g] = sp
        callee = 0
        innermost = True
        if pc == u64(0) and sp >= lo and sp < hi:
            # A call of a nil function: the frame is the caller's (unwinder.initAt).
            pc = load64(pages.directory, pages.tables, pages.words, sp)
            if machine.link == 0:
                sp += u64(8)
        while True:
            if sp < lo or sp >= hi or sp & u64(7):
                outcome = BAD_STACK_POINTER
                break
            slot = ((pc * u64(0x9E3779B97F4A7C15)) >> u64(64 - _CACHE_BITS)) & u64(CACHE_SIZE - 1)
            if cache.pc[slot] != pc:
                index = find_function(functions.entry, functions.limit, pc)
                cache.pc[slot] = pc
                cache.function[slot] = index
                if index >= 0:
                    offset = functions.frame_sizes[u64(index)]
                    distance = np.int64(pc - functions.entry[u64(index)])
                    cache.frame_size[slot] = pc_value(functions.pctab, offset, distance, machine.quantum)
                    cache.map_number[slot] = map_number_at(functions, u64(index), pc, machine.quantum)
            if cache.function[slot] < 0:
                outcome = UNKNOWN_PC
                break
            index = u64(cache.function[slot])
            size = cache.frame_size[slot]
            if size == BAD_TABLE or size < 0 or u64(size) > hi - sp:
                outcome = BAD_FRAME_SIZE
                break
            role = functions.roles[index]
            flags = functions.flags[index]
            if role == ROLE_CGOCALLBACK:
                flags &= ~FLAG_SP_WRITE
            fp = sp + u64(size) + machine.return_size
            if fp > hi:
                outcome = BAD_FRAME_SIZE
                break
            last = False
            if flags & FLAG_TOP_FRAME:
                last = True
            elif flags & FLAG_SP_WRITE and not innermost:
                outcome = UNEXPECTED_SP_WRITE
                last = True
            elif machine.link == 0:
                if page_of(pages.directory, pages.tables, fp - u64(8)) == PAGE_MISSING:
                    outcome = MISSING_MEMORY
                    last = True
                lr = load64(pages.directory, pages.tables, pages.words, fp - u64(8))
            elif (innermost and sp < fp) or lr == u64(0):
                if page_of(pages.directory, pages.tables, sp) == PAGE_MISSING:
                    outcome = MISSING_MEMORY
                    last = True
                lr = load64(pages.directory, pages.tables, pages.words, sp)
            continpc = pc
            map_number = cache.map_number[slot]
            trapped = callee == ROLE_SIGPANIC or callee == ROLE_ASYNC_PREEMPT or callee == ROLE_DEBUG_CALL
            if callee == ROLE_SIGPANIC:
                # The faulting instruction never continues; a deferred recover may (resolveInternal).
                continpc = u64(0)
                if functions.deferreturn[index] > 0:
                    continpc = functions.entry[index] + u64(functions.deferreturn[index]) + u64(1)
                    map_number = map_number_at(functions, index, continpc, machine.quantum)
            if used >= capacity:
                return g, begin
            at = u64(used)
            frames.goroutine[at] = g
            frames.function[at] = np.int32(index)
            frames.map_number[at] = np.int32(max(map_number, -2))
            frames.flags[at] = (FRAME_TRAPPED if trapped else 0) | (
                FRAME_INTERRUPTED if innermost and starts.mode[g] == 2 else 0
            )
            frames.pc[at] = pc
            frames.sp[at] = sp
            frames.fp[at] = fp
            frames.continpc[at] = continpc
            used += 1
            ends[g] = fp
            if last:
                if outcome == WHOLE and sp != starts.top[g]:
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
            if machine.link and (
                role == ROLE_SIGPANIC or role == ROLE_ASYNC_PREEMPT or role == ROLE_DEBUG_CALL
            ):
                # The signal handler stored the interrupted link register below the injected call.
                if sp + machine.injected > hi:
                    outcome = BAD_STACK_POINTER
                    break
                saved = load64(pages.directory, pages.tables, pages.words, sp)
                sp += machine.injected
                index_below = find_function(functions.entry, functions.limit, pc)
                if index_below < 0:
                    pc = saved
                else:
                    offset = functions.frame_sizes[u64(index_below)]
                    distance = np.int64(pc - functions.entry[u64(index_below)])
                    if pc_value(functions.pctab, offset, distance, machine.quantum) == 0:
                        lr = saved
        outcomes[g] = outcome
    return starts.pc.size, used

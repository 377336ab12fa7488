"""What is to be scanned on a goroutine's stack, put down as tasks: stack maps, stack objects, defers.

A rendering of ``scanstack``, ``scanframeworker`` (runtime/mgcmark.go) and ``getStackMap``
(runtime/stkframe.go), Go 1.26 and 1.27. Nothing here reads a stack; `stack_root_kernels` does that.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heldby.golang.functions.function_kernels import (
    ARGS,
    ARGS_MAPS,
    LOCALS_MAPS,
    MASKS,
    OBJECTS,
    ROLE,
    ROLE_ASYNC_PREEMPT,
    ROLE_DEBUG_CALL,
    ROLE_REFLECT_STUB,
)
from heldby.golang.goroutines.stack_kernels import (
    CONTEXT,
    CONTINPC,
    DEFER,
    EXTENDED,
    FP,
    FRAME_FLAGS,
    FRAME_INTERRUPTED,
    FUNCTION,
    HI,
    LO,
    MAP_NUMBER,
    OUTCOME,
    PANIC,
    REGISTERS,
    REST,
    SP,
    WHOLE,
)
from heldby.jit import ONE, ZERO, kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load8, load32, load64, page_of

# Numbers that kernels pass on are uint64: Numba compiles a function anew for every plain literal.
KIND_LOCAL = np.uint64(0)
KIND_ARGUMENT = np.uint64(1)
KIND_STACK_OBJECT = np.uint64(2)
KIND_CONSERVATIVE = np.uint64(3)
KIND_DEFER = np.uint64(4)
KIND_PANIC = np.uint64(5)
KIND_CONTEXT = np.uint64(6)
KIND_REGISTER = np.uint64(7)

NO_FRAME = np.uint64(0xFFFFFFFF)

# Places in `counts`; the second half of the array is what they were before the goroutine at hand.
USED = 0
TASKS = 1
STACK_OBJECTS = 2
PRECISE = 3
CONSERVATIVE = 4
UNKNOWN_LOCALS = 5
UNKNOWN_ARGUMENTS = 6
UNKNOWN_OBJECTS = 7
MISSING_WORDS = 8
BAD_DEFERS = 9
COUNTS = 10

# Columns of the scratch memory, which serves one goroutine at a time. A task: scan COUNT words from BASE
# whose bit is set in the mask at AT. A stack object: START, SIZE, its mask, words under the mask. Pointers to
# follow.
TASK_BASE, TASK_COUNT, TASK_HOW, TASK_AT, TASK_KIND, TASK_FRAME = range(6)
OBJECT_START, OBJECT_SIZE, OBJECT_MASK, OBJECT_WORDS, OBJECT_FRAME = range(6, 11)
POINTER, DOUBTFUL_POINTER = 11, 12
SCRATCH_COLUMNS = 13

# Where a task's mask lies.
ALL = np.uint64(0)
IN_FUNCDATA = np.uint64(1)
IN_RODATA = np.uint64(2)
IN_MEMORY = np.uint64(3)
ITSELF = np.uint64(4)
"""BASE is not an address but the word itself."""
OF_THREAD = np.uint64(5)
"""The words are row AT of the registers."""
OF_DEFERS = np.uint64(6)
"""BASE is a ``_defer``: its closure, its link and, if it lies in the heap, itself; then the next one."""

SCANNED = np.uint64(0xFFFFFFFFFFFFFFFF)
EVERY_WORD = np.uint64(0xFFFFFFFFFFFFFFFF)
REG_ARGS = np.uint64(0xFFFFFFFFFFFFFFFE)


class Offsets(NamedTuple):
    """Byte offsets in ``runtime._defer`` and the size of the saved vector registers, all ``uint64``."""

    defer_heap: np.uint64
    defer_fn: np.uint64
    defer_link: np.uint64
    extended_size: np.uint64


@kernel
def add_task(scratch, counts, base, count, how, at, kind, frame):
    """Put down what is to be scanned, all numbers uint64; counting goes on when scratch memory is full."""
    row = u64(counts[TASKS])
    if row < u64(scratch.shape[0]):
        scratch[row, TASK_BASE] = base
        scratch[row, TASK_COUNT] = count
        scratch[row, TASK_HOW] = how
        scratch[row, TASK_AT] = at
        scratch[row, TASK_KIND] = kind
        scratch[row, TASK_FRAME] = frame
    counts[TASKS] += 1


@kernel
def _number(data, at):
    """Return the little-endian int32 at byte `at` of an array, as int64."""
    at = u64(at)
    low = np.int64(data[at]) | np.int64(data[at + u64(1)]) << 8 | np.int64(data[at + u64(2)]) << 16
    return low | np.int64(np.int8(data[at + u64(3)])) << 24


@kernel
def _stack_map(funcdata, offset, number):
    """Return words and byte offset of stack map `number` of the table at `offset`; (-1, 0) for none.

    ``struct stackmap {n, nbit int32; bytedata [1]byte}`` (runtime/symtab.go).
    """
    size = np.int64(funcdata.size)
    if offset < 0 or offset + 8 > size:
        return np.int64(-1), np.int64(0)
    maps = _number(funcdata, offset)
    bits = _number(funcdata, offset + 4)
    if maps <= 0 or bits < 0:
        return np.int64(-1), np.int64(0)
    if bits == 0:
        return np.int64(0), np.int64(0)
    row = (bits + 7) >> 3
    at = offset + 8 + number * row
    if number < 0 or number >= maps or at + row > size:
        return np.int64(-1), np.int64(0)
    return bits, at


@kernel
def _add_object(scratch, counts, start, size, mask, words, frame, lo, hi):
    """Remember a stack object; count it as unreadable when it leaves the stack or overlaps the one before."""
    row = u64(counts[STACK_OBJECTS])
    sound = size > 0 and start >= lo and start < hi and u64(size) <= hi - start and words <= size >> 3
    if sound and row > u64(0) and row < u64(scratch.shape[0]):
        before = row - u64(1)
        sound = start >= scratch[before, OBJECT_START] + scratch[before, OBJECT_SIZE]
    if not sound:
        counts[UNKNOWN_OBJECTS] += 1
        return
    if row < u64(scratch.shape[0]):
        scratch[row, OBJECT_START] = start
        scratch[row, OBJECT_SIZE] = u64(size)
        scratch[row, OBJECT_MASK] = mask
        scratch[row, OBJECT_WORDS] = u64(words)
        scratch[row, OBJECT_FRAME] = frame
    counts[STACK_OBJECTS] += 1


@kernel
def _add_frame_objects(functions, index, sp, varp, argp, frame, lo, hi, scratch, counts):
    """Remember the stack objects of one frame (FUNCDATA_StackObjects)."""
    data = functions.funcdata
    size = np.int64(data.size)
    table = functions.rows[index, OBJECTS]
    if table < 0:
        return
    number = np.int64(-1)
    if table + 8 <= size:
        number = _number(data, table)
    if number < 0 or table + 8 + 16 * number > size or u64(number) > (hi - lo) >> u64(3):
        counts[UNKNOWN_OBJECTS] += 1
        return
    for i in range(number):
        # struct stackObjectRecord {off, size, ptrBytes int32; gcdataoff uint32}
        record = table + 8 + 16 * i
        offset = _number(data, record)
        bytes_used = _number(data, record + 4)
        pointer_bytes = _number(data, record + 8)
        mask = (_number(data, record + 12) & 0xFFFFFFFF) + functions.rows[index, MASKS]
        start = (varp if offset < 0 else argp) + u64(offset)
        if start < sp:
            continue
        if pointer_bytes < 0 or mask + ((pointer_bytes + 63) >> 6) > np.int64(functions.rodata.size):
            # A GC program (up to Go 1.23), or a mask that is not there: every word counts.
            counts[UNKNOWN_OBJECTS] += 1
            words = bytes_used >> 3
            _add_object(scratch, counts, start, bytes_used, EVERY_WORD, words, frame, lo, hi)
        else:
            words = pointer_bytes >> 3
            _add_object(scratch, counts, start, bytes_used, u64(mask), words, frame, lo, hi)


@kernel
def _add_reflect_frame(pages, functions, machine, index, sp, fp, varp, room, frame, lo, hi, scratch, counts):
    """Put down the arguments of ``reflect.makeFuncStub`` and ``reflect.methodValueCall``.

    Their map comes from the ``reflectMethodValue`` {fn, *bitvector, argLen} that the stub saved at its stack
    pointer; the registers that reflect passes lie at the top of the locals without a record of their own
    (runtime/stkframe.go ``argMapInternal`` and ``stkobjinit``).
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    slot = sp + machine.min_frame
    if slot >= fp - machine.return_size:
        return
    value = load64(directory, tables, words, slot)
    vector = load64(directory, tables, words, value + u64(8))
    sound = (value | vector) & u64(7) == u64(0) and page_of(directory, tables, vector) != np.int64(
        PAGE_MISSING
    )
    if not sound or load64(directory, tables, words, value) != functions.entry[index]:
        counts[UNKNOWN_ARGUMENTS] += 1
        return
    count = load32(directory, tables, words, vector)
    if load8(directory, tables, words, slot + u64(32)) == u64(0):
        count = min(count, load64(directory, tables, words, value + u64(16)) >> u64(3))
    bits = load64(directory, tables, words, vector + u64(8))
    add_task(scratch, counts, fp + machine.min_frame, min(count, room), IN_MEMORY, bits, KIND_ARGUMENT, frame)
    if varp - sp >= machine.reg_args_size:
        start = varp - machine.reg_args_size
        size = np.int64(machine.reg_args_size)
        end = np.int64(machine.reg_args_end)
        _add_object(scratch, counts, start, size, REG_ARGS, end, frame, lo, hi)


@kernel
def _add_frame(pages, functions, machine, frames, f, everything, lo, hi, scratch, counts):
    """Put down what is live in one frame: every word, or what its stack maps say, and its stack objects."""
    index = frames[f, FUNCTION]
    number = np.int64(frames[f, MAP_NUMBER])
    sp = frames[f, SP]
    fp = frames[f, FP]
    varp = fp - machine.return_size
    if varp > sp:
        varp -= u64(8)
    argp = fp + machine.min_frame
    room = (hi - argp) >> u64(3) if argp < hi else u64(0)
    args = functions.rows[index, ARGS]
    is_stub = functions.rows[index, ROLE] == ROLE_REFLECT_STUB and args < 0
    if varp > sp and (everything or varp - sp > machine.min_locals):
        bits, at = np.int64(-1), np.int64(0)
        if not everything:
            bits, at = _stack_map(functions.funcdata, functions.rows[index, LOCALS_MAPS], number)
            if bits < 0 or u64(bits) > (varp - sp) >> u64(3):
                counts[UNKNOWN_LOCALS] += 1
                bits = np.int64(-1)
        if bits > 0:
            base = varp - (u64(bits) << u64(3))
            add_task(scratch, counts, base, u64(bits), IN_FUNCDATA, u64(at), KIND_LOCAL, f)
        elif bits < 0:
            top = varp
            if everything and machine.link and frames[f, FRAME_FLAGS] != u64(FRAME_INTERRUPTED):
                # The link register that the signal handler saved below an injected call.
                top = min(varp + machine.injected, hi)
            add_task(scratch, counts, sp, (top - sp) >> u64(3), ALL, ZERO, KIND_CONSERVATIVE, f)
    if is_stub:
        _add_reflect_frame(pages, functions, machine, index, sp, fp, varp, room, f, lo, hi, scratch, counts)
    elif args >= 8 and room > u64(0):
        bits, at = np.int64(-1), np.int64(0)
        if not everything:
            bits, at = _stack_map(functions.funcdata, functions.rows[index, ARGS_MAPS], number)
            if args >> 3 < bits <= args >> 2:
                # Assembly functions of Go 1.21 have maps of twice as many bits; the second half is zero
                # (cmd/compile/internal/liveness/plive.go, WriteFuncMap).
                bits = args >> 3
            if bits < 0 or bits > args >> 3 or u64(bits) > room:
                counts[UNKNOWN_ARGUMENTS] += 1
                bits = np.int64(-1)
        if bits > 0:
            add_task(scratch, counts, argp, u64(bits), IN_FUNCDATA, u64(at), KIND_ARGUMENT, f)
        elif bits < 0:
            add_task(scratch, counts, argp, min(u64(args >> 3), room), ALL, ZERO, KIND_CONSERVATIVE, f)
    if not everything and not is_stub:
        _add_frame_objects(functions, index, sp, varp, argp, f, lo, hi, scratch, counts)


@kernel
def add_goroutine(
    pages, functions, machine, offsets, stacks, g, registers, frames, begin, end, scratch, counts
):
    """Put down everything of one goroutine, in the order of ``scanstack``."""
    lo = stacks[g, LO]
    hi = stacks[g, HI]
    add_task(scratch, counts, stacks[g, CONTEXT], ONE, ALL, ZERO, KIND_CONTEXT, NO_FRAME)
    if stacks[g, REGISTERS] != u64(0):
        row = stacks[g, REGISTERS] - ONE
        add_task(scratch, counts, ZERO, u64(registers.shape[1]), OF_THREAD, row, KIND_REGISTER, NO_FRAME)
    if stacks[g, EXTENDED] & u64(7) == u64(0) and stacks[g, EXTENDED] != u64(0):
        size = offsets.extended_size >> u64(3)
        add_task(scratch, counts, stacks[g, EXTENDED], size, ALL, ZERO, KIND_REGISTER, NO_FRAME)
    caller_too = False
    for number in range(begin, end):
        f = u64(number)
        role = functions.rows[frames[f, FUNCTION], ROLE]
        injected = role in (ROLE_ASYNC_PREEMPT, ROLE_DEBUG_CALL)
        everything = caller_too or injected or frames[f, FRAME_FLAGS] == u64(FRAME_INTERRUPTED)
        if everything or frames[f, CONTINPC] != u64(0):
            _add_frame(pages, functions, machine, frames, f, everything, lo, hi, scratch, counts)
        caller_too = injected
    rest = stacks[g, REST]
    if stacks[g, OUTCOME] != u64(WHOLE) and rest < hi and rest >= lo:
        add_task(scratch, counts, rest, (hi - rest) >> u64(3), ALL, ZERO, KIND_CONSERVATIVE, NO_FRAME)
    if stacks[g, DEFER] != u64(0):
        add_task(scratch, counts, stacks[g, DEFER], u64(3), OF_DEFERS, ZERO, KIND_DEFER, NO_FRAME)
    add_task(scratch, counts, stacks[g, PANIC], ONE, ITSELF, ZERO, KIND_PANIC, NO_FRAME)

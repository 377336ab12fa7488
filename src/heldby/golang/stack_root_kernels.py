"""Roots on stacks: which words of which frames the garbage collector follows.

A rendering of ``scanstack`` and ``scanframeworker`` (runtime/mgcmark.go, Go 1.26 and 1.27) over the frames of
all goroutines. Words that point into the goroutine's own stack are no roots; they make the stack object that
they hit live, and its words follow.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.function_kernels import ROLE_ASYNC_PREEMPT, ROLE_DEBUG_CALL, ROLE_REFLECT_STUB
from heldby.golang.stack_kernels import FRAME_INTERRUPTED, WHOLE
from heldby.jit import kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load8, load32, load64, page_of

KIND_LOCAL = 0
KIND_ARGUMENT = 1
KIND_STACK_OBJECT = 2
KIND_CONSERVATIVE = 3
KIND_DEFER = 4
KIND_PANIC = 5
KIND_CONTEXT = 6
KIND_REGISTER = 7

# Numbers in `Scratch.counts`.
USED = 0
PRECISE = 1
CONSERVATIVE = 2
OBJECTS = 3
DEFERS = 4
UNKNOWN_LOCALS = 5
UNKNOWN_ARGUMENTS = 6
UNKNOWN_OBJECTS = 7
MISSING_WORDS = 8
MISSING_DEFERS = 9
COUNTS = 10

_MASK_ALL = 0
_MASK_BYTES = 1
_MASK_MEMORY = 2
_MAX_DEFERS = 1 << 26


class StackColumns(NamedTuple):
    """What the kernel needs of each goroutine besides its frames, one entry each.

    Attributes:
        lo, hi: ``uint64[n]``.
        outcome: ``uint8[n]``, how unwinding ended.
        rest: ``uint64[n]``, where the part of the stack begins that could not be unwound; `hi` for none.
        defer, panic: ``uint64[n]``, the heads of the lists.
        context: ``uint64[n]``, address of the word ``sched.ctxt``.
        extended: ``uint64[n]``, address of saved vector registers, 0 for none.
        registers: ``int32[n]``, row of the registers of the thread that ran it, -1 for none.
    """

    lo: NDArray[np.uint64]
    hi: NDArray[np.uint64]
    outcome: NDArray[np.uint8]
    rest: NDArray[np.uint64]
    defer: NDArray[np.uint64]
    panic: NDArray[np.uint64]
    context: NDArray[np.uint64]
    extended: NDArray[np.uint64]
    registers: NDArray[np.int32]


class RootColumns(NamedTuple):
    """The roots found; see `stacks.StackRoots`."""

    goroutine: NDArray[np.uint32]
    frame: NDArray[np.int32]
    slot: NDArray[np.uint64]
    value: NDArray[np.uint64]
    kind: NDArray[np.uint8]


class Scratch(NamedTuple):
    """Working memory for one goroutine at a time, and the counts of everything so far.

    Attributes:
        counts: ``int64[2 * COUNTS]``; the second half is what they were before this goroutine.
        precise, conservative: ``uint64[capacity]``, words that point into the stack and wait for their turn.
        start, size, mask: ``uint64[]``, ``uint64[]``, ``int64[]``: stack objects in address order; `mask` is the
            offset of the pointer mask in the read-only data, -1 unknown.
        words: ``int64[]``, words under the mask; -1 when the object was scanned.
        frame: ``int32[]``.
    """

    counts: NDArray[np.int64]
    precise: NDArray[np.uint64]
    conservative: NDArray[np.uint64]
    start: NDArray[np.uint64]
    size: NDArray[np.uint64]
    mask: NDArray[np.int64]
    words: NDArray[np.int64]
    frame: NDArray[np.int32]


class Offsets(NamedTuple):
    """Byte offsets in ``runtime._defer`` and the size of the saved vector registers, all ``uint64``."""

    defer_heap: np.uint64
    defer_fn: np.uint64
    defer_link: np.uint64
    extended_size: np.uint64


@kernel
def _offer(value, slot, kind, goroutine, frame, lo, hi, roots, scratch):
    """Take one word: queue it when it points into the stack, else note it as a root.

    Counts go on beyond the capacity, so that the caller can see how much is needed.
    """
    if value == u64(0):
        return
    counts = scratch.counts
    if value >= lo and value < hi:
        if kind == KIND_CONSERVATIVE or kind == KIND_REGISTER:
            if counts[CONSERVATIVE] < scratch.conservative.size:
                scratch.conservative[u64(counts[CONSERVATIVE])] = value
            counts[CONSERVATIVE] += 1
        else:
            if counts[PRECISE] < scratch.precise.size:
                scratch.precise[u64(counts[PRECISE])] = value
            counts[PRECISE] += 1
        return
    if counts[USED] < roots.value.size:
        at = u64(counts[USED])
        roots.goroutine[at] = goroutine
        roots.frame[at] = frame
        roots.slot[at] = slot
        roots.value[at] = value
        roots.kind[at] = kind
    counts[USED] += 1


@kernel
def _scan(pages, base, count, how, mask, at, kind, goroutine, frame, lo, hi, roots, scratch):
    """Offer the words of ``[base, base + 8 * count)`` whose bit is set.

    `how` is _MASK_ALL, _MASK_BYTES (bits in the array `mask` from byte `at`) or _MASK_MEMORY (bits in the
    process's memory at address `at`).
    """
    bits = u64(0)
    for i in range(count):
        if how == _MASK_ALL:
            bits = u64(1)
        elif i & 7 == 0:
            if how == _MASK_BYTES:
                bits = u64(mask[u64(at + (i >> 3))])
            else:
                bits = load8(pages.directory, pages.tables, pages.words, u64(at) + u64(i >> 3))
        if bits & u64(1):
            addr = base + (u64(i) << u64(3))
            if page_of(pages.directory, pages.tables, addr) == PAGE_MISSING:
                scratch.counts[MISSING_WORDS] += 1
            else:
                value = load64(pages.directory, pages.tables, pages.words, addr)
                _offer(value, addr, kind, goroutine, frame, lo, hi, roots, scratch)
        bits >>= u64(1)


@kernel
def _number(data, at):
    """Return the little-endian int32 at byte `at` of an array, as int64."""
    low = np.int64(data[u64(at)]) | np.int64(data[u64(at + 1)]) << 8
    value = low | np.int64(data[u64(at + 2)]) << 16 | np.int64(data[u64(at + 3)]) << 24
    return value - ((value >> 31) << 32)


@kernel
def _stack_map(funcdata, offset, number):
    """Return words and byte offset of stack map `number` of the table at `offset`; (-1, 0) when there is none.

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
    at = offset + 8 + number * ((bits + 7) >> 3)
    if number < 0 or number >= maps or at + ((bits + 7) >> 3) > size:
        return np.int64(-1), np.int64(0)
    return bits, at


@kernel
def _add_object(start, size, mask, count, frame, lo, hi, scratch):
    """Remember a stack object; False when it lies outside of the stack or overlaps the one before."""
    counts = scratch.counts
    if size <= 0 or start < lo or start >= hi or u64(size) > hi - start or count < 0 or count > size >> 3:
        return False
    at = counts[OBJECTS]
    if 0 < at <= scratch.start.size:
        before = u64(at - 1)
        if start < scratch.start[before] + scratch.size[before]:
            return False
    if at < scratch.start.size:
        scratch.start[u64(at)] = start
        scratch.size[u64(at)] = u64(size)
        scratch.mask[u64(at)] = mask
        scratch.words[u64(at)] = count
        scratch.frame[u64(at)] = frame
    counts[OBJECTS] += 1
    return True


@kernel
def _frame_objects(functions, index, sp, varp, argp, frame, lo, hi, scratch):
    """Remember the stack objects of one frame (FUNCDATA_StackObjects)."""
    table = functions.objects[index]
    if table < 0:
        return
    size = np.int64(functions.funcdata.size)
    count = np.int64(0)
    if table + 8 <= size:
        count = _number(functions.funcdata, table)
    if count < 0 or table + 8 + 16 * count > size:
        scratch.counts[UNKNOWN_OBJECTS] += 1
        return
    for i in range(count):
        record = table + 8 + 16 * i
        offset = _number(functions.funcdata, record)
        bytes_used = _number(functions.funcdata, record + 4)
        pointer_bytes = _number(functions.funcdata, record + 8)
        mask = (_number(functions.funcdata, record + 12) & 0xFFFFFFFF) + functions.masks[index]
        start = u64(np.int64(varp if offset < 0 else argp) + offset)
        if start < sp:
            continue
        known = pointer_bytes >= 0 and mask + ((pointer_bytes + 63) >> 6) <= np.int64(functions.rodata.size)
        if not known:
            # A GC program (up to Go 1.23), or a mask that is not there: every word counts.
            scratch.counts[UNKNOWN_OBJECTS] += 1
            mask = np.int64(-1)
            pointer_bytes = bytes_used & ~7
        if not _add_object(start, bytes_used, mask, pointer_bytes >> 3, frame, lo, hi, scratch):
            scratch.counts[UNKNOWN_OBJECTS] += 1


@kernel
def _reflect_arguments(pages, machine, functions, index, sp, fp):
    """Return words and mask address of the arguments of ``reflect.makeFuncStub`` and ``methodValueCall``.

    They come from the ``reflectMethodValue`` {fn, *bitvector, argLen} that the stub saved at its stack pointer
    (runtime/stkframe.go ``argMapInternal``). (-1, 0) where it cannot be read, (-2, 0) before the stub has begun.
    """
    slot = sp + machine.min_frame
    if slot >= fp - machine.return_size:
        return np.int64(-2), np.int64(0)
    value = load64(pages.directory, pages.tables, pages.words, slot)
    if value & u64(7) or load64(pages.directory, pages.tables, pages.words, value) != functions.entry[index]:
        return np.int64(-1), np.int64(0)
    vector = load64(pages.directory, pages.tables, pages.words, value + u64(8))
    if vector & u64(7) or page_of(pages.directory, pages.tables, vector) == PAGE_MISSING:
        return np.int64(-1), np.int64(0)
    count = np.int64(load32(pages.directory, pages.tables, pages.words, vector))
    if load8(pages.directory, pages.tables, pages.words, slot + u64(32)) == u64(0):
        count = min(
            count, np.int64(load64(pages.directory, pages.tables, pages.words, value + u64(16)) >> u64(3))
        )
    return count, np.int64(load64(pages.directory, pages.tables, pages.words, vector + u64(8)))


@kernel
def _scan_frame_precisely(pages, functions, machine, frames, f, goroutine, lo, hi, roots, scratch):
    """Offer the live words of one frame by its stack maps and remember its stack objects."""
    index = u64(frames.function[f])
    number = np.int64(frames.map_number[f])
    sp = frames.sp[f]
    fp = frames.fp[f]
    varp = fp - machine.return_size
    if varp > sp:
        varp -= u64(8)
    argp = fp + machine.min_frame
    frame = np.int32(f)
    counts = scratch.counts
    if varp > sp and varp - sp > machine.min_locals:
        bits, at = _stack_map(functions.funcdata, functions.locals_maps[index], number)
        if bits < 0 or u64(bits) > (varp - lo) >> u64(3):
            counts[UNKNOWN_LOCALS] += 1
            _scan(
                pages, sp, np.int64((varp - sp) >> u64(3)), _MASK_ALL, functions.funcdata,
                np.int64(0), KIND_CONSERVATIVE, goroutine, frame, lo, hi, roots, scratch,
            )  # fmt: skip
        elif bits > 0:
            _scan(
                pages, varp - (u64(bits) << u64(3)), bits, _MASK_BYTES, functions.funcdata,
                at, KIND_LOCAL, goroutine, frame, lo, hi, roots, scratch,
            )  # fmt: skip
    room = np.int64(0)
    if argp < hi:
        room = np.int64((hi - argp) >> u64(3))
    if functions.roles[index] == ROLE_REFLECT_STUB and functions.args[index] < 0:
        bits, at = _reflect_arguments(pages, machine, functions, index, sp, fp)
        if bits >= 0:
            _scan(
                pages, argp, min(bits, room), _MASK_MEMORY, functions.funcdata,
                at, KIND_ARGUMENT, goroutine, frame, lo, hi, roots, scratch,
            )  # fmt: skip
        elif bits == -1:
            counts[UNKNOWN_ARGUMENTS] += 1
        if bits != -2 and varp - sp >= machine.reg_args_size:
            # The registers that reflect passes lie at the top of the locals, without a record of their own.
            _add_object(
                varp - machine.reg_args_size, np.int64(machine.reg_args_size), np.int64(-2),
                np.int64(machine.reg_args_end), frame, lo, hi, scratch,
            )  # fmt: skip
        return
    if functions.args[index] >= 8:
        bits, at = _stack_map(functions.funcdata, functions.args_maps[index], number)
        if bits < 0 or bits > room:
            counts[UNKNOWN_ARGUMENTS] += 1
            _scan(
                pages, argp, min(functions.args[index] >> 3, room), _MASK_ALL,
                functions.funcdata, np.int64(0), KIND_CONSERVATIVE, goroutine, frame, lo, hi, roots, scratch,
            )  # fmt: skip
        elif bits > 0:
            _scan(
                pages, argp, bits, _MASK_BYTES, functions.funcdata,
                at, KIND_ARGUMENT, goroutine, frame, lo, hi, roots, scratch,
            )  # fmt: skip
    _frame_objects(functions, index, sp, varp, argp, frame, lo, hi, scratch)


@kernel
def _scan_frame_conservatively(pages, functions, machine, frames, f, goroutine, lo, hi, roots, scratch):
    """Offer every word of one frame and of its arguments."""
    index = u64(frames.function[f])
    sp = frames.sp[f]
    fp = frames.fp[f]
    top = fp - machine.return_size
    if top > sp:
        top -= u64(8)
    if machine.link and not frames.flags[f] & FRAME_INTERRUPTED and top > sp:
        # The link register that the signal handler saved below an injected call.
        top = min(top + machine.injected, hi)
    if top > sp:
        _scan(
            pages, sp, np.int64((top - sp) >> u64(3)), _MASK_ALL, functions.funcdata,
            np.int64(0), KIND_CONSERVATIVE, goroutine, np.int32(f), lo, hi, roots, scratch,
        )  # fmt: skip
    argp = fp + machine.min_frame
    if functions.args[index] > 0 and argp < hi:
        count = min(functions.args[index] >> 3, np.int64((hi - argp) >> u64(3)))
        _scan(
            pages, argp, count, _MASK_ALL, functions.funcdata,
            np.int64(0), KIND_CONSERVATIVE, goroutine, np.int32(f), lo, hi, roots, scratch,
        )  # fmt: skip


@kernel
def _scan_defers(pages, offsets, defer, goroutine, lo, hi, roots, scratch):
    """Offer closures, links and records of the list of defers; they weave between stack and heap."""
    counts = scratch.counts
    while defer != u64(0):
        counts[DEFERS] += 1
        if (
            defer & u64(7)
            or page_of(pages.directory, pages.tables, defer) == PAGE_MISSING
            or counts[DEFERS] > _MAX_DEFERS
        ):
            counts[MISSING_DEFERS] += 1
            return
        for at in (defer + offsets.defer_fn, defer + offsets.defer_link):
            value = load64(pages.directory, pages.tables, pages.words, at)
            _offer(value, at, KIND_DEFER, goroutine, np.int32(-1), lo, hi, roots, scratch)
        if load8(pages.directory, pages.tables, pages.words, defer + offsets.defer_heap):
            _offer(defer, u64(0), KIND_DEFER, goroutine, np.int32(-1), lo, hi, roots, scratch)
        defer = load64(pages.directory, pages.tables, pages.words, defer + offsets.defer_link)


@kernel
def _follow_stack_objects(pages, functions, machine, goroutine, lo, hi, roots, scratch):
    """Scan every stack object that a live word points at, once, precise pointers first."""
    counts = scratch.counts
    while True:
        if counts[PRECISE] > 0:
            counts[PRECISE] -= 1
            value = scratch.precise[u64(counts[PRECISE])]
            kind = KIND_STACK_OBJECT
        elif counts[CONSERVATIVE] > 0:
            counts[CONSERVATIVE] -= 1
            value = scratch.conservative[u64(counts[CONSERVATIVE])]
            kind = KIND_CONSERVATIVE
        else:
            return
        low = u64(0)
        high = u64(counts[OBJECTS])
        while low < high:
            middle = (low + high) >> u64(1)
            if scratch.start[middle] <= value:
                low = middle + u64(1)
            else:
                high = middle
        if low == u64(0):
            continue
        o = low - u64(1)
        count = scratch.words[o]
        if count < 0 or value - scratch.start[o] >= scratch.size[o]:
            continue
        scratch.words[o] = -1
        base = scratch.start[o]
        how = _MASK_BYTES
        at = scratch.mask[o]
        if at < 0:
            how = _MASK_ALL
            if at == -2:
                base += machine.reg_args_first << u64(3)
                count = np.int64(machine.reg_args_end - machine.reg_args_first)
            else:
                kind = KIND_CONSERVATIVE
            at = np.int64(0)
        _scan(
            pages, base, count, how, functions.rodata, at, kind, goroutine,
            scratch.frame[o], lo, hi, roots, scratch,
        )  # fmt: skip
        if counts[PRECISE] > scratch.precise.size or counts[CONSERVATIVE] > scratch.conservative.size:
            return


@kernel
def find_roots(
    pages, functions, machine, offsets, stacks, registers, frames, frame_starts, first,
    roots, scratch,
):  # fmt: skip
    """Find the roots of goroutines from number `first` on, until all are done or some array is full.

    Args:
        pages: `PageTable`.
        functions: `FunctionColumns`.
        machine: `Machine`.
        offsets: `Offsets`.
        stacks: `StackColumns`.
        registers: ``uint64[rows, k]``, general registers of stopped threads.
        frames: `FrameColumns`.
        frame_starts: ``int64[n + 1]``, the frames of goroutine g are ``frame_starts[g]`` up to that of g + 1.
        first: int64.
        roots: `RootColumns` to fill.
        scratch: `Scratch`; its ``counts[USED]`` roots are filled already.

    Returns:
        The first goroutine that is not done, its counts taken back, and whether it is the scratch memory that
        was too small for it (else it is the roots).
    """
    counts = scratch.counts
    for g in range(first, stacks.lo.size):
        if stacks.outcome[g] == 0:
            continue
        for i in range(COUNTS):
            counts[u64(COUNTS + i)] = counts[u64(i)]
        counts[PRECISE] = 0
        counts[CONSERVATIVE] = 0
        counts[OBJECTS] = 0
        lo = stacks.lo[g]
        hi = stacks.hi[g]
        goroutine = np.uint32(g)
        context = load64(pages.directory, pages.tables, pages.words, stacks.context[g])
        _offer(context, stacks.context[g], KIND_CONTEXT, goroutine, np.int32(-1), lo, hi, roots, scratch)
        row = stacks.registers[g]
        if row >= 0:
            for r in range(registers.shape[1]):
                value = registers[u64(row), u64(r)]
                _offer(value, u64(0), KIND_REGISTER, goroutine, np.int32(-1), lo, hi, roots, scratch)
        if stacks.extended[g] != u64(0):
            _scan(
                pages, stacks.extended[g], np.int64(offsets.extended_size >> u64(3)),
                _MASK_ALL, functions.funcdata, np.int64(0), KIND_REGISTER, goroutine, np.int32(-1), lo, hi,
                roots, scratch,
            )  # fmt: skip
        caller_too = False
        for f in range(frame_starts[g], frame_starts[g + 1]):
            role = functions.roles[u64(frames.function[f])]
            injected = role == ROLE_ASYNC_PREEMPT or role == ROLE_DEBUG_CALL
            if caller_too or injected or frames.flags[f] & FRAME_INTERRUPTED:
                _scan_frame_conservatively(
                    pages, functions, machine, frames, f, goroutine, lo, hi, roots, scratch
                )
                caller_too = injected
            elif frames.continpc[f] != u64(0):
                _scan_frame_precisely(pages, functions, machine, frames, f, goroutine, lo, hi, roots, scratch)
        if stacks.outcome[g] != WHOLE and stacks.rest[g] < hi and stacks.rest[g] >= lo:
            _scan(
                pages, stacks.rest[g], np.int64((hi - stacks.rest[g]) >> u64(3)), _MASK_ALL,
                functions.funcdata, np.int64(0), KIND_CONSERVATIVE, goroutine, np.int32(-1), lo, hi, roots,
                scratch,
            )  # fmt: skip
        _scan_defers(pages, offsets, stacks.defer[g], goroutine, lo, hi, roots, scratch)
        _offer(stacks.panic[g], u64(0), KIND_PANIC, goroutine, np.int32(-1), lo, hi, roots, scratch)
        full = (
            counts[OBJECTS] > scratch.start.size
            or counts[PRECISE] > scratch.precise.size
            or counts[CONSERVATIVE] > scratch.conservative.size
        )
        if not full:
            _follow_stack_objects(pages, functions, machine, goroutine, lo, hi, roots, scratch)
            full = counts[PRECISE] > 0 or counts[CONSERVATIVE] > 0
        if full or counts[USED] > roots.value.size:
            for i in range(COUNTS):
                counts[u64(i)] = counts[u64(COUNTS + i)]
            return g, full
    return stacks.lo.size, False

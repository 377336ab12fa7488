"""What the typing kernels share: their view of heap and types, and reading single words of them."""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.jit import ONE, ZERO, inline_kernel, kernel, u64
from heldby.memory.paging_kernels import load64

NO_EVIDENCE, BY_CHOICE, BY_PREFIX, BY_SHAPE, BY_INTERIOR = range(5)
BY_INTERFACE, BY_POINTER, BY_RUNTIME, BY_HEADER = range(5, 9)
SPAN_NOSCAN, SPAN_HEADER, SPAN_LARGE, SPAN_TINY = 1, 2, 4, 8


class HeapView(NamedTuple):
    """The objects and references as the typing kernels read them.

    Attributes:
        addr, span: of objects 0..n.
        offsets, targets, words: references of objects in compressed sparse rows.
        elemsize, flags, bitmap, base: of spans; `bitmap` is the address of the pointer bits, 0 for none.
        root_addr, root_word, root_target, root_type: of root slots; item n + 1 + i is slot i. `root_addr` is
            the address of the variable, `root_word` the index of the slot's word in it.
        classes: ``uint64[4097]``, slot size of a value of 8 * i bytes.
    """

    addr: NDArray[np.uint64]
    span: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]
    words: NDArray[np.uint32]
    elemsize: NDArray[np.uint64]
    flags: NDArray[np.uint8]
    bitmap: NDArray[np.uint64]
    base: NDArray[np.uint64]
    root_addr: NDArray[np.uint64]
    root_word: NDArray[np.uint32]
    root_target: NDArray[np.uint32]
    root_type: NDArray[np.uint32]
    classes: NDArray[np.uint64]


class TypeColumns(NamedTuple):
    """Types and their programs (`TypeTable`, `TypeLayouts`).

    Attributes:
        size, prefix: bytes of a value and words of its pointer prefix.
        kind, direct, mask: see `TypeTable`.
        tile, tile_count: what an array consists of in the end; the type itself and 1 for everything else.
        start, slot_kind, slot_target, slot_aux: programs.
        byte: ``uint32[1]``, the number of ``uint8``.
    """

    size: NDArray[np.uint64]
    prefix: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    direct: NDArray[np.bool_]
    mask: NDArray[np.uint64]
    tile: NDArray[np.uint32]
    tile_count: NDArray[np.uint64]
    start: NDArray[np.int64]
    slot_kind: NDArray[np.uint8]
    slot_target: NDArray[np.uint32]
    slot_aux: NDArray[np.uint32]
    byte: NDArray[np.uint32]


class DynamicTypes(NamedTuple):
    """From the first word of an interface (descriptor or itab) to a type.

    Attributes:
        low, high, first: address ranges of the type sections and where each starts in `direct`.
        direct: ``uint32[...]``, type of each 8-byte step of the ranges, 0 for none.
        demanded: ``uint32[...]``, for itabs among them the interface type that they serve, 0 for descriptors.
        others, other_types: further addresses (itabs made at run time), ascending, and their types.
        text_low, text_high: the program's functions.
    """

    low: NDArray[np.uint64]
    high: NDArray[np.uint64]
    first: NDArray[np.uint64]
    direct: NDArray[np.uint32]
    demanded: NDArray[np.uint32]
    others: NDArray[np.uint64]
    other_types: NDArray[np.uint32]
    text_low: NDArray[np.uint64]
    text_high: NDArray[np.uint64]


class TypingState(NamedTuple):
    """What is known so far, and the work that is left.

    Attributes:
        type: ``uint32[n + 1]``, type number times two, plus 1 for an array of it.
        evidence: ``uint8[n + 1]``.
        queued: ``uint8[items]``: 1 in the queue, 2 deferred.
        queue, deferred: ``uint32[items + 1]``; the queue is a ring.
        needed: ``uint8[types]``, types whose programs are missing.
        strange: ``uint64[k]``, first words of interfaces that name no known type.
    """

    type: NDArray[np.uint32]
    evidence: NDArray[np.uint8]
    queued: NDArray[np.uint8]
    queue: NDArray[np.uint32]
    deferred: NDArray[np.uint32]
    needed: NDArray[np.uint8]
    strange: NDArray[np.uint64]


@inline_kernel
def word_at(pages, addr):
    """Return the aligned 64-bit word at `addr`, as `load64`."""
    return load64(pages.directory, pages.tables, pages.words, addr)


@kernel
def dynamic_type(dynamic, word):
    """Return the type that an interface's first word names, 0 for none."""
    if word & u64(7):
        return u64(0)
    for r in range(u64(dynamic.low.size)):
        if word >= dynamic.low[r] and word < dynamic.high[r]:
            return u64(dynamic.direct[dynamic.first[r] + ((word - dynamic.low[r]) >> u64(3))])
    low, high = u64(0), u64(dynamic.others.size)
    while low < high:
        middle = (low + high) >> ONE
        if dynamic.others[middle] < word:
            low = middle + ONE
        else:
            high = middle
    if low < u64(dynamic.others.size) and dynamic.others[low] == word:
        return u64(dynamic.other_types[low])
    return u64(0)


@kernel
def interface_fits(dynamic, word, demanded):
    """Tell whether `word` can start a value of interface type `demanded` (0: any empty interface)."""
    for r in range(u64(dynamic.low.size)):
        if word >= dynamic.low[r] and word < dynamic.high[r]:
            at = dynamic.first[r] + ((word - dynamic.low[r]) >> u64(3))
            return (word & u64(7)) == ZERO and dynamic.direct[at] != 0 and dynamic.demanded[at] == demanded
    return dynamic_type(dynamic, word) != ZERO


@kernel
def in_text(dynamic, pc):
    """Tell whether `pc` lies in the program's functions."""
    for r in range(u64(dynamic.text_low.size)):
        if pc >= dynamic.text_low[r] and pc < dynamic.text_high[r]:
            return True
    return False


@kernel
def is_text(pages, addr, size):
    """Tell whether up to 64 bytes at `addr` (a multiple of 8) can be text: no control characters."""
    for i in range(size if size < u64(64) else u64(64)):
        word = word_at(pages, addr + (i & ~u64(7)))
        byte = (word >> ((i & u64(7)) << u64(3))) & u64(255)
        if byte == u64(127) or (byte < u64(32) and (byte < u64(9) or byte > u64(13))):
            return False
    return True


@kernel
def zero_between(pages, low, high):
    """Tell whether all words of ``[low, high)`` are zero; both are multiples of 8."""
    while low < high:
        if load64(pages.directory, pages.tables, pages.words, low):
            return False
        low += u64(8)
    return True


@inline_kernel
def slot_bytes(classes, size):
    """Return the slot that the allocator gives to `size` bytes (malloc header included)."""
    if size <= u64(32768):
        return classes[(size + u64(7)) >> u64(3)]
    return (size + u64(8191)) & ~u64(8191)


@inline_kernel
def pointer_bits(pages, bitmap, base, addr, elemsize):
    """Return the collector's pointer bits of a slot of at most 512 bytes."""
    first = (addr - base) >> u64(3)
    at = bitmap + ((first >> u64(6)) << u64(3))
    shift = first & u64(63)
    low = load64(pages.directory, pages.tables, pages.words, at) >> shift
    if shift:
        low |= load64(pages.directory, pages.tables, pages.words, at + u64(8)) << (u64(64) - shift)
    count = elemsize >> u64(3)
    return low if count >= u64(64) else low & ((ONE << count) - ONE)


@kernel
def tiles(bits, mask, step, room):
    """Return how often `mask`, repeated every `step` words, makes exactly `bits`; 0 when it never does."""
    made, at, count = u64(0), u64(0), u64(0)
    while at + step <= room:
        made |= mask << at
        count += ONE
        if made == bits:
            return count
        at += step
        if at >= u64(64):
            break
    return u64(0)

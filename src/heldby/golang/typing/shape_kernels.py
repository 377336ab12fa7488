"""Telling from an object's own words which of several types it can be.

Every object with pointers was allocated with a type descriptor that is in the program, so a type whose size
class, pointer bits and contents all fit, when no other's do, is the object's type.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.types.type_layout import (
    ARRAY_OF,
    DIRECTORY,
    FUNC,
    INTERFACE,
    NOTHING,
    OPAQUE,
    SLICE,
    STRING,
    TRIE_NODE,
)
from heldby.golang.types.types import STRING_DATA, TINY_BLOCK
from heldby.golang.typing.type_word_kernels import (
    BY_CHOICE,
    BY_INTERIOR,
    SPAN_HEADER,
    SPAN_NOSCAN,
    dynamic_type,
    in_text,
    interface_fits,
    pointer_bits,
    word_at,
    zero_between,
)
from heldby.jit import ONE, ZERO, kernel, u64
from heldby.memory.paging_kernels import load64

IMPOSSIBLE = -1
POINT = 8
_MAX_LENGTH = 1 << 40


class ShapeChecks(NamedTuple):
    """What the contents of a type must look like beyond its pointers.

    Attributes:
        start: ``int64[types + 1]``, rows of the other columns for each type.
        word: ``uint32[...]``, index of a word in the value.
        never: ``uint64[...]``, bits of that word that no value has: those of a bool but the lowest.
        padding: ``uint64[...]``, bits between fields; zero unless a copy left something there.
    """

    start: NDArray[np.int64]
    word: NDArray[np.uint32]
    never: NDArray[np.uint64]
    padding: NDArray[np.uint64]


@kernel
def read_object_words(pages, addr, objects, word, out):
    """Set ``out[i]`` to word number `word` of object ``objects[i]``."""
    at = u64(word) << u64(3)
    for i in range(u64(objects.size)):
        out[i] = load64(pages.directory, pages.tables, pages.words, addr[u64(objects[i])] + at)


@kernel
def sample_by_type(object_type, limit, count, out):
    """Set ``out[limit * t:]`` to the first `limit` objects of type number t, and ``count[t]`` to how many."""
    for o in range(ONE, u64(object_type.size)):
        t = u64(object_type[o]) >> ONE
        if t and count[t] < limit:
            out[u64(limit) * t + u64(count[t])] = np.uint32(o)
            count[t] += 1


@kernel
def read_pointer_bits(pages, heap, objects, out):
    """Set ``out[i]`` to the pointer bits of object ``objects[i]``; 0 where its span has no bitmap."""
    for i in range(u64(objects.size)):
        o = u64(objects[i])
        s = u64(heap.span[o])
        out[i] = u64(0)
        if heap.bitmap[s]:
            out[i] = pointer_bits(pages, heap.bitmap[s], heap.base[s], heap.addr[o], heap.elemsize[s])


@kernel
def common_targets(pages, heap, object_type, objects, out):
    """Set ``out[i]`` to the packed type of everything that ``objects[i]`` points to; 0 unless they agree.

    Only pointers to the start of an object count; one that leads elsewhere makes the answer 0.
    """
    for i in range(u64(objects.size)):
        o = u64(objects[i])
        found = u64(0)
        for e in range(u64(heap.offsets[o]), u64(heap.offsets[o + ONE])):
            t = u64(heap.targets[e])
            lead = u64(8) if heap.flags[u64(heap.span[t])] & SPAN_HEADER else ZERO
            value = load64(
                pages.directory, pages.tables, pages.words, heap.addr[o] + (u64(heap.words[e]) << u64(3))
            )
            known = u64(object_type[t])
            if known == ZERO or value != heap.addr[t] + lead or (found and known != found):
                found = u64(0)
                break
            found = known
        out[i] = np.uint32(found)


@kernel
def match_shapes(
    pages,
    heap,
    types,
    dynamic,
    checks,
    used,
    first_part,
    object_type,
    evidence,
    low,
    high,
    pair_object,
    pair_type,
    score,
):
    """Set ``score[i]`` to how well object ``pair_object[i]`` can be a ``pair_type[i]`` (packed).

    IMPOSSIBLE, or `POINT` for each thing in the contents that speaks for it (pointers to objects known
    to have the type that they must have, interface words, functions), plus 2 if the code allocates the type
    (`used`, by packed type) and 1 if all padding is zero. `low` and `high` bound the program's own functions and data.
    """
    heap_addr = heap.addr
    heap_base = heap.base
    heap_bitmap = heap.bitmap
    heap_elemsize = heap.elemsize
    heap_flags = heap.flags
    heap_offsets = heap.offsets
    heap_span = heap.span
    heap_targets = heap.targets
    heap_words = heap.words
    types_mask = types.mask
    types_prefix = types.prefix
    types_size = types.size
    types_slot_aux = types.slot_aux
    types_slot_kind = types.slot_kind
    types_slot_target = types.slot_target
    types_start = types.start
    types_tile = types.tile
    types_tile_count = types.tile_count
    checks_never = checks.never
    checks_padding = checks.padding
    checks_start = checks.start
    checks_word = checks.word
    for i in range(u64(pair_object.size)):
        o = u64(pair_object[i])
        own, is_array = u64(pair_type[i]) >> ONE, u64(pair_type[i]) & ONE
        score[i] = IMPOSSIBLE
        start = types_start[own]
        size = types_size[own]
        elemsize = heap_elemsize[u64(heap_span[o])]
        if start < 0 or size == ZERO or size > elemsize:
            continue
        tile, prefix = size >> u64(3), types_prefix[own]
        count = elemsize // size if is_array else ONE
        e, stop = u64(heap_offsets[o]), u64(heap_offsets[o + ONE])
        points = 0
        good = True
        clean = 1
        base = heap_addr[o]
        if is_array == ZERO and not zero_between(pages, base + ((size + u64(7)) & ~u64(7)), base + elemsize):
            # The rest of a slot is zero unless the slot was used before.
            clean = 0
        for k in range(count):
            if not good:
                break
            for b in range(u64(checks_start[own]), u64(checks_start[own + ONE])):
                word = word_at(pages, base + ((k * tile + u64(checks_word[b])) << u64(3)))
                if word & checks_never[b]:
                    good = False
                    break
                if word & checks_padding[b]:
                    clean = 0
            for p in range(prefix):
                if not good:
                    break
                kind = types_slot_kind[u64(start) + p]
                if kind == NOTHING:
                    continue
                w = k * tile + p
                at = base + (w << u64(3))
                value = word_at(pages, at)
                while e < stop and u64(heap_words[e]) < w:
                    e += ONE
                t = u64(heap_targets[e]) if e < stop and u64(heap_words[e]) == w else ZERO
                after = word_at(pages, at + u64(8))
                new = u64(types_slot_target[u64(start) + p])
                n = ONE
                if kind == STRING:
                    new, n = u64(STRING_DATA), after
                    good = (value != ZERO or n == ZERO) and n < u64(_MAX_LENGTH)
                elif kind == SLICE:
                    n = word_at(pages, at + u64(16))
                    good = after <= n and n < u64(_MAX_LENGTH) and (value != ZERO or n == ZERO)
                elif kind == INTERFACE:
                    before = word_at(pages, at - u64(8))
                    if before:
                        good = interface_fits(dynamic, before, new)
                        if good and value:
                            points += 1
                    else:
                        good = value == ZERO
                    continue
                if (
                    kind != INTERFACE
                    and w
                    and (p == ZERO or types_slot_kind[u64(start) + p - ONE] == NOTHING)
                ):
                    # A number that is the address of a type, before a pointer: an interface and nothing else.
                    good = good and dynamic_type(dynamic, word_at(pages, at - u64(8))) == ZERO
                if not good or value == ZERO or kind == OPAQUE:
                    continue
                if t == ZERO:
                    # Not the heap: the program's own data, or the runtime's memory.
                    good = value >= u64(4096)
                    if kind == FUNC:
                        good = value >= low and value < high and (value & u64(7)) == ZERO
                        pc = word_at(pages, value)
                        good = good and (pc == ZERO or in_text(dynamic, pc))
                    continue
                if kind == TRIE_NODE:
                    known = u64(object_type[t]) >> ONE
                    if known == new or known == u64(types_slot_aux[u64(start) + p]):
                        points += 2
                    elif known and evidence[t] > BY_CHOICE:
                        good = False
                    continue
                if kind == DIRECTORY:
                    if after:
                        new = u64(types_slot_aux[u64(start) + p])
                        n = after
                if kind == SLICE and n == ZERO:
                    good = False
                if new == ZERO:
                    continue
                if types_tile_count[new] != ONE:
                    n *= types_tile_count[new]
                    new = u64(types_tile[new])
                flags = heap_flags[u64(heap_span[t])]
                lead = u64(8) if flags & SPAN_HEADER else ZERO
                distance = value - heap_addr[t] - lead
                room = heap_elemsize[u64(heap_span[t])] - lead
                want = types_size[new]
                if value < heap_addr[t] + lead or distance >= room:
                    good = kind in (SLICE, STRING) and n == ZERO
                    continue
                if kind == FUNC:
                    pc = word_at(pages, value & ~u64(7))
                    good = distance == ZERO and in_text(dynamic, pc)
                    points += 1
                    continue
                if want and n > (room - distance) // want:
                    good = False
                    continue
                if want and (flags & SPAN_NOSCAN) and types_prefix[new] and new != own:
                    # A channel of pointer-free values is pointer-free memory itself.
                    if u64(object_type[t]) >> ONE != new:
                        good = False
                        continue
                if kind == STRING and not flags & SPAN_NOSCAN:
                    good = False
                    continue
                known = u64(object_type[t]) >> ONE
                if evidence[t] <= BY_CHOICE:
                    known = ZERO
                if known == new:
                    points += 1 if kind == STRING else 2
                    if kind in (ARRAY_OF, DIRECTORY):
                        points += 2
                elif known == ZERO:
                    mask, step = types_mask[new], want >> u64(3)
                    span = u64(heap_span[t])
                    if distance == ZERO and heap_bitmap[span] and step and step < u64(64):
                        bits = pointer_bits(
                            pages, heap_bitmap[span], heap_base[span], heap_addr[t], heap_elemsize[span]
                        )
                        good = (bits & ((ONE << step) - ONE)) == mask
                elif kind in (ARRAY_OF, DIRECTORY):
                    good = False
                elif distance == ZERO and evidence[t] >= BY_INTERIOR and known != u64(TINY_BLOCK):
                    # A pointer may lead to the first field of a larger type; anything else contradicts.
                    good = want == ONE and types_size[known] == ONE
                    inner, outer = known, new
                    for _ in range(8):
                        inner, outer = u64(first_part[inner]), u64(first_part[outer])
                        if inner == new or outer == known:
                            good = True
                            break
        if good:
            score[i] = points * POINT + (2 if used[u64(pair_type[i])] else 0) + clean

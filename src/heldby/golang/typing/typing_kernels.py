"""Giving every object a type: from what is certain along typed pointers to what they lead to.

The order of evidence, strongest first: the type that the runtime itself wrote (malloc header, large span);
what a root variable or the runtime's own structures say; a typed pointer to the start of a slot whose size
class and pointer bits are those of the type; an interface word; a slice into a backing array; the one type in
the program that fits; a type that fills only the beginning of the slot. What follows from a guess is a guess.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.golang.types.type_layout import (
    ARRAY_OF,
    DIRECTORY,
    FUNC,
    INTERFACE,
    NOTHING,
    OPAQUE,
    POINTER,
    SLICE,
    STRING,
    TRIE_NODE,
)
from heldby.golang.types.types import KIND_CHANNEL, STRING_DATA, TINY_BLOCK
from heldby.golang.typing.type_word_kernels import (
    BY_CHOICE,
    BY_INTERFACE,
    BY_INTERIOR,
    BY_POINTER,
    BY_PREFIX,
    BY_RUNTIME,
    BY_SHAPE,
    NO_EVIDENCE,
    SPAN_HEADER,
    SPAN_NOSCAN,
    SPAN_TINY,
    dynamic_type,
    in_text,
    is_text,
    pointer_bits,
    slot_bytes,
    tiles,
    word_at,
)
from heldby.jit import ONE, ZERO, inline_kernel, kernel, prefetch, u64

_UNTYPED = 255
# How many items ahead what they need is fetched: each step needs what the one before it brought.
_FAR, _MIDDLE, _NEAR = u64(24), u64(16), u64(6)
_FETCHED_REFERENCES = u64(6)


@inline_kernel
def _fetch_ahead(heap, state, head):
    """Ask for what the coming items and their targets need; a quarter less time, since heaps are random."""
    objects = u64(heap.addr.size)
    far = u64(state.queue[head + _FAR])
    if far < objects:
        prefetch(heap.offsets, far)
        prefetch(heap.span, far)
        prefetch(heap.addr, far)
        prefetch(state.type, far)
    middle = u64(state.queue[head + _MIDDLE])
    if middle < objects:
        at = u64(heap.offsets[middle])
        prefetch(heap.targets, at)
        prefetch(heap.words, at)
    near = u64(state.queue[head + _NEAR])
    if near < objects:
        at, stop = u64(heap.offsets[near]), u64(heap.offsets[near + ONE])
        stop = min(stop, at + _FETCHED_REFERENCES)
        while at < stop:
            target = u64(heap.targets[at])
            prefetch(heap.span, target)
            prefetch(heap.addr, target)
            prefetch(heap.offsets, target)
            prefetch(state.type, target)
            at += ONE


@kernel
def propagate(pages, heap, types, dynamic, state, count, most_deferred):
    """Work off the first `count` items of the queue and all that they lead to.

    The queue is a ring: each item is in it at most once. Works until it is empty or `most_deferred` items wait
    for a program that is missing (`state.needed` says which). Returns how many wait, how many strange
    interface words were recorded, and where the queue begins and ends.
    Each object changes only to stronger evidence, on equal evidence to a larger type, among types of one size to
    that of the lower number: it ends, and which came first does not matter.
    """
    heap_addr = heap.addr
    heap_base = heap.base
    heap_bitmap = heap.bitmap
    heap_classes = heap.classes
    heap_elemsize = heap.elemsize
    heap_flags = heap.flags
    heap_offsets = heap.offsets
    heap_root_addr = heap.root_addr
    heap_root_target = heap.root_target
    heap_root_type = heap.root_type
    heap_root_word = heap.root_word
    heap_span = heap.span
    heap_targets = heap.targets
    heap_words = heap.words
    types_byte = types.byte
    types_direct = types.direct
    types_kind = types.kind
    types_mask = types.mask
    types_prefix = types.prefix
    types_size = types.size
    types_slot_aux = types.slot_aux
    types_slot_kind = types.slot_kind
    types_slot_target = types.slot_target
    types_start = types.start
    types_tile = types.tile
    types_tile_count = types.tile_count
    state_deferred = state.deferred
    state_evidence = state.evidence
    state_needed = state.needed
    state_queued = state.queued
    state_queue = state.queue
    state_strange = state.strange
    state_type = state.type
    objects = u64(heap_addr.size)
    deferred, strange = ZERO, ZERO
    ring = u64(state_queue.size)
    head, tail = ZERO, u64(count)
    while head != tail and deferred < u64(most_deferred):
        o = u64(state_queue[head])
        head += ONE
        if head == ring:
            head = ZERO
        if head + _FAR < ring:  # what lies beyond the tail is an older item: of no use, and no harm
            _fetch_ahead(heap, state, head)
        state_queued[o] = 0
        header = ZERO
        is_array = ZERO
        if o < objects:
            known = u64(state_type[o])
            own = known >> ONE
            is_array = known & ONE
            evidence = state_evidence[o]
            e, stop = u64(heap_offsets[o]), u64(heap_offsets[o + ONE])
            source_span = u64(heap_span[o])
            if heap_flags[source_span] & SPAN_HEADER:
                header = ONE
            start_addr = heap_addr[o]
        else:
            own = u64(heap_root_type[o - objects])
            evidence = BY_RUNTIME
            e, stop = ZERO, ONE
            source_span = ZERO
            start_addr = heap_root_addr[o - objects]
        first = np.int64(0)
        if own:
            first = types_start[own]
            if first < 0:
                state_needed[own] = 1
                state_queued[o] = 2
                state_deferred[deferred] = np.uint32(o)
                deferred += ONE
                continue
        elif evidence == NO_EVIDENCE or o >= objects:
            evidence = BY_INTERFACE
        if evidence == BY_PREFIX:
            evidence = BY_INTERIOR
        elif evidence == BY_CHOICE:
            evidence = BY_SHAPE
        tile = types_size[own] >> u64(3)
        prefix = types_prefix[own]
        program = u64(first)
        wait = False
        while e < stop:
            if o < objects:
                w, t = u64(heap_words[e]), u64(heap_targets[e])
            else:
                w, t = u64(heap_root_word[o - objects]), u64(heap_root_target[o - objects])
            e += ONE
            if w < header or t == ZERO or t >= objects:
                continue
            at = start_addr + (w << u64(3))
            position = w - header
            if own and is_array and tile:
                position %= tile
            kind = _UNTYPED
            if own:
                if position < prefix:
                    kind = types_slot_kind[program + position]
                elif position < tile:
                    kind = NOTHING
            if kind in (NOTHING, OPAQUE):
                continue
            value = word_at(pages, at)
            new, aux, paired = ZERO, ZERO, True
            if kind == _UNTYPED:
                # A type word that the collector does not follow, then a pointer: an interface.
                if o < objects:
                    paired = w > header
                    if paired and heap_bitmap[source_span]:
                        bits = pointer_bits(
                            pages,
                            heap_bitmap[source_span],
                            heap_base[source_span],
                            start_addr,
                            heap_elemsize[source_span],
                        )
                        if (bits >> (w - ONE)) & ONE:
                            paired = False
            else:
                new = u64(types_slot_target[program + position])
                aux = u64(types_slot_aux[program + position])
            level = BY_POINTER
            if kind == _UNTYPED:
                level = BY_INTERFACE
                if not paired or dynamic_type(dynamic, word_at(pages, at - u64(8))) == ZERO:
                    # Pointer-free memory that a length or capacity beside the pointer exactly fills.
                    target_span = u64(heap_span[t])
                    elemsize = heap_elemsize[target_span]
                    if not heap_flags[target_span] & SPAN_NOSCAN or state_type[t] or value < heap_addr[t]:
                        continue
                    before = value - heap_addr[t]
                    length = word_at(pages, at + u64(8))
                    n = word_at(pages, at + u64(16))
                    level = BY_SHAPE
                    filled = length <= n <= elemsize and elemsize >= u64(32)
                    if filled and slot_bytes(heap_classes, before + n) == elemsize:
                        kind, new = SLICE, u64(types_byte[0])
                    elif before == ZERO and slot_bytes(heap_classes, length) == elemsize:
                        if not is_text(pages, value, length):
                            continue
                        kind = STRING
                    else:
                        continue
            if kind in (_UNTYPED, INTERFACE):
                word = word_at(pages, at - u64(8))
                new = dynamic_type(dynamic, word)
                if new == ZERO:
                    if kind == INTERFACE and word and strange < u64(state_strange.size):
                        state_strange[strange] = word
                        strange += ONE
                    continue
                kind = POINTER
                if types_direct[new]:
                    inner = types_start[new]
                    if inner < 0:
                        state_needed[new] = 1
                        wait = True
                        continue
                    if types_prefix[new] == ZERO:
                        continue
                    kind = types_slot_kind[u64(inner)]
                    aux = u64(types_slot_aux[u64(inner)])
                    new = u64(types_slot_target[u64(inner)])
                    if kind in (NOTHING, OPAQUE):
                        continue
            array, n = ZERO, ONE
            trusted = o < objects
            if not trusted and start_addr == ZERO:
                # A register, or a field of a record outside the heap: all that is known is where it leads.
                value = heap_addr[t]
                if heap_flags[u64(heap_span[t])] & SPAN_HEADER:
                    value += u64(8)
            if kind == SLICE:
                array = ONE
                length = word_at(pages, at + u64(8))
                n = word_at(pages, at + u64(16))
                if not trusted and (not start_addr or not n or length > n):
                    # The other words of a local variable need not be alive.
                    n, level = ZERO, BY_INTERIOR
                elif n == ZERO or length > n:
                    continue
            elif kind == STRING:
                n = word_at(pages, at + u64(8))
                new, array = u64(STRING_DATA), ONE
                if not trusted and (not start_addr or not n or n >> u64(40)):
                    n, level = ZERO, BY_INTERIOR
                elif n == ZERO:
                    continue
            elif kind == ARRAY_OF:
                array, n = ONE, ZERO
            elif kind == DIRECTORY:
                length = word_at(pages, at + u64(8))
                if length:
                    new, array, n = aux, ONE, length
            elif kind == TRIE_NODE:
                flag = word_at(pages, value & ~u64(7)) & u64(255)
                if flag > ONE:
                    continue
                if flag == ZERO:
                    new = aux
            if new == ZERO:
                continue
            if types_tile_count[new] != ONE:
                n *= types_tile_count[new]
                array = ONE
                new = u64(types_tile[new])
            size = types_size[new]
            target_span = u64(heap_span[t])
            flags = heap_flags[target_span]
            lead = u64(8) if flags & SPAN_HEADER else ZERO
            elemsize = heap_elemsize[target_span]
            begin = heap_addr[t] + lead
            if size == ZERO or value < begin:
                continue
            distance, room = value - begin, elemsize - lead
            if distance >= room:
                continue
            if kind == FUNC:
                pc = word_at(pages, value & ~u64(7))
                if distance or not in_text(dynamic, pc):
                    continue
            elif types_kind[new] == KIND_CHANNEL:
                if distance or size > room:
                    continue
            else:
                left = room - distance
                if flags & SPAN_NOSCAN and types_prefix[new]:
                    continue
                if not flags & SPAN_NOSCAN and types_prefix[new] == ZERO:
                    continue
                if n > left // size or (n == ZERO and size > left):
                    continue
                if array == ZERO and distance:
                    array, n = ONE, ZERO
                    level = BY_INTERIOR if level > BY_INTERIOR else level
                if array:
                    if distance % size:
                        continue
                    whole = n == ZERO and distance == ZERO
                    if n and slot_bytes(heap_classes, distance + n * size + lead) == elemsize:
                        whole = True
                    if not whole and level > BY_INTERIOR:
                        level = BY_INTERIOR
                    if heap_bitmap[target_span]:
                        bits = pointer_bits(
                            pages, heap_bitmap[target_span], heap_base[target_span], heap_addr[t], elemsize
                        )
                        held = tiles(bits, types_mask[new], size >> u64(3), elemsize >> u64(3))
                        if held == ZERO or slot_bytes(heap_classes, held * size) != elemsize:
                            continue
                else:
                    fits = slot_bytes(heap_classes, size + lead) == elemsize
                    if heap_bitmap[target_span]:
                        bits = pointer_bits(
                            pages, heap_bitmap[target_span], heap_base[target_span], heap_addr[t], elemsize
                        )
                        mask, step = types_mask[new], size >> u64(3)
                        if bits != mask:
                            held = tiles(bits, mask, step, elemsize >> u64(3))
                            if held and slot_bytes(heap_classes, held * size) == elemsize:
                                array = ONE
                                level = BY_INTERIOR if level > BY_INTERIOR else level
                            elif step < u64(64) and (bits & ((ONE << step) - ONE)) == mask:
                                level = BY_PREFIX
                            else:
                                continue
                        elif not fits:
                            level = BY_PREFIX
                    elif not fits:
                        level = BY_PREFIX
            level = min(level, np.int64(evidence))
            before = u64(state_type[t])
            after = (new << ONE) | array
            if flags & SPAN_TINY and n * size < u64(16):
                # One block of the tiny allocator holds several small values.
                level = max(level, BY_POINTER) if level == BY_PREFIX else level
                if before and before != after and state_evidence[t] <= BY_POINTER:
                    after, level = u64(TINY_BLOCK) << ONE, BY_POINTER
            if before == after:
                state_evidence[t] = max(np.int64(state_evidence[t]), level)
                continue
            if before != ZERO:
                if level < state_evidence[t]:
                    continue
                if level == state_evidence[t] and (after >> ONE) != u64(TINY_BLOCK):
                    # Among equals the type of the lower number, whichever came first.
                    rank, other = size * u64(2) + array, types_size[before >> ONE] * u64(2) + (before & ONE)
                    if rank < other or (rank == other and after > before):
                        continue
            state_type[t] = np.uint32(after)
            state_evidence[t] = level
            if state_queued[t] == 0 and heap_offsets[t + ONE] > heap_offsets[t]:
                state_queued[t] = 1
                state_queue[tail] = np.uint32(t)
                tail += ONE
                if tail == ring:
                    tail = ZERO
        if wait and state_queued[o] == 0:
            state_queued[o] = 2
            state_deferred[deferred] = np.uint32(o)
            deferred += ONE
    return deferred, strange, head, tail

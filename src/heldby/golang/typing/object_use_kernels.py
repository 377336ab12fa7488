"""What the bytes of objects are spent on: how far arrays and texts are used, and one account over all objects."""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.types.type_layout import SLICE, STRING
from heldby.golang.typing.type_word_kernels import BY_PREFIX, SPAN_HEADER, word_at
from heldby.jit import ONE, ZERO, inline_kernel, kernel, u64
from heldby.memory.paging_kernels import load8

# What a slot's bytes are, in the order in which people read them; together they are the slot.
(
    PAYLOAD,
    POINTERS,
    STRING_HEADERS,
    SLICE_HEADERS,
    INTERFACE_WORDS,
    SPARE_CAPACITY,
    MAP_EMPTY_SLOTS,
    MAP_CONTROL,
    MALLOC_HEADERS,
    ROUNDING,
    UNKNOWN_USE,
    CAUSES,
) = range(12)
# Further columns of the account: objects, of which with pointers, pointer words that the collector looks at.
OBJECTS, SCANNED_OBJECTS, SCANNED_WORDS, COLUMNS = range(CAUSES, CAUSES + 4)
# What a type is for a map.
NO_MAP_PART, MAP_GROUP, MAP_BUCKET, MAP_HEADER = range(4)
_WHOLE = 0xFFFFFFFF
_SLOTS = u64(8)


class TypeUse(NamedTuple):
    """What one value of each type holds; all by type number.

    Attributes:
        words: ``uint16[types, 4]``: pointers, strings, slices, interfaces in a value.
        map_part: ``uint8``: `MAP_GROUP`, `MAP_BUCKET` (maps up to Go 1.23), `MAP_HEADER` (also tables and
            directories) or `NO_MAP_PART`.
        slot: ``uint32``: bytes of a group's key and element together.
    """

    words: NDArray[np.uint16]
    map_part: NDArray[np.uint8]
    slot: NDArray[np.uint32]


@inline_kernel
def _note_use(pages, heap, types, kind, elem, at, target, used, capacity):
    """Note how far the slice or string header at `at` uses its object."""
    begin = heap.addr[target]
    if heap.flags[heap.span[target]] & SPAN_HEADER:
        begin += u64(8)
    start, length = word_at(pages, at), word_at(pages, at + u64(8))
    full, size = length, ONE
    if kind == SLICE:
        full, size = word_at(pages, at + u64(16)), types.size[elem]
    room = heap.elemsize[heap.span[target]]
    if start < begin or start - begin > room or length > full or full > room:
        return
    end, limit = start - begin + length * size, start - begin + full * size
    if limit > room:
        return
    # One more, so that 0 means that nothing is known.
    used[target] = max(used[target], np.uint32(min(end + ONE, u64(_WHOLE))))
    capacity[target] = max(capacity[target], np.uint32(min(limit + ONE, u64(_WHOLE))))


@kernel
def find_use(pages, heap, types, type_of, low, high, used, capacity):
    """Set how many bytes of each array's and text's object the headers in objects low to high - 1 use, and have.

    The headers outside the heap are read with those of object 1.

    `used` and `capacity`, ``uint32[n + 1]``, get one more than the bytes; they stay 0 for objects that no slice or
    string refers to. From 4 GiB on they say 4 GiB - 1.
    """
    for o in range(u64(low), u64(high)):
        own = u64(type_of[o]) >> ONE
        if not own:
            continue
        first = types.start[own]
        if first < 0:
            continue
        e, stop = u64(heap.offsets[o]), u64(heap.offsets[o + ONE])
        header = ONE if heap.flags[heap.span[o]] & SPAN_HEADER else ZERO
        tile, prefix = types.size[own] >> u64(3), types.prefix[own]
        is_array = type_of[o] & 1
        while e < stop:
            w, t = u64(heap.words[e]), u64(heap.targets[e])
            e += ONE
            if w < header or t == ZERO or t >= u64(heap.addr.size):
                continue
            position = w - header
            if is_array and tile:
                position %= tile
            if position >= prefix:
                continue
            slot = u64(first) + position
            kind = types.slot_kind[slot]
            if kind in (SLICE, STRING):
                at = heap.addr[o] + (w << u64(3))
                _note_use(pages, heap, types, kind, u64(types.slot_target[slot]), at, t, used, capacity)
    for r in range(u64(heap.root_addr.size) if low == 1 else ZERO):
        own, t = u64(heap.root_type[r]), u64(heap.root_target[r])
        # A register, or a variable of unknown type: only the pointer is known.
        if not own or not heap.root_addr[r] or t == ZERO or types.start[own] < 0:
            continue
        position = u64(heap.root_word[r])
        if position >= types.prefix[own]:
            continue
        slot = u64(types.start[own]) + position
        kind = types.slot_kind[slot]
        if kind in (SLICE, STRING):
            at = heap.root_addr[r] + (position << u64(3))
            _note_use(pages, heap, types, kind, u64(types.slot_target[slot]), at, t, used, capacity)


@inline_kernel
def _full_slots(pages, group, is_bucket):
    """Return how many of a map group's eight slots hold an entry, by their control bytes.

    internal/runtime/maps, ctrlGroup: the upper bit is for empty and deleted ones. runtime/map.go up to 1.23, bmap:
    a hash is at least 5 (minTopHash).
    """
    full = ZERO
    for i in range(_SLOTS):
        byte = load8(pages.directory, pages.tables, pages.words, group + i)
        if byte >= u64(5) if is_bucket else byte < u64(0x80):
            full += ONE
    return full


@kernel
def account_objects(pages, heap, types, type_of, evidence, use, used, capacity, row_of, low, high, account):
    """Add what the slots of objects low to high - 1 are spent on to the rows of `account`; `row_of` -1 is none.

    `account` is ``int64[rows, COLUMNS]``. The causes of a row add up to the bytes of its slots.
    """
    for o in range(u64(low), u64(high)):
        if row_of[o] < 0:
            continue
        r = u64(row_of[o])
        span = u64(heap.span[o])
        slot = heap.elemsize[span]
        own = u64(type_of[o]) >> ONE
        size = types.size[own]
        references = u64(heap.offsets[o + ONE]) - u64(heap.offsets[o])
        account[r, u64(OBJECTS)] += 1
        lead = u64(8) if heap.flags[span] & SPAN_HEADER else ZERO
        account[r, u64(MALLOC_HEADERS)] += np.int64(lead)
        room = slot - lead
        if not own or not size:
            account[r, u64(UNKNOWN_USE)] += np.int64(room)
            account[r, u64(SCANNED_OBJECTS)] += 1 if references else 0
            account[r, u64(SCANNED_WORDS)] += np.int64(references)
            continue
        part = use.map_part[own]
        taken, held = size, size
        if type_of[o] & 1:
            held = room // size * size
            if part == MAP_GROUP:
                # internal/runtime/maps, newGroups: a power of two; what lies behind is no group.
                held = size
                while held + held <= room:
                    held += held
            if capacity[o] and capacity[o] != np.uint32(_WHOLE):
                held = min(u64(capacity[o]) - ONE, room)
            taken = held
            if used[o] and used[o] != np.uint32(_WHOLE):
                taken = min(u64(used[o]) - ONE, held)
        if held > room:
            taken, held = room, room
        rest = room - held
        account[r, u64(UNKNOWN_USE) if evidence[o] == BY_PREFIX else u64(ROUNDING)] += np.int64(rest)
        words = u64(use.words[own, ZERO]) + u64(use.words[own, ONE])
        words += u64(use.words[own, u64(2)]) + u64(use.words[own, u64(3)])
        values = held // size
        if words:
            account[r, u64(SCANNED_OBJECTS)] += 1
            account[r, u64(SCANNED_WORDS)] += np.int64(words * values)
        if part == MAP_HEADER:
            account[r, u64(MAP_CONTROL)] += np.int64(held)
            continue
        counted = taken // size
        divisor = ONE
        if part in (MAP_GROUP, MAP_BUCKET):
            full = ZERO
            for g in range(values):
                full += _full_slots(pages, heap.addr[o] + lead + g * size, part == MAP_BUCKET)
            empty = (values * _SLOTS - full) * u64(use.slot[own])
            taken = full * u64(use.slot[own])
            account[r, u64(MAP_EMPTY_SLOTS)] += np.int64(empty)
            account[r, u64(MAP_CONTROL)] += np.int64(held - taken - empty)
            counted, divisor = full, _SLOTS
        else:
            account[r, u64(SPARE_CAPACITY)] += np.int64(held - taken)
        pointers = u64(8) * counted * u64(use.words[own, ZERO]) // divisor
        strings = u64(16) * counted * u64(use.words[own, ONE]) // divisor
        slices = u64(24) * counted * u64(use.words[own, u64(2)]) // divisor
        interfaces = u64(16) * counted * u64(use.words[own, u64(3)]) // divisor
        # A guessed type may claim more words than its values have room for.
        pointers = min(pointers, taken)
        strings = min(strings, taken - pointers)
        slices = min(slices, taken - pointers - strings)
        interfaces = min(interfaces, taken - pointers - strings - slices)
        account[r, u64(POINTERS)] += np.int64(pointers)
        account[r, u64(STRING_HEADERS)] += np.int64(strings)
        account[r, u64(SLICE_HEADERS)] += np.int64(slices)
        account[r, u64(INTERFACE_WORDS)] += np.int64(interfaces)
        account[r, u64(PAYLOAD)] += np.int64(taken - pointers - strings - slices - interfaces)

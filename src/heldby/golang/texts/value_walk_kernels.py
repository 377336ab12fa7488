"""Walking Go values by their types, to learn how many bytes other forms of the same data would take.

A *unit* is a value (an address and a type). For each unit three sizes are added up in one walk:

* `VISIBLE`: what encoding/json's Marshal returns for the value, to the byte;
* `FULL`: the same, with the fields that encoding/json leaves out (unexported ones) under their names;
* `PACKED`: a binary form for a reader that knows the types, described in docs/how-it-works.md: varints for integers
  and lengths, floats as they are, a byte for "is there one" of a pointer, two for the type in an interface, and no
  names.

The walk goes only into what the unit alone keeps (see `Owners`), into pointer-free memory, and into static data;
a reference to anything else counts as null and is counted. So does a reference back to where the walk is.
Every loop is bounded: the stack by its rows, the work by `budget`.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.objects.object_kernels import object_at
from heldby.golang.texts.json_text_kernels import TextRules, is_present, read64, read_byte
from heldby.golang.texts.map_walk_kernels import MapLayout, array_at, array_count, is_full, overflow_of
from heldby.golang.texts.number_text_kernels import varint_bytes
from heldby.golang.texts.value_part_kernels import HAS_NO_JSON, IS_FUNCTION, IS_UNKNOWN, is_empty, leaf_sizes
from heldby.golang.texts.value_programs import (
    ARRAY,
    BY_POINTER,
    BY_VALUE,
    BYTES,
    HIDDEN,
    INT,
    INTERFACE,
    LAST_LEAF,
    MAP,
    MISSING,
    NO_METHOD,
    NUMBER,
    OMIT_EMPTY,
    OMIT_ZERO,
    POINTER,
    QUOTED,
    RAW_JSON,
    SLICE,
    STRING,
    STRUCT,
    UINT,
)
from heldby.golang.typing.type_word_kernels import dynamic_type
from heldby.jit import ONE, ZERO, inner_kernel, kernel, u64

VISIBLE, FULL, PACKED = range(3)
DONE, WAITING, TOO_LARGE = range(3)
# What was met that is not, or not exactly, in the sizes.
(
    SHARED,
    CYCLES,
    TOO_DEEP,
    FUNCTIONS,
    MARSHALERS,
    UNKNOWN_TYPES,
    MISSING_BYTES,
    NO_JSON,
    HIDDEN_FIELDS,
    VALUES,
    TEXT_BYTES,
    KEPT_BEHIND,
    NOTE_COUNT,
) = range(13)

STACK_ROWS, STACK_COLUMNS = 256, 17
_KIND, _ADDR, _TYPE, _INDEX, _COUNT, _FLAGS, _HEAD, _SHOWN, _ALL = range(9)
_GROUPS, _GROUP_COUNT, _TABLE, _LAST_TABLE, _PHASE, _SLOT, _FROM, _FIRST_GROUP = range(9, 17)
_SHOW, _SHOW_ALL, _ADDRESSABLE, _QUOTED, _REVEAL = 1, 2, 4, 8, 16
_MOST_HOPS = 64
_NOBODY = 0xFFFFFFFF


class Release(NamedTuple):
    """What differs from one Go release to the next.

    Attributes:
        maps: how maps are laid out.
        texts: how encoding/json writes texts.
    """

    maps: MapLayout
    texts: TextRules


class Owners(NamedTuple):
    """Which objects a walk may enter.

    Attributes:
        number: ``uint32[vertices]``, numbers in the dominator tree; 0xFFFFFFFF for garbage.
        head: ``uint32[numbers]``: the first object of the unit that a number belongs to (the one whose
            dominator is the container), as a number; 0 for what belongs to no unit.
        span: ``uint32[n + 1]``, span of each object.
        noscan: ``bool[spans]``.
    """

    number: NDArray[np.uint32]
    head: NDArray[np.uint32]
    span: NDArray[np.uint32]
    noscan: NDArray[np.bool_]


class Units(NamedTuple):
    """The values to walk: where, of what type, and the head they belong to (0: inside the container itself)."""

    addr: NDArray[np.uint64]
    type: NDArray[np.uint32]
    head: NDArray[np.uint32]


@inner_kernel
def _word(memory, addr):
    """Return the aligned word at `addr`, as `read64`; not inlined, which would triple the time to compile."""
    return read64(memory, addr)


@inner_kernel
def _is_present(memory, addr):
    return is_present(memory, addr)


@inner_kernel
def _head_of(owners, o, head):
    """Return the head to go on with in object `o`, or `_NOBODY` when this unit does not alone keep it."""
    number = u64(owners.number[o])
    if number == u64(_NOBODY):
        return number
    own = u64(owners.head[number])
    if own == ZERO:
        return u64(_NOBODY)
    if own == head or (head == ZERO and own == number):
        return own
    return u64(_NOBODY)


@inner_kernel
def _entered(index, owners, addr, head):
    """Return the head to go on with at `addr`, or `_NOBODY` when it is not this unit's."""
    o = object_at(index.directory, index.pages, index.spans, index.bits, index.rank, addr)
    if o == ZERO:
        return head
    if owners.noscan[owners.span[o]]:
        return head
    return _head_of(owners, o, head)


@inner_kernel
def _keeps(index, owners, addr, head):
    """Tell whether an object lies at `addr` that this unit alone keeps."""
    o = object_at(index.directory, index.pages, index.spans, index.bits, index.rank, addr)
    return o != ZERO and _head_of(owners, o, head) != u64(_NOBODY)


@inner_kernel
def _is_on_stack(stack, depth, addr, typ):
    """Tell whether the walk is inside the value at `addr` of type `typ` already."""
    for i in range(depth):
        if stack[i, u64(_FROM)] == addr and stack[i, u64(_TYPE)] == typ:
            return True
    return False


@inner_kernel
def _open_table(memory, layout, stack, at, table):
    """Start with array `table` of the map in row `at` of the stack."""
    groups, count, own = array_at(memory, layout, stack[at, u64(_ADDR)], table, stack[at, u64(_LAST_TABLE)])
    stack[at, u64(_TABLE)] = table + ONE
    stack[at, u64(_LAST_TABLE)] = own
    stack[at, u64(_INDEX)] = ZERO
    stack[at, u64(_FIRST_GROUP)] = groups
    stack[at, u64(_GROUPS)] = groups
    stack[at, u64(_GROUP_COUNT)] = count


@inner_kernel
def _next_group(memory, layout, size, stack, at):
    """Go on to the next group of the map in row `at` of the stack: the overflow buckets of a bucket come first."""
    stack[at, u64(_SLOT)] = ZERO
    group = overflow_of(memory, layout, stack[at, u64(_GROUPS)], size)
    if not group:
        stack[at, u64(_INDEX)] += ONE
        group = stack[at, u64(_FIRST_GROUP)] + stack[at, u64(_INDEX)] * size
    stack[at, u64(_GROUPS)] = group


@kernel
def measure_values(
    memory,
    index,
    dynamic,
    types,
    release,
    owners,
    powers,
    units,
    first,
    stack,
    sizes,
    status,
    notes,
    needed,
    strange,
    unit_budget,
    budget,
):
    """Walk units from `first` on; return the next one, which is less than their number when `budget` is used up.

    `stack` is scratch, ``uint64[STACK_ROWS, STACK_COLUMNS]``; `unit_budget` and `budget` are values to visit in one
    unit and in all. `sizes`, ``int64[units, 3]``, gets the sizes. Of `status`, ``uint8[units]``, only `WAITING`
    units are walked; they become `DONE`, or `TOO_LARGE`, or stay when a type's row is missing, as
    `needed`, ``uint8[types]``, then says. `notes`, ``int64[NOTE_COUNT]``, is added to for units that are done.
    `strange`, ``uint64[k]``, gets first words of interfaces that name no known type, from index 1 on (index 0 counts
    them); their units stay `WAITING`, too. Where it has no room, such a value counts as null.
    """
    used = np.int64(0)
    u = u64(first)
    while u < u64(units.addr.size):
        if status[u] != WAITING:
            u += ONE
            continue
        if used >= budget:
            return u
        shown, everything, packed = ZERO, ZERO, ZERO
        shared, cycles, deep, functions, marshalers = 0, 0, 0, 0, 0
        unknown, missing, no_json, hidden, visited, text, behind = 0, 0, 0, 0, 0, 0, 0
        addr, typ, head = units.addr[u], u64(units.type[u]), u64(units.head[u])
        flags = u64(_SHOW | _SHOW_ALL)
        depth, hops = ZERO, 0
        origin = addr
        entering, retry, exhausted = True, False, False
        while True:
            if entering:
                entering = False
                visited += 1
                if visited > unit_budget:
                    exhausted = True
                    break
                op = types.op[typ]
                size = types.size[typ]
                show, show_all = flags & u64(_SHOW), (flags & u64(_SHOW_ALL)) >> ONE
                if op == MISSING:
                    needed[typ] = 1
                    retry = True
                    break
                if op not in (POINTER, INTERFACE):
                    hops = 0
                    if not _is_present(memory, addr):
                        missing += np.int64(size)
                # The first three words of the value; a number's bits are the lowest of `bits`.
                first_word = addr & ~u64(7)
                bits, second, third = _word(memory, first_word), ZERO, ZERO
                if size > u64(8):
                    second, third = _word(memory, first_word + u64(8)), _word(memory, first_word + u64(16))
                elif size < u64(8):
                    bits = (bits >> ((addr & u64(7)) << u64(3))) & ((ONE << (size << u64(3))) - ONE)
                method = types.method[typ]
                if method == BY_VALUE or (method == BY_POINTER and flags & u64(_ADDRESSABLE)):
                    marshalers += 1
                    flags |= u64(_REVEAL)
                count, tail = ZERO, False
                quote = u64(2) if flags & u64(_QUOTED) else ZERO
                null = False
                if op in (STRING, BYTES, RAW_JSON):
                    # Long texts are work, too; a damaged length must not make it endless.
                    visited += np.int64(min(second, u64(1 << 40)) >> u64(6))
                    if visited > unit_budget:
                        exhausted = True
                        break
                if op <= LAST_LEAF:
                    count, more, content, absent, strangeness = leaf_sizes(
                        memory,
                        powers,
                        release.texts,
                        op,
                        types.length[typ],
                        addr,
                        size,
                        bits,
                        second,
                        quote,
                    )
                    packed += more
                    text += np.int64(content)
                    missing += np.int64(absent)
                    if strangeness == IS_FUNCTION:
                        functions += 1
                        behind += 1 if _keeps(index, owners, bits, head) else 0
                    unknown += 1 if strangeness == IS_UNKNOWN else 0
                    no_json += 1 if strangeness == HAS_NO_JSON else 0
                elif op == POINTER:
                    target = bits
                    packed += ONE
                    if not target:
                        null = True
                    else:
                        hops += 1
                        typ = u64(types.elem[typ])
                        mine = _entered(index, owners, target, head)
                        if mine == u64(_NOBODY):
                            shared += 1
                            null = True
                        elif hops > _MOST_HOPS or _is_on_stack(stack, depth, target, typ):
                            cycles += 1
                            null = True
                        else:
                            addr, head, origin, tail = target, mine, target, True
                            flags |= u64(_ADDRESSABLE)
                elif op == INTERFACE:
                    word = bits
                    packed += u64(2) if word else ONE
                    if not word:
                        null = True
                    else:
                        hops += 1
                        typ = dynamic_type(dynamic, word)
                        target = addr + u64(8)
                        mine = head
                        if typ and not types.direct[typ]:
                            target = _word(memory, target)
                            mine = _entered(index, owners, target, head)
                        if not typ and strange[ZERO] + ONE < u64(strange.size):
                            strange[ZERO] += ONE
                            strange[strange[ZERO]] = word
                            retry = True
                            break
                        if not typ or hops > _MOST_HOPS:
                            unknown += 1
                            null = True
                        elif mine == u64(_NOBODY):
                            shared += 1
                            null = True
                        elif not types.direct[typ] and _is_on_stack(stack, depth, target, typ):
                            cycles += 1
                            null = True
                        else:
                            addr, head, tail = target, mine, True
                            if not types.direct[typ]:
                                origin = target
                            flags &= ~u64(_ADDRESSABLE | _QUOTED)
                elif depth == u64(stack.shape[0]):
                    deep += 1
                    null = True
                else:
                    begin, items = addr, ZERO
                    frame = True
                    if op == STRUCT:
                        items = u64(types.items[typ])
                        count = u64(2)
                    elif op == ARRAY:
                        items = types.length[typ]
                        count = u64(2) + (items - ONE if items else ZERO)
                    elif op == SLICE:
                        data, items = bits, second
                        stored = items <= third and not items >> u64(40)
                        packed += varint_bytes(items) if stored else ONE
                        mine = _entered(index, owners, data, head) if items else head
                        if not data or not stored:
                            unknown += 0 if stored else 1
                            null, frame = True, False
                        elif mine == u64(_NOBODY):
                            shared += 1
                            null, frame = True, False
                        elif items and _is_on_stack(stack, depth, data, typ):
                            cycles += 1
                            null, frame = True, False
                        else:
                            head, origin, begin = mine, data, data
                            flags |= u64(_ADDRESSABLE)
                            count = u64(2) + (items - ONE if items else ZERO)
                    else:
                        data = bits
                        mine = _entered(index, owners, data, head) if data else head
                        entries = _word(memory, data + release.maps.used) if data else ZERO
                        packed += varint_bytes(entries)
                        if not data:
                            null, frame = True, False
                        elif mine == u64(_NOBODY):
                            shared += 1
                            null, frame = True, False
                        elif _is_on_stack(stack, depth, data, typ):
                            cycles += 1
                            null, frame = True, False
                        else:
                            head, origin, begin = mine, data, data
                            count = u64(2)
                            flags &= ~u64(_ADDRESSABLE)
                            items = array_count(memory, release.maps, data)
                    if frame:
                        stack[depth, u64(_KIND)] = u64(op)
                        stack[depth, u64(_ADDR)] = begin
                        stack[depth, u64(_TYPE)] = typ
                        stack[depth, u64(_INDEX)] = ZERO
                        stack[depth, u64(_COUNT)] = items
                        stack[depth, u64(_FLAGS)] = flags & ~u64(_QUOTED)
                        stack[depth, u64(_HEAD)] = head
                        stack[depth, u64(_SHOWN)] = ZERO
                        stack[depth, u64(_ALL)] = ZERO
                        stack[depth, u64(_GROUPS)] = ZERO
                        stack[depth, u64(_GROUP_COUNT)] = ZERO
                        stack[depth, u64(_TABLE)] = ZERO
                        stack[depth, u64(_LAST_TABLE)] = ZERO
                        stack[depth, u64(_PHASE)] = ZERO
                        stack[depth, u64(_SLOT)] = ZERO
                        stack[depth, u64(_FROM)] = origin
                        origin = ZERO
                        depth += ONE
                if tail:
                    entering = True
                    continue
                if null:
                    count = u64(4)
                shown += count * show
                everything += count * show_all
                origin = ZERO
            if depth == ZERO:
                break
            at = depth - ONE
            kind, typ = stack[at, u64(_KIND)], stack[at, u64(_TYPE)]
            flags, head = stack[at, u64(_FLAGS)], stack[at, u64(_HEAD)]
            i, hops = stack[at, u64(_INDEX)], 0
            if kind == u64(MAP):
                row = u64(types.first[typ])
                slot = stack[at, u64(_SLOT)]
                groups = stack[at, u64(_GROUPS)]
                if stack[at, u64(_PHASE)]:
                    # The key was walked: on to its element.
                    stack[at, u64(_PHASE)] = ZERO
                    addr = groups + types.maps[row, u64(5)] + slot * types.maps[row, u64(6)]
                    if types.maps[row, u64(8)]:
                        addr = _word(memory, addr)
                    typ = u64(types.maps[row, u64(7)])
                    stack[at, u64(_SLOT)] = slot + ONE
                    entering = True
                    mine = _entered(index, owners, addr, head)
                    if mine != u64(_NOBODY):
                        head = mine
                    continue
                if slot == u64(8):
                    slot = ZERO
                    _next_group(memory, release.maps, types.maps[row, ZERO], stack, at)
                    i, groups = stack[at, u64(_INDEX)], stack[at, u64(_GROUPS)]
                visited += 1
                if visited > unit_budget:
                    exhausted = True
                    break
                if i >= stack[at, u64(_GROUP_COUNT)]:
                    table = stack[at, u64(_TABLE)]
                    if table >= stack[at, u64(_COUNT)]:
                        depth -= ONE
                        continue
                    _open_table(memory, release.maps, stack, at, table)
                    continue
                stack[at, u64(_SLOT)] = slot + ONE
                if slot == ZERO and not _is_present(memory, groups):
                    missing += np.int64(types.maps[row, ZERO])
                if not is_full(release.maps, read_byte(memory, groups + slot)):
                    continue
                # The entry stays current until its element is walked.
                stack[at, u64(_SLOT)] = slot
                stack[at, u64(_PHASE)] = ONE
                show, show_all = flags & u64(_SHOW), (flags & u64(_SHOW_ALL)) >> ONE
                addr = groups + types.maps[row, ONE] + slot * types.maps[row, u64(2)]
                if types.maps[row, u64(4)]:
                    addr = _word(memory, addr)
                typ = u64(types.maps[row, u64(3)])
                op = types.op[typ]
                count = ONE + stack[at, u64(_ALL)]
                stack[at, u64(_ALL)] = ONE
                if op in (INT, UINT, NUMBER):
                    flags |= u64(_QUOTED)
                elif op != STRING:
                    # No JSON key, unless by a method of its own: its JSON text in quotes stands for it.
                    count += u64(2)
                    no_json += 1 if types.method[typ] == NO_METHOD else 0
                shown += count * show
                everything += count * show_all
                mine = _entered(index, owners, addr, head)
                if mine != u64(_NOBODY):
                    head = mine
                entering = True
                continue
            if i == stack[at, u64(_COUNT)]:
                depth -= ONE
                continue
            stack[at, u64(_INDEX)] = i + ONE
            if kind != u64(STRUCT):
                typ = u64(types.elem[typ])
                addr = stack[at, u64(_ADDR)] + i * types.size[typ]
                entering = True
                continue
            field = u64(types.first[typ]) + i
            marks = u64(types.field_flags[field])
            addr = stack[at, u64(_ADDR)]
            lost = False
            for h in range(u64(types.field_hops[field])):
                addr = _word(memory, addr + types.hops[u64(types.field_hop[field]) + h])
                if not addr:
                    lost = True
                    break
                mine = _entered(index, owners, addr, head)
                if mine == u64(_NOBODY):
                    shared += 1
                    lost = True
                    break
                head = mine
                flags |= u64(_ADDRESSABLE)
            if lost:
                continue
            addr += types.field_offset[field]
            typ = u64(types.field_type[field])
            if types.op[typ] == MISSING:
                needed[typ] = 1
                retry = True
                break
            if marks & u64(HIDDEN):
                hidden += 1
                if not flags & u64(_REVEAL):
                    flags &= ~u64(_SHOW)
            elif marks & u64(OMIT_EMPTY | OMIT_ZERO):
                empty = marks & u64(OMIT_EMPTY) and is_empty(memory, types, release, addr, typ, False)
                if not empty and marks & u64(OMIT_ZERO):
                    empty = is_empty(memory, types, release, addr, typ, True)
                if empty:
                    flags &= ~u64(_SHOW | _SHOW_ALL)
            if flags & u64(_SHOW):
                shown += types.field_key[field] + stack[at, u64(_SHOWN)]
                stack[at, u64(_SHOWN)] = ONE
            if flags & u64(_SHOW_ALL):
                everything += types.field_key[field] + stack[at, u64(_ALL)]
                stack[at, u64(_ALL)] = ONE
            if marks & u64(QUOTED):
                flags |= u64(_QUOTED)
            entering = True
        used += visited
        if retry:
            u += ONE
            continue
        if exhausted:
            status[u] = TOO_LARGE
            u += ONE
            continue
        sizes[u, VISIBLE], sizes[u, FULL], sizes[u, PACKED] = shown, everything, packed
        status[u] = DONE
        notes[SHARED] += shared
        notes[CYCLES] += cycles
        notes[TOO_DEEP] += deep
        notes[FUNCTIONS] += functions
        notes[MARSHALERS] += marshalers
        notes[UNKNOWN_TYPES] += unknown
        notes[MISSING_BYTES] += missing
        notes[NO_JSON] += no_json
        notes[HIDDEN_FIELDS] += hidden
        notes[VALUES] += visited
        notes[TEXT_BYTES] += text
        notes[KEPT_BEHIND] += behind
        u += ONE
    return u

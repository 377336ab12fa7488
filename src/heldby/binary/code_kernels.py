"""What the amd64 and the arm64 scanner share: how knowledge of registers is joined, and what calls tell.

Compiled code is typed: a register that lives across a join holds a value of one static type on every way.
So where ways meet, knowledge of a type wins over no knowledge; knowledge of an identity (this very address)
holds only when all ways agree.
"""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.binary.code_constants import (
    ADDRESS,
    CONFLICT,
    FRESH,
    INSIDE,
    LOADED,
    RELATION_CALL,
    RELATION_HOLDS,
    RELATION_IS,
    RELATION_POINTS_TO,
    RELATION_RECEIVER,
    RELATION_RECEIVER_ADDRESS,
    RELATION_SLICE_OF,
    RESULT_IS,
    RESULT_POINTS_TO,
    RESULT_SLICE_OF,
    ROLE_ALLOCATE,
    ROLE_CLEAR,
    ROLE_COPY_SLICE,
    ROLE_GROW_SLICE,
    ROLE_MAKE,
    ROLE_MAKE_SLICE,
    ROLE_MAKE_SMALL,
    ROLE_MAP,
    ROLE_METHOD,
    ROLE_MOVE,
    ROLE_NEW,
    ROLE_OTHER,
    ROLE_STORE_POINTER,
    SPILL_WORDS,
    UNKNOWN,
)
from heldby.jit import inline_kernel


@inline_kernel
def is_typed(kind):
    """Whether a register's kind says a type, not an identity."""
    return (kind >= RESULT_IS and kind <= RESULT_SLICE_OF) or kind == FRESH or kind == INSIDE  # noqa: PLR1714


@inline_kernel
def forget(kinds):
    """Know nothing of any register."""
    for r in range(kinds.shape[0]):
        kinds[r] = UNKNOWN


@inline_kernel
def jump_to(joins, slot, address, kinds, values):
    """Remember, or join with what is remembered, the registers that a jump to `address` brings."""
    registers = kinds.shape[0]
    if joins[slot, 0] != address:
        joins[slot, 0] = address
        for r in range(registers):
            joins[slot, 1 + r] = kinds[r]
            joins[slot, 1 + registers + r] = values[r]
        return
    for r in range(registers):
        kind, other = kinds[r], joins[slot, 1 + r]
        if kind == other and values[r] == joins[slot, 1 + registers + r]:
            continue
        if is_typed(kind) and not is_typed(other):
            joins[slot, 1 + r] = kind
            joins[slot, 1 + registers + r] = values[r]
        elif is_typed(kind) or not is_typed(other):
            joins[slot, 1 + r] = UNKNOWN


@inline_kernel
def arrive(joins, slot, alive, kinds, values):
    """Join the registers with those that jumps to this place brought; forget the jumps."""
    registers = kinds.shape[0]
    for r in range(registers):
        kind, other = kinds[r], joins[slot, 1 + r]
        if kind == other and values[r] == joins[slot, 1 + registers + r]:
            continue
        if not alive or (is_typed(other) and not is_typed(kind)):
            kinds[r] = other
            values[r] = joins[slot, 1 + registers + r]
        elif is_typed(other) or not is_typed(kind):
            kinds[r] = UNKNOWN
    joins[slot, 0] = 0


@inline_kernel
def note_return(learnt, function, kind, value):
    """Learn the type of a function's first result from one return; what is not known does not count."""
    if kind < RESULT_IS or kind > RESULT_SLICE_OF:
        return
    if learnt[function, 0] == UNKNOWN:
        learnt[function, 0] = kind
        learnt[function, 1] = value
    elif learnt[function, 0] != kind or learnt[function, 1] != value:
        learnt[function, 0] = CONFLICT


@inline_kernel
def tell(evidence, told, address, relation, subject):
    """Write down one piece of evidence; return how many there are."""
    if told < evidence.shape[0]:
        evidence[told, 0] = address
        evidence[told, 1] = relation
        evidence[told, 2] = subject
        told += 1
    return told


@inline_kernel
def row_of(numbers, wanted):
    """Return the row of a number in an ascending column of them, -1 where it is not there."""
    first, last = 0, numbers.shape[0]
    while first < last:
        middle = (first + last) >> 1
        if numbers[middle] < wanted:
            first = middle + 1
        else:
            last = middle
    if first < numbers.shape[0] and numbers[first] == wanted:
        return first
    return -1


@inline_kernel
def call(
    callee, role, known, known_value, state, data, kinds, values, a0, a1, a2, a4, spills, generation, place,
    evidence, told,
):  # fmt: skip
    """Write down what a call tells, and leave in the registers what it returns; return the evidence count.

    Args:
        callee: address of the called function.
        role: its ``ROLE_*``.
        known: what is known of its first result.
        known_value: likewise.
        state: ``int64[1]``, see `scan_amd64`.
        data: ``int64[2]``, bounds of the data.
        kinds: ``int64[registers]``, what registers hold.
        values: likewise.
        a0: register of the first argument and of the first result.
        a1: register of the second argument.
        a2: of the third.
        a4: of the fifth.
        spills: ``int64[SPILL_WORDS, 3]``.
        generation: of the spills that count.
        place: address of the call.
        evidence: ``int64[capacity, 3]``.
        told: how many of its rows are written.
    """
    kind0, kind1, kind2 = kinds[a0], kinds[a1], kinds[a2]
    about = np.int64(0)
    relation = np.int64(0)
    subject = values[a0]
    if role == ROLE_MAP and kind0 == ADDRESS:
        if kind1 == LOADED:
            about, relation = values[a1], np.int64(RELATION_IS)
        elif kind1 == RESULT_POINTS_TO and state[0] == 0:
            state[0] = values[a1]
        elif kind1 == FRESH:
            for w in range(SPILL_WORDS):
                if spills[w, 0] == generation and spills[w, 1] == FRESH and spills[w, 2] == values[a1]:
                    spills[w, 1] = RESULT_IS
                    spills[w, 2] = values[a0]
    elif (role == ROLE_MOVE or role == ROLE_CLEAR) and kind0 == ADDRESS:  # noqa: PLR1714
        if kind1 == ADDRESS:
            about, relation = values[a1], np.int64(RELATION_HOLDS)
        elif kind2 == ADDRESS and role == ROLE_MOVE:
            about, relation = values[a2], np.int64(RELATION_HOLDS)
    elif role == ROLE_COPY_SLICE and kind0 == ADDRESS and kind1 == LOADED:
        about, relation = values[a1], np.int64(RELATION_SLICE_OF)
    elif role == ROLE_GROW_SLICE and kinds[a4] == ADDRESS and kind0 == LOADED:
        about, relation, subject = values[a0], np.int64(RELATION_SLICE_OF), values[a4]
    elif role == ROLE_STORE_POINTER and kind0 == ADDRESS:
        if kind1 == RESULT_POINTS_TO:
            about, relation, subject = values[a0], np.int64(RELATION_POINTS_TO), values[a1]
        elif kind2 == RESULT_POINTS_TO:
            about, relation, subject = values[a0], np.int64(RELATION_POINTS_TO), values[a2]
    elif role == ROLE_METHOD and kind0 == LOADED:
        about, relation, subject = values[a0], np.int64(RELATION_RECEIVER), callee
    elif role == ROLE_METHOD and kind0 == ADDRESS:
        about, relation, subject = values[a0], np.int64(RELATION_RECEIVER_ADDRESS), callee
    if relation != 0 and about >= data[0] and about < data[1]:
        told = tell(evidence, told, about, relation, subject)
    # Which types calls are about that allocate or keep data; 0 where a generic function's dictionary says it.
    if role == ROLE_NEW and kind0 == ADDRESS:
        told = tell(evidence, told, place, np.int64(RELATION_CALL), values[a0])
    elif role == ROLE_ALLOCATE and kind1 == ADDRESS:
        told = tell(evidence, told, place, np.int64(RELATION_CALL), values[a1])
    elif role == ROLE_MAP:
        told = tell(evidence, told, place, np.int64(RELATION_CALL), values[a0] if kind0 == ADDRESS else 0)
    elif role == ROLE_GROW_SLICE:
        told = tell(evidence, told, place, np.int64(RELATION_CALL), values[a4] if kinds[a4] == ADDRESS else 0)
    kind = np.int64(UNKNOWN)
    value = values[a0]
    if role == ROLE_NEW and kind0 == ADDRESS:
        kind = np.int64(RESULT_POINTS_TO)
    elif role == ROLE_MAKE and kind0 == ADDRESS:
        kind = np.int64(RESULT_IS)
    elif role == ROLE_MAKE_SLICE and kind0 == ADDRESS:
        kind = np.int64(RESULT_SLICE_OF)
    elif role == ROLE_ALLOCATE and kind1 == ADDRESS:
        kind, value = np.int64(RESULT_POINTS_TO), values[a1]
    elif role == ROLE_GROW_SLICE and kinds[a4] == ADDRESS:
        kind, value = np.int64(RESULT_SLICE_OF), values[a4]
    elif (role == ROLE_OTHER or role == ROLE_METHOD) and known > UNKNOWN:  # noqa: PLR1714
        kind, value = known, known_value
    if role == ROLE_MAKE_SMALL or (kind == RESULT_POINTS_TO and value == state[0]):
        kind, value = np.int64(FRESH), place
    forget(kinds)
    kinds[a0] = kind
    values[a0] = value
    return told

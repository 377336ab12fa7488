"""What the amd64 and the arm64 scanner share to follow typed pointers, and the stores through them.

Go's static types make it sound to learn from one call what a function's argument is: all its callers pass the
same type. Not so the data word of an interface, which is typed by the word before it: see `teach`.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.binary.code_constants import (
    ADDRESS,
    CONFLICT,
    ELEMENT_WORD,
    INSIDE,
    MOST_OFFSET,
    NIL,
    OFFSET_BITS,
    RESULT_IS,
    RESULT_POINTS_TO,
    RESULT_SLICE_OF,
    ROLE_MAP,
    ROLE_MOVE,
    ROLE_STORE_POINTER,
    UNKNOWN,
)
from heldby.binary.code_kernels import row_of
from heldby.jit import inline_kernel


class TypeFlow(NamedTuple):
    """What is known of types before a pass over the code, and room for what it learns.

    A *place* is a type's id and a byte offset in it, or a variable's address and 0: ``id << OFFSET_BITS | offset``.

    Attributes:
        order: ``int64[ARGUMENTS]``, registers of the arguments, then that of a closure's captures.
        arguments: ``int64[functions, ARGUMENTS, 2]``, kind and value of what functions are called with.
        learnt: the same, zeroed: what this pass finds out of them.
        words: ``int64[w]``, places of the pointers in types and variables, ascending.
        kinds: ``int64[w]``, what they are: `UNKNOWN`, or one of ``RESULT_*``.
        values: ``int64[w]``, of which type.
        stores: ``int64[capacity, 3]``: instruction, place, what is stored: ``value << 4 | kind``.
    """

    order: NDArray[np.int64]
    arguments: NDArray[np.int64]
    learnt: NDArray[np.int64]
    words: NDArray[np.int64]
    kinds: NDArray[np.int64]
    values: NDArray[np.int64]
    stores: NDArray[np.int64]


@inline_kernel
def place_of(kind, value, displacement):
    """Return the place that lies `displacement` bytes behind what a register points to, -1 when that is not known."""
    if displacement < 0 or displacement >= MOST_OFFSET:
        return np.int64(-1)
    if kind == RESULT_POINTS_TO or kind == RESULT_SLICE_OF:  # noqa: PLR1714
        return (value << OFFSET_BITS) | displacement
    if kind == INSIDE and (value & (MOST_OFFSET - 1)) + displacement < MOST_OFFSET:
        return value + displacement
    if kind == ADDRESS:
        return (value + displacement) << OFFSET_BITS
    return np.int64(-1)


@inline_kernel
def enter(arguments, order, function, kinds, values):
    """Put what a function is called with into the registers."""
    for a in range(order.shape[0]):
        if arguments[function, a, 0] > UNKNOWN:
            kinds[order[a]] = arguments[function, a, 0]
            values[order[a]] = arguments[function, a, 1]


@inline_kernel
def learn(learnt, function, argument, kind, value):
    """Learn from one call what an argument is."""
    if learnt[function, argument, 0] == UNKNOWN:
        learnt[function, argument, 0] = kind
        learnt[function, argument, 1] = value
    elif learnt[function, argument, 0] != kind or learnt[function, argument, 1] != value:
        learnt[function, argument, 0] = CONFLICT


@inline_kernel
def teach(learnt, function, order, kinds, values, data):
    """Learn from a call what its arguments are.

    Behind the address of read-only data (a type descriptor, an itab) may stand the data word of an interface: the
    next call may pass another type there.
    """
    dynamic = False
    for a in range(order.shape[0] - 1):
        kind, value = kinds[order[a]], values[order[a]]
        if kind >= RESULT_IS and kind <= RESULT_SLICE_OF:
            if dynamic:
                learnt[function, a, 0] = CONFLICT
            else:
                learn(learnt, function, a, kind, value)
        dynamic = kind == ADDRESS and (value < data[0] or value >= data[1])


@inline_kernel
def note_store(stores, state, instruction, place, kind, value):
    """Write down that something from the heap is stored; static data and nil keep nothing."""
    if place > 0 and kind != NIL and kind != ADDRESS and state[1] < stores.shape[0]:  # noqa: PLR1714
        row = state[1]
        stores[row, 0] = instruction
        stores[row, 1] = place
        stores[row, 2] = (value << 4) | kind if kind >= RESULT_IS and kind <= RESULT_SLICE_OF else 0
        state[1] = row + 1


@inline_kernel
def note_typed_store(flow, state, instruction, base_kind, base_value, displacement, kind, value):
    """Write down a store through a typed pointer, into one of its type's pointer words."""
    place = place_of(base_kind, base_value, displacement)
    if place > 0 and (base_kind == ADDRESS or row_of(flow.words, place) >= 0):
        note_store(flow.stores, state, instruction, place, kind, value)


@inline_kernel
def note_copy(flow, state, role, place, kinds, values, a0, a1, a2):
    """Write down the stores that a call of the runtime makes: of a whole value, of a pointer atomically."""
    if role == ROLE_MOVE and kinds[a0] == ADDRESS:
        to = place_of(kinds[a1], values[a1], np.int64(0))
        note_store(flow.stores, state, place, to, np.int64(RESULT_IS), values[a0])
    elif role == ROLE_STORE_POINTER:
        note_typed_store(flow, state, place, kinds[a0], values[a0], np.int64(0), kinds[a1], values[a1])


@inline_kernel
def entry_of_map(flow, role, kind, value):
    """Return which elements a call leads to that looks up or assigns in a map of this type; 0 for none."""
    if role == ROLE_MAP and kind == ADDRESS:
        row = row_of(flow.words, (value << OFFSET_BITS) | ELEMENT_WORD)
        if row >= 0:
            return flow.values[row]
    return np.int64(0)

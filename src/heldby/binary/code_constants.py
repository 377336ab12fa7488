"""Numbers shared by the code scanners and `heldby.binary.code_references`."""

from __future__ import annotations

from typing import Final

STORE: Final = 1
ADDRESS_TAKEN: Final = 2

# What a called function does with type descriptors; the first arguments are in AX BX CX DI SI
# (R0 R1 R2 R3 R4 on arm64).
ROLE_OTHER: Final = 0
ROLE_NEW: Final = 1  # (type) *type
ROLE_ALLOCATE: Final = 2  # (size, type, ...) *type
ROLE_MAKE: Final = 3  # (type, ...) type: maps, channels
ROLE_MAKE_SLICE: Final = 4  # (elem, ...) []elem
ROLE_GROW_SLICE: Final = 5  # (old, ..., elem as the fifth) []elem
ROLE_MAP: Final = 6  # (map type, map, ...)
ROLE_MOVE: Final = 7  # (type, to *type, from *type)
ROLE_COPY_SLICE: Final = 8  # (elem, to, n, from, n)
ROLE_BARRIER: Final = 9  # keeps all argument registers
ROLE_METHOD: Final = 10  # a method with a pointer receiver
ROLE_MAKE_SMALL: Final = 11  # () map: which one is told by what is done with it
ROLE_STORE_POINTER: Final = 12  # (to, [old,] new): sync/atomic
ROLE_CLEAR: Final = 13  # (type, what *type)

RELATION_IS: Final = 1
RELATION_POINTS_TO: Final = 2
RELATION_SLICE_OF: Final = 3
RELATION_HOLDS: Final = 4
RELATION_RECEIVER: Final = 5
RELATION_RECEIVER_ADDRESS: Final = 6
RELATION_CALL: Final = 7
"""Not of data: the address is that of a call that allocates, uses a map or grows a slice."""

# What a register or a spilled word is known to hold.
UNKNOWN: Final = 0
ADDRESS: Final = 1  # of data
LOADED: Final = 2  # the word at that address of data
RESULT_IS: Final = 3  # a value of the type with this descriptor
RESULT_POINTS_TO: Final = 4
RESULT_SLICE_OF: Final = 5
PAGE: Final = 6  # arm64: what ADRP left
NIL: Final = 7
FRESH: Final = 8  # a new map of a type not known yet; the value numbers it
INSIDE: Final = 9  # a pointer to this place (see `heldby.binary.flow_kernels.TypeFlow`)

CONFLICT: Final = -1
"""Of a function's result: its returns do not agree, or one is not understood."""

PASSES: Final = 3
"""What functions return is learnt in one pass and used in the next; chains of calls are seldom longer."""

JOINS: Final = 256
"""Forward jumps whose registers are remembered at a time, a power of two."""

SPILL_WORDS: Final = 512
"""Words of the frame that are followed."""

ARGUMENTS: Final = 10
"""Registers that are followed into a called function: nine arguments, and a closure's captures."""

OFFSET_BITS: Final = 15
MOST_OFFSET: Final = 1 << OFFSET_BITS
"""Bytes of a type that places are known in."""

ELEMENT_WORD: Final = MOST_OFFSET - 1
"""Not an offset: which place in a map's type says what its elements are."""

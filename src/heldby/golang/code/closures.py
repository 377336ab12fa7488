"""Closures: heap objects that start with the entry address of a function, then what it captured.

The function table names the function, stripped or not. What was captured is told by the debug information
where there is any, and otherwise by the closure's own descriptor, an unnamed struct ``{ F uintptr; X0 ... }``
(cmd/compile/internal/typecheck, ClosureType) that the words and pointer bits single out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import FunctionTable
from heldby.golang.types.types import KIND_CLOSURE, Field, GoType, TypeTable

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
Captures = Callable[[int], Sequence[Field]]
"""From the entry address of a function to what it captured, with offsets in the closure; empty if unknown."""

CLOSURE_STRUCT: Final = "struct { F uintptr"
_CLOSURE_FUNCTION: Final = re.compile(r"\.func\d|\.gowrap\d|\.deferwrap\d|-fm$|-range\d")


def is_closure_function(name: str) -> bool:
    """Tell whether a function is one that only closures start with."""
    return _CLOSURE_FUNCTION.search(name) is not None


@dataclass(frozen=True, slots=True)
class ClosureStructs:
    """The descriptors of closures: ``uint32[k]`` numbers, their slot sizes and pointer masks."""

    numbers: U32
    slot: U64
    mask: U64

    @classmethod
    def of(cls, types: TypeTable, slot_bytes: Callable[[U64], U64]) -> ClosureStructs:
        """Collect them from the type table."""
        numbers = np.array(types.starting_with(CLOSURE_STRUCT), np.uint32)
        return cls(numbers, slot_bytes(types.size[numbers].astype(np.uint64)), types.pointer_mask[numbers])

    def fitting(self, elemsize: int, bits: int) -> U32:
        """Return the structs that a closure of this slot size and these pointer bits can be."""
        chosen: U32 = self.numbers[(self.slot == elemsize) & (self.mask == bits)]
        return chosen


def entries_of(functions: FunctionTable, words: U64) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Tell which words are the entry of a closure's function, and the function of each word (-1: none)."""
    distinct, inverse = np.unique(words, return_inverse=True)
    index = functions.indexes(distinct)
    entry = np.zeros(distinct.size, np.bool_)
    inside = np.flatnonzero(index >= 0)
    entry[inside] = functions.arrays.entry[index[inside]] == distinct[inside]
    for row in np.flatnonzero(entry).tolist():
        entry[row] = is_closure_function(functions.name(int(index[row])))
    return entry[inverse], index[inverse]


def closure_type(
    types: TypeTable, name: str, elemsize: int, bits: int, *, struct: int, captured: Sequence[Field]
) -> int:
    """Make the type of the closures of one function.

    Args:
        types: gets the new type.
        name: of the function.
        elemsize: bytes of the slot.
        bits: pointer bits of the slot.
        struct: the closure's own descriptor, 0 when it is not known.
        captured: what the debug information says; empty when it does not.
    """
    fields: list[Field] = []
    size, prefix = elemsize, bits.bit_length() * 8
    if struct:
        of = types[struct]
        size, prefix = of.size, of.ptrbytes
        names = {field.offset: field.name for field in captured}
        for number, field in enumerate(of.fields[1:]):
            plain = "receiver" if field.name == "R" else f"captured[{number}]"
            fields.append(Field(names.get(field.offset, plain), field.type, field.offset))
    elif captured:
        fields = [field for field in captured if field.offset + int(types.size[field.type]) <= elemsize]
    else:
        pointer = next(iter(types.named("unsafe.Pointer")), 0)
        words = [word for word in range(1, min(elemsize // 8, 64)) if bits >> word & 1]
        fields = [Field(f"captured[{word - 1}]", pointer, word * 8) for word in words]
    known = GoType(name=f"func {name}", kind=KIND_CLOSURE, size=size, ptrbytes=prefix, fields=tuple(fields))
    return types.add(known, pointer_mask=bits)

"""`Dwarf`: the debug information of an executable as the rest of heldby wants it.

Opening costs one pass over ``.debug_info`` (0.1 s for a program of 100 MB, beside its decompression);
types and the variables of functions are read when asked for. docs/decisions/0002-dwarf.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heldby.binary import dwarf_constants as dw
from heldby.binary.dwarf_entries import DwarfEntries
from heldby.binary.dwarf_functions import DwarfFunctions
from heldby.binary.dwarf_types import DwarfType, DwarfTypes
from heldby.binary.executable import Executable

_QUALIFIERS = (dw.TAG_TYPEDEF, dw.TAG_CONST_TYPE, dw.TAG_VOLATILE_TYPE)
_POINTERS = (dw.TAG_POINTER_TYPE, dw.TAG_SUBROUTINE_TYPE)
_TYPES = (
    *(dw.TAG_ARRAY_TYPE, dw.TAG_POINTER_TYPE, dw.TAG_STRUCTURE_TYPE, dw.TAG_SUBROUTINE_TYPE),
    *(dw.TAG_TYPEDEF, dw.TAG_BASE_TYPE, dw.TAG_UNION_TYPE),
)
_MAX_CHAIN = 32


@dataclass(frozen=True, slots=True)
class GlobalTable:
    """Variables with a fixed address, by address.

    Attributes:
        addresses: ``uint64[n]``, static, ascending.
        sizes: ``int64[n]`` bytes, -1 where the type does not say.
        type_offsets: ``int64[n]``, for `DwarfTypes.at`; 0 for none.
    """

    addresses: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    type_offsets: NDArray[np.int64]
    _rows: NDArray[np.int64]
    _entries: DwarfEntries
    _types: DwarfTypes

    def __len__(self) -> int:
        return len(self.addresses)

    def name(self, index: int) -> str:
        """Return the name of variable `index`, with its package path."""
        return self._entries.row_name(int(self._rows[index]))

    def names(self) -> list[str]:
        """Return all names; about 0.4 µs each."""
        return self._entries.row_names(self._rows)

    def type(self, index: int) -> DwarfType | None:
        """Return the type of variable `index`, None when it cannot be read."""
        return self._types.at(int(self.type_offsets[index]))

    def at(self, address: int) -> int | None:
        """Return the index of the variable that covers static `address`, or None."""
        if not 0 <= address < 1 << 64:
            return None
        index = int(np.searchsorted(self.addresses, np.uint64(address), "right")) - 1
        if index < 0:
            return None
        covered = max(int(self.sizes[index]), 1)
        return index if address < int(self.addresses[index]) + covered else None


class Dwarf:
    """Debug information of one executable.

    Attributes:
        entries: the raw entries.
        types: all types, by offset.
    """

    def __init__(self, executable: Executable) -> None:
        self.entries = DwarfEntries(executable)
        self.types = DwarfTypes(self.entries)

    @property
    def damaged_units(self) -> int:
        """How many compile units could not be read to their end."""
        return self.entries.damaged_units

    @cached_property
    def functions(self) -> DwarfFunctions:
        """The functions with code, by address."""
        return DwarfFunctions(self.entries, self.types)

    @cached_property
    def globals(self) -> GlobalTable:
        """All variables with a fixed address: package-level ones of Go, and those of C in cgo programs."""
        table = self.entries.table
        rows = np.flatnonzero((table[:, 1] == dw.TAG_VARIABLE) & (table[:, 6] == dw.ADDRESS_DIRECT))
        rows = rows[table[rows, 5] > 0]
        rows = rows[np.argsort(table[rows, 5], kind="stable")]
        types = table[rows, 4]
        return GlobalTable(
            table[rows, 5].astype(np.uint64), self._sizes(types), types, rows, self.entries, self.types
        )

    @cached_property
    def _global_indexes(self) -> dict[str, int]:
        return {name: index for index, name in reversed(list(enumerate(self.globals.names())))}

    def find_global(self, name: str) -> int | None:
        """Return the index in `globals` of the variable called `name`, or None."""
        return self._global_indexes.get(name)

    @cached_property
    def constants(self) -> dict[str, int]:
        """Named integer constants (``runtime.tinySizeClass`` ...), signed."""
        table = self.entries.table
        rows = np.flatnonzero((table[:, 1] == dw.TAG_CONSTANT) & (table[:, 6] == dw.ADDRESS_CONSTANT))
        return dict(zip(self.entries.row_names(rows), table[rows, 5].tolist(), strict=True))

    @cached_property
    def _type_offsets(self) -> dict[str, int]:
        table = self.entries.table
        rows = np.flatnonzero(np.isin(table[:, 1], _TYPES))
        # A struct and the typedef that the linker writes beside it share a name; the typedef, read last,
        # leads to the same shape.
        return dict(zip(self.entries.row_names(rows), table[rows, 0].tolist(), strict=True))

    def find_type(self, name: str) -> DwarfType | None:
        """Return the type called `name` (``runtime.mspan``), or None."""
        offset = self._type_offsets.get(name)
        return None if offset is None else self.types.at(offset)

    def _sizes(self, type_offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sizes in bytes of the types at these offsets, -1 for unknown; all at once."""
        table = self.entries.table
        if not len(table):
            return np.full(len(type_offsets), -1, np.int64)
        rows, sound = self._rows_of(type_offsets)
        for _ in range(_MAX_CHAIN):
            named = np.flatnonzero(sound & np.isin(table[rows, 1], _QUALIFIERS))
            if not named.size:
                break
            rows[named], sound[named] = self._rows_of(table[rows[named], 4])
        sizes: NDArray[np.int64] = table[rows, 7].copy()
        sizes[np.isin(table[rows, 1], _POINTERS)] = 8
        sizes[~sound | np.isin(table[rows, 1], _QUALIFIERS)] = -1
        return sizes

    def _rows_of(self, offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        keys = self.entries.table[:, 0]
        rows = np.minimum(np.searchsorted(keys, offsets), len(keys) - 1)
        return rows, keys[rows] == offsets


def read_dwarf(executable: Executable) -> Dwarf | None:
    """Return the debug information in `executable`, or None when it has none.

    Raises:
        FormatError: a debug section cannot be decompressed.
    """
    return Dwarf(executable) if executable.has_dwarf else None

"""The frame of ``.debug_info``: unit headers and abbreviation tables, as arrays for the kernel.

Go's linker writes one abbreviation table for all its units; C compilers write one per unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary.dwarf_constants import FORM_IMPLICIT_CONST, SKIP_UNKNOWN, SKIPS

_MAX_CODE = 1 << 16
_MAX_ABBREVIATIONS = 1 << 22  # codes, rows and specs of all tables together
_MAX_SPECS = 512  # of one abbreviation; compilers write about 20
_UNIT_COMPILE: Final = 1


@dataclass(frozen=True, slots=True)
class Units:
    """Where each compile unit lies and how its entries are coded.

    Attributes:
        table: ``int64[units, 6]``: header offset, first entry, end, offset size, first index in `code_rows`,
            how many codes its abbreviation table has.
        versions: ``uint8[units]``, the DWARF version.
        code_rows: ``int32[...]``: index in `rows` for each abbreviation code, -1 for none.
        rows: ``int64[abbreviations, 4]``: tag, has children, first spec, end of specs.
        specs: ``int64[specs, 4]``: attribute, form, how to skip it, implicit constant.
        skipped: how many units cannot be read (64-bit type units, other versions, damage).
    """

    table: NDArray[np.int64]
    versions: NDArray[np.uint8]
    code_rows: NDArray[np.int32]
    rows: NDArray[np.int64]
    specs: NDArray[np.int64]
    skipped: int

    def of(self, offset: int) -> int:
        """Return the index of the unit that holds entry `offset`, or -1; O(log units)."""
        if not 0 <= offset < 1 << 62:
            return -1
        index = int(np.searchsorted(self.table[:, 0], offset, "right")) - 1
        if index >= 0 and self.table[index, 1] <= offset < self.table[index, 2]:
            return index
        return -1


def read_units(info: bytes, abbreviations: bytes) -> Units:
    """Read all unit headers of ``.debug_info`` and the abbreviation tables that they use.

    Never raises: what cannot be read is left out and counted.
    """
    tables = _Abbreviations(abbreviations)
    units: list[tuple[int, int, int, int, int, int]] = []
    versions: list[int] = []
    skipped = 0
    position = 0
    while position + 12 <= len(info):
        header = position
        offset_size = 4
        length = int.from_bytes(info[position : position + 4], "little")
        position += 4
        if length == 0xFFFFFFFF:
            offset_size = 8
            length = int.from_bytes(info[position : position + 8], "little")
            position += 8
        end = min(position + length, len(info))
        version = int.from_bytes(info[position : position + 2], "little")
        if version == 5:
            kind, address_size = info[position + 2], info[position + 3] if position + 3 < len(info) else 0
            at = position + 4
            first = at + offset_size
        else:
            kind = _UNIT_COMPILE
            at = position + 2
            first = at + offset_size + 1
            address_size = info[first - 1] if first - 1 < len(info) else 0
        table_offset = int.from_bytes(info[at : at + offset_size], "little")
        usable = version in {2, 3, 4, 5} and kind == _UNIT_COMPILE and address_size == 8 and first < end
        codes = tables.at(table_offset) if usable else None
        if codes is None:
            skipped += 1
        else:
            units.append((header, first, end, offset_size, *codes))
            versions.append(version)
        position = max(end, position + 1)
    return Units(
        np.array(units, np.int64).reshape(-1, 6),
        np.array(versions, np.uint8),
        np.array(tables.code_rows or [-1], np.int32),
        np.array(tables.rows, np.int64).reshape(-1, 4),
        np.array(tables.specs, np.int64).reshape(-1, 4),
        skipped,
    )


class _Abbreviations:
    """The abbreviation tables in use, joined; each is read once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._known: dict[int, tuple[int, int] | None] = {}
        self.code_rows: list[int] = []
        self.rows: list[tuple[int, int, int, int]] = []
        self.specs: list[tuple[int, int, int, int]] = []

    def at(self, offset: int) -> tuple[int, int] | None:
        """Return first index in `code_rows` and number of codes of the table at `offset`; None if damaged."""
        if offset not in self._known:
            total = len(self.specs) + len(self.rows) + len(self.code_rows)
            self._known[offset] = self._read(offset) if total < _MAX_ABBREVIATIONS else None
        return self._known[offset]

    def _read(self, position: int) -> tuple[int, int] | None:
        data, codes = self._data, {}
        try:
            while True:
                code, position = read_uleb(data, position)
                if code == 0:
                    break
                tag, position = read_uleb(data, position)
                children = data[position]
                position += 1
                first = len(self.specs)
                position = self._read_specs(position)
                if code < _MAX_CODE:
                    codes[code] = len(self.rows)
                    self.rows.append((tag & 0xFFFF, children, first, len(self.specs)))
        except IndexError:
            return None
        start = len(self.code_rows)
        count = max(codes, default=0) + 1
        self.code_rows.extend(codes.get(code, -1) for code in range(count))
        return start, count

    def _read_specs(self, position: int) -> int:
        for _ in range(_MAX_SPECS):
            attribute, position = read_uleb(self._data, position)
            form, position = read_uleb(self._data, position)
            constant = 0
            if form == FORM_IMPLICIT_CONST:
                constant, position = read_sleb(self._data, position)
            if attribute == 0 and form == 0:
                return position
            skip = SKIPS.get(form, SKIP_UNKNOWN)
            self.specs.append((attribute & 0xFFFF, form & 0xFFFF, skip, constant))
        raise IndexError


def read_uleb(data: bytes, position: int) -> tuple[int, int]:
    """Return an unsigned LEB128 number below 2**63 and the position after it. Raises IndexError."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        if shift < 63:
            value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & 0x7FFF_FFFF_FFFF_FFFF, position


def read_sleb(data: bytes, position: int) -> tuple[int, int]:
    """Return a signed LEB128 number of 63 bits and the position after it. Raises IndexError."""
    value, end = read_uleb(data, position)
    bits = 7 * (end - position)
    if data[end - 1] & 0x40 and bits < 63:
        value -= 1 << bits
    return value, end

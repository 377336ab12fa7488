"""`DwarfEntries`: the entries of ``.debug_info``, all top ones as a table and any single one on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heldby.binary import dwarf_constants as dw
from heldby.binary.dwarf_units import Units, read_sleb, read_uleb, read_units
from heldby.binary.executable import Executable
from heldby.memory.image import Bytes

_MAX_NAME = 1 << 16
_BLOCK_WIDTHS = {dw.SKIP_BLOCK1: 1, dw.SKIP_BLOCK2: 2, dw.SKIP_BLOCK4: 4}

Value = int | bytes
"""Of an attribute: a number (references are absolute offsets), or the bytes of a string or expression."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One debugging information entry.

    Attributes:
        offset: in ``.debug_info``.
        tag: ``DW_TAG_*``.
        unit: index of its unit.
        values: by attribute; forms in `forms`.
        forms: ``DW_FORM_*`` by attribute.
        has_children: whether entries below it follow.
        end: offset of the next entry.
    """

    offset: int
    tag: int
    unit: int
    values: dict[int, Value]
    forms: dict[int, int]
    has_children: bool
    end: int

    def number(self, attribute: int) -> int | None:
        """Return a numeric attribute, or None."""
        value = self.values.get(attribute)
        return value if isinstance(value, int) else None

    def block(self, attribute: int) -> bytes | None:
        """Return a string, block or expression, or None."""
        value = self.values.get(attribute)
        return value if isinstance(value, bytes) else None

    @property
    def name(self) -> str:
        """DW_AT_name, or the empty string."""
        return (self.block(dw.AT_NAME) or b"").decode("utf-8", "replace")


class DwarfEntries:
    """Debug information of an executable: sections, units, and the table of its top entries.

    Attributes:
        table: ``int64[entries, COLUMNS]`` in the order of offsets, see `dwarf_constants.COLUMNS`.
        damaged_units: how many units could not be read to their end.
    """

    def __init__(self, executable: Executable) -> None:
        self._executable = executable
        self._texts: dict[str, bytes] = {}
        self.info = self.section(".debug_info").tobytes()
        self.units: Units = read_units(self.info, self.section(".debug_abbrev").tobytes())
        self.table, self.damaged_units = _scan(np.frombuffer(self.info, np.uint8), self.units)

    def section(self, name: str) -> Bytes:
        """Return a debug section, empty when it is absent."""
        data = self._executable.section_bytes(name)
        return np.empty(0, np.uint8) if data is None else data

    def text(self, name: str) -> bytes:
        """Return a debug section as bytes, decompressed once; empty when it is absent or damaged."""
        if name not in self._texts:
            self._texts[name] = self.section(name).tobytes()
        return self._texts[name]

    @cached_property
    def _address_pool(self) -> NDArray[np.uint64]:
        # The contributions of Go's and GNU's linkers start at multiples of 8.
        data = self.text(".debug_addr")
        return np.frombuffer(data[: len(data) // 8 * 8], np.uint64)

    @cached_property
    def unit_rows(self) -> NDArray[np.int64]:
        """Row in `table` of each unit's own entry, ``int64[units]``, -1 for none."""
        rows = np.full(len(self.units.table), -1, np.int64)
        top = np.flatnonzero(self.table[:, 9] == 0)
        rows[self.table[top, 2]] = top
        return rows

    def unit_address_base(self, unit: int) -> int:
        """Return where the addresses of `unit` begin in ``.debug_addr``; 8 when it does not say."""
        row = int(self.unit_rows[unit])
        return (int(self.table[row, 8]) if row >= 0 else 0) or 8

    def unit_low_pc(self, unit: int) -> int:
        """Return the base address of `unit`, 0 when it has none."""
        row = int(self.unit_rows[unit])
        if row < 0:
            return 0
        address, form = int(self.table[row, 5]), int(self.table[row, 6])
        return self.pooled_address(unit, address) if form == dw.ADDRESS_INDEX else address

    def pooled_address(self, unit: int, index: int) -> int:
        """Return address number `index` of `unit` in ``.debug_addr``; 0 when there is none."""
        at = self.unit_address_base(unit) + 8 * index
        position, rest = divmod(at, 8)
        if rest or not 0 <= position < len(self._address_pool):
            return 0
        return int(self._address_pool[position])

    def addresses(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the addresses of `rows` of the table, through ``.debug_addr`` where needed; 0 for none."""
        addresses: NDArray[np.int64] = self.table[rows, 5].copy()
        forms = self.table[rows, 6]
        pooled = np.flatnonzero(forms == dw.ADDRESS_INDEX)
        if pooled.size and self._address_pool.size:
            unit_rows = self.unit_rows[self.table[rows[pooled], 2]]
            bases = np.where(unit_rows >= 0, self.table[unit_rows, 8], 0)
            bases = np.where(bases == 0, 8, bases)
            index = bases // 8 + addresses[pooled]
            sound = (index >= 0) & (index < self._address_pool.size) & (addresses[pooled] >= 0)
            values = self._address_pool[np.where(sound, index, 0)].astype(np.int64)
            addresses[pooled] = np.where(sound, values, 0)
        elif pooled.size:
            addresses[pooled] = 0
        return addresses

    def row_name(self, row: int) -> str:
        """Return the name of a row of the table, or the empty string."""
        position = int(self.table[row, 3])
        if position >= 0:
            return _text(self.info, position).decode("utf-8", "replace")
        if position <= -2:
            return _text(self.text(".debug_str"), -2 - position).decode("utf-8", "replace")
        return ""

    def row_names(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the names of many rows of the table."""
        info = self.info
        positions: list[int] = self.table[rows, 3].tolist()
        names = []
        for position, row in zip(positions, rows.tolist(), strict=True):
            end = info.find(b"\0", position, position + _MAX_NAME) if position >= 0 else -1
            names.append(info[position:end].decode("utf-8", "replace") if end >= 0 else self.row_name(row))
        return names

    def entry(self, offset: int) -> Entry | None:
        """Return the entry at `offset`; None at the end of a list of children, or where there is none."""
        unit = self.units.of(offset)
        if unit < 0:
            return None
        try:
            return self._read(offset, unit)
        except IndexError:
            return None

    def children(self, entry: Entry, limit: int) -> Iterator[tuple[int, Entry]]:
        """Yield ``(depth, entry)`` for everything below `entry`, depth 1 first; at most `limit` entries."""
        if not entry.has_children:
            return
        position, depth, end = entry.end, 1, int(self.units.table[entry.unit, 2])
        for _ in range(limit):
            if position >= end or depth == 0:
                return
            if self.info[position] == 0:
                depth -= 1
                position += 1
                continue
            try:
                child = self._read(position, entry.unit)
            except IndexError:
                return
            if child is None:
                return
            yield depth, child
            depth += child.has_children
            position = child.end

    def _read(self, offset: int, unit: int) -> Entry | None:
        info, units = self.info, self.units
        base, _, end, offset_size, codes, code_count = (int(v) for v in units.table[unit])
        code, position = read_uleb(info, offset)
        if not 0 < code < code_count or units.code_rows[codes + code] < 0:
            return None
        tag, has_children, first, last = self._rows[int(units.code_rows[codes + code])]
        values: dict[int, Value] = {}
        forms: dict[int, int] = {}
        for attribute, form, skip, constant in self._specs[first:last]:
            value, position = self._value(form, skip, constant, position, base, offset_size)
            if position > end:
                return None
            values[attribute], forms[attribute] = value, form
        return Entry(offset, tag, unit, values, forms, bool(has_children), position)

    @cached_property
    def _rows(self) -> list[list[int]]:
        return self.units.rows.tolist()  # type: ignore[no-any-return]

    @cached_property
    def _specs(self) -> list[list[int]]:
        return self.units.specs.tolist()  # type: ignore[no-any-return]

    def _value(  # noqa: PLR0911 (one return per class of form)
        self, form: int, skip: int, constant: int, position: int, base: int, offset_size: int
    ) -> tuple[Value, int]:
        info = self.info
        if skip <= 8:
            return int.from_bytes(info[position : position + skip], "little"), position + skip
        if skip == dw.SKIP_STRING:
            text = _text(info, position)
            return text, position + len(text) + 1
        if skip == dw.SKIP_OFFSET:
            number = int.from_bytes(info[position : position + offset_size], "little")
            position += offset_size
            if form == dw.FORM_STRP:
                return _text(self.text(".debug_str"), number), position
            if form == dw.FORM_LINE_STRP:
                return _text(self.text(".debug_line_str"), number), position
            return number, position
        if skip == dw.SKIP_CONSTANT:
            return constant, position
        if skip == dw.SKIP_SLEB:
            return read_sleb(info, position)
        if skip in {dw.SKIP_LEB, dw.SKIP_ADDRX_LEB}:
            return read_uleb(info, position)
        if skip == dw.SKIP_UNIT_REFERENCE_LEB:
            number, position = read_uleb(info, position)
            return base + number, position
        if skip >= dw.SKIP_UNIT_REFERENCE:
            width = skip - dw.SKIP_UNIT_REFERENCE
            return base + int.from_bytes(info[position : position + width], "little"), position + width
        return self._block(skip, position)

    def _block(self, skip: int, position: int) -> tuple[Value, int]:
        if skip == dw.SKIP_DATA16:
            length = 16
        elif skip == dw.SKIP_BLOCK_LEB:
            length, position = read_uleb(self.info, position)
        elif skip in _BLOCK_WIDTHS:
            width = _BLOCK_WIDTHS[skip]
            length = int.from_bytes(self.info[position : position + width], "little")
            position += width
        else:
            raise IndexError  # an unknown form: where the entry ends cannot be known
        return self.info[position : position + length], position + length


def _text(data: bytes, position: int) -> bytes:
    end = data.find(b"\0", position, position + _MAX_NAME)
    return data[position : end if end >= 0 else position + _MAX_NAME]


def _scan(info: Bytes, units: Units) -> tuple[NDArray[np.int64], int]:
    from heldby.binary.dwarf_kernels import scan_units

    # A top entry takes at least 8 bytes with what follows it; np.empty costs nothing until it is written.
    table = np.empty((info.size // 8 + 64, dw.COLUMNS), np.int64)
    count, done, bad = scan_units(info, units.table, units.code_rows, units.rows, units.specs, table)
    damaged = units.skipped + int(bad) + len(units.table) - int(done)
    return table[: int(count)], damaged

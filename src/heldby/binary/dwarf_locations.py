"""Where a variable lies while a function runs: location lists of DWARF 4 and 5, relative to the frame.

Only memory in the frame matters here. Go's frame base is always DW_OP_call_frame_cfa, so an offset counts
from the canonical frame address (on amd64 the address above the return address). Registers and constants
give no piece. Sources: DWARF 5 sections 2.6, 7.7.3 and 7.25; cmd/internal/dwarf/dwarf.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heldby.binary import dwarf_constants as dw
from heldby.binary.dwarf_entries import DwarfEntries, Entry
from heldby.binary.dwarf_units import read_sleb, read_uleb

_MAX_RANGES = 1 << 12
_MAX_PIECES = 256
_ALL = 1 << 64


@dataclass(frozen=True, slots=True)
class FramePiece:
    """`size` bytes of the variable from `offset` on lie at CFA + `frame_offset`; size None is all of it."""

    offset: int
    frame_offset: int
    size: int | None


@dataclass(frozen=True, slots=True)
class FrameLocation:
    """While the program counter is in ``[start, end)`` (static addresses) the pieces hold the variable."""

    start: int
    end: int
    pieces: tuple[FramePiece, ...]


def read_locations(
    entries: DwarfEntries, variable: Entry, scope: tuple[tuple[int, int], ...]
) -> tuple[FrameLocation, ...]:
    """Return where `variable` lies in the frame; empty when it never does.

    Args:
        entries: the debug information.
        variable: an entry with DW_AT_location.
        scope: address ranges in which a location without a list holds.
    """
    value = variable.values.get(dw.AT_LOCATION)
    if isinstance(value, bytes):
        pieces = frame_pieces(value)
        return tuple(FrameLocation(start, end, pieces) for start, end in scope) if pieces else ()
    if value is None:
        return ()
    unit = variable.unit
    form = variable.forms[dw.AT_LOCATION]
    try:
        if entries.units.versions[unit] < 5:
            found = list(_old_list(entries, unit, value))
        else:
            at = _list_offset(entries, unit, value, form)
            found = list(_new_list(entries, unit, entries.text(".debug_loclists"), at, with_expressions=True))
    except IndexError:
        found = []
    return tuple(
        FrameLocation(start, end, pieces)
        for start, end, expression in found
        if start < end and (pieces := frame_pieces(expression))
    )


def read_ranges(entries: DwarfEntries, scope: Entry) -> tuple[tuple[int, int], ...]:
    """Return the static address ranges of a function, lexical block or inlined call."""
    low, high = scope.number(dw.AT_LOW_PC), scope.number(dw.AT_HIGH_PC)
    if low is not None and high is not None:
        if scope.forms[dw.AT_LOW_PC] != dw.FORM_ADDR:
            low = entries.pooled_address(scope.unit, low)
        return ((low, high if scope.forms[dw.AT_HIGH_PC] == dw.FORM_ADDR else low + high),)
    offset = scope.number(dw.AT_RANGES)
    if offset is None:
        return ()
    unit = scope.unit
    try:
        if entries.units.versions[unit] < 5:
            return tuple(_old_ranges(entries, unit, offset))
        if scope.forms[dw.AT_RANGES] == dw.FORM_RNGLISTX:
            return ()  # GNU's and Go's compilers do not use it
        ranges = _new_list(entries, unit, entries.text(".debug_rnglists"), offset, with_expressions=False)
        return tuple((start, end) for start, end, _ in ranges)
    except IndexError:
        return ()


def frame_pieces(expression: bytes) -> tuple[FramePiece, ...]:
    """Return the parts of a variable that lie in the frame; empty for registers and anything unknown."""
    pieces: list[FramePiece] = []
    position = done = 0
    frame_offset: int | None = None
    try:
        while position < len(expression) and len(pieces) < _MAX_PIECES:
            operation = expression[position]
            position += 1
            if operation == dw.OP_CALL_FRAME_CFA:
                frame_offset = 0
            elif operation == dw.OP_FBREG:
                frame_offset, position = read_sleb(expression, position)
            elif operation == dw.OP_PIECE:
                size, position = read_uleb(expression, position)
                if frame_offset is not None:
                    pieces.append(FramePiece(done, frame_offset, size))
                done += size
                frame_offset = None
            elif dw.OP_REG0 <= operation < dw.OP_BREG0:
                frame_offset = None
            else:
                return ()
    except IndexError:
        return ()
    if frame_offset is not None and not done:
        pieces.append(FramePiece(0, frame_offset, None))
    return tuple(pieces)


def _list_offset(entries: DwarfEntries, unit: int, value: int, form: int) -> int:
    if form != dw.FORM_LOCLISTX:
        return value
    top = entries.entry(int(entries.units.table[unit, 1]))
    base = (top.number(dw.AT_LOCLISTS_BASE) if top else None) or 12
    at = base + 4 * value
    return base + int.from_bytes(entries.text(".debug_loclists")[at : at + 4], "little")


def _word(data: bytes, position: int) -> int:
    if position < 0 or position + 8 > len(data):
        raise IndexError
    return int.from_bytes(data[position : position + 8], "little")


def _old_list(entries: DwarfEntries, unit: int, position: int) -> Iterator[tuple[int, int, bytes]]:
    data, base = entries.text(".debug_loc"), entries.unit_low_pc(unit)
    for _ in range(_MAX_RANGES):
        start, end = _word(data, position), _word(data, position + 8)
        position += 16
        if start == end == 0:
            return
        if start == _ALL - 1:
            base = end
            continue
        length = int.from_bytes(data[position : position + 2], "little")
        yield base + start, base + end, data[position + 2 : position + 2 + length]
        position += 2 + length


def _old_ranges(entries: DwarfEntries, unit: int, position: int) -> Iterator[tuple[int, int]]:
    data, base = entries.text(".debug_ranges"), entries.unit_low_pc(unit)
    for _ in range(_MAX_RANGES):
        start, end = _word(data, position), _word(data, position + 8)
        position += 16
        if start == end == 0:
            return
        if start == _ALL - 1:
            base = end
        else:
            yield base + start, base + end


def _new_list(
    entries: DwarfEntries, unit: int, data: bytes, position: int, *, with_expressions: bool
) -> Iterator[tuple[int, int, bytes]]:
    """Yield a DWARF 5 list: of locations (DW_LLE) or, without expressions, of ranges (DW_RLE)."""
    base = entries.unit_low_pc(unit)
    for _ in range(_MAX_RANGES):
        kind = data[position]
        position += 1
        if not with_expressions and kind >= 5:
            kind += 1  # ranges have no default location, the rest of the numbers is the same
        if kind == 0:
            return
        if kind == 1:
            index, position = read_uleb(data, position)
            base = entries.pooled_address(unit, index)
            continue
        if kind == 6:
            base, position = _word(data, position), position + 8
            continue
        start, end, position = _bounds(entries, unit, data, position, kind, base)
        expression = b""
        if with_expressions:
            length, position = read_uleb(data, position)
            expression = data[position : position + length]
            position += length
        yield start, end, expression


def _bounds(
    entries: DwarfEntries, unit: int, data: bytes, position: int, kind: int, base: int
) -> tuple[int, int, int]:
    """Return start, end and the position after them of a range of this DW_LLE kind. Raises IndexError."""
    if kind == 5:
        return 0, _ALL, position
    if kind in {7, 8}:
        first, position = _word(data, position), position + 8
    else:
        first, position = read_uleb(data, position)
    if kind == 7:
        return first, _word(data, position), position + 8
    second, position = read_uleb(data, position)
    if kind == 4:
        return base + first, base + second, position
    if kind == 8:
        return first, first + second, position
    if kind in {2, 3}:
        start = entries.pooled_address(unit, first)
        return start, entries.pooled_address(unit, second) if kind == 2 else start + second, position
    raise IndexError

"""The variables of single functions: parameters, locals and what a closure captured."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from heldby.binary import dwarf_constants as dw
from heldby.binary.dwarf_entries import DwarfEntries, Entry
from heldby.binary.dwarf_locations import FrameLocation, FramePiece, read_locations, read_ranges
from heldby.binary.dwarf_types import DwarfType, DwarfTypes

_MAX_ENTRIES = 1 << 15
_SCOPES = {dw.TAG_LEXICAL_BLOCK, dw.TAG_INLINED_SUBROUTINE}


@dataclass(frozen=True, slots=True)
class Variable:
    """A parameter or local variable, also of calls that were inlined into the function.

    Attributes:
        name: as DWARF has it: ``&x`` is the pointer to a variable that moved to the heap, ``~r0`` an
            unnamed result.
        is_parameter: of the function itself or of an inlined one.
        inlined: whether it belongs to an inlined call.
        closure_offset: where the closure object holds it (or its address, if the name begins with ``&``);
            None when it is not captured.
        locations: where in the frame it lies and when; empty when it lives in registers only.
    """

    name: str
    is_parameter: bool
    inlined: bool
    closure_offset: int | None
    locations: tuple[FrameLocation, ...]
    _types: DwarfTypes = field(repr=False, compare=False)
    _type_offset: int = field(repr=False)

    @property
    def type(self) -> DwarfType | None:
        """Its type, None when it cannot be read."""
        return self._types.at(self._type_offset)

    def pieces_at(self, pc: int) -> tuple[FramePiece, ...]:
        """Return where the variable lies when the (static) program counter is `pc`; empty when nowhere."""
        for location in self.locations:
            if location.start <= pc < location.end:
                return location.pieces
        return ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function's variables. ``[entry, end)`` are static addresses."""

    name: str
    entry: int
    end: int
    variables: tuple[Variable, ...]

    @property
    def captures(self) -> tuple[Variable, ...]:
        """What its closure object holds, by offset; empty for ordinary functions and before Go 1.23."""
        found = [v for v in self.variables if v.closure_offset is not None]
        return tuple(sorted(found, key=lambda v: v.closure_offset or 0))


class DwarfFunctions:
    """Finds functions by address and reads their variables, each function once."""

    def __init__(self, entries: DwarfEntries, types: DwarfTypes) -> None:
        self._entries = entries
        self._types = types
        self._known: dict[int, Function | None] = {}
        rows = np.flatnonzero(entries.table[:, 1] == dw.TAG_SUBPROGRAM)
        addresses = entries.addresses(rows)
        order = np.argsort(addresses, kind="stable")
        order = order[addresses[order] > 0]
        self._rows = rows[order]
        self._starts = addresses[order]
        self._sizes = entries.table[self._rows, 7]

    @property
    def count(self) -> int:
        """How many functions with code there are."""
        return len(self._rows)

    def at(self, pc: int) -> Function | None:
        """Return the function whose code holds static address `pc`, None when the debug information has none.

        Reads the entries of that function only; about 10 µs per variable.
        """
        if not 0 < pc < 1 << 63:
            return None
        index = int(np.searchsorted(self._starts, pc, "right")) - 1
        if index < 0 or pc >= int(self._starts[index]) + int(self._sizes[index]):
            return None
        if index not in self._known:
            self._known[index] = self._read(index)
        return self._known[index]

    def _read(self, index: int) -> Function | None:
        row, start = int(self._rows[index]), int(self._starts[index])
        function = self._entries.entry(int(self._entries.table[row, 0]))
        if function is None:
            return None
        end = start + int(self._sizes[index])
        variables = tuple(self._variables(function, ((start, end),)))
        return Function(self._name(function), start, end, variables)

    def _name(self, entry: Entry) -> str:
        if not entry.name:
            origin = self._origin(entry)
            return origin.name if origin else ""
        return entry.name

    def _origin(self, entry: Entry) -> Entry | None:
        offset = entry.number(dw.AT_ABSTRACT_ORIGIN)
        return self._entries.entry(offset) if offset else None

    def _variables(self, function: Entry, whole: tuple[tuple[int, int], ...]) -> list[Variable]:
        found: list[Variable] = []
        scopes: list[tuple[int, tuple[tuple[int, int], ...], bool]] = [(0, whole, False)]
        for depth, entry in self._entries.children(function, _MAX_ENTRIES):
            while depth <= scopes[-1][0]:
                scopes.pop()
            _, ranges, inlined = scopes[-1]
            if entry.tag in _SCOPES:
                inside = inlined or entry.tag == dw.TAG_INLINED_SUBROUTINE
                scopes.append((depth, read_ranges(self._entries, entry) or ranges, inside))
            elif entry.tag in {dw.TAG_VARIABLE, dw.TAG_FORMAL_PARAMETER}:
                found.append(self._variable(entry, ranges, inlined=inlined))
        return found

    def _variable(self, entry: Entry, ranges: tuple[tuple[int, int], ...], *, inlined: bool) -> Variable:
        origin = entry if entry.name else self._origin(entry)
        return Variable(
            origin.name if origin else "",
            entry.tag == dw.TAG_FORMAL_PARAMETER,
            inlined,
            entry.number(dw.AT_GO_CLOSURE_OFFSET),
            read_locations(self._entries, entry, ranges),
            self._types,
            entry.number(dw.AT_TYPE) or (origin.number(dw.AT_TYPE) if origin else None) or 0,
        )

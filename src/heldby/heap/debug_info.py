"""What the debug information adds: names and types of variables, in the type numbers of the heap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heldby.binary.dwarf import Dwarf, read_dwarf
from heldby.errors import HeldbyError
from heldby.golang.dwarf_import import DwarfImport
from heldby.golang.types import Field, TypeTable
from heldby.heap.process import Process

# What the compiler spills of a string, slice or interface may be a variable of its own, such as `list.ptr` (seen
# in Go 1.27): the word of the whole that it is.
_PARTS: Final = {"ptr": 0, "data": 1}


@dataclass(frozen=True, slots=True)
class FrameVariable:
    """A local variable or argument, by the word of it that was asked for.

    Attributes:
        name: as the source spells it.
        word: index of the 64-bit word within the variable.
        type_number: of the variable, 0 for unknown.
    """

    name: str
    word: int
    type_number: int


class DebugInfo:
    """The debug information of one process; made only where the executable has any.

    Args:
        dwarf: of the executable.
        types: numbers of types; gets those that have no descriptor.
        types_base: ``moduledata.types`` of the program.
        load_bias: run-time address minus static address.
    """

    def __init__(self, dwarf: Dwarf, types: TypeTable, types_base: int, load_bias: int) -> None:
        self.dwarf = dwarf
        self.load_bias = load_bias
        self._imported = DwarfImport(types, types_base)

    def global_type(self, row: int) -> int:
        """Return the type number of a row of ``dwarf.globals``, 0 for unknown."""
        return self._imported.number(self.dwarf.globals.type(row))

    def captures(self, entry: int) -> Sequence[Field]:
        """Return what the closure of the function at run-time address `entry` captured; empty if unknown."""
        found = self.dwarf.functions.at(entry - self.load_bias)
        if found is None:
            return ()
        return [
            Field(variable.name.lstrip("&"), self._imported.number(variable.type), offset)
            for variable in found.captures
            if (offset := variable.closure_offset) is not None
        ]

    def frame_variable(self, entry: int, pc: int, below: int) -> FrameVariable | None:
        """Return the variable of the function at `entry` that lies at frame top + `below` when at `pc`."""
        found = self.dwarf.functions.at(entry - self.load_bias)
        if found is None:
            return None
        for variable in found.variables:
            for piece in variable.pieces_at(pc - self.load_bias):
                known = variable.type
                size = piece.size or (known.size if known else None) or 8
                if piece.frame_offset <= below < piece.frame_offset + size:
                    word = (piece.offset + below - piece.frame_offset) // 8
                    name, _, part = variable.name.lstrip("&").partition(".")
                    whole = next((each for each in found.variables if each.name == name), None)
                    if part in _PARTS and whole is not None:
                        return FrameVariable(name, _PARTS[part], self._imported.number(whole.type))
                    return FrameVariable(variable.name.lstrip("&"), word, self._imported.number(known))
        return None


def read_debug_info(process: Process, types: TypeTable, caveats: list[str]) -> DebugInfo | None:
    """Return the debug information, or None where there is none or it cannot be read (then with a caveat)."""
    try:
        dwarf = read_dwarf(process.executable)
    except HeldbyError as error:
        caveats.append(f"the debug information cannot be read: {error.message}")
        return None
    if dwarf is None:
        return None
    return DebugInfo(dwarf, types, process.runtime.modules[0].word("types"), process.load_bias)

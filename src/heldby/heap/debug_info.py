"""What the debug information adds: names and types of variables, in the type numbers of the heap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heldby.binary.dwarf import Dwarf, read_dwarf
from heldby.errors import HeldbyError
from heldby.golang.types.dwarf_import import DwarfImport
from heldby.golang.types.types import Field, TypeTable
from heldby.heap.process import Process
from heldby.heap.programs import LoadedProgram

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


class ProgramDebugInfo:
    """The debug information of one program or library.

    Args:
        program: whose it is.
        dwarf: read from it.
        types: numbers of types; gets those that have no descriptor.
        types_base: ``moduledata.types`` of its module.
    """

    def __init__(self, program: LoadedProgram, dwarf: Dwarf, types: TypeTable, types_base: int) -> None:
        self.program = program
        self.dwarf = dwarf
        self._code_shift = program.names.code_shift
        self._imported = DwarfImport(types, types_base)

    def global_type(self, row: int) -> int:
        """Return the type number of a row of ``dwarf.globals``, 0 for unknown."""
        return self._imported.number(self.dwarf.globals.type(row))

    def captures(self, entry: int) -> Sequence[Field]:
        """Return what the closure of the function at run-time address `entry` captured; empty if unknown."""
        found = self.dwarf.functions.at(entry - self._code_shift)
        if found is None:
            return ()
        return [
            Field(variable.name.lstrip("&"), self._imported.number(variable.type), offset)
            for variable in found.captures
            if (offset := variable.closure_offset) is not None
        ]

    def frame_variable(self, entry: int, pc: int, below: int) -> FrameVariable | None:
        """Return the variable of the function at `entry` that lies at frame top + `below` when at `pc`."""
        found = self.dwarf.functions.at(entry - self._code_shift)
        if found is None:
            return None
        for variable in found.variables:
            for piece in variable.pieces_at(pc - self._code_shift):
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


@dataclass(frozen=True, slots=True)
class DebugInfo:
    """The debug information of a process: of its program, its plugins and libraries, as far as they have any."""

    parts: tuple[ProgramDebugInfo, ...]

    def of(self, program: LoadedProgram) -> ProgramDebugInfo | None:
        """Return the part of one program, None if it has none."""
        return next((part for part in self.parts if part.program is program), None)

    def captures(self, entry: int) -> Sequence[Field]:
        """Return what the closure of the function at run-time address `entry` captured; empty if unknown."""
        part = self._at(entry)
        return part.captures(entry) if part is not None else ()

    def frame_variable(self, entry: int, pc: int, below: int) -> FrameVariable | None:
        """Return the variable of the function at `entry` that lies at frame top + `below` when at `pc`."""
        part = self._at(entry)
        return part.frame_variable(entry, pc, below) if part is not None else None

    def _at(self, entry: int) -> ProgramDebugInfo | None:
        if len(self.parts) == 1:
            return self.parts[0]
        return next((part for part in self.parts if part.program.covers(entry)), None)


def read_debug_info(process: Process, types: TypeTable, caveats: list[str]) -> DebugInfo | None:
    """Return the debug information, or None where there is none or it cannot be read (then with a caveat)."""
    parts: list[ProgramDebugInfo] = []
    for program in process.programs:
        try:
            dwarf = read_dwarf(program.names.executable)
        except HeldbyError as error:
            caveats.append(f"the debug information cannot be read: {error.message}")
            continue
        bases = [base for module in process.runtime.modules if program.covers(base := module.word("types"))]
        if dwarf is not None and bases:
            parts.append(ProgramDebugInfo(program, dwarf, types, bases[0]))
    return DebugInfo(tuple(parts)) if parts else None

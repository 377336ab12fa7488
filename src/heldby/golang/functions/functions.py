"""Functions by address: names, files, lines and inlined calls, from the table that every Go program carries.

The function table (pclntab) stays in a stripped program: the runtime needs it to unwind stacks. Facts from
runtime/symtab.go and runtime/symtabinl.go, Go 1.21 to 1.27. Names are bytes of the target: hostile.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions import function_kernels as kernels
from heldby.golang.functions.function_kernels import FunctionArrays
from heldby.golang.functions.function_rows import (
    NO_OFFSET,
    ModuleFunctions,
    Numbers,
    frozen,
    read_module_functions,
    text_at,
    texts_at,
)
from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.runtime import Runtime
from heldby.memory.image import Bytes

_MAX_INLINED: Final = 1024
# runtime/symtabinl.go, inlinedCall: kind of function, name, pc of the call behind the entry, start line.
_INLINED_CALL: Final = struct.Struct("<BxxxIii")
_ROLES: Final = {
    "sigpanic": kernels.ROLE_SIGPANIC,
    "asyncPreempt": kernels.ROLE_ASYNC_PREEMPT,
    "debugCallV2": kernels.ROLE_DEBUG_CALL,
    "cgocallback": kernels.ROLE_CGOCALLBACK,
    "gogo": kernels.ROLE_GOGO,
}
# Functions without a number of their own; gogo is the assembly behind runtime.gogo.
_NAMED_ROLES: Final = {
    "reflect.makeFuncStub": kernels.ROLE_REFLECT_STUB,
    "reflect.methodValueCall": kernels.ROLE_REFLECT_STUB,
    "gogo": kernels.ROLE_GOGO,
}


class Position(NamedTuple):
    """A place in source code; `line` is 0 and `file` is ``?`` where the program does not say.

    Attributes:
        function: full name.
        file: as the compiler recorded it.
        line: of the call, or of the instruction asked for.
        pc: the instruction that stands for this call: of an inlined call's caller, the inline mark.
        start_line: of the ``func`` keyword, 0 when unknown.
        is_wrapper: made by the compiler; tracebacks leave it out.
    """

    function: str
    file: str
    line: int
    pc: int
    start_line: int
    is_wrapper: bool


class FunctionTable:
    """All functions of all modules, in address order.

    Args:
        runtime: the runtime whose modules are read.

    Attributes:
        arrays: the table as compiled kernels read it.
        quantum: bytes of the smallest instruction, the unit of pc deltas.

    Raises:
        NotCaptured: the function table is neither in the core nor in the executable.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.quantum = 4 if runtime.layout.arch == "arm64" else 1
        self._wrapper = runtime.layout.const("internal/abi.FuncIDWrapper", -1)
        tables = [read_module_functions(runtime.image, runtime.layout, module) for module in runtime.modules]
        tables.sort(key=lambda table: int(table.entry[0]) if table.entry.size else 0)
        self._tables = tables
        self._first = np.cumsum([0, *(table.entry.size for table in tables)])
        self._bases = {
            name: np.cumsum([0, *(getattr(table, name).size for table in tables)])
            for name in ("pctab", "funcdata", "rodata")
        }
        self._wrapper = runtime.layout.const("internal/abi.FuncIDWrapper", -1)
        self.arrays = self._join(runtime.layout)
        # The same few names and places are asked for again and again.
        self._names: dict[int, str] = {}
        self._inlined: dict[int, tuple[Position, ...]] = {}

    def __len__(self) -> int:
        return int(self.arrays.entry.size)

    def index(self, pc: int) -> int:
        """Return the number of the function that holds `pc`, or -1."""
        return int(self.indexes(np.array([pc], np.uint64))[0])

    def indexes(self, pcs: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the function of each pc as ``int64[n]``, -1 for none; O(n log functions)."""
        out = np.empty(pcs.size, np.int64)
        kernels.find_functions(self.arrays.entry, self.arrays.limit, pcs.astype(np.uint64), out)
        return out

    def name(self, index: int) -> str:
        """Return the function's full name, ``?`` for -1."""
        if not 0 <= index < len(self):
            return "?"
        if index not in self._names:
            table, row = self._row(index)
            self._names[index] = text_at(table.names, int(table.columns["name"][row]))
        return self._names[index]

    def names(self) -> list[str]:
        """Return all names, by the functions' numbers; about 1 µs each the first time."""
        if len(self._names) < len(self):
            index = 0
            for table in self._tables:
                texts = texts_at(table.names, table.columns["name"])
                self._names.update(enumerate(texts, index))
                index += len(texts)
        return [self._names[index] for index in range(len(self))]

    def entry(self, index: int) -> int:
        """Return the address of the function's first instruction."""
        return int(self.arrays.entry[index])

    def is_wrapper(self, index: int) -> bool:
        """Tell whether the compiler made the function to call another one: for ``go f(x)``, for a method value."""
        if not 0 <= index < len(self):
            return False
        table, row = self._row(index)
        return int(table.columns["kind"][row]) == self._wrapper

    def start_line(self, index: int) -> int:
        """Return the line of the ``func`` keyword, 0 when unknown."""
        table, row = self._row(index)
        return int(table.columns["start_line"][row])

    def named(self, name: str) -> int:
        """Return the function with exactly this name, or -1; O(functions), without decoding them."""
        wanted = name.encode()
        for number, table in enumerate(self._tables):
            found = table.names.tobytes().find(b"\0" + wanted + b"\0")
            if found >= 0:
                rows = np.flatnonzero(table.columns["name"] == found + 1)
                if rows.size:
                    return int(self._first[number] + rows[0])
        return -1

    def matching(self, pattern: re.Pattern[bytes]) -> NDArray[np.int64]:
        """Return the functions whose names `pattern` matches, a zero byte in front included; O(names)."""
        found = []
        for number, table in enumerate(self._tables):
            offsets = [match.start() + 1 for match in pattern.finditer(table.names.tobytes())]
            rows = np.flatnonzero(np.isin(table.columns["name"], offsets))
            found.append(rows + int(self._first[number]))
        return np.concatenate(found).astype(np.int64)

    def limit(self, index: int) -> int:
        """Return the first address behind the function."""
        return int(self.arrays.limit[index])

    def file_line(self, pc: int) -> tuple[str, int]:
        """Return file and line of the instruction at `pc`, ``("?", 0)`` when unknown.

        For a return address give ``pc - 1``. Inlined code answers with its own place.
        """
        innermost = self.inlined(pc)
        return (innermost[0].file, innermost[0].line) if innermost else ("?", 0)

    def inlined(self, pc: int) -> tuple[Position, ...]:
        """Return the calls that the instruction at `pc` belongs to, innermost first, the function last.

        Empty when no function holds `pc`. For a return address give ``pc - 1``.
        """
        if pc not in self._inlined:
            self._inlined[pc] = self._find_inlined(pc)
        return self._inlined[pc]

    def _find_inlined(self, pc: int) -> tuple[Position, ...]:
        index = self.index(pc)
        if index < 0:
            return ()
        table, row = self._row(index)
        entry = self.entry(index)
        distance = pc - entry
        positions: list[Position] = []

        def add(name: str, start_line: int, kind: int) -> None:
            place = self._place(table, row, distance)
            positions.append(Position(name, *place, entry + distance, start_line, kind == self._wrapper))

        tree = int(table.columns["inline_tree"][row])
        for _ in range(_MAX_INLINED):
            call = self._value(table, row, "inline_index", distance) if tree >= 0 else -1
            at = tree + call * _INLINED_CALL.size
            if call < 0 or at + _INLINED_CALL.size > table.funcdata.size:
                break
            record = table.funcdata[at : at + _INLINED_CALL.size].tobytes()
            kind, name, parent, start_line = _INLINED_CALL.unpack(record)
            add(text_at(table.names, name), start_line, kind)
            if not 0 <= parent != distance:
                break
            distance = parent
        add(self.name(index), self.start_line(index), int(table.columns["kind"][row]))
        return tuple(positions)

    def _row(self, index: int) -> tuple[ModuleFunctions, int]:
        number = int(np.searchsorted(self._first, index, "right")) - 1
        return self._tables[number], index - int(self._first[number])

    def _value(self, table: ModuleFunctions, row: int, column: str, distance: int) -> int:
        offset = int(table.columns[column][row])
        return int(kernels.pc_value(table.pctab, offset, distance, self.quantum))

    def _place(self, table: ModuleFunctions, row: int, distance: int) -> tuple[str, int]:
        line = self._value(table, row, "lines", distance)
        number = self._value(table, row, "files", distance)
        unit = int(table.columns["unit"][row]) + number
        file = "?"
        if number >= 0 and unit < table.units.size and int(table.units[unit]) != NO_OFFSET:
            file = text_at(table.files, int(table.units[unit]))
        return file, max(line, 0)

    def _join(self, layout: Layout) -> FunctionArrays:
        def shifted(column: str, base: str, none: int) -> Numbers:
            parts = []
            for number, table in enumerate(self._tables):
                values = table.columns[column]
                parts.append(np.where(values == none, none, values + int(self._bases[base][number])))
            return np.concatenate(parts).astype(np.int64)

        def plain(column: str) -> Numbers:
            return np.concatenate([table.columns[column] for table in self._tables])

        kinds = plain("kind")
        rows = np.empty((len(kinds), kernels.COLUMNS), np.int64)
        rows[:, kernels.FRAME_SIZES] = shifted("frame_sizes", "pctab", 0)
        rows[:, kernels.MAP_NUMBERS] = shifted("map_numbers", "pctab", 0)
        rows[:, kernels.ARGS_MAPS] = shifted("args_maps", "funcdata", -1)
        rows[:, kernels.LOCALS_MAPS] = shifted("locals_maps", "funcdata", -1)
        rows[:, kernels.OBJECTS] = shifted("objects", "funcdata", -1)
        masks = [np.full(t.entry.size, self._bases["rodata"][n]) for n, t in enumerate(self._tables)]
        rows[:, kernels.MASKS] = np.concatenate(masks)
        rows[:, kernels.ARGS] = plain("args")
        rows[:, kernels.DEFERRETURN] = plain("deferreturn")
        rows[:, kernels.FLAGS] = plain("flags")
        rows[:, kernels.ROLE] = self._roles(kinds, layout)
        return FunctionArrays(
            entry=frozen(np.concatenate([table.entry for table in self._tables])),
            limit=frozen(np.concatenate([table.limit for table in self._tables])),
            rows=frozen(rows),
            pctab=_joined([table.pctab for table in self._tables]),
            funcdata=_joined([table.funcdata for table in self._tables]),
            rodata=_joined([table.rodata for table in self._tables]),
        )

    def _roles(self, kinds: Numbers, layout: Layout) -> NDArray[np.uint8]:
        """Return ``ROLE_*`` of each function; the numbers of special functions shift between releases."""
        roles = np.zeros(kinds.size, np.uint8)
        for name, role in _ROLES.items():
            number = layout.const(f"internal/abi.FuncID_{name}", -1)
            roles[kinds == number] = role
        for name, role in _NAMED_ROLES.items():
            index = self.named(name)
            if index >= 0:
                roles[index] = role
        return roles


def short_name(name: str) -> str:
    """Return a function's or variable's name without the path before its package's last element.

    ``github.com/a/b.(*T).Do`` is ``b.(*T).Do``; what stands in the brackets of type arguments is kept.
    """
    head, bracket, arguments = name.partition("[")
    return head.rpartition("/")[2] + bracket + arguments


def package_of(name: str) -> str:
    """Return the import path of a function: ``gopkg.in/yaml.v3`` for ``gopkg.in/yaml%2ev3.(*Node).Decode``.

    The path ends at the first dot after the last slash outside of type arguments; the linker writes dots of
    the last path element as ``%2e`` (cmd/internal/objabi ``PathToPrefix``).
    """
    head = name.split("[", 1)[0]
    slash = head.rfind("/")
    dot = head.find(".", slash + 1)
    path = head[:dot] if dot >= 0 else head
    return path.replace("%2e", ".").replace("%22", '"').replace("%25", "%")


def _joined(parts: Sequence[Bytes]) -> Bytes:
    return frozen(parts[0] if len(parts) == 1 else np.concatenate(parts))

"""Names for a stripped program from another build of the same source that still has them.

Such a build has the same code: every function starts at the same place under the same name. Its variables may
lie a little apart, since the linker flags that it records move the sections behind them (seen: 32 bytes, or a
page), but each section has the same size and the same variables in the same order. Both are checked; any
difference is another build, and names from it would be wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from heldby.binary.executable import Executable, open_executable
from heldby.errors import UsageError, WrongExecutable
from heldby.golang.functions.function_rows import read_module_functions, text_at
from heldby.golang.runtime.runtime import Runtime
from heldby.heap.programs import LoadedProgram, NameSource, Shift

# Borders of what a module's symbols lie in, as the linker and moduledata call them; the code comes first.
_SECTIONS: Final = (
    ("text", "etext"),
    ("noptrdata", "enoptrdata"),
    ("data", "edata"),
    ("bss", "ebss"),
    ("noptrbss", "enoptrbss"),
)


def names_from(path: Path, program: LoadedProgram, runtime: Runtime) -> NameSource:
    """Return the names of `program` from the file at `path`, moved to where the process has what they name.

    Raises:
        FormatError: it is no executable.
        UsageError: it has no names either.
        WrongExecutable: it is not a build of the same source.
    """
    executable = open_executable(path)
    if executable.is_stripped:
        raise UsageError(
            f"{path} has no symbol table",
            cause="it was built with -ldflags=-s or stripped, like the program itself",
            next_step="build the same source with the same Go release and flags, but without -s -w",
        )
    if executable.machine != program.executable.machine:
        raise _another_build(path, f"it is for {executable.machine}")
    shifts = _shifts(path, executable, runtime)
    if not _same_build_id(executable, program.executable):
        _compare_functions(path, executable, shifts[0], runtime)
    return NameSource(executable, shifts)


def _same_build_id(one: Executable, other: Executable) -> bool:
    pairs = ((one.gnu_build_id, other.gnu_build_id), (one.go_build_id, other.go_build_id))
    return any(mine is not None and mine == theirs for mine, theirs in pairs)


def _shifts(path: Path, executable: Executable, runtime: Runtime) -> tuple[Shift, ...]:
    """Return by how much each section of the module is apart from where the file's symbols say."""
    module = runtime.modules[0]
    shifts: list[Shift] = []
    for first, last in _SECTIONS:
        low, high = (executable.symbols.address_of(f"runtime.{name}") for name in (first, last))
        start, end = module.range(first, last)
        if low is None or high is None:
            raise _another_build(path, f"it has no symbol runtime.{first}")
        if high - low != end - start:
            raise _another_build(path, f"its {first} has {high - low:,} bytes, the process's {end - start:,}")
        shifts.append(Shift(low, high, start - low))
    return tuple(shifts)


def _compare_functions(path: Path, executable: Executable, text: Shift, runtime: Runtime) -> None:
    """Compare where every function starts, and what it is called, with the function table of the process.

    The function table calls every instance of a generic function alike (``main.Map[...]``); the symbol table
    does not, so the names of these are not compared.
    """
    table = executable.symbols
    functions = read_module_functions(runtime.image, runtime.layout, runtime.modules[0])
    entries = functions.entry - np.uint64(text.by % (1 << 64))
    rows = np.searchsorted(table.addresses, entries)
    inside = rows < table.count
    missing = ~inside
    missing[inside] = table.addresses[rows[inside]] != entries[inside]
    if missing.any():
        raise _another_build(path, f"{int(missing.sum()):,} functions of the process start elsewhere in it")
    ends = np.searchsorted(table.addresses, entries, "right")
    for index, (row, end) in enumerate(zip(rows.tolist(), ends.tolist(), strict=True)):
        name = text_at(functions.names, int(functions.columns["name"][index]))
        known = {_linker_name(table.name(number)) for number in range(row, end)}
        if "[" not in name and _linker_name(name) not in known:
            raise _another_build(path, f"where the process has {name} it has {', '.join(sorted(known)[:3])}")


def _linker_name(name: str) -> str:
    """Return a name as the linker writes it into the symbol table.

    Without the suffix of its calling convention, and with a plain dot for the middle one that the compiler
    puts into names of its own making (cmd/link/internal/ld/symtab.go).
    """
    return name.replace("·", ".").removesuffix(".abi0").removesuffix(".abiinternal")


def _another_build(path: Path, cause: str) -> WrongExecutable:
    return WrongExecutable(
        f"{path} is not a build of the program that the process runs",
        cause=cause,
        next_step="build the same source with the same Go release and flags, but without -ldflags='-s -w'",
    )

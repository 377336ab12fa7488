"""Global variables as roots: the words of data and bss that the collector scans, under their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from heldby.golang.code.variables import Variables
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.runtime.module import lie_in
from heldby.golang.runtime.runtime import Runtime
from heldby.heap.code_knowledge import CodeKnowledge
from heldby.heap.debug_info import DebugInfo, ProgramDebugInfo
from heldby.heap.process import Process
from heldby.heap.programs import LoadedProgram
from heldby.heap.roots import RootBuilder, RootKind

U64 = NDArray[np.uint64]
_SECTIONS = (("data", "edata"), ("bss", "ebss"))


def scanned_words(runtime: Runtime) -> tuple[U64, U64, int]:
    """Return address and value of every pointer word in the variables of all modules.

    The third value is the number of bytes that are not in the capture; their words count as nil.
    """
    addrs, values, missing = [], [], 0
    for module in runtime.modules:
        for start, end in _SECTIONS:
            low, high = module.range(start, end)
            mask = module.pointer_masks[start]
            data, absent = runtime.image.read_available(low, (high - low) & ~7)
            missing += absent
            at = np.flatnonzero(mask)
            addrs.append(np.uint64(low) + at.astype(np.uint64) * np.uint64(8))
            words = np.zeros(mask.size, np.uint64)
            read = np.frombuffer(data, np.uint64)[: mask.size]
            words[: read.size] = read
            values.append(words[at])
    return np.concatenate(addrs), np.concatenate(values), missing


def is_static(runtime: Runtime, values: U64) -> NDArray[np.bool_]:
    """Tell which addresses lie among the variables of a module."""
    return lie_in(values, (module.range("noptrdata", "end") for module in runtime.modules))


def _is_scanned(runtime: Runtime, addrs: U64) -> NDArray[np.bool_]:
    """Tell which addresses lie in the sections whose pointers the collector follows."""
    return lie_in(addrs, (module.range(*section) for module in runtime.modules for section in _SECTIONS))


def symbol_variables(process: Process) -> Variables:
    """Return the variables that symbol tables name; empty when the program is stripped."""
    return _joined([_symbol_variables(process, program) for program in process.programs])


def _symbol_variables(process: Process, program: LoadedProgram) -> Variables:
    table = program.names.executable.symbols
    rows = table.objects()
    start = program.names.at_run_time(table.addresses[rows])
    wanted = _is_scanned(process.runtime, start)
    rows, start = rows[wanted], start[wanted]
    # Of several symbols at one address (section marks like runtime.bss) the largest names the variable.
    size = np.maximum(table.sizes[rows], np.uint64(1))
    order = np.lexsort((size, start))
    last = np.append(start[order][1:] != start[order][:-1], True) if order.size else np.zeros(0, np.bool_)
    keep = order[last]
    names = [table.name(int(row)) for row in rows[keep]]
    return Variables.of(start[keep], size[keep], names)


def debug_variables(process: Process, debug: DebugInfo) -> Variables:
    """Return the package-level variables that debug information names, with their types.

    Those of a library without debug information are named by its symbol table.
    """
    return _joined(
        [
            _symbol_variables(process, program) if part is None else _debug_variables(process, part)
            for program, part in ((program, debug.of(program)) for program in process.programs)
        ]
    )


def _debug_variables(process: Process, debug: ProgramDebugInfo) -> Variables:
    table = debug.dwarf.globals
    start = debug.program.names.at_run_time(table.addresses)
    keep = np.flatnonzero(_is_scanned(process.runtime, start))
    keep = keep[np.append(start[keep][1:] != start[keep][:-1], True)] if keep.size else keep
    names = [table.name(int(row)) for row in keep]
    types = np.array([debug.global_type(int(row)) for row in keep], np.uint32)
    return Variables.of(start[keep], np.maximum(table.sizes[keep], 1).astype(np.uint64), names, types=types)


def _joined(parts: Sequence[Variables]) -> Variables:
    return reduce(Variables.joined, parts)


def nameless_name(runtime: Runtime, addr: int) -> str:
    """Return section and offset of an address among the variables: ``bss+0x1f40``."""
    for number, module in enumerate(runtime.modules):
        for start, end in _SECTIONS:
            low, high = module.range(start, end)
            if low <= addr < high:
                prefix = f"module{number}." if number else ""
                return f"{prefix}{start}+{addr - low:#x}"
    return f"{addr:#x}"


def with_nameless(runtime: Runtime, known: Variables, addrs: U64, code: CodeKnowledge | None) -> Variables:
    """Return `known` with a nameless variable for each of `addrs` that it does not cover.

    With `code` the words between two addresses that instructions refer to are one variable.
    """
    loose = addrs[known.at(addrs) < 0]
    starts = np.unique(code.variable_starts(loose) if code is not None else loose)
    owner = np.searchsorted(starts, loose, side="right") - 1
    last = np.zeros(starts.size, np.uint64)
    np.maximum.at(last, owner, loose)
    size = last - starts + np.uint64(8)
    owned, types = np.zeros(starts.size, np.bool_), np.zeros(starts.size, np.uint32)
    used_at = starts.copy()
    if code is not None:
        for row, (start, length) in enumerate(zip(starts.tolist(), size.tolist(), strict=True)):
            owned[row] = code.is_runtime_owned(start, start + length)
            types[row] = code.type_at(start)
            used_at[row] = code.used_at(start, start + length)
    names = []
    for addr, number in zip(starts.tolist(), types.tolist(), strict=True):
        suffix = f"({code.type_name(number)})" if code is not None and number else ""
        names.append(nameless_name(runtime, addr) + suffix)
    new = Variables(
        start=starts,
        size=size,
        names=names,
        runtime_owned=owned,
        types=types,
        nameless=np.ones(starts.size, np.bool_),
        used_at=used_at,
    )
    return known.joined(new)


def with_types_from_code(known: Variables, code: CodeKnowledge) -> Variables:
    """Return `known` with the types that code tells of variables whose type is unknown."""
    types = known.types.copy()
    for row in np.flatnonzero(types == 0).tolist():
        types[row] = code.type_at(int(known.start[row]))
    return replace(known, types=types)


def add_global_roots(
    builder: RootBuilder,
    objects: ObjectTable,
    variables: Variables,
    addrs: U64,
    values: U64,
) -> None:
    """Add a node for each variable that refers to an object, and its pointers."""
    targets = objects.find(values)
    real = targets != 0
    addrs, targets = addrs[real], targets[real]
    rows = variables.at(addrs)
    used, position = np.unique(rows, return_inverse=True)
    deferred = variables.runtime_owned[used]
    runtime_group = builder.add_nodes(RootKind.RUNTIME, ["runtime"], deferred=True)
    group = np.where(deferred, np.uint32(runtime_group), np.uint32(0xFFFFFFFF)).astype(np.uint32)
    first = builder.add_nodes(
        RootKind.GLOBAL,
        (variables.names[row] for row in used.tolist()),
        group=group,
        deferred=deferred,
        item=used.astype(np.int64),
    )
    builder.add_slots(
        (first + position).astype(np.uint32),
        targets,
        addrs,
        np.full(addrs.size, builder.label(""), np.uint32),
        word=((addrs - variables.start[rows]) >> np.uint64(3)).astype(np.uint32),
        type_number=variables.types[rows],
    )

"""Goroutines as roots: a node for each, below a node for all that started with the same function."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary.dwarf import Dwarf
from heldby.golang.functions import FunctionTable
from heldby.golang.goroutines import Goroutines
from heldby.golang.objects import ObjectTable
from heldby.golang.stacks import RootKind as StackRootKind
from heldby.golang.stacks import Stacks
from heldby.heap.roots import RootBuilder, RootKind

_WITHOUT_FRAME: Final = {
    StackRootKind.DEFER: "deferred call",
    StackRootKind.PANIC: "panic",
    StackRootKind.CONTEXT: "closure to run",
    StackRootKind.REGISTER: "register",
}


def add_goroutine_roots(
    builder: RootBuilder,
    objects: ObjectTable,
    functions: FunctionTable,
    goroutines: Goroutines,
    stacks: Stacks,
    dwarf: Dwarf | None,
    load_bias: int,
) -> None:
    """Add the groups, the goroutines that hold something, and what they hold.

    Labels are ``function.variable`` with DWARF, the function otherwise. Python work is done once for each
    distinct place in the code, never for each goroutine.
    """
    roots = stacks.roots
    targets = objects.find(roots.value)
    real = np.flatnonzero(targets != 0)
    goroutine = roots.goroutine[real]
    used, node_of = np.unique(goroutine, return_inverse=True)
    start = functions.indexes(goroutines.start_pc[used])
    distinct, group_of = np.unique(start, return_inverse=True)
    names = [start_name(functions, int(row)) for row in distinct]
    system = np.array([is_system_goroutine(name) for name in names], np.bool_)
    groups = builder.add_nodes(RootKind.GOROUTINE_GROUP, names, deferred=system)
    first = builder.add_nodes(
        RootKind.GOROUTINE,
        (names[row] for row in group_of.tolist()),
        group=(groups + group_of).astype(np.uint32),
        deferred=system[group_of],
        item=used.astype(np.int64),
    )
    labels = _labels(builder, functions, stacks, real, dwarf, load_bias)
    builder.add_slots((first + node_of).astype(np.uint32), targets[real], roots.slot[real], labels)


def start_name(functions: FunctionTable, row: int) -> str:
    """Return what to call goroutines that start with function `row`; the first one runs main.main."""
    if row < 0:
        return "unknown function"
    name = functions.name(row)
    return "main.main" if name == "runtime.main" else name


def is_system_goroutine(name: str) -> bool:
    """Tell whether goroutines with that start function are the runtime's own (runtime/traceback.go)."""
    return name.startswith("runtime.") and name not in ("runtime.handleAsyncEvent", "runtime.corostart")


def _labels(
    builder: RootBuilder,
    functions: FunctionTable,
    stacks: Stacks,
    rows: NDArray[np.intp],
    dwarf: Dwarf | None,
    load_bias: int,
) -> NDArray[np.uint32]:
    """Return the label of each root: distinct (function, pc, distance from the frame's top) are named once."""
    roots, frames = stacks.roots, stacks.frames
    frame = roots.frame[rows].astype(np.int64)
    out = np.zeros(rows.size, np.uint32)
    loose = frame < 0
    for kind in np.unique(roots.kind[rows[loose]]).tolist():
        text = _WITHOUT_FRAME.get(StackRootKind(kind), "stack")
        out[loose & (roots.kind[rows] == kind)] = builder.label(text)
    framed = np.flatnonzero(~loose)
    if not framed.size:
        return out
    at = frame[framed]
    keys = np.empty(framed.size, [("function", np.int64), ("pc", np.uint64), ("below", np.int64)])
    keys["function"] = frames.function[at]
    keys["pc"] = frames.continpc[at]
    slot = roots.slot[rows[framed]]
    below = (slot - frames.fp[at]).view(np.int64)
    keys["below"] = np.where(slot == 0, np.int64(np.iinfo(np.int64).min), below)
    distinct, inverse = np.unique(keys, return_inverse=True)
    named = _Namer(functions, dwarf, load_bias)
    texts = [named(int(key["function"]), int(key["pc"]), int(key["below"])) for key in distinct]
    out[framed] = np.array([builder.label(text) for text in texts], np.uint32)[inverse]
    return out


class _Namer:
    """Names a frame slot: ``main.handle.request`` with DWARF, ``main.handle`` without."""

    def __init__(self, functions: FunctionTable, dwarf: Dwarf | None, load_bias: int) -> None:
        self._functions = functions
        self._dwarf = dwarf
        self._load_bias = load_bias

    def __call__(self, function: int, pc: int, below: int) -> str:
        name = self._functions.name(function) if function >= 0 else "unknown function"
        if self._dwarf is None or function < 0:
            return name
        found = self._dwarf.functions.at(self._functions.entry(function) - self._load_bias)
        if found is None:
            return name
        static_pc = pc - 1 - self._load_bias
        for variable in found.variables:
            for piece in variable.pieces_at(static_pc):
                size = piece.size or (variable.type.size if variable.type else None) or 8
                if piece.frame_offset <= below < piece.frame_offset + size:
                    return f"{name}.{variable.name.lstrip('&')}"
        return name

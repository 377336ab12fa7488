"""Goroutines as roots: a node for each, below a node for all that started with the same function."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import FunctionTable, short_name
from heldby.golang.goroutines.goroutines import Goroutines
from heldby.golang.goroutines.stacks import RootKind as StackRootKind
from heldby.golang.goroutines.stacks import Stacks
from heldby.golang.objects.objects import ObjectTable
from heldby.heap.debug_info import DebugInfo
from heldby.heap.roots import RootBuilder, RootKind

_NO_SLOT: Final = np.int64(np.iinfo(np.int64).min)
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
    debug: DebugInfo | None,
) -> None:
    """Add the groups, the goroutines that hold something, and what they hold.

    Labels are ``function.variable`` with debug information, the function otherwise. Python work is done once
    for each distinct place in the code, never for each goroutine.
    """
    roots = stacks.roots
    targets = objects.find(roots.value)
    real = np.flatnonzero(targets != 0)
    goroutine = roots.goroutine[real]
    used, node_of = np.unique(goroutine, return_inverse=True)
    start = functions.indexes(goroutines.start_pc[used])
    distinct, group_of = np.unique(start, return_inverse=True)
    members = used[np.unique(group_of, return_index=True)[1]] if used.size else used
    names = [
        start_name(functions, stacks, int(row), int(member))
        for row, member in zip(distinct, members, strict=True)
    ]
    system = np.array([is_system_goroutine(name) for name in names], np.bool_)
    groups = builder.add_nodes(RootKind.GOROUTINE_GROUP, names, deferred=system)
    first = builder.add_nodes(
        RootKind.GOROUTINE,
        (names[row] for row in group_of.tolist()),
        group=(groups + group_of).astype(np.uint32),
        deferred=system[group_of],
        item=used.astype(np.int64),
    )
    namer = _Namer(functions, debug)
    label, word, type_number = _places(builder, namer, stacks, real)
    builder.add_slots(
        (first + node_of).astype(np.uint32),
        targets[real],
        roots.slot[real],
        label,
        word=word,
        type_number=type_number,
    )


def start_name(functions: FunctionTable, stacks: Stacks, row: int, member: int) -> str:
    """Return what to call goroutines that start with function `row`, of which `member` is one.

    The first one runs main.main. ``go f(x)`` starts a wrapper of the compiler's (``main.start.gowrap1``) that
    calls f or has it inlined: f is what the reader wrote.
    """
    if row < 0:
        return "unknown function"
    name = functions.name(row)
    if name == "runtime.main":
        return "main.main"
    if not functions.is_wrapper(row):
        return name
    frames = stacks.frames
    for at in range(int(frames.first[member]), int(frames.first[member + 1])):
        if frames.function[at] == row:
            if at > frames.first[member]:
                return functions.name(int(frames.function[at - 1]))
            inlined = functions.inlined(int(frames.pc[at]) - 1)
            return inlined[0].function if inlined else name
    return name


def is_system_goroutine(name: str) -> bool:
    """Tell whether goroutines with that start function are the runtime's own (runtime/traceback.go)."""
    return name.startswith("runtime.") and name not in ("runtime.handleAsyncEvent", "runtime.corostart")


def _places(
    builder: RootBuilder, namer: _Namer, stacks: Stacks, rows: NDArray[np.intp]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
    """Return label, word and type of each root; distinct places in the code are asked about once."""
    roots, frames = stacks.roots, stacks.frames
    frame = roots.frame[rows].astype(np.int64)
    out = np.zeros((3, rows.size), np.uint32)
    loose = frame < 0
    for kind in np.unique(roots.kind[rows[loose]]).tolist():
        text = _WITHOUT_FRAME.get(StackRootKind(kind), "stack")
        out[0, loose & (roots.kind[rows] == kind)] = builder.label(text)
    framed = np.flatnonzero(~loose)
    if framed.size:
        at = frame[framed]
        keys = np.empty(framed.size, [("function", np.int64), ("pc", np.uint64), ("below", np.int64)])
        keys["function"] = frames.function[at]
        keys["pc"] = frames.continpc[at]
        slot = roots.slot[rows[framed]]
        keys["below"] = np.where(slot == 0, _NO_SLOT, (slot - frames.fp[at]).view(np.int64))
        distinct, inverse = np.unique(keys, return_inverse=True)
        named = [namer(int(key["function"]), int(key["pc"]), int(key["below"])) for key in distinct]
        places = np.array([(builder.label(text), word, number) for text, word, number in named], np.uint32)
        out[:, framed] = places[inverse].T
    return out[0], out[1], out[2]


class _Namer:
    """Names a frame slot: ``main.handle.request`` with debug information, ``main.handle`` without."""

    def __init__(self, functions: FunctionTable, debug: DebugInfo | None) -> None:
        self._functions = functions
        self._debug = debug

    def __call__(self, function: int, pc: int, below: int) -> tuple[str, int, int]:
        """Return the name, the word within the variable and the variable's type number (0 for unknown)."""
        if function < 0:
            return "unknown function", 0, 0
        name = short_name(self._functions.name(function))
        if self._debug is None:
            return name, 0, 0
        # pc is where the frame goes on: the call before it is where its variables are described.
        found = self._debug.frame_variable(self._functions.entry(function), pc - 1, below)
        return (f"{name}.{found.name}", found.word, found.type_number) if found else (name, 0, 0)

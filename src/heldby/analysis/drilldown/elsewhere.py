"""What lies at an address that is in no object: a variable, a free slot, a stack, code."""

from __future__ import annotations

import numpy as np

from heldby.errors import UsageError
from heldby.golang.functions.functions import FunctionTable, short_name
from heldby.golang.goroutines.goroutine_list import find_goroutines
from heldby.golang.goroutines.goroutines import read_goroutines
from heldby.golang.objects.spans import PAGE_BYTES
from heldby.heap.heap import Heap
from heldby.units import format_size_class

_SECTIONS = (
    ("a variable without pointers, or room between variables", "noptrdata", "end"),
    ("a type of the program", "types", "etypes"),
    ("read-only data of the program", "rodata", "noptrdata"),
)


def variable_at(heap: Heap, addr: int) -> int | None:
    """Return the row of the global variable that holds the byte at `addr`; None for none."""
    row = int(heap.variables.at(np.array([addr], np.uint64))[0])
    return row if row >= 0 else None


def no_object(heap: Heap, addr: int) -> UsageError:
    """Return the error that says what lies at `addr`, where no object and no variable does. O(goroutines)."""
    what = _free_slot(heap, addr) or _stack(heap, addr) or _program(heap, addr)
    if what is None:
        image = heap.process.runtime.image
        what = "memory outside the Go heap" if addr in image else "nothing that was captured"
    return UsageError(
        f"there is no object at {addr:#x}",
        cause=f"it is {what}",
        next_step="addresses of objects are in the output of: heldby tree TARGET PATH --objects",
    )


def _free_slot(heap: Heap, addr: int) -> str | None:
    spans = heap.objects.spans
    row = int(np.searchsorted(spans.base, np.uint64(addr), side="right")) - 1
    if row < 0 or addr - int(spans.base[row]) >= int(spans.pages[row]) * PAGE_BYTES:
        return None
    if addr - int(spans.base[row]) >= int(spans.extent[row]):
        return "behind the last slot of its span: no object ever lies there"
    return f"a free slot of {format_size_class(int(spans.elemsize[row]))}: what it held was freed, or nothing yet"


def _stack(heap: Heap, addr: int) -> str | None:
    runtime = heap.process.runtime
    goroutines = read_goroutines(runtime, find_goroutines(runtime, heap.objects))
    inside = np.flatnonzero((goroutines.stack_lo <= addr) & (np.uint64(addr) < goroutines.stack_hi))
    for row in inside.tolist():
        functions = FunctionTable(runtime)
        index = functions.index(int(goroutines.start_pc[row]))
        name = f" ({short_name(functions.name(index))})" if index >= 0 else ""
        return f"on the stack of goroutine {int(goroutines.goid[row])}{name}"
    spans = heap.objects.spans
    manual = (spans.manual_base <= addr) & (
        np.uint64(addr) < spans.manual_base + spans.manual_pages * np.uint64(PAGE_BYTES)
    )
    return "memory of the runtime's own: free stacks, or the collector's" if manual.any() else None


def _program(heap: Heap, addr: int) -> str | None:
    runtime = heap.process.runtime
    functions = FunctionTable(runtime)
    index = functions.index(addr)
    if index >= 0:
        return f"code of {functions.name(index)}"
    for module in runtime.modules:
        for what, start, end in _SECTIONS:
            if module.has(start) and module.has(end) and module.word(start) <= addr < module.word(end):
                return what
    return None

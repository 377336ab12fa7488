"""The table of goroutines: one row for each ``g`` that the runtime ever made.

Read column by column with one kernel, whatever their number. Fields from runtime/runtime2.go; numbers of
states and wait reasons move between releases and come from the layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows

Words = NDArray[np.uint64]

_COLUMNS: Final = {
    "stack_lo": ("stack", "lo"),
    "stack_hi": ("stack", "hi"),
    "panic": ("_panic",),
    "defer": ("_defer",),
    "m": ("m",),
    "sched_sp": ("sched", "sp"),
    "sched_pc": ("sched", "pc"),
    "sched_ctxt": ("sched", "ctxt"),
    "sched_lr": ("sched", "lr"),
    "syscall_sp": ("syscallsp",),
    "syscall_pc": ("syscallpc",),
    "stack_top_sp": ("stktopsp",),
    "goid": ("goid",),
    "wait_since": ("waitsince",),
    "parent_goid": ("parentGoid",),
    "go_pc": ("gopc",),
    "start_pc": ("startpc",),
    "waiting": ("waiting",),
    "labels": ("labels",),
}
# A g has 450 bytes; read this many at a time so that 400,000 of them do not take 180 MB at once.
_CHUNK: Final = 1 << 15
_LARGEST_STACK: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Goroutines:
    """All goroutines, dead ones included, in the order of ``runtime.allgs``; one array entry each.

    Attributes:
        addr: of the ``g`` structure, ``uint64[n]`` like every column unless said otherwise.
        present: ``bool[n]``, False where the ``g`` itself is not in the capture (its columns are then 0).
        status: ``runtime._G*`` without the scan bit.
        stack_lo: lowest address of the stack.
        stack_hi: first address above it.
        sched_ctxt: closure of a goroutine that has not run yet.
        sched_lr: saved link register (arm64).
        syscall_sp: not 0 in a system call and in C code.
        stack_top_sp: where unwinding must end.
        wait_reason: index in the layout's ``wait_reasons``; it means something only while waiting.
        wait_since: nanoseconds of the runtime's clock, 0 when unknown.
        waiting: address of the first ``sudog``, 0 for none.
        go_pc: the ``go`` statement that made it.
        extended_registers: address of the vector registers saved at an asynchronous preemption, 0 for none.
    """

    addr: Words
    present: NDArray[np.bool_]
    status: Words
    stack_lo: Words
    stack_hi: Words
    panic: Words
    defer: Words
    m: Words
    sched_sp: Words
    sched_pc: Words
    sched_ctxt: Words
    sched_lr: Words
    syscall_sp: Words
    syscall_pc: Words
    stack_top_sp: Words
    goid: Words
    wait_since: Words
    wait_reason: Words
    async_safe_point: NDArray[np.bool_]
    parent_goid: Words
    go_pc: Words
    start_pc: Words
    waiting: Words
    labels: Words
    extended_registers: Words

    def __len__(self) -> int:
        return int(self.addr.size)

    def stack_sizes(self) -> NDArray[np.int64]:
        """Return the bytes of each stack; 0 where its bounds are impossible, which the heap's caveats count."""
        size = self.stack_hi - self.stack_lo
        possible = (self.stack_lo < self.stack_hi) & (size <= np.uint64(_LARGEST_STACK))
        return np.where(possible, size, 0).astype(np.int64)


def read_goroutines(runtime: Runtime, addrs: NDArray[np.uint64]) -> Goroutines:
    """Return the table of the goroutines at `addrs` (``runtime.allgs``); O(goroutines), 200 bytes each."""
    parts = [_read_chunk(runtime, addrs[at : at + _CHUNK]) for at in range(0, addrs.size, _CHUNK)]
    parts = parts or [_read_chunk(runtime, addrs)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Goroutines(addr=addrs, **columns)


def _read_chunk(runtime: Runtime, addrs: NDArray[np.uint64]) -> dict[str, NDArray[np.uint64]]:
    layout = runtime.layout
    rows = StructRows(runtime.pages, layout, "runtime.g", np.ascontiguousarray(addrs))
    columns = {name: rows.column(*path) for name, path in _COLUMNS.items()}
    columns["present"] = rows.present  # type: ignore[assignment]
    status = rows.raw(layout.offset("runtime.g", "atomicstatus"), 4)
    columns["status"] = status & ~np.uint64(layout.const("runtime._Gscan", 0x1000))
    columns["wait_reason"] = rows.raw(layout.offset("runtime.g", "waitreason"), 1)
    columns["async_safe_point"] = rows.raw(layout.offset("runtime.g", "asyncSafePoint"), 1) != 0
    has_registers = layout.has("runtime.g", "xRegs")
    columns["extended_registers"] = (
        rows.column("xRegs", "state") if has_registers else np.zeros(addrs.size, np.uint64)
    )
    return columns

"""Goroutines that ran when the process was stopped: their registers, and from where to unwind them.

What a running goroutine last saved in ``g.sched`` is stale unless its thread is on a system stack; its place
is in the thread's registers. Where the thread's stack pointer lies decides (runtime/proc.go, asm_amd64.s,
time_linux_amd64.s, signal_amd64.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import NotCaptured
from heldby.golang.functions.function_kernels import ROLE, ROLE_GOGO
from heldby.golang.functions.functions import FunctionTable
from heldby.golang.goroutines.goroutines import Goroutines
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.runtime.structs import StructRows
from heldby.memory.core_file import Thread

_GENERAL: Final = {
    "amd64": ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", *(f"r{n}" for n in range(8, 16))),
    "arm64": tuple(f"x{n}" for n in range(31)),
}
_PLACE: Final = {"amd64": ("rip", "rsp"), "arm64": ("pc", "sp")}
# Linux struct ucontext: uc_stack {ss_sp, ss_flags, ss_size} at 16; on amd64 gregs follow at 40 in this order.
_UC_STACK: Final = 16
_UC_REGISTERS: Final = {
    "amd64": (
        40,
        (*(f"r{n}" for n in range(8, 16)), "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip"),
    ),
    # sigcontext lies behind 128 bytes of sigmask: fault_address, x0..x30, sp, pc.
    "arm64": (184, (*(f"x{n}" for n in range(31)), "sp", "pc")),
}
_MAX_SIGNAL_STACK: Final = 1 << 20

Registers = dict[str, int]


@dataclass(frozen=True, slots=True)
class Executing:
    """Where the goroutines that ran stood.

    Attributes:
        goroutine: ``int64[k]``, numbers of goroutines that were on their own stack.
        pc, sp, lr: ``uint64[k]``, where to begin.
        interrupted: ``bool[k]``, False when the place is a call, as in a vDSO call: its stack map is valid.
        registers: ``uint64[k, r]``, general registers.
        on_system_stack: ``int64[j]``, goroutines that ran on a system stack: ``g.sched`` is right for them.
        other_threads: threads that ran no Go code of a goroutine: in a system call, idle, or C threads.
    """

    goroutine: NDArray[np.int64]
    pc: NDArray[np.uint64]
    sp: NDArray[np.uint64]
    lr: NDArray[np.uint64]
    interrupted: NDArray[np.bool_]
    registers: NDArray[np.uint64]
    on_system_stack: NDArray[np.int64]
    other_threads: int


@dataclass(frozen=True, slots=True)
class _Machine:
    """One ``runtime.m`` that runs a goroutine."""

    addr: int
    goroutine: int
    signal_stack: tuple[int, int]


def find_executing(
    runtime: Runtime, functions: FunctionTable, goroutines: Goroutines, threads: Sequence[Thread]
) -> Executing:
    """Match threads with the goroutines that they ran; O(threads)."""
    machines = _machines(runtime, goroutines)
    rows: list[tuple[int, int, int, int, bool, list[int]]] = []
    on_system_stack: list[int] = []
    matched = 0
    names = _GENERAL[runtime.layout.arch]
    for thread in threads:
        machine = machines.get(thread.tid)
        if machine is None or goroutines.syscall_sp[machine.goroutine]:
            continue
        matched += 1
        place = _place(runtime, functions, goroutines, machine, thread.registers)
        if place is None:
            on_system_stack.append(machine.goroutine)
            continue
        pc, sp, interrupted, registers = place
        general = [registers.get(name, 0) for name in names] if interrupted else [0] * len(names)
        rows.append((machine.goroutine, pc, sp, registers.get("x30", 0), interrupted, general))
    return Executing(
        goroutine=np.array([row[0] for row in rows], np.int64),
        pc=np.array([row[1] for row in rows], np.uint64),
        sp=np.array([row[2] for row in rows], np.uint64),
        lr=np.array([row[3] for row in rows], np.uint64),
        interrupted=np.array([row[4] for row in rows], np.bool_),
        registers=np.array([row[5] for row in rows], np.uint64).reshape(len(rows), len(names)),
        on_system_stack=np.array(on_system_stack, np.int64),
        other_threads=len(threads) - matched,
    )


def _machines(runtime: Runtime, goroutines: Goroutines) -> dict[int, _Machine]:
    """Return the ms that hold a goroutine, by thread id; found through ``g.m``, which does not move."""
    numbers = np.flatnonzero(goroutines.m != 0)
    addrs = np.ascontiguousarray(goroutines.m[numbers])
    rows = StructRows(runtime.pages, runtime.layout, "runtime.m", addrs)
    current = rows.column("curg")
    signal_addrs = rows.column("gsignal")
    signal = StructRows(runtime.pages, runtime.layout, "runtime.g", signal_addrs)
    low, high = signal.column("stack", "lo"), signal.column("stack", "hi")
    ids = rows.column("procid")
    found: dict[int, _Machine] = {}
    for i, number in enumerate(numbers.tolist()):
        if rows.present[i] and int(current[i]) == int(goroutines.addr[number]):
            found[int(ids[i])] = _Machine(int(addrs[i]), number, (int(low[i]), int(high[i])))
    return found


def _place(
    runtime: Runtime,
    functions: FunctionTable,
    goroutines: Goroutines,
    machine: _Machine,
    registers: Registers,
) -> tuple[int, int, bool, Registers] | None:
    """Return pc, sp, whether they are an interrupted place, and registers; None when ``g.sched`` is right."""
    pc_name, sp_name = _PLACE[runtime.layout.arch]
    low, high = machine.signal_stack
    if low <= registers[sp_name] < high:
        interrupted = _interrupted_registers(runtime, machine, registers[sp_name])
        if interrupted is None:
            return None
        registers = interrupted
    number = machine.goroutine
    lo, hi = int(goroutines.stack_lo[number]), int(goroutines.stack_hi[number])
    pc, sp = registers[pc_name], registers[sp_name]
    index = functions.index(pc)
    on_own_stack = lo <= sp < hi
    if not on_own_stack or index < 0:
        called = _vdso_call(runtime, machine, lo, hi)
        if called is not None:
            return *called, False, registers
        return (pc, sp, True, registers) if on_own_stack else None
    if functions.arrays.rows[index, ROLE] == ROLE_GOGO:
        # gogo has switched stacks already and is about to jump to what sched.pc still says.
        pc = int(goroutines.sched_pc[number])
    return pc, sp, True, registers


def _interrupted_registers(runtime: Runtime, machine: _Machine, sp: int) -> Registers | None:
    """Return what a signal handler interrupted, from the ucontext that the kernel left on its stack."""
    low, high = machine.signal_stack
    if high - low > _MAX_SIGNAL_STACK:
        return None
    start = sp & ~7
    data, _ = runtime.image.read_available(start, (high - start) & ~7)
    words = np.frombuffer(data, np.uint64)
    if words.size < 3:
        return None
    offset, names = _UC_REGISTERS[runtime.layout.arch]
    _, sp_name = _PLACE[runtime.layout.arch]
    for at in np.flatnonzero((words[:-2] == np.uint64(low)) & (words[2:] == np.uint64(high - low))):
        first = int(at) + (offset - _UC_STACK) // 8
        if first + len(names) > words.size:
            continue
        registers = dict(zip(names, words[first : first + len(names)].tolist(), strict=True))
        if not low <= registers[sp_name] < high:
            return registers
    return None


def _vdso_call(runtime: Runtime, machine: _Machine, lo: int, hi: int) -> tuple[int, int] | None:
    """Return caller's pc and sp of a clock reading, which borrows the system stack and saves no ``g.sched``.

    ``m.vdsoSP`` and ``m.vdsoPC`` lie among the fields that move between patch releases, so they are known by
    what they say: neighbouring words, a place on the goroutine's stack and the return address just below it.
    """
    # Behind curg: m.morebuf, before it, is such a pair too, but of another place.
    start = runtime.layout.offset("runtime.m", "curg")
    try:
        words = runtime.image.words(machine.addr + start, (runtime.layout.size("runtime.m") - start) // 8)
    except NotCaptured:
        return None
    text_low, text_high = runtime.modules[0].range("text", "etext")
    sps, pcs = words[:-1], words[1:]
    likely = (sps > np.uint64(lo)) & (sps < np.uint64(hi)) & (sps & np.uint64(7) == 0)
    likely &= (pcs >= np.uint64(text_low)) & (pcs < np.uint64(text_high))
    for at in np.flatnonzero(likely):
        sp, pc = int(sps[at]), int(pcs[at])
        try:
            if runtime.image.u64(sp - 8) == pc:
                return pc, sp
        except NotCaptured:
            continue
    return None

"""Return addresses of profiled stacks, understood as package runtime/pprof does.

A profiled stack has an address for every call, for inlined ones too (the instruction after their inline mark),
so an address says one call; only the last, where the depth limit may have cut, stands for those that it is
inlined in as well (runtime/symtab.go, runtime_expandFinalInlineFrame).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import FunctionTable

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
_RUNTIME = ("runtime.", "internal/runtime/")


@dataclass(frozen=True, slots=True)
class ProfileFrame:
    """What one return address says (runtime/symtab.go, Frames.Next).

    Attributes:
        address: the return address.
        pc: the call itself.
        function: full name; empty where no Go function is.
        file: as the compiler recorded it.
        line: 0 when unknown.
        start_line: of the ``func`` keyword.
        entry: of the function that the code belongs to, inlined calls included; 0 for none.
        inlined: the call was inlined into a function around it.
        hidden: pprof leaves it out at the leaf end of a stack, since it is the runtime's.
    """

    address: int
    pc: int
    function: str
    file: str
    line: int
    start_line: int
    entry: int
    inlined: bool
    hidden: bool

    @property
    def is_exit(self) -> bool:
        """The runtime's own bottom of every goroutine's stack, which pprof never shows."""
        return self.function == "runtime.goexit"


def frames_of(functions: FunctionTable, addresses: U64) -> tuple[ProfileFrame, ...]:
    """Return what each of the (distinct) return addresses says; about 30 µs for each."""
    rows = functions.indexes(addresses).tolist()
    return tuple(
        _frame(functions, address, row) for address, row in zip(addresses.tolist(), rows, strict=True)
    )


def _frame(functions: FunctionTable, address: int, row: int) -> ProfileFrame:
    if row < 0:
        return ProfileFrame(address, max(address - 1, 0), "", "", 0, 0, 0, inlined=False, hidden=False)
    entry = functions.entry(row)
    # The instruction after a call may belong to something else; pprof decides by it what to hide all the same
    # (runtime/pprof/protomem.go calls FuncForPC with the return address).
    after = functions.inlined(address)
    hidden = bool(after) and after[0].function.startswith(_RUNTIME)
    pc = address - 1 if address > entry else address
    calls = functions.inlined(pc)
    innermost = calls[0]
    return ProfileFrame(
        address,
        pc,
        innermost.function,
        innermost.file,
        innermost.line,
        innermost.start_line,
        entry,
        inlined=len(calls) > 1,
        hidden=hidden,
    )


def expanded_stacks(functions: FunctionTable, first: I64, pcs: U64) -> tuple[I64, U64]:
    """Return stacks whose last address is followed by those of the calls that it is inlined in.

    Args:
        functions: of the program.
        first: ``int64[b + 1]``, where each stack begins.
        pcs: ``uint64[...]``, return addresses.
    """
    lengths = np.diff(first)
    full = np.flatnonzero(lengths)
    last, which = np.unique(pcs[first[1:][full] - 1], return_inverse=True)
    ends = [_with_callers(functions, address) for address in last.tolist()]
    end_lengths = np.array([len(end) for end in ends], np.int64)
    end_first = np.cumsum(end_lengths) - end_lengths
    all_ends = np.array([address for end in ends for address in end], np.uint64)
    added = np.zeros(lengths.size, np.int64)
    added[full] = end_lengths[which] - 1
    new_first = np.zeros(first.size, np.int64)
    np.cumsum(lengths + added, out=new_first[1:])
    out = np.zeros(int(new_first[-1]), np.uint64)
    is_last = np.zeros(pcs.size, np.bool_)
    is_last[first[1:][full] - 1] = True
    moved = np.repeat(new_first[:-1] - first[:-1], lengths)
    out[(np.arange(pcs.size) + moved)[~is_last]] = pcs[~is_last]
    counts = end_lengths[which]
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    out[np.repeat(new_first[1:][full] - counts, counts) + within] = all_ends[
        np.repeat(end_first[which], counts) + within
    ]
    return new_first, out


def _with_callers(functions: FunctionTable, address: int) -> list[int]:
    calls = functions.inlined(address - 1) if address else ()
    if len(calls) < 2:
        return [address]
    return [call.pc + 1 for call in calls if not call.is_wrapper] or [address]

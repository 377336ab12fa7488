"""The function table inside compiled kernels: find a function by pc, decode its pc-value tables.

A pc-value table says which value (frame size, stack map number, line ...) holds at which instruction: pairs
of variable-length numbers, a zigzag value delta and a pc delta in units of the instruction size
(runtime/symtab.go ``pcvalue`` and ``step``, Go 1.21 to 1.27).
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.jit import inline_kernel, kernel, u64

NO_VALUE = -1
"""What Go itself takes for a table that is absent."""
BAD_TABLE = -(1 << 40)
"""The table is cut off, or has no value for the pc."""
_MAX_STEPS = 1 << 20

ROLE_SIGPANIC = 1
ROLE_ASYNC_PREEMPT = 2
ROLE_DEBUG_CALL = 3
ROLE_CGOCALLBACK = 4
ROLE_REFLECT_STUB = 5
ROLE_GOGO = 6

FLAG_TOP_FRAME = 1
FLAG_SP_WRITE = 2


# Columns of `FunctionArrays.rows`; tables and maps are offsets into `pctab` and `funcdata`.
FRAME_SIZES = 0
"""pc-value table of frame sizes, 0 for none."""
MAP_NUMBERS = 1
"""pc-value table of stack map numbers, 0 for none."""
ARGS_MAPS = 2
"""Stack maps of the arguments, -1 for none."""
LOCALS_MAPS = 3
"""Stack maps of the locals, -1 for none."""
OBJECTS = 4
"""Table of stack objects, -1 for none."""
MASKS = 5
"""Where the module's read-only data begins in `rodata`."""
ARGS = 6
"""Bytes of arguments, negative when unknown."""
DEFERRETURN = 7
"""Offset of the call of deferreturn from the entry, 0 for none."""
FLAGS = 8
"""``FLAG_*``."""
ROLE = 9
"""``ROLE_*``, 0 for an ordinary function."""
COLUMNS = 10


class FunctionArrays(NamedTuple):
    """What kernels need of all functions; few arrays, since each costs compile time wherever it is passed.

    Attributes:
        entry: ``uint64[n]``, ascending.
        limit: ``uint64[n]``, the first address behind the function.
        rows: ``int64[n, COLUMNS]``.
        pctab: ``uint8[...]``, pc-value tables.
        funcdata: ``uint8[...]``, stack maps and stack object tables.
        rodata: ``uint8[...]``, pointer masks of stack objects.
    """

    entry: NDArray[np.uint64]
    limit: NDArray[np.uint64]
    rows: NDArray[np.int64]
    pctab: NDArray[np.uint8]
    funcdata: NDArray[np.uint8]
    rodata: NDArray[np.uint8]


@inline_kernel
def find_function(entry, limit, pc):
    """Return the index of the function that holds `pc` (uint64), or -1; O(log n)."""
    low = u64(0)
    high = u64(entry.size)
    while low < high:
        middle = (low + high) >> u64(1)
        if entry[middle] <= pc:
            low = middle + u64(1)
        else:
            high = middle
    if low == u64(0) or pc >= limit[low - u64(1)]:
        return np.int64(-1)
    return np.int64(low - u64(1))


@kernel
def find_functions(entry, limit, pcs, out):
    """Write the function index of each pc, or -1, to `out` (``int64[len(pcs)]``)."""
    for i in range(pcs.size):
        out[i] = find_function(entry, limit, pcs[i])


@inline_kernel
def _varint(table, at):
    """Return the number of at most 35 bits at byte `at` and the place after it, -1 for a damaged one."""
    number = np.int64(0)
    shift = np.int64(0)
    while at < np.int64(table.size) and shift <= 28:
        byte = np.int64(table[u64(at)])
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at
    return number, np.int64(-1)


@kernel
def pc_value(pctab, offset, distance, quantum):
    """Return the value `distance` bytes behind the function's entry, NO_VALUE without a table, or BAD_TABLE.

    `offset` and `quantum` are int64; a value holds below the pc that follows it.
    """
    if offset == 0:
        return np.int64(NO_VALUE)
    if offset < 0:
        return np.int64(BAD_TABLE)
    at = offset
    value = np.int64(-1)
    reached = np.int64(0)
    for step in range(_MAX_STEPS):
        number, at = _varint(pctab, at)
        if at < 0:
            return np.int64(BAD_TABLE)
        if number == 0 and step > 0:
            return np.int64(BAD_TABLE)
        number &= 0xFFFFFFFF
        if number & 1:
            value -= (number >> 1) + 1
        else:
            value += number >> 1
        number, at = _varint(pctab, at)
        if at < 0:
            return np.int64(BAD_TABLE)
        reached += number * quantum
        if distance < reached:
            return value
    return np.int64(BAD_TABLE)

"""What the program's code says of types: which it allocates, one or many, and the layout of each closure.

The code loads the address of a type descriptor before it allocates, and of a closure's descriptor just before
it stores the function's entry into the new closure (cmd/compile, OCLOSURE: newobject, then the fields). Both
are instructions that form an address relative to the program counter; only addresses that are known to be
descriptors or functions are kept, so that data in between the code does no harm.

Values lie side by side where the code calls a function of the runtime that allocates many of a type, whose
descriptor it loads just before, or where the program has a slice, array or channel type of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.functions.functions import FunctionTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.types import FIRST_DESCRIPTOR, TypeTable

U64 = NDArray[np.uint64]
_CHUNK: Final = 1 << 22
_MOST_CODE: Final = 1 << 32
_OVERLAP: Final = 16
_MAX_DISTANCE: Final = 1024
_MAX_TO_CALL: Final = 256
# cmd/compile/internal/walk: append, make, and literals that escape; runtime/slice.go, chan.go.
_ALLOCATES_MANY: Final = re.compile(rb"\x00runtime\.(?:growslice|makeslice|newarray|makechan)\w*(?=\x00)")
# runtime/asm_amd64.s and asm_arm64.s.
_KEEPS_REGISTERS: Final = re.compile(rb"\x00runtime\.gcWriteBarrier\w*(?=\x00)")


@dataclass(frozen=True, slots=True)
class CodeTypes:
    """Where the code forms the addresses of descriptors and of functions.

    Attributes:
        allocated: ``bool[types]``, descriptors that code refers to.
        repeated: ``bool[types]``, those of which several may lie in one object, by what the code calls; all where
            the functions that do it are not known.
        type_site, type_number: ``uint64[k]``, ``uint32[k]``: instructions, ascending, and the type.
        entry_site, entry: ``uint64[m]``: instructions, ascending, and the function entry.
    """

    allocated: NDArray[np.bool_]
    repeated: NDArray[np.bool_]
    type_site: U64
    type_number: NDArray[np.uint32]
    entry_site: U64
    entry: U64

    def closure_structs(self, entry: int, fitting: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return those of `fitting` that code allocates just before it forms address `entry`."""
        sites = self.entry_site[self.entry == np.uint64(entry)]
        mine = np.isin(self.type_number, fitting)
        where, numbers = self.type_site[mine], self.type_number[mine]
        if not where.size or not sites.size:
            return fitting[:0]
        at = np.searchsorted(where, sites) - 1
        near = (at >= 0) & (sites - where[np.maximum(at, 0)] < _MAX_DISTANCE)
        return np.unique(numbers[at[near]])


def read_code_types(runtime: Runtime, types: TypeTable, functions: FunctionTable) -> CodeTypes:
    """Return what the code of all modules says; O(bytes of code), vectorised.

    Args:
        runtime: of the process; its image must hold the code, otherwise nothing is known.
        types: of the program.
        functions: of the program.
    """
    entries = functions.arrays.entry
    many = entries[functions.matching(_ALLOCATES_MANY)]
    nothing = np.zeros(0, np.uint64)
    sites, targets, calls, called = [nothing], [nothing], [nothing], [nothing]
    find_addresses, find_calls = _FINDERS[runtime.layout.arch == "arm64"]
    for module in runtime.modules:
        for code, start in _stretches_of_code(runtime, *module.range("text", "etext")):
            site, target = find_addresses(code, start)
            sites.append(site)
            targets.append(target)
            site, target = find_calls(code, start)
            calls.append(site)
            called.append(target)
    site, target = np.concatenate(sites), np.concatenate(targets)
    number = types.numbers_at(target)
    is_type = number != 0
    is_entry = _are_among(entries, target)
    allocated = np.zeros(FIRST_DESCRIPTOR + types.descriptor_addrs.size, np.bool_)
    allocated[number[is_type]] = True
    repeated = np.full(allocated.size, not many.size)
    call, callee = np.concatenate(calls), np.concatenate(called)
    real = _are_among(entries, callee) & ~np.isin(callee, entries[functions.matching(_KEEPS_REGISTERS)])
    handed = _next(site[is_type], call[real], callee[real])
    repeated[number[is_type][np.isin(handed, many)]] = True
    return CodeTypes(allocated, repeated, site[is_type], number[is_type], site[is_entry], target[is_entry])


def _are_among(entries: U64, addrs: U64) -> NDArray[np.bool_]:
    """Tell which addresses are one of `entries`, ascending."""
    if not entries.size:
        return np.zeros(addrs.size, np.bool_)
    found: NDArray[np.bool_] = entries[np.minimum(np.searchsorted(entries, addrs), entries.size - 1)] == addrs
    return found


def _next(sites: U64, calls: U64, callees: U64) -> U64:
    """Return what is called next after each of `sites`, 0 for nothing nearby.

    A call keeps no register (that of a write barrier is not among `calls`), so what is loaded before it is for it.
    """
    if not calls.size:
        return np.zeros(sites.size, np.uint64)
    at = np.minimum(np.searchsorted(calls, sites), calls.size - 1)
    near = (calls[at] > sites) & (calls[at] - sites < np.uint64(_MAX_TO_CALL))
    return np.where(near, callees[at], np.uint64(0))


def _stretches_of_code(runtime: Runtime, low: int, high: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield the bytes of the code and where they lie, each stretch with the beginning of the next."""
    if high - low > _MOST_CODE:
        return  # a damaged module
    for start in range(low & ~7, high, _CHUNK):
        raw, missing = runtime.image.read_available(start, min(_CHUNK + _OVERLAP, high - start))
        if missing < len(raw):
            yield np.frombuffer(raw, np.uint8), start


def _amd64_addresses(code: NDArray[np.uint8], start: int) -> tuple[U64, U64]:
    """Find ``LEAQ disp32(RIP), reg``: REX.W 8D, mod 00 r/m 101 (Intel SDM, LEA)."""
    hit = (code[1:-6] == 0x8D) & ((code[:-7] & 0xFB) == 0x48) & ((code[2:-5] & 0xC7) == 5)
    return _relative(code, start, np.flatnonzero(hit[:_CHUNK]), 3)


def _amd64_calls(code: NDArray[np.uint8], start: int) -> tuple[U64, U64]:
    """Find ``CALL rel32``: E8 (Intel SDM, CALL)."""
    return _relative(code, start, np.flatnonzero(code[: max(min(_CHUNK, code.size - 7), 0)] == 0xE8), 1)


def _relative(code: NDArray[np.uint8], start: int, at: NDArray[np.intp], before: int) -> tuple[U64, U64]:
    """Return instructions and their targets: 32 bits, `before` bytes in, count from where they end."""
    distance = np.zeros(at.size, np.uint32)
    for byte in range(4):
        distance |= code[at + before + byte].astype(np.uint32) << np.uint32(8 * byte)
    target = np.int64(start + before + 4) + at.astype(np.int64) + distance.view(np.int32)
    return at.astype(np.uint64) + np.uint64(start), target.astype(np.uint64)


def _arm64_calls(code: NDArray[np.uint8], start: int) -> tuple[U64, U64]:
    """Find ``BL imm26`` (Arm ARM, C6.2)."""
    words = code[: min(_CHUNK, code.size) // 4 * 4].view(np.uint32)
    at = np.flatnonzero((words & 0xFC000000) == 0x94000000)
    distance = (words[at] << np.uint32(6)).view(np.int32).astype(np.int64) >> 4
    site = start + 4 * at
    return site.astype(np.uint64), (site + distance).astype(np.uint64)


def _arm64_addresses(code: NDArray[np.uint8], start: int) -> tuple[U64, U64]:
    """Find ``ADRP reg, page`` followed by ``ADD reg, reg, #offset`` (Arm ARM, C6.2)."""
    words = code[: min(_CHUNK + 4, code.size) // 4 * 4].view(np.uint32).astype(np.int64)
    first, second = words[:-1], words[1:]
    hit = ((first & 0x9F000000) == 0x90000000) & ((second & 0xFFC00000) == 0x91000000)
    hit &= (first & 31) == ((second >> 5) & 31)
    at = np.flatnonzero(hit)
    first, second = first[at], second[at]
    page = ((first >> 5 & 0x7FFFF) << 2 | (first >> 29 & 3)) << 43 >> 31
    target = (start + 4 * at & ~0xFFF) + page + (second >> 10 & 0xFFF)
    return (start + at * 4).astype(np.uint64), target.astype(np.uint64)


_FINDERS: Final = ((_amd64_addresses, _amd64_calls), (_arm64_addresses, _arm64_calls))

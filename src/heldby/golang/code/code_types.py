"""What the program's code says of types: which it allocates, and the layout of each closure.

The code loads the address of a type descriptor before it allocates, and of a closure's descriptor just before
it stores the function's entry into the new closure (cmd/compile, OCLOSURE: newobject, then the fields). Both
are instructions that form an address relative to the program counter; only addresses that are known to be
descriptors or functions are kept, so that data in between the code does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.types import FIRST_DESCRIPTOR, TypeTable

U64 = NDArray[np.uint64]
_CHUNK: Final = 1 << 22
_MOST_CODE: Final = 1 << 32
_OVERLAP: Final = 16
_MAX_DISTANCE: Final = 1024


@dataclass(frozen=True, slots=True)
class CodeTypes:
    """Where the code forms the addresses of descriptors and of functions.

    Attributes:
        allocated: ``bool[types]``, descriptors that code refers to.
        type_site, type_number: ``uint64[k]``, ``uint32[k]``: instructions, ascending, and the type.
        entry_site, entry: ``uint64[m]``: instructions, ascending, and the function entry.
    """

    allocated: NDArray[np.bool_]
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


def read_code_types(runtime: Runtime, types: TypeTable, entries: U64) -> CodeTypes:
    """Return what the code of all modules says; O(bytes of code), vectorised.

    Args:
        runtime: of the process; its image must hold the code, otherwise nothing is known.
        types: of the program.
        entries: addresses of functions, ascending.
    """
    sites, targets = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for module in runtime.modules:
        low, high = module.range("text", "etext")
        for site, target in _addresses_formed(runtime, low, high):
            sites.append(site)
            targets.append(target)
    site, target = np.concatenate(sites), np.concatenate(targets)
    number = types.numbers_at(target)
    is_type = number != 0
    at = np.minimum(np.searchsorted(entries, target), max(entries.size - 1, 0))
    is_entry = (entries[at] == target) if entries.size else np.zeros(target.size, np.bool_)
    allocated = np.zeros(FIRST_DESCRIPTOR + types.descriptor_addrs.size, np.bool_)
    allocated[number[is_type]] = True
    return CodeTypes(allocated, site[is_type], number[is_type], site[is_entry], target[is_entry])


def _addresses_formed(runtime: Runtime, low: int, high: int) -> Iterator[tuple[U64, U64]]:
    """Yield instructions that form an address and that address, in stretches of the code."""
    find = _arm64_addresses if runtime.layout.arch == "arm64" else _amd64_addresses
    if high - low > _MOST_CODE:
        return  # a damaged module
    for start in range(low & ~7, high, _CHUNK):
        raw, missing = runtime.image.read_available(start, min(_CHUNK + _OVERLAP, high - start))
        if missing < len(raw):
            offset, target = find(np.frombuffer(raw, np.uint8), start)
            inside = offset < _CHUNK
            yield offset[inside].astype(np.uint64) + np.uint64(start), target[inside]


def _amd64_addresses(code: NDArray[np.uint8], start: int) -> tuple[NDArray[np.intp], U64]:
    """Find ``LEAQ disp32(RIP), reg``: REX.W 8D, mod 00 r/m 101 (Intel SDM, LEA)."""
    if code.size < 8:
        return np.zeros(0, np.intp), np.zeros(0, np.uint64)
    hit = (code[1:-6] == 0x8D) & ((code[:-7] & 0xFB) == 0x48) & ((code[2:-5] & 0xC7) == 5)
    at = np.flatnonzero(hit)
    distance = np.zeros(at.size, np.uint32)
    for byte in range(4):
        distance |= code[at + 3 + byte].astype(np.uint32) << np.uint32(8 * byte)
    target = np.int64(start + 7) + at.astype(np.int64) + distance.view(np.int32)
    return at, target.astype(np.uint64)


def _arm64_addresses(code: NDArray[np.uint8], start: int) -> tuple[NDArray[np.intp], U64]:
    """Find ``ADRP reg, page`` followed by ``ADD reg, reg, #offset`` (Arm ARM, C6.2)."""
    words = code[: code.size // 4 * 4].view(np.uint32).astype(np.int64)
    if words.size < 2:
        return np.zeros(0, np.intp), np.zeros(0, np.uint64)
    first, second = words[:-1], words[1:]
    hit = ((first & 0x9F000000) == 0x90000000) & ((second & 0xFFC00000) == 0x91000000)
    hit &= (first & 31) == ((second >> 5) & 31)
    at = np.flatnonzero(hit)
    first, second = first[at], second[at]
    page = ((first >> 5 & 0x7FFFF) << 2 | (first >> 29 & 3)) << 43 >> 31
    target = (start + 4 * at & ~0xFFF) + page + (second >> 10 & 0xFFF)
    return at * 4, target.astype(np.uint64)

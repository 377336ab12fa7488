"""Go modules in memory: `moduledata`, found through the function table's header.

A stripped program keeps its function table (pclntab), whose header starts with a magic number; `moduledata`
starts with the address of that header and of the name table behind it, so sixteen known bytes find it
(runtime/symtab.go; verified on Go 1.21 to 1.27, stripped, PIE and cgo). The magic number itself is not asked:
garble's linker writes one of its own into each program (mvdan.cc/garble, internal/linker/patches).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.errors import CheckFailed, NotCaptured
from heldby.golang.layouts.layout import Layout
from heldby.memory.image import Image

# runtime/symtab.go, pcHeader, behind the magic number: two zero bytes, minLC (1 on amd64, 4 on arm64), ptrSize.
_HEADER_TAILS: Final = (0x08010000, 0x08040000)
_HEADER_SIZE: Final = 72
# The head of moduledata has not moved since Go 1.21; words counted from its start.
_FTAB_LEN, _MINPC, _MAXPC, _TEXT, _ETEXT = 17, 20, 21, 22, 23
_MAX_MODULES: Final = 64

AddressRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ModuleHead:
    """A `moduledata` before its release is known: where it lies and the part that never moved."""

    addr: int
    words: NDArray[np.uint64]

    @property
    def writable_range(self) -> AddressRange:
        """``[noptrdata, end)``: all variables of the module."""
        return int(self.words[24]), int(self.words[34])


class Module:
    """One `moduledata`: every word of it by Go's field name, slices as ``(pointer, length)``.

    Attributes:
        addr: where the structure lies.
        pointer_masks: for ``data`` and ``bss``: which words are pointers (``bool[words]``).
    """

    def __init__(self, image: Image, layout: Layout, addr: int) -> None:
        self.addr = addr
        self._layout = layout
        self._words = image.words(addr, layout.size("runtime.moduledata") // 8)
        self.pointer_masks = {
            "data": self._mask(image, "gcdatamask", self.word("data"), self.word("edata")),
            "bss": self._mask(image, "gcbssmask", self.word("bss"), self.word("ebss")),
        }

    def word(self, field: str) -> int:
        """Return the 64-bit field `field`."""
        return int(self._words[self._layout.offset("runtime.moduledata", field) // 8])

    def has(self, field: str) -> bool:
        """Tell whether this release's moduledata has `field`."""
        return self._layout.has("runtime.moduledata", field)

    def slice(self, field: str) -> tuple[int, int]:
        """Return ``(pointer, length)`` of a slice field."""
        at = self._layout.offset("runtime.moduledata", field) // 8
        return int(self._words[at]), int(self._words[at + 1])

    def range(self, start: str, end: str) -> AddressRange:
        """Return the two fields as an address range."""
        return self.word(start), self.word(end)

    def _mask(self, image: Image, field: str, start: int, end: int) -> NDArray[np.bool_]:
        at = self._layout.offset("runtime.moduledata", field)
        count = int(self._words[at // 8]) & 0xFFFFFFFF
        pointer = int(self._words[at // 8 + 1])
        if count != (end - start) // 8:
            raise CheckFailed(
                f"moduledata.{field}",
                f"moduledata.{field} has {count} bits for {(end - start) // 8} words",
                cause=f"the layout of {self._layout.release} does not fit this program",
                next_step="see docs/adding-a-release.md",
            )
        if not count:
            return np.zeros(0, np.bool_)
        bits = np.unpackbits(image.read_array(pointer, (count + 7) // 8), bitorder="little")
        return bits[:count].astype(np.bool_)


def lie_in(addrs: NDArray[np.uint64], ranges: Iterable[AddressRange]) -> NDArray[np.bool_]:
    """Tell which addresses lie in one of the ranges, ``bool[n]``."""
    inside = np.zeros(addrs.size, np.bool_)
    for low, high in ranges:
        inside |= (addrs >= low) & (addrs < high)
    return inside


def find_module_heads(image: Image, ranges: Sequence[AddressRange]) -> list[ModuleHead]:
    """Return every `moduledata` whose function table lies in `ranges` (the mappings of Go programs).

    Cost: one scan of the ranges for headers and one of them per header found.
    """
    heads: list[ModuleHead] = []
    for header, name_table in _function_table_headers(image, ranges):
        pattern = header.to_bytes(8, "little") + name_table.to_bytes(8, "little")
        for low, high in ranges:
            for addr in image.scan(pattern, low, high):
                head = _module_head(image, addr, header)
                if head is not None:
                    heads.append(head)
    return heads


def _function_table_headers(image: Image, ranges: Sequence[AddressRange]) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        for start, piece in image.pieces(low, high - low):
            if piece is None:
                continue
            skip = -start % 8
            words = piece[skip : skip + (piece.size - skip) // 8 * 8].view(np.uint64) >> np.uint64(32)
            for index in np.flatnonzero((words == _HEADER_TAILS[0]) | (words == _HEADER_TAILS[1])):
                addr = start + skip + 8 * int(index)
                try:
                    header = image.words(addr, _HEADER_SIZE // 8)
                except NotCaptured:
                    continue
                offsets = [int(word) for word in header[4:9]]
                ordered = offsets == sorted(offsets) and offsets[0] >= _HEADER_SIZE
                if 0 < int(header[1]) < 1 << 24 and ordered and offsets[-1] < 1 << 32:
                    yield addr, addr + offsets[0]


def _module_head(image: Image, addr: int, header: int) -> ModuleHead | None:
    try:
        words = image.words(addr, 40)
        functions = image.u64(header + 8)
    except NotCaptured:
        return None
    text, low, high, end = (int(words[i]) for i in (_TEXT, _MINPC, _MAXPC, _ETEXT))
    if int(words[_FTAB_LEN]) != functions + 1 or not text <= low <= high <= end + 16:
        return None
    return ModuleHead(addr, words)


def read_modules(image: Image, layout: Layout, first: int) -> tuple[Module, ...]:
    """Return the module at `first` and those linked from it (plugins, shared libraries)."""
    modules: list[Module] = []
    addr = first
    while addr and len(modules) < _MAX_MODULES and addr not in {module.addr for module in modules}:
        modules.append(Module(image, layout, addr))
        addr = modules[-1].word("next")
    return tuple(modules)

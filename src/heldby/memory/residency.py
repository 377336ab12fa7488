"""Which pages were in memory at the pause: what makes an address count as RSS, or as swap.

A capture records it for anonymous memory in stretches of up to a gibibyte: a bit for each page, compressed
(docs/capture.md). The mappings of files are counted as a whole; nothing inside them is told apart by page.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.memory.image import ADDRESS_END, PAGE_SIZE
from heldby.memory.residency_kernels import count_resident
from heldby.memory.sparse import sparse_zeros

_BLOCK_PAGES: Final = 1 << 14
_STRETCH_PAGES: Final = 1 << 18
_MOST_STRETCHES: Final = 1 << 16
_MOST_BLOCKS: Final = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class PageStates:
    """The pages of one stretch of anonymous memory.

    Attributes:
        start: address of the first page.
        resident: ``bool[pages]``, the page counts towards RSS.
        swapped: ``bool[pages]``, the page lies in swap.
    """

    start: int
    resident: NDArray[np.bool_]
    swapped: NDArray[np.bool_]


class Residency:
    """A set of pages by address, for kernels and for whoever counts its bytes.

    Attributes:
        directory: ``int32[2**22]``, number of the block for each 64 MiB of addresses, 0 for none: most of it is zeros,
            which cost no memory.
        bits: ``uint64[blocks, 256]``, a bit for each page of 4 KiB; those of block 0 are not looked at.
    """

    def __init__(self, directory: NDArray[np.int32], bits: NDArray[np.uint64]) -> None:
        self.directory = directory
        self.bits = bits

    @classmethod
    def of(cls, stretches: list[tuple[int, NDArray[np.bool_]]]) -> Residency:
        """Return the set of pages from ``(start, bool[pages])``; starts are whole pages. O(pages)."""
        directory = sparse_zeros(ADDRESS_END >> 26, np.int32)
        blocks = [np.zeros(_BLOCK_PAGES // 8, np.uint8)]
        for start, flags in stretches:
            page, used = start // PAGE_SIZE, 0
            while used < flags.size:
                number, at = divmod(page + used, _BLOCK_PAGES)
                part = flags[used : used + _BLOCK_PAGES - at]
                if part.any() and number < directory.size:
                    if not directory[number]:
                        if len(blocks) > _MOST_BLOCKS:
                            break
                        directory[number] = len(blocks)
                        blocks.append(np.zeros(_BLOCK_PAGES // 8, np.uint8))
                    whole = np.zeros(_BLOCK_PAGES, np.bool_)
                    whole[at : at + part.size] = part
                    blocks[directory[number]] |= np.packbits(whole, bitorder="little")
                used += part.size
        return cls(directory, np.stack(blocks).view(np.uint64))

    def each(self, starts: NDArray[np.uint64], ends: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return for each range ``[start, end)`` how many of its bytes lie in these pages, ``int64[n]``."""
        out = np.zeros(starts.size, np.uint64)
        count_resident(
            self.directory,
            self.bits,
            np.ascontiguousarray(starts, np.uint64),
            np.ascontiguousarray(ends, np.uint64),
            out,
        )
        return out.astype(np.int64)

    def total(self, starts: NDArray[np.uint64], ends: NDArray[np.uint64]) -> int:
        """Return how many bytes of all the ranges together lie in these pages; ranges must not overlap."""
        return int(self.each(starts, ends).sum())

    def between(self, start: int, end: int) -> int:
        """Return how many bytes of ``[start, end)`` lie in these pages."""
        return self.total(np.array([start], np.uint64), np.array([end], np.uint64))


def pack_states(states: PageStates) -> list[Any]:
    """Return the states as plain values for the capture's note: start, pages, resident, swapped."""
    return [
        states.start,
        int(states.resident.size),
        _packed(states.resident),
        _packed(states.swapped) if states.swapped.any() else "",
    ]


def unpack_states(items: object) -> list[PageStates]:
    """Return the states that a note holds; entries that cannot be are left out."""
    found = []
    for item in items[:_MOST_STRETCHES] if isinstance(items, list) else ():
        if not (isinstance(item, list) and len(item) == 4):
            continue
        start, pages, resident, swapped = item
        sound = isinstance(start, int) and isinstance(pages, int)
        if not sound or not 0 <= start < ADDRESS_END or start % PAGE_SIZE or not 0 < pages <= _STRETCH_PAGES:
            continue
        present = _unpacked(resident, pages)
        if present is not None:
            away = _unpacked(swapped, pages) if swapped else None
            none = np.zeros(pages, np.bool_)
            found.append(PageStates(start=start, resident=present, swapped=none if away is None else away))
    return found


def _packed(flags: NDArray[np.bool_]) -> str:
    return base64.b64encode(zlib.compress(np.packbits(flags, bitorder="little").tobytes(), 1)).decode()


def _unpacked(text: object, pages: int) -> NDArray[np.bool_] | None:
    if not isinstance(text, str):
        return None
    size = (pages + 7) // 8
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text), size)
    except (binascii.Error, zlib.error, ValueError):
        return None
    if len(data) != size:
        return None
    return np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[:pages].astype(np.bool_)

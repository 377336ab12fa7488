"""Reading process memory inside compiled kernels: a two-level page table over one buffer of words.

``directory[addr >> 26]`` numbers a block of ``tables`` (or is -1), ``tables[block, (addr >> 12) & 0x3fff]``
is the index in ``words`` of the page's first 64-bit word, or `PAGE_ZERO` or `PAGE_MISSING`. 2**21 directory
entries cover the 47 bits of user addresses; a block covers 64 MiB, Go's own arena size on 64-bit Linux.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.jit import inline_kernel, u64
from heldby.memory.image import PAGE_SIZE, ZEROS, Image

PAGE_MISSING = -1
PAGE_ZERO = -2
_BLOCK_SHIFT = 26
_PAGES_PER_BLOCK = 1 << (_BLOCK_SHIFT - 12)
_DIRECTORY_SIZE = 1 << (47 - _BLOCK_SHIFT)


class PageTable(NamedTuple):
    """What kernels need to read process memory: `words` is the core itself as 64-bit words.

    Attributes:
        directory: ``int32[2**21]``.
        tables: ``int64[blocks, 16384]``.
        words: ``uint64[...]``.
    """

    directory: NDArray[np.int32]
    tables: NDArray[np.int64]
    words: NDArray[np.uint64]


def build_page_table(image: Image) -> PageTable:
    """Return the page table of buffer 0 of `image` and of the pages known to be zero.

    Pages of which only a part is present (the end of a truncated file) count as missing. A core whose
    segments are not aligned to 8 bytes in the file (gdb's are not always) is copied once.
    Cost: O(pages), 8 bytes for each page of the blocks in use.
    """
    image = _aligned(image)
    core = image.buffers[0]
    words = core[: core.size // 8 * 8].view(np.uint64)
    useful = [s for s in image.segments if s.buffer in (0, ZEROS) and s.start < 1 << 47]
    blocks = sorted(
        {b for s in useful for b in range(s.start >> _BLOCK_SHIFT, ((s.end - 1) >> _BLOCK_SHIFT) + 1)}
    )
    directory = np.full(_DIRECTORY_SIZE, -1, np.int32)
    directory[blocks] = np.arange(len(blocks), dtype=np.int32)
    tables = np.full((max(len(blocks), 1), _PAGES_PER_BLOCK), PAGE_MISSING, np.int64)
    flat = tables.reshape(-1)
    for segment in useful:
        first, last = -(-segment.start // PAGE_SIZE), segment.end // PAGE_SIZE
        page = first
        while page < last:
            block = page >> (_BLOCK_SHIFT - 12)
            stop = min(last, (block + 1) << (_BLOCK_SHIFT - 12))
            at = int(directory[block]) * _PAGES_PER_BLOCK + (page & (_PAGES_PER_BLOCK - 1))
            if segment.buffer == ZEROS:
                flat[at : at + stop - page] = PAGE_ZERO
            else:
                word = (segment.offset + page * PAGE_SIZE - segment.start) // 8
                flat[at : at + stop - page] = word + np.arange(stop - page, dtype=np.int64) * (PAGE_SIZE // 8)
            page = stop
    return PageTable(directory, tables, words)


def _aligned(image: Image) -> Image:
    core = [s for s in image.segments if s.buffer == 0]
    if all((s.offset - s.start) % 8 == 0 for s in core):
        return image
    size = sum(-(-(s.end - s.start) // PAGE_SIZE) * PAGE_SIZE for s in core)
    copy = np.zeros(size + PAGE_SIZE * len(core), np.uint8)
    moved, offset = [], 0
    for s in core:
        offset += (s.start - offset) % PAGE_SIZE
        copy[offset : offset + s.end - s.start] = image.buffers[0][s.offset : s.offset + s.end - s.start]
        moved.append(type(s)(s.start, s.end, 0, offset))
        offset += s.end - s.start
    return Image((copy,), [*moved, *(s for s in image.segments if s.buffer == ZEROS)])


@inline_kernel
def page_of(directory, tables, addr):
    """Return the word index of the page that holds `addr` (uint64), or PAGE_ZERO or PAGE_MISSING."""
    if addr >> u64(47):
        return np.int64(PAGE_MISSING)
    block = directory[addr >> u64(_BLOCK_SHIFT)]
    if block < 0:
        return np.int64(PAGE_MISSING)
    return tables[u64(block), (addr >> u64(12)) & u64(_PAGES_PER_BLOCK - 1)]


@inline_kernel
def load64(directory, tables, words, addr):
    """Return the aligned 64-bit word at `addr` (uint64); 0 when it is zero or missing."""
    page = page_of(directory, tables, addr)
    if page < 0:
        return u64(0)
    return words[u64(page) + ((addr & u64(4095)) >> u64(3))]


@inline_kernel
def load8(directory, tables, words, addr):
    """Return the byte at `addr` (uint64) as uint64; 0 when it is zero or missing."""
    word = load64(directory, tables, words, addr & ~u64(7))
    return (word >> ((addr & u64(7)) << u64(3))) & u64(255)


@inline_kernel
def load32(directory, tables, words, addr):
    """Return the 4-aligned 32-bit word at `addr` (uint64) as uint64; 0 when it is zero or missing."""
    word = load64(directory, tables, words, addr & ~u64(7))
    return (word >> ((addr & u64(4)) << u64(3))) & u64(0xFFFFFFFF)

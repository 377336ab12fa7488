"""Reading process memory inside compiled kernels: a two-level page table over one buffer of words.

``directory[addr >> 26]`` numbers a block of ``tables``, ``tables[block, (addr >> 12) & 0x3fff]`` is the index in
``words`` of the page's first 64-bit word, or `PAGE_ZERO` or `PAGE_MISSING`. Block 0 is missing as a whole: most of
the directory is zeros, which cost no memory until they are written. 2**22 directory entries cover the 48 bits of
user addresses; a block covers 64 MiB, Go's own arena size on 64-bit Linux.
"""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.errors import FormatError, LimitExceeded
from heldby.jit import inline_kernel, u64
from heldby.memory.image import ADDRESS_END, PAGE_SIZE, ZEROS, Image, Segment
from heldby.memory.sparse import sparse_zeros

PAGE_MISSING = -1
PAGE_ZERO = -2
_BLOCK_SHIFT = 26
_PAGES_PER_BLOCK = 1 << (_BLOCK_SHIFT - 12)
_BLOCK_SIZE = 1 << _BLOCK_SHIFT
_DIRECTORY_SIZE = ADDRESS_END // _BLOCK_SIZE
# A gibibyte of tables: half a tebibyte of touched memory, far more than a Go heap that fits a machine.
_MOST_BLOCKS = 8192


class PageTable(NamedTuple):
    """What kernels need to read process memory: `words` is the core itself as 64-bit words.

    Attributes:
        directory: ``int32[2**22]``.
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

    Raises:
        LimitExceeded: the addresses are spread as in no process.
        FormatError: unaligned segments claim the same bytes of the file many times over.
    """
    image = _aligned(image)
    core = image.buffers[0]
    words = core[: core.size // 8 * 8].view(np.uint64)
    words.flags.writeable = False  # so that copies and maps are one type to Numba
    useful = [
        Segment(s.start, min(s.end, ADDRESS_END), s.buffer, s.offset)
        for s in image.segments
        if s.buffer in (0, ZEROS) and s.start < ADDRESS_END
    ]
    own = sorted(_own_blocks(useful))
    if len(own) > _MOST_BLOCKS:
        raise LimitExceeded(
            f"the memory is spread over {len(own):,} stretches of 64 MiB; at most {_MOST_BLOCKS:,} are read",
            cause="the core is damaged",
        )
    directory = sparse_zeros(_DIRECTORY_SIZE, np.int32)
    directory[own] = np.arange(1, len(own) + 1, dtype=np.int32)
    tables = np.full((len(own) + 2, _PAGES_PER_BLOCK), PAGE_MISSING, np.int64)
    tables[-1] = PAGE_ZERO
    for segment in useful:
        if segment.buffer == ZEROS:
            whole = directory[-(-segment.start // _BLOCK_SIZE) : segment.end // _BLOCK_SIZE]
            whole[whole == 0] = len(own) + 1
        _enter(segment, directory, tables)
    return PageTable(directory, tables, words)


def _own_blocks(segments: list[Segment]) -> set[int]:
    """Return the blocks that need a table of their own; all whole blocks of zeros share one."""
    blocks: set[int] = set()
    for segment in segments:
        low, high = segment.start >> _BLOCK_SHIFT, (segment.end - 1) >> _BLOCK_SHIFT
        if segment.buffer != ZEROS:
            blocks.update(range(low, high + 1))
            continue
        if segment.start % _BLOCK_SIZE:
            blocks.add(low)
        if segment.end % _BLOCK_SIZE:
            blocks.add(high)
    return blocks


def _enter(segment: Segment, directory: NDArray[np.int32], tables: NDArray[np.int64]) -> None:
    """Write the whole pages of one segment into the tables of their blocks."""
    page, last = -(-segment.start // PAGE_SIZE), segment.end // PAGE_SIZE
    while page < last:
        block = page >> (_BLOCK_SHIFT - 12)
        stop = min(last, (block + 1) << (_BLOCK_SHIFT - 12))
        table = tables[directory[block]]
        low = page & (_PAGES_PER_BLOCK - 1)
        if segment.buffer == ZEROS:
            table[low : low + stop - page] = PAGE_ZERO
        else:
            word = (segment.offset + page * PAGE_SIZE - segment.start) // 8
            table[low : low + stop - page] = word + np.arange(stop - page, dtype=np.int64) * (PAGE_SIZE // 8)
        page = stop


def _aligned(image: Image) -> Image:
    core = [s for s in image.segments if s.buffer == 0]
    if all((s.offset - s.start) % 8 == 0 for s in core):
        return image
    size = sum(-(-(s.end - s.start) // PAGE_SIZE) * PAGE_SIZE for s in core)
    if size > 4 * image.buffers[0].size + (1 << 20):
        raise FormatError("segments of the core overlap in the file", cause="the core is damaged")
    copy = np.zeros(size + PAGE_SIZE * len(core), np.uint8)
    moved, offset = [], 0
    for s in core:
        offset += (s.start - offset) % PAGE_SIZE
        copy[offset : offset + s.end - s.start] = image.buffers[0][s.offset : s.offset + s.end - s.start]
        moved.append(Segment(s.start, s.end, 0, offset))
        offset += s.end - s.start
    return Image((copy,), [*moved, *(s for s in image.segments if s.buffer == ZEROS)])


@inline_kernel
def page_of(directory, tables, addr):
    """Return the word index of the page that holds `addr` (uint64), or PAGE_ZERO or PAGE_MISSING."""
    if addr >= u64(ADDRESS_END):
        return np.int64(PAGE_MISSING)
    block = u64(directory[addr >> u64(_BLOCK_SHIFT)])
    return tables[block, (addr >> u64(12)) & u64(_PAGES_PER_BLOCK - 1)]


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

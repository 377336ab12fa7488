"""Counting resident bytes of address ranges: two-level bitmaps, one bit for each page."""

# mypy: ignore-errors
from __future__ import annotations

from heldby.jit import ONE, inline_kernel, kernel, popcount, u64
from heldby.memory.image import ADDRESS_END


@inline_kernel
def resident_bytes(directory, bits, low, high):
    """Return how many bytes of ``[low, high)`` lie in resident pages.

    `directory` numbers the blocks of 64 MiB, 0 for one without a resident page; `bits` has 256 words for
    each block.
    """
    high = min(high, u64(ADDRESS_END))
    total = u64(0)
    while low < high:
        block = directory[low >> u64(26)]
        stop = ((low >> u64(26)) + ONE) << u64(26)
        stop = min(stop, high)
        if block > 0:
            b = u64(block)
            while low < stop:
                page = (low >> u64(12)) & u64(16383)
                word = bits[b, page >> u64(6)]
                if (low & u64(0x3FFFF)) == u64(0) and stop - low >= u64(0x40000):
                    total += popcount(word) << u64(12)
                    low += u64(0x40000)
                    continue
                end = (low | u64(0xFFF)) + ONE
                end = min(end, stop)
                if (word >> (page & u64(63))) & ONE:
                    total += end - low
                low = end
        low = stop
    return total


@kernel
def count_resident(directory, bits, starts, ends, out):
    """Set ``out[i]`` to the bytes of ``[starts[i], ends[i])`` that lie in resident pages."""
    for i in range(u64(starts.size)):
        out[i] = resident_bytes(directory, bits, starts[i], ends[i])

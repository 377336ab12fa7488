"""Summaries of the pointer bits of large objects."""

# mypy: ignore-errors
from __future__ import annotations

from heldby.jit import ONE, ZERO, kernel, popcount, u64
from heldby.memory.paging_kernels import load64


@kernel
def summarise_pointer_bits(pages, pointer_bits, base, elemsize, addr, span, objects, first, last, count):
    """Describe the pointer bits of each object: its first 64, the last one's place plus one, and how many.

    ``pointer_bits``, ``base`` and ``elemsize`` are of spans (`SpanTable`), ``addr`` of all objects, ``span`` of each
    of ``objects``; ``first``, ``last`` and ``count`` (``uint64[objects]``, zero at first) are filled.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    for i in range(u64(objects.size)):
        s = u64(span[i])
        start = (addr[u64(objects[i])] - base[s]) >> u64(3)
        total = elemsize[s] >> u64(3)
        done, final, place = ZERO, ZERO, ZERO
        while done < total:
            at = start + done
            shift = at & u64(63)
            taken = min(u64(64) - shift, total - done)
            bits = load64(directory, tables, words, pointer_bits[s] + ((at >> u64(6)) << u64(3))) >> shift
            if taken < u64(64):
                bits &= (ONE << taken) - ONE
            if bits:
                if done < u64(64):
                    first[i] |= bits << done
                final, place = bits, done
                count[i] += popcount(bits)
            done += taken
        while final:
            final >>= ONE
            place += ONE
        last[i] = place

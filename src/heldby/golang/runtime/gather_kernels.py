"""Reading many equal structures from process memory at once."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.jit import kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, load64, page_of


@kernel
def gather_words(pages, addrs, out, present):
    """Copy ``out.shape[1]`` words from each of `addrs` into the rows of `out`.

    ``present[i]`` becomes 0 where a word of row i lies in a page that was not captured. Addresses must be
    multiples of 8; others give rows that are not present.
    """
    directory, tables, words = pages.directory, pages.tables, pages.words
    width = u64(out.shape[1])
    for i in range(u64(addrs.size)):
        addr = addrs[i]
        ok = (addr & u64(7)) == u64(0)
        if ok:
            for j in range(width):
                at = addr + (j << u64(3))
                if page_of(directory, tables, at) == np.int64(PAGE_MISSING):
                    ok = False
                    break
                out[i, j] = load64(directory, tables, words, at)
        present[i] = 1 if ok else 0

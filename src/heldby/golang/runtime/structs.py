"""Columns of runtime structures: many ``mspan``, ``g`` or ``special`` records read at once, by field name."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.gather_kernels import gather_words
from heldby.memory.paging_kernels import PageTable

_DTYPES: Final = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class StructRows:
    """The structures of one kind that lie at `addrs`, as columns.

    Attributes:
        addrs: ``uint64[n]``, the addresses asked for.
        present: ``bool[n]``, False where a part was not captured; such rows read as zeros.
    """

    def __init__(self, pages: PageTable, layout: Layout, struct: str, addrs: NDArray[np.uint64]) -> None:
        self.addrs = addrs
        self._layout = layout
        self._struct = struct
        size = -(-layout.size(struct) // 8)
        rows = np.zeros((addrs.size, size), np.uint64)
        present = np.zeros(addrs.size, np.uint8)
        gather_words(pages, addrs, rows, present)
        rows[present == 0] = 0
        self._bytes = rows.view(np.uint8).reshape(addrs.size, size * 8)
        self.present = present.astype(np.bool_)

    def column(self, *path: str) -> NDArray[np.uint64]:
        """Return one scalar field of every row, widened to ``uint64[n]``."""
        offset = self._layout.offset(self._struct, *path)
        struct = self._struct
        for name in path[:-1]:
            struct = self._layout.type_of(struct, name)
        width = self._layout.field_size(struct, path[-1])
        return self.raw(offset, width)

    def raw(self, offset: int, width: int) -> NDArray[np.uint64]:
        """Return `width` bytes (1, 2, 4 or 8) at byte `offset` of every row as ``uint64[n]``."""
        cut = np.ascontiguousarray(self._bytes[:, offset : offset + width])
        return cut.view(_DTYPES[width]).reshape(-1).astype(np.uint64)


def words_at(pages: PageTable, addrs: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the 64-bit word at each address, and which were captured; the others read as 0."""
    words, present = np.zeros((addrs.size, 1), np.uint64), np.zeros(addrs.size, np.uint8)
    gather_words(pages, addrs, words, present)
    words[present == 0] = 0
    return words.reshape(-1), present.astype(np.bool_)

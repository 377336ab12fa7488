"""Tables of zeros of which few entries are ever set: they take the memory of the pages that those lie in."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_N = TypeVar("_N", bound=np.generic)


def sparse_zeros(count: int, dtype: type[_N]) -> NDArray[_N]:
    """Return ``dtype[count]`` of zeros, resident by pages of 4 KiB as they are written to.

    ``numpy.zeros`` asks for huge pages, and then each entry that is set alone costs 2 MiB.
    """
    pages = mmap.mmap(-1, max(count * np.dtype(dtype).itemsize, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError, AttributeError):  # a kernel without huge pages, a system without madvise
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    values: NDArray[Any] = np.frombuffer(pages, dtype, count)
    return values

"""How kernels are compiled, and how their machine code is kept, loaded and called.

Rules for kernels (measured; see docs/decisions/0003-numba-kernels.md):
* indexes are ``uint64`` (`u64`): signed indexes cost Numba a wrap-around branch on every access, up to 1.6x;
  never mix ``int64`` and ``uint64`` in arithmetic, the result is a float;
* arrays are allocated by the caller with NumPy (huge pages), never inside a kernel;
* plain loops only: slice assignment inside a kernel costs seconds of compilation;
* a kernel raises nothing and never checks bounds: what it indexes with was validated before, or is checked in
  the loop;
* what a kernel calls (helpers made by `inline_kernel` and `inner_kernel`, another kernel) is compiled into it;
  it is called with arrays, numbers, and tuples of them, and returns a number, a tuple of numbers, or nothing.

Kernels live in modules called ``*kernels.py`` and are the only functions that loop over objects,
references or frames.

Numba compiles them, and is imported only for that. What it made comes with the package (`shipped`) or is kept
(`code_cache`), and is loaded by ourselves (`linking`): Numba and LLVM take 65 MiB and a quarter of a second of
every process that imports them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from heldby.jit.calling import Kernel, kernel, watch_compilation
from heldby.jit.code_cache import cache_folder
from heldby.jit.helpers import (
    high_product,
    inline_kernel,
    inner_kernel,
    popcount,
    prefetch,
    trailing_zeros,
)

u64: Final = np.uint64
ZERO: Final = np.uint64(0)
ONE: Final = np.uint64(1)
TWO: Final = np.uint64(2)

__all__ = [
    "ONE",
    "TWO",
    "ZERO",
    "Kernel",
    "cache_folder",
    "high_product",
    "inline_kernel",
    "inner_kernel",
    "kernel",
    "popcount",
    "prefetch",
    "trailing_zeros",
    "u64",
    "watch_compilation",
]

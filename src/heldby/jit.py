"""How kernels are compiled: one decorator, and the few machine instructions that Numba has no name for.

Rules for kernels (measured; see docs/decisions/0003-numba-kernels.md):
* indexes are ``uint64`` (`u64`): signed indexes cost Numba a wrap-around branch on every access, up to 1.6x;
  never mix ``int64`` and ``uint64`` in arithmetic, the result is a float;
* arrays are allocated by the caller with NumPy (huge pages), never inside a kernel;
* plain loops only: slice assignment inside a kernel costs seconds of compilation;
* a kernel never checks bounds: what it indexes with was validated before, or is checked in the loop.

Kernels live in modules called ``*kernels.py`` and are the only functions that loop over objects,
references or frames. The compiled code is cached beside the module or in the user's cache folder;
where neither can be written, it is compiled anew in each process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.extending import intrinsic

_F = TypeVar("_F", bound=Callable[..., Any])

u64 = uint64
ZERO = np.uint64(0)
ONE = np.uint64(1)
TWO = np.uint64(2)


def kernel(function: _F) -> _F:
    """Compile `function` without the GIL, cached on disk where a folder can be written."""
    options = {"nogil": True, "fastmath": False, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # "cannot cache function: no locator available"
        return njit(**options)(function)  # type: ignore[no-any-return]


def inline_kernel(function: _F) -> _F:
    """Compile a helper that is always inlined into the kernels that call it."""
    return njit(inline="never", nogil=True, error_model="numpy", forceinline=True)(function)  # type: ignore[no-any-return]


@intrinsic
def prefetch(_typing_context: Any, array: Any, index: Any) -> Any:
    """Ask the CPU to load ``array[index]``; hides most of the latency of random access (1.3 to 1.6x)."""
    signature = types.void(array, types.uint64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        pointer_type = ir.IntType(8).as_pointer()
        pointer = builder.bitcast(builder.gep(data, [args[1]]), pointer_type)
        i32 = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer_type], ir.FunctionType(ir.VoidType(), [pointer_type, i32, i32, i32])
        )
        builder.call(function, [pointer, ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def popcount(_typing_context: Any, word: Any) -> Any:
    """Return the number of set bits of a ``uint64``."""
    signature = types.uint64(types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return signature, generate


@intrinsic
def trailing_zeros(_typing_context: Any, word: Any) -> Any:
    """Return the index of the lowest set bit of a ``uint64``; 64 for 0."""
    signature = types.uint64(types.uint64)

    def generate(_context: Any, builder: Any, _sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return signature, generate

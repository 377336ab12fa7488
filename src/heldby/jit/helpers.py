"""What kernels call: helpers that are compiled into them, and single instructions.

Each stands for something of Numba's that is made when a kernel is compiled, so that modules of kernels can be
imported without Numba. Numba asks a value that it does not know for ``_numba_type_``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final


class Helper:
    """A function that only kernels call; it cannot be called from Python."""

    def __init__(self, function: Callable[..., Any], *, inlined: bool) -> None:
        self.function: Final = function
        self.inlined: Final = inlined
        self.__doc__ = function.__doc__

    @cached_property
    def _numba_type_(self) -> Any:
        from heldby.jit.compiling import helper

        return helper(self.function, inlined=self.inlined)._numba_type_


class Instruction:
    """What LLVM has an instruction for; it cannot be called from Python."""

    def __init__(self, name: str, meaning: str) -> None:
        self.name: Final = name
        self.__doc__ = meaning

    @cached_property
    def _numba_type_(self) -> Any:
        from heldby.jit.compiling import instruction_type

        return instruction_type(self.name)


def inline_kernel(function: Callable[..., Any]) -> Any:
    """Make a helper that LLVM inlines into every kernel that calls it."""
    return Helper(function, inlined=True)


def inner_kernel(function: Callable[..., Any]) -> Any:
    """Make a helper that is compiled once for each kernel that calls it, however often that does."""
    return Helper(function, inlined=False)


# Of type Any: kernels are read by Numba, and to mypy a call of them must look like a call.
prefetch: Any = Instruction(
    "prefetch",
    "Ask the CPU to load ``array[index]``; hides most of the latency of random access (1.3 to 1.6x).",
)
popcount: Any = Instruction("popcount", "Return the number of set bits of a ``uint64``.")
trailing_zeros: Any = Instruction(
    "trailing_zeros", "Return the index of the lowest set bit of a ``uint64``; 64 for 0."
)
high_product: Any = Instruction(
    "high_product", "Return the upper 64 bits of the 128-bit product of two ``uint64``."
)

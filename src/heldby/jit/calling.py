"""A kernel: a function compiled for the kinds of its arguments, when it is first called with them."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from heldby.jit.code_cache import kept
from heldby.jit.kernel_files import CompiledKernel, place_of
from heldby.jit.linking import load
from heldby.jit.shipped import shipped
from heldby.jit.signature import FLOATS, Kind, Words, flattened, unpacked

_DONE: Final = (0, -2)  # RETCODE_OK, RETCODE_NONE of numba/core/callconv.py
_OF_NUMPY: Final[dict[str, Any]] = {
    "bool": ctypes.c_bool,
    **{
        f"{sign}int{bits}": getattr(ctypes, f"c_{sign}int{bits}")
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}
_watching: list[Callable[[Kernel, Sequence[Kind]], None]] = []


class Kernel:
    """A function that loops over objects, references or frames, as machine code; runs without the GIL."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function: Final = function
        self._loaded: dict[tuple[Kind, ...], _Loaded] = {}
        functools.update_wrapper(self, function)

    @cached_property
    def _numba_type_(self) -> Any:
        """What Numba asks for where another kernel calls this one: it is compiled into that one."""
        from heldby.jit.compiling import helper

        return helper(self.function, inlined=False)._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        """Call it, which compiles it the first time on a machine.

        Raises:
            TypeError: kernels take no such argument.
        """
        kinds, words = unpacked(arguments)
        loaded = self._loaded.get(kinds)
        if loaded is None:
            loaded = self._loaded[kinds] = _Loaded(self.compiled(kinds), flattened(kinds))
        return loaded(words)

    def compiled(self, kinds: Sequence[Kind]) -> CompiledKernel:
        """Return the machine code for arguments of these `kinds`: shipped, from the cache, or made now."""
        file = place_of(Path(self.function.__code__.co_filename), self.function.__name__, kinds)
        found = shipped(file)
        if found is not None:
            return found
        with kept(file) as place:
            found = place.read()
            if found is None:
                for started in _watching:
                    started(self, kinds)
                from heldby.jit.compiling import compiled

                found = compiled(self.function, kinds)
                place.write(found)
        return found


class _Loaded:
    """Machine code in memory, with the way to call it."""

    def __init__(self, made: CompiledKernel, parameters: Sequence[str]) -> None:
        address, self._memory = load(made.code, made.entry)
        self._call = ctypes.CFUNCTYPE(ctypes.c_int32)(address)
        self._call.argtypes = [ctypes.c_void_p, ctypes.c_void_p] + [
            _OF_NUMPY[name] if name in FLOATS else ctypes.c_uint64 for name in parameters
        ]
        self._name = made.entry
        returns = made.returns
        fields = [returns] if isinstance(returns, str) else returns or []
        self._fields = [(f"field{index}", _OF_NUMPY[name]) for index, name in enumerate(fields)]
        self._result = type("_Result", (ctypes.Structure,), {"_fields_": self._fields})
        self._returns = returns

    def __call__(self, words: Words) -> Any:
        result, raised = self._result(), ctypes.c_void_p()
        if self._call(ctypes.byref(result), ctypes.byref(raised), *words) not in _DONE:
            raise AssertionError(f"{self._name} raised an exception, which kernels do not")
        if self._returns is None:
            return None
        values = tuple(getattr(result, name) for name, _ in self._fields)
        return values[0] if isinstance(self._returns, str) else values


def kernel(function: Callable[..., Any]) -> Any:
    """Make a kernel of `function`; with ``NUMBA_BOUNDSCHECK=1`` one that checks its indexes, compiled anew."""
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):
        from heldby.jit.compiling import checked

        return checked(function)
    return Kernel(function)


@contextmanager
def watch_compilation(started: Callable[[Kernel, Sequence[Kind]], None]) -> Iterator[None]:
    """Call `started` with each kernel that is compiled because the cache does not have it, and its kinds."""
    _watching.append(started)
    try:
        yield
    finally:
        _watching.remove(started)

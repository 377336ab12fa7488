"""What a kernel is called with: the kind of each argument, and the machine words that carry it.

Numba's calling convention for compiled functions (numba/core/callconv.py, CPUCallConv): a pointer to the result,
a pointer to what was raised, then each argument's parts one after the other. An array has the parts of
numba/core/datamodel/models.py, ArrayModel: two owners (none here), number of items, size of one, data, shape,
strides. A tuple has those of its fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

# A number is its NumPy name; an array is (name, dimensions, layout, writable, aligned); a tuple is (class, kinds),
# without a class for a plain one.
Kind: TypeAlias = "str | tuple[Any, ...]"
Words: TypeAlias = "list[int | float]"

FLOATS = ("float64", "float32")


def unpacked(arguments: Sequence[Any]) -> tuple[tuple[Kind, ...], Words]:
    """Return the kinds of `arguments` and the words that carry them.

    Raises:
        TypeError: kernels take no such argument.
    """
    words: Words = []
    return tuple(_unpack(argument, words) for argument in arguments), words


def _unpack(value: Any, words: Words) -> Kind:
    if isinstance(value, np.ndarray):
        shape = value.shape
        words += (0, 0, value.size, value.itemsize, value.ctypes.data, *shape, *value.strides)
        flags = value.flags
        layout = "C" if flags.c_contiguous else "F" if flags.f_contiguous else "A"
        return _name(value.dtype), len(shape), layout, flags.writeable, flags.aligned
    if isinstance(value, np.generic):
        name = _name(value.dtype)
        words.append(float(value) if name in FLOATS else int(value))
        return name
    if isinstance(value, bool | int | float):
        words.append(value)
        if isinstance(value, bool):
            return "bool"
        # As Numba has it: the smaller type wins.
        return "float64" if isinstance(value, float) else "int64" if value < 1 << 63 else "uint64"
    if isinstance(value, tuple):
        fields = tuple(_unpack(field, words) for field in value)
        return (None if type(value) is tuple else type(value)), fields
    raise TypeError(f"kernels take arrays, numbers and tuples of them, not {type(value).__name__}")


@cache
def _name(dtype: np.dtype[Any]) -> str:
    # NumPy makes it anew each time, 4 µs.
    return dtype.name


def flattened(kinds: Sequence[Kind]) -> list[str]:
    """Return the NumPy name of each word that carries arguments of these `kinds`."""
    names: list[str] = []
    for kind in kinds:
        if isinstance(kind, str):
            names.append(kind)
        elif is_array(kind):
            names += ["uint64"] * (5 + 2 * kind[1])
        else:
            names += flattened(kind[1])
    return names


def is_array(kind: Kind) -> bool:
    """Tell an array's kind from a tuple's."""
    return isinstance(kind, tuple) and isinstance(kind[0], str)


def encoded(kind: Kind) -> Any:
    """Return `kind` as plain JSON; an array's last fact is left out where it holds."""
    if isinstance(kind, str):
        return kind
    if is_array(kind):
        return list(kind[:4] if kind[4] else kind)
    source, fields = kind
    name = [source.__module__, source.__name__] if source else None
    return {"tuple": name, "fields": [encoded(field) for field in fields]}


def decoded(written: Any) -> Kind:
    """Return the kind that `encoded` wrote.

    Raises:
        ImportError, AttributeError: the class of a tuple is no longer there.
    """
    if isinstance(written, str):
        return written
    if isinstance(written, list):
        return (*written, True)[:5]
    name = written["tuple"]
    source = getattr(import_module(name[0]), name[1]) if name else None
    return source, tuple(decoded(field) for field in written["fields"])

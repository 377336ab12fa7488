"""The pointers inside of types and variables, as the code scanner follows them: which type lies behind each.

The scanner knows types by the addresses of their descriptors, since those are what the code loads. Types that
only the debug information knows get an id where no program lies.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary import code_constants as cc
from heldby.binary.code_references import PointerWords, receiver_type_name
from heldby.golang.code.variables import Variables
from heldby.golang.functions.functions import FunctionTable, package_of
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import FIRST_DESCRIPTOR, TypeTable

I64 = NDArray[np.int64]
_MADE: Final = 1 << 46
_MOST_DEPTH: Final = 8
_MOST_ELEMENTS: Final = 16
_MOST_WORDS: Final = 1 << 23
_POINTERS: Final = {scan.POINTER: cc.RESULT_POINTS_TO, scan.SLICE: cc.RESULT_SLICE_OF}
_ITSELF: Final = (scan.MAP, scan.CHAN)


class TypeIds:
    """The scanner's ids of a program's types."""

    def __init__(self, types: TypeTable) -> None:
        self._types = types
        count = len(types)
        self.of: I64 = np.arange(count, dtype=np.int64) | _MADE
        known = types.descriptor_addrs.astype(np.int64)
        self.of[FIRST_DESCRIPTOR : FIRST_DESCRIPTOR + known.size] = known
        self.of[0] = 0

    def number(self, identity: int) -> int:
        """Return the type number of an id, 0 when it is none."""
        if identity >> 32 == _MADE >> 32:
            number = identity & 0xFFFFFFFF
            return number if number < self.of.size else 0
        return self._types.number_at(identity)


def pointer_words(
    types: TypeTable, ids: TypeIds, functions: FunctionTable, entries: I64, variables: Variables
) -> PointerWords:
    """Return what the scanner is to know of a program's types.

    Reads the fields of every struct type: 20 µs each.

    Args:
        types: of the program.
        ids: of `types`.
        functions: of the program.
        entries: addresses of the functions that the scanner knows, ascending.
        variables: global variables; those of unknown type are not followed.
    """
    owners, inside, offsets = _flat(types)
    kinds, values = _what(types, ids, inside)
    places = ids.of[owners] << cc.OFFSET_BITS | offsets
    of_maps = np.flatnonzero(types.kind[: ids.of.size] == scan.MAP)
    elements = types.elem[of_maps]
    rows = _of_variables(types, variables, (owners, inside, offsets))
    there = _what(types, ids, rows[1])
    everything = np.concatenate((places, ids.of[of_maps] << cc.OFFSET_BITS | cc.ELEMENT_WORD, rows[0]))
    kind = np.concatenate((kinds, np.full(of_maps.size, cc.RESULT_POINTS_TO, np.int64), there[0]))
    value = np.concatenate((values, ids.of[elements], there[1]))
    distinct, first = np.unique(everything, return_index=True)
    return PointerWords(distinct, kind[first], value[first], _receivers(types, ids, functions, entries))


def _flat(types: TypeTable) -> tuple[I64, I64, I64]:
    """Return the pointer words of all types: owner, type of the word's beginning (a pointer, a string), offset."""
    owners, fields, offsets = _fields(types)
    plain = np.flatnonzero(types.ptrbytes[: len(types)] > 0)
    plain = plain[~np.isin(types.kind[plain], (scan.STRUCT, scan.ARRAY))]
    found = [(plain, plain, np.zeros(plain.size, np.int64))]
    order = np.argsort(owners, kind="stable")
    owners, fields, offsets = owners[order], fields[order], offsets[order]
    below = (owners, fields, offsets)
    for _ in range(_MOST_DEPTH):
        nested = np.isin(types.kind[below[1]], (scan.STRUCT, scan.ARRAY))
        found.append((below[0][~nested], below[1][~nested], below[2][~nested]))
        outer, inner, start = (column[nested] for column in below)
        first, last = np.searchsorted(owners, inner), np.searchsorted(owners, inner, side="right")
        count = last - first
        if not count.sum() or count.sum() > _MOST_WORDS:
            break
        at = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
        below = (np.repeat(outer, count), fields[at], np.repeat(start, count) + offsets[at])
    owner, inside, offset = (np.concatenate(columns) for columns in zip(*found, strict=True))
    # A struct that begins with a pointer to nothing (``_ [0]T``) has no word there.
    keep = (types.ptrbytes[inside] > 0) & (offset >= 0) & (offset < cc.MOST_OFFSET - 8) & (offset % 8 == 0)
    return owner[keep].astype(np.int64), inside[keep].astype(np.int64), offset[keep].astype(np.int64)


def _fields(types: TypeTable) -> tuple[I64, I64, I64]:
    """Return owner, type and offset of the fields of structs and the elements of small arrays that have pointers."""
    has_pointers = types.ptrbytes[: len(types)] > 0
    owner, part, offset = types.all_field_places()
    keep = has_pointers[owner] & has_pointers[part]
    rows: list[tuple[int, int, int]] = []
    for number in np.flatnonzero(has_pointers & (types.kind[: len(types)] == scan.ARRAY)).tolist():
        elem, length = int(types.elem[number]), int(types.length[number])
        size = int(types.size[elem])
        rows += [(number, elem, at * size) for at in range(min(length, _MOST_ELEMENTS))]
    arrays = np.array(rows, np.int64).reshape(-1, 3)
    return (
        np.concatenate((owner[keep], arrays[:, 0])),
        np.concatenate((part[keep].astype(np.int64), arrays[:, 1])),
        np.concatenate((offset[keep], arrays[:, 2])),
    )


def _what(types: TypeTable, ids: TypeIds, inside: I64) -> tuple[I64, I64]:
    """Return kind and value of words in which values of these types begin."""
    kinds, values = np.zeros(inside.size, np.int64), np.zeros(inside.size, np.int64)
    kind, elem = types.kind[inside], types.elem[inside]
    for of, result in _POINTERS.items():
        rows = (kind == of) & (elem != 0)
        kinds[rows], values[rows] = result, ids.of[elem[rows]]
    rows = np.isin(kind, _ITSELF)
    kinds[rows], values[rows] = cc.RESULT_IS, ids.of[inside[rows]]
    return kinds, values


def _of_variables(types: TypeTable, variables: Variables, flat: tuple[I64, I64, I64]) -> tuple[I64, I64]:
    """Return places and types of the pointer words of variables whose types are known."""
    known = np.flatnonzero((variables.types != 0) & (types.ptrbytes[variables.types] > 0))
    order = np.argsort(flat[0], kind="stable")
    owner, inside, offset = (column[order] for column in flat)
    number = variables.types[known].astype(np.int64)
    first, last = np.searchsorted(owner, number), np.searchsorted(owner, number, side="right")
    count = last - first
    at = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    address = np.repeat(variables.start[known].astype(np.int64), count) + offset[at]
    return address << cc.OFFSET_BITS, inside[at]


def _receivers(types: TypeTable, ids: TypeIds, functions: FunctionTable, entries: I64) -> I64:
    """Return the id of the receiver's type of each function that is a method of a pointer, 0 of the others."""
    found = np.zeros(entries.size, np.int64)
    by_name: dict[str, int] = {}
    rows = np.searchsorted(entries, functions.arrays.entry.astype(np.int64))
    structs = _structs(types)
    for name, at in zip(functions.names(), rows.tolist(), strict=True):
        full = receiver_type_name(name) if at < entries.size else None
        if full is not None:
            if full not in by_name:
                bare = full[full.rfind("/") + 1 :].partition(".")[2]
                by_name[full] = structs.get(f"{package_of(full)}.{bare}", 0)
            found[at] = ids.of[by_name[full]]
    return found


def _structs(types: TypeTable) -> dict[str, int]:
    """Return the structs by import path and name; 0 where two have the same, as types inside of functions may."""
    found: dict[str, int] = {}
    for number in np.flatnonzero(types.kind[: len(types)] == scan.STRUCT).tolist():
        name, package = types.name(number), types.package(number)
        if name.startswith(("struct {", "map.")):
            continue
        head, bracket, arguments = name.partition("[")
        short, _, bare = head.partition(".")
        full = f"{package or short}.{bare}{bracket}{arguments}"
        found[full] = 0 if full in found else number
    return found

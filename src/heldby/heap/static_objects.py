"""Values that the compiler placed among the variables, named by the variable that points to them.

``var manager = NewManager()`` may be laid out before the program starts: ``main.manager`` then points to a
static value without a name of its own (``main..stmp_0``), and only that value's fields point into the heap. A
reader knows it as ``main.manager.paths``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.code.variables import Variables
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_layout import POINTER, SLICE, TypeLayouts
from heldby.golang.types.types import GoType, TypeTable

U64 = NDArray[np.uint64]
STATIC_TEMPORARY: Final = "..stmp_"
# A static value that points to a static value that points ...: composite literals nest a few levels deep.
_MAX_ROUNDS: Final = 8


@dataclass(frozen=True, slots=True)
class _Found:
    """A static value: where it is, its type, and the variable that it is reached from."""

    start: int
    size: int
    type_number: int
    name: str
    holder: int


def with_static_objects(known: Variables, types: TypeTable, addrs: U64, values: U64, loose: U64) -> Variables:
    """Return `known` with the static values that cover `loose` addresses, as far as typed pointers lead there.

    Args:
        known: variables with names and types.
        types: of the program; gets array types for the literals of slices.
        addrs: of all pointer words among the variables.
        values: what they hold.
        loose: addresses of words that point into the heap.
    """
    layouts = TypeLayouts(types)
    order = np.argsort(values, kind="stable")
    targets, holders = values[order], addrs[order]
    for _ in range(_MAX_ROUNDS):
        open_words = np.unique(loose[known.at(loose) < 0])
        found: dict[int, _Found] = {}
        for addr in open_words.tolist():
            value = _covering(known, layouts, types, targets, holders, addr)
            if value is not None:
                found[value.start] = value
        if not found:
            return known
        known = _joined(known, [found[start] for start in sorted(found)])
    return known


def _covering(
    known: Variables, layouts: TypeLayouts, types: TypeTable, targets: U64, holders: U64, addr: int
) -> _Found | None:
    """Return the static value around `addr` that the nearest pointer before it leads to."""
    last = int(np.searchsorted(targets, np.uint64(addr), side="right")) - 1
    if last < 0:
        return None
    start = int(targets[last])
    first = int(np.searchsorted(targets, targets[last], side="left"))
    for holder in holders[first : last + 1].tolist():
        row = int(known.at(np.array([holder], np.uint64))[0])
        if row < 0 or not known.types[row]:
            continue
        value = _pointed_to(known, layouts, types, row, holder, start)
        if value is not None and value.start <= addr < value.start + value.size:
            return value
    return None


def _pointed_to(
    known: Variables, layouts: TypeLayouts, types: TypeTable, row: int, holder: int, start: int
) -> _Found | None:
    program = layouts.program(int(known.types[row]))
    at = np.flatnonzero(program.word == (holder - int(known.start[row])) // 8)
    if not at.size:
        return None
    kind, target = int(program.kind[at[0]]), int(program.target[at[0]])
    label = layouts.labels.texts[int(program.label[at[0]])]
    if kind == SLICE and target:
        target = _array_of(types, target)
    elif kind != POINTER:
        return None
    size = int(types.size[target])
    if not target or not size:
        return None
    return _Found(start, size, target, known.names[row] + label, row)


def _array_of(types: TypeTable, elem: int) -> int:
    """Return an array type long enough for any literal; only its elements' fields are asked for."""
    size = max(int(types.size[elem]), 1)
    length = max(1, (1 << 12) // size)
    pointers = int(types.ptrbytes[elem])
    return types.add(
        GoType(
            name=f"[{length}]{types[elem].name}",
            kind=scan.ARRAY,
            size=length * size,
            ptrbytes=(length - 1) * size + pointers if pointers else 0,
            elem=elem,
            length=length,
        )
    )


def _joined(known: Variables, new: list[_Found]) -> Variables:
    holders = np.array([value.holder for value in new], np.int64)
    start = np.array([value.start for value in new], np.uint64)
    values = Variables(
        start=start,
        size=np.array([value.size for value in new], np.uint64),
        names=[value.name for value in new],
        runtime_owned=known.runtime_owned[holders],
        types=np.array([value.type_number for value in new], np.uint32),
        nameless=known.nameless[holders],
        used_at=known.used_at[holders],
    )
    return known.joined(values)


def without_temporaries(known: Variables) -> Variables:
    """Return the variables without those that only the linker has a name for."""
    return known.take(np.flatnonzero([STATIC_TEMPORARY not in name for name in known.names]))

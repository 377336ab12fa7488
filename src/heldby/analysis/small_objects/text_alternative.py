"""What a holder's data would take as texts: one JSON text, or one packed block, for each element of its container.

Measured on the data itself, not guessed: every value is walked (or every n-th, and it says so), and its text is
counted with the slot that the allocator would give it. The container and its keys stay; what its elements keep is
replaced.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import TextAlternative
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.analysis.small_objects.text_scopes import Scope, ScopeFinder
from heldby.golang.texts.unit_kernels import assign_heads
from heldby.golang.texts.value_walk_kernels import (
    CYCLES,
    FULL,
    FUNCTIONS,
    HIDDEN_FIELDS,
    KEPT_BEHIND,
    MARSHALERS,
    MISSING_BYTES,
    NO_JSON,
    PACKED,
    SHARED,
    TEXT_BYTES,
    TOO_DEEP,
    UNKNOWN_TYPES,
    VALUES,
    VISIBLE,
)
from heldby.golang.types.type_layout import is_map_bucket, is_map_group
from heldby.golang.typing.typing_arrays import slot_bytes_of
from heldby.heap.object_use import map_innards
from heldby.heap.value_walk import Measured, ValueWalk
from heldby.units import format_count

_HEADER_BYTES: Final = 16
_STRETCH: Final = 1 << 16
_INEXACT: Final = (SHARED, CYCLES, TOO_DEEP, FUNCTIONS, MARSHALERS, UNKNOWN_TYPES, NO_JSON)
_ENOUGH: Final = 0.98
"""Of the values, walked to the end, or the figures would say nothing of the rest."""
_GIVEN_UP: Final = "its elements are too large or too deep to be walked one by one"
_NO_TEXT_HOLDS: Final = "what its elements keep behind unsafe pointers, funcs or channels no text holds"


def measure_alternative(
    tree: HolderTree, finder: ScopeFinder, walk: ValueWalk, scope: Scope, *, budget: int
) -> TextAlternative | str:
    """Return what the values of `scope` would take as texts, or in words why that is not known.

    At most about `budget` values are visited: of larger scopes every n-th unit is measured.
    """
    heap = tree.heap
    head = np.zeros(heap.tree.reached_count, np.uint32)
    assign_heads(heap.tree.idom, heap.tree.order, finder.marks(scope), head)
    # A value of an object has a few parts; the estimate only sets the step.
    expected = 6 * tree.objects_retained(scope.path)
    every = min(max(1, -(-expected // budget)), max(1, scope.units // 1024))
    units = finder.units(scope, every)
    measured = walk.measure(units, head, budget=max(4 * budget, 1 << 20))
    done = int(measured.done.sum())
    if not done or done < _ENOUGH * units.addr.size:
        return _GIVEN_UP
    if int(measured.notes[KEPT_BEHIND]) > (1 - _ENOUGH) * done:
        return _NO_TEXT_HOLDS
    current = _owned(tree, scope, head)
    return _result(
        tree, scope, measured, current, total=scope.units if every > 1 else units.addr.size, every=every
    )


def _owned(tree: HolderTree, scope: Scope, head: NDArray[np.uint32]) -> tuple[int, int]:
    """Return bytes and objects of the containers and of all that belongs to a unit; a stretch at a time."""
    found = tree.heap.objects
    slot, span = found.spans.elemsize, found.span
    size, count = int(slot[span[scope.containers]].sum()), int(scope.containers.size)
    for low in range(0, head.size, _STRETCH):
        owned = tree.heap.tree.order[low : low + _STRETCH][head[low : low + _STRETCH] != 0]
        size += int(slot[span[owned]].sum())
        count += owned.size
    return size, count


def _result(
    tree: HolderTree, scope: Scope, measured: Measured, current: tuple[int, int], *, total: int, every: int
) -> TextAlternative:
    sizes = measured.sizes[measured.done]
    scale = total / max(int(measured.done.sum()), 1)

    def whole(amount: int) -> int:
        return round(amount * scale)

    slots = slot_bytes_of(sizes[:, (FULL, PACKED)].astype(np.uint64).reshape(-1)).reshape(-1, 2).sum(axis=0)
    kept_bytes, kept_objects = _kept(tree, scope)
    return TextAlternative(
        path=tree.text(scope.path).strip(),
        units=total,
        every=every,
        current_bytes=current[0],
        current_objects=current[1],
        kept_bytes=kept_bytes,
        kept_objects=kept_objects,
        json_bytes=whole(int(sizes[:, VISIBLE].sum())),
        full_json_bytes=whole(int(sizes[:, FULL].sum())),
        json_total_bytes=kept_bytes + whole(int(slots[0])),
        packed_bytes=whole(int(sizes[:, PACKED].sum())),
        packed_total_bytes=kept_bytes + whole(int(slots[1])),
        objects=kept_objects + total,
        text_bytes=whole(int(measured.notes[TEXT_BYTES])),
        inexact_share=int(measured.notes[list(_INEXACT)].sum()) / max(int(measured.notes[VALUES]), 1),
        left_out=_left_out(measured, scale),
    )


def _kept(tree: HolderTree, scope: Scope) -> tuple[int, int]:
    """Return bytes and objects of the containers with a string in each place, and of the keys of maps."""
    heap, paths = tree.heap, tree.paths
    if scope.heads.size:
        # Nodes of a list or tree become nodes with a text.
        return scope.heads.size * 2 * _HEADER_BYTES, scope.heads.size
    types = heap.naming.types
    numbers = types.packed[scope.containers] >> np.uint32(1)
    size = types.layouts.types.size[numbers]
    spans = heap.objects.spans
    span = heap.objects.span[scope.containers]
    slot = spans.elemsize[span].astype(np.int64)
    room = slot - np.where(spans.has_headers[span], 8, 0)
    new = slot.copy()
    innards = map_innards(types.layouts.types)
    for number in np.unique(numbers).tolist():
        mine = numbers == number
        if is_map_group(types.layouts.types.name(number)):
            new[mine] = _with_texts(tree, number, room[mine])
        elif not innards[number]:
            count = room[mine] // np.maximum(size[mine], 1)
            new[mine] = slot_bytes_of((count * _HEADER_BYTES).astype(np.uint64)).astype(np.int64)
    keys = [
        int(child)
        for child in np.flatnonzero(paths.parent == scope.path)
        if child and tree.label(int(child)).startswith("[key]")
    ]
    key_bytes = sum(int(paths.retained[child]) for child in keys)
    key_objects = sum(tree.objects_retained(child) for child in keys)
    return int(new.sum()) + key_bytes, scope.containers.size + key_objects


def _with_texts(tree: HolderTree, group: int, room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the slots of objects that hold map groups, when the elements are strings."""
    types = tree.heap.naming.types.layouts.types
    size = int(types.size[group])
    stored = 0
    for field in types[group].fields:
        array = types[field.type]
        if field.name == "elems":
            stored = int(types.size[array.elem])
        for inner in types[array.elem].fields if field.name == "slots" else ():
            if inner.name == "elem":
                stored = int(types.size[inner.type])
    groups = np.maximum(room // size, 1)
    if not is_map_bucket(types.name(group)):
        # internal/runtime/maps, newGroups: a power of two. An array of buckets fills its slot (runtime/map.go,
        # makeBucketArray, Go 1.23).
        groups = 1 << np.log2(groups).astype(np.int64)
    new = groups * (size + 8 * (_HEADER_BYTES - stored))
    return slot_bytes_of(new.astype(np.uint64)).astype(np.int64)


def _left_out(measured: Measured, scale: float) -> tuple[str, ...]:
    notes = measured.notes
    texts = (
        (HIDDEN_FIELDS, "fields that encoding/json leaves out (unexported), counted as if it wrote them"),
        (SHARED, "references to what others hold too, counted as null"),
        (CYCLES, "references back to where they came from, which encoding/json refuses, counted as null"),
        (TOO_DEEP, "values nested too deep to follow, counted as null"),
        (FUNCTIONS, "funcs, channels and unsafe pointers, which no text holds, counted as null"),
        (MARSHALERS, "values with a MarshalJSON or MarshalText of their own, counted by their fields"),
        (UNKNOWN_TYPES, "values of unknown type, counted as null"),
        (
            NO_JSON,
            "values that JSON has no way to write (NaN, complex, keys that are no text), counted as null",
        ),
        (MISSING_BYTES, "bytes that are not in the capture, counted as plain text"),
    )
    return tuple(
        f"{format_count(round(int(notes[row]) * scale))} {what}" for row, what in texts if notes[row]
    )

"""Names for people: what an object is, and by which field, element or key another is referred to."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.golang.types import type_scan as scan
from heldby.golang.types.container_parts import is_bucket_pointer
from heldby.golang.types.type_layout import LabelTable
from heldby.golang.types.types import (
    KIND_MAP_TABLE,
    STRING_DATA,
    UNKNOWN,
    TypeTable,
)
from heldby.golang.typing.object_types import ObjectTypes

_MAP_PART: Final = re.compile(r"(?:noalg\.)?map\.(group|bucket)(\[.*)")
_MAX_NAMED_OFFSET: Final = 4096


def unknown_labels(labels: LabelTable) -> NDArray[np.uint32]:
    """Return the labels of words of unknown objects: ``+0x18``; the last one is for all words from 4 KiB."""
    numbers = [labels.number(f"+{offset:#x}") for offset in range(0, _MAX_NAMED_OFFSET, 8)]
    return np.array([*numbers, labels.number("+...")], np.uint32)


def label_of(object_types: ObjectTypes, packed: int, offset: int) -> tuple[str, int]:
    """Return the path of the word at byte `offset` of a value, and the type number that it leads to.

    For single questions (a root variable, a message); `label_kernels` answers for whole heaps. The type is that
    of the pointer's target where it is known from the static type alone, 0 otherwise.
    """
    layouts = object_types.layouts
    number, is_array = packed >> 1, packed & 1
    size = int(layouts.types.size[number])
    if number == UNKNOWN or size == 0 or (not is_array and offset >= size):
        return f"+{offset:#x}", UNKNOWN
    program = layouts.program(number)
    found = np.flatnonzero(program.word == offset % size // 8)
    if not found.size:
        return f"+{offset:#x}", UNKNOWN
    text = layouts.labels.texts[int(program.label[found[0]])]
    return text, int(program.target[found[0]])


def describe(
    types: TypeTable, packed: int, *, size: int = 0, pointer_words: tuple[int, ...] | None = None
) -> str:
    """Return what an object of this type is called.

    Args:
        types: the types.
        packed: type number times two, plus 1 for a run of such values.
        size: bytes of the slot; used for unknown objects.
        pointer_words: indexes of an unknown object's pointer words; None when not known.
    """
    number, is_array = packed >> 1, packed & 1
    if number == UNKNOWN:
        return _unknown(size, pointer_words)
    name = types.display_name(number)
    if number == STRING_DATA:
        return "string"
    kind = int(types.kind[number])
    if kind == scan.STRING and not is_array:
        return "string (header)"
    if kind == scan.SLICE and not is_array:
        return f"{name} (header)"
    to_table = kind == scan.POINTER and types.kind[types.elem[number]] == KIND_MAP_TABLE
    if not is_array or to_table or is_bucket_pointer(types, number):
        return name
    part = _MAP_PART.match(name)
    if part is not None:
        return f"map{part[2]} {part[1]}s"
    return f"[]{name}"


def _unknown(size: int, pointer_words: tuple[int, ...] | None) -> str:
    if pointer_words is None:
        return f"unknown({size} B)"
    if not pointer_words:
        return f"unknown({size} B, no pointers)"
    shown = ",".join(str(word * 8) for word in pointer_words[:8])
    more = "" if len(pointer_words) <= 8 else ",..."
    return f"unknown({size} B, pointers at {shown}{more})"

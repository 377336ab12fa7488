"""Which part of a value an address means: ``.Name``, ``[3].Count``."""

from __future__ import annotations

from typing import Final

from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import KIND_CLOSURE, TypeTable

_DEEPEST: Final = 64


def path_at(types: TypeTable, number: int, offset: int) -> str:
    """Return the innermost field or element that holds byte `offset` of a value; empty for the value itself."""
    parts: list[str] = []
    for _ in range(_DEEPEST):
        of = types[number]
        if of.kind in (scan.STRUCT, KIND_CLOSURE):
            field = next(
                (each for each in of.fields if 0 <= offset - each.offset < int(types.size[each.type])), None
            )
            if field is None:
                break
            parts.append(f".{field.name}")
            number, offset = field.type, offset - field.offset
        elif of.kind == scan.ARRAY and int(types.size[of.elem]):
            step = int(types.size[of.elem])
            if offset >= step * of.length:
                break
            parts.append(f"[{offset // step}]")
            number, offset = of.elem, offset % step
        else:
            break
    return "".join(parts)

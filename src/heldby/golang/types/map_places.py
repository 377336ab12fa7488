"""Where keys and elements lie in the parts that maps are made of: groups, or the buckets of releases before 1.24."""

from __future__ import annotations

from typing import NamedTuple

from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import TypeTable


class Place(NamedTuple):
    """Of the keys, or of the elements, of one group or bucket.

    Attributes:
        offset: of the first, in bytes.
        stride: from one to the next.
        type: of what lies there: of what has more than 128 bytes a pointer (internal/runtime/maps).
    """

    offset: int
    stride: int
    type: int


def slot_places(types: TypeTable, part: int) -> dict[str, Place]:
    """Return the places called ``key`` and ``elem`` of a group or bucket type; without those it lacks.

    In slots (Go 1.24 to 1.26), or keys first and then elements (buckets, and groups from 1.27 on).
    """
    places = {}
    for field in types[part].fields:
        array = types[field.type]
        if array.kind != scan.ARRAY:
            continue
        stride = int(types.size[array.elem])
        if field.name in ("keys", "elems"):
            places[field.name.removesuffix("s")] = Place(field.offset, stride, array.elem)
        for inner in types[array.elem].fields if field.name == "slots" else ():
            places[inner.name] = Place(field.offset + inner.offset, stride, inner.type)
    return places

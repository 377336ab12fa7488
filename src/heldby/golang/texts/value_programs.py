"""What a Go value consists of, for kernels that walk values: one row for each type, one for each field.

Unlike the slot programs of `type_layout`, which know pointers only, these rows cover every byte that means
something: numbers, text, fields that are no pointers. Rows are made for the types that a walk can meet by their
static types; the dynamic type of an interface may be missing, which the walk reports.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldby.golang.texts.json_fields import LOCKS, JSONField, json_fields
from heldby.golang.types import type_scan as scan
from heldby.golang.types.map_places import Place, slot_places
from heldby.golang.types.types import KIND_BUCKET_MAP, KIND_MAP, TypeTable

# What a value is. MISSING: no row yet. First those without parts (OPAQUE: func, chan, unsafe.Pointer; OTHER: a type
# that is not understood), then those that lead on.
MISSING, BOOL, INT, UINT, FLOAT32, FLOAT64, COMPLEX, STRING, NUMBER = range(9)
BYTES, RAW_JSON, TIME, FIXED_TEXT, OPAQUE, OTHER = range(9, 15)
SLICE, ARRAY, STRUCT, MAP, POINTER, INTERFACE = range(15, 21)
LAST_LEAF: Final = OTHER
# Flags of a field.
OMIT_EMPTY, OMIT_ZERO, QUOTED, HIDDEN = 1, 2, 4, 8
# Who implements json.Marshaler or encoding.TextMarshaler.
NO_METHOD, BY_VALUE, BY_POINTER = 0, 1, 2

_MAX_TYPES: Final = 1 << 16
_MAX_FIELDS: Final = 1 << 20
_KINDS: Final = {
    1: BOOL,
    **dict.fromkeys(range(2, 7), INT),
    **dict.fromkeys(range(7, 13), UINT),
    13: FLOAT32,
    14: FLOAT64,
    15: COMPLEX,
    16: COMPLEX,
    scan.ARRAY: ARRAY,
    scan.CHAN: OPAQUE,
    scan.FUNC: OPAQUE,
    scan.INTERFACE: INTERFACE,
    scan.MAP: MAP,
    KIND_MAP: MAP,
    KIND_BUCKET_MAP: MAP,
    scan.POINTER: POINTER,
    scan.SLICE: SLICE,
    scan.STRING: STRING,
    scan.STRUCT: STRUCT,
    scan.UNSAFE_POINTER: OPAQUE,
}
_UINT8: Final = 8
_MARSHALERS: Final = frozenset(("MarshalJSON", "MarshalText"))
# encoding/json; its second version calls the same jsontext.Value.
_RAW: Final = frozenset(("json.RawMessage", "jsontext.Value"))
# github.com/google/uuid, MarshalText: 36 characters in quotes.
_FIXED_TEXTS: Final = {"uuid.UUID": 38}


class ValueTypes(NamedTuple):
    """Types as the walk reads them; all by type number.

    Attributes:
        op: ``uint8``, what a value is.
        size: ``uint64``, bytes of a value.
        elem: ``uint32``, type of elements or of what a pointer leads to.
        length: ``uint64``, elements of an array; the bytes of a fixed text.
        method: ``uint8``, who marshals it by its own method.
        direct: ``bool``, an interface holds the value itself.
        first, items: ``int64``: rows of its fields; `first` is the row of a map in `maps`.
        field_offset, field_type, field_key, field_flags: of fields; `field_key` is ``"name":`` in bytes.
        field_hop, field_hops: the first embedded pointer on the way to a field, and how many there are.
        hops: ``uint64``, their offsets.
        maps: ``uint64[m, 9]``: bytes of a group or bucket; base, stride, type and indirection of keys, then of
            elements.
    """

    op: NDArray[np.uint8]
    size: NDArray[np.uint64]
    elem: NDArray[np.uint32]
    length: NDArray[np.uint64]
    method: NDArray[np.uint8]
    direct: NDArray[np.bool_]
    first: NDArray[np.int64]
    items: NDArray[np.int64]
    field_offset: NDArray[np.uint64]
    field_type: NDArray[np.uint32]
    field_key: NDArray[np.uint64]
    field_flags: NDArray[np.uint8]
    field_hop: NDArray[np.int64]
    field_hops: NDArray[np.int64]
    hops: NDArray[np.uint64]
    maps: NDArray[np.uint64]


class ValuePrograms:
    """Rows for the types that walks have met so far.

    Args:
        types: the types.
        second_json: encoding/json is built on its second version, as from Go 1.27 on.
        omits_zero: encoding/json knows the option "omitzero", as from Go 1.24 on.
    """

    def __init__(self, types: TypeTable, *, second_json: bool = False, omits_zero: bool = True) -> None:
        self.types = types
        self._second_json = second_json
        self._omits_zero = omits_zero
        self._op: dict[int, int] = {}
        self._first: dict[int, int] = {}
        self._count: dict[int, int] = {}
        self._length: dict[int, int] = {}
        self._elem: dict[int, int] = {}
        self._method: dict[int, int] = {}
        self._fields: list[tuple[int, int, int, int, int, int]] = []
        self._hops: list[int] = []
        self._maps: list[tuple[int, ...]] = []
        self._stored: dict[int, int] = {}
        self._pointers: dict[int, int] | None = None

    def ensure(self, numbers: NDArray[np.integer]) -> None:
        """Make rows for these types and all that their values can lead to without an interface."""
        waiting = [int(number) for number in numbers]
        while waiting and len(self._op) < _MAX_TYPES:
            number = waiting.pop()
            if number not in self._op:
                waiting += self._add(number)

    def columns(self) -> ValueTypes:
        """Return the rows as arrays. O(types)."""
        size = self.types.size.size

        def spread(values: dict[int, int], dtype: type[np.generic]) -> NDArray[np.generic]:
            out = np.zeros(size, dtype)
            out[list(values)] = list(values.values())
            return out

        fields = np.array(self._fields or [(0,) * 6], np.int64)
        return ValueTypes(
            op=spread(self._op, np.uint8),  # type: ignore[arg-type]
            size=self.types.size.astype(np.uint64),
            elem=spread(self._elem, np.uint32),  # type: ignore[arg-type]
            length=spread(self._length, np.uint64),  # type: ignore[arg-type]
            method=spread(self._method, np.uint8),  # type: ignore[arg-type]
            direct=self.types.direct,
            first=spread(self._first, np.int64),  # type: ignore[arg-type]
            items=spread(self._count, np.int64),  # type: ignore[arg-type]
            field_offset=fields[:, 0].astype(np.uint64),
            field_type=fields[:, 1].astype(np.uint32),
            field_key=fields[:, 2].astype(np.uint64),
            field_flags=fields[:, 3].astype(np.uint8),
            field_hop=np.ascontiguousarray(fields[:, 4]),
            field_hops=np.ascontiguousarray(fields[:, 5]),
            hops=np.array(self._hops or [0], np.uint64),
            maps=np.array(self._maps or [(0,) * 9], np.uint64),
        )

    def map_row(self, number: int) -> tuple[int, ...] | None:
        """Return the row of map type `number` in `ValueTypes.maps`, None for another type."""
        return self._maps[self._first[number]] if self._op.get(number) == MAP else None

    def stored_element(self, number: int) -> int:
        """Return the type of what lies in a slot of map type `number`: its element, or a pointer to a large one."""
        return self._stored[number]

    def _add(self, number: int) -> list[int]:
        """Make the row of one type; return the types that it leads to."""
        known = self.types[number]
        op = _KINDS.get(known.kind, OTHER)
        self._op[number] = op
        self._method[number] = self._marshaler(number)
        if op == STRUCT:
            return self._add_struct(number)
        if op == MAP:
            return self._add_map(number)
        if op in (SLICE, ARRAY, POINTER):
            return self._add_elements(number, op)
        if op == STRING and known.name == "json.Number":
            self._op[number] = NUMBER
        return []

    def _add_elements(self, number: int, op: int) -> list[int]:
        known = self.types[number]
        self._elem[number], self._length[number] = known.elem, known.length
        if op == POINTER:
            self._method[number] = NO_METHOD  # what it leads to is asked, and can be addressed there
        elif known.name in _RAW:
            self._op[number], self._method[number] = RAW_JSON, NO_METHOD
        elif known.name in _FIXED_TEXTS:
            self._op[number], self._length[number] = FIXED_TEXT, _FIXED_TEXTS[known.name]
            self._method[number] = NO_METHOD
        elif op == SLICE and self._is_byte(known.elem):
            self._op[number] = BYTES
        if not known.elem:
            self._op[number] = OTHER
            return []
        return [known.elem]

    def _is_byte(self, elem: int) -> bool:
        """Tell whether a slice of `elem` is written as base64; bytes with a method of their own are not."""
        return int(self.types.kind[elem]) == _UINT8 and self._marshaler(elem) == NO_METHOD

    def _add_struct(self, number: int) -> list[int]:
        name = self.types[number].name
        if name == "time.Time":
            self._op[number] = TIME
            self._method[number] = NO_METHOD
            return []
        self._first[number] = len(self._fields)
        if name in LOCKS or len(self._fields) > _MAX_FIELDS:
            return []
        fields = [
            field
            for field in json_fields(self.types, number, second=self._second_json)
            if not self._is_hidden_lock(field)
        ]
        self._fields += [self._field_row(field) for field in fields]
        self._count[number] = len(fields)
        return [field.type for field in fields]

    def _is_hidden_lock(self, field: JSONField) -> bool:
        return field.hidden and self.types.name(field.type) in LOCKS

    def _field_row(self, field: JSONField) -> tuple[int, int, int, int, int, int]:
        first = len(self._hops)
        self._hops += field.hops
        flags = (
            (OMIT_EMPTY if field.omit_empty else 0)
            | (OMIT_ZERO if field.omit_zero and self._omits_zero else 0)
            | (QUOTED if field.quoted else 0)
            | (HIDDEN if field.hidden else 0)
        )
        return field.offset, field.type, field.key_bytes, flags, first, len(field.hops)

    def _add_map(self, number: int) -> list[int]:
        types = self.types
        base = number if int(types.kind[number]) == scan.MAP else int(types.elem[number])
        group = types.map_slots(base)
        places = slot_places(types, group) if group else {}
        if set(places) != {"key", "elem"}:
            self._op[number] = OTHER
            return []
        row = self._map_row(base, group, places)
        self._stored[number] = places["elem"][2]
        self._first[number] = len(self._maps)
        self._maps.append(row)
        return [row[3], row[7], places["elem"][2]]

    def _map_row(self, base: int, group: int, places: dict[str, Place]) -> tuple[int, ...]:
        row = [int(self.types.size[group])]
        of = self.types[base]
        for place, own in (("key", of.key), ("elem", of.elem)):
            offset, stride, stored = places[place]
            # What has more than 128 bytes lies behind a pointer (internal/runtime/maps; runtime/map.go, Go 1.23).
            row += [offset, stride, own, int(stored != own)]
        return tuple(row)

    def _marshaler(self, number: int) -> int:
        """Return whether values of a type, or only pointers to them, marshal themselves."""
        types = self.types
        if int(types.kind[number]) in (scan.INTERFACE, KIND_MAP, KIND_BUCKET_MAP):
            return NO_METHOD
        if types.method_names(number) & _MARSHALERS:
            return BY_VALUE
        pointer = self._pointer_to(number)
        if pointer and types.method_names(pointer) & _MARSHALERS:
            return BY_POINTER
        return NO_METHOD

    def _pointer_to(self, number: int) -> int:
        if self._pointers is None:
            at = np.flatnonzero(self.types.kind == scan.POINTER)
            self._pointers = dict(zip(self.types.elem[at].tolist(), at.tolist(), strict=True))
        return self._pointers.get(number, 0)

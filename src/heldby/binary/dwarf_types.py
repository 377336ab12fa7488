"""`DwarfType`: a Go type as the debug information spells it, read when it is first looked at.

Named types other than structs are typedefs around their shape; maps and channels are typedefs around
pointers to the runtime's structs; the Go attributes (kind, key, elem) say what is meant
(cmd/link/internal/ld/dwarf.go, Go 1.21 to 1.27).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from heldby.binary import dwarf_constants as dw
from heldby.binary.dwarf_entries import DwarfEntries, Entry

Kind = Literal[
    "struct",
    "array",
    "slice",
    "string",
    "pointer",
    "unsafe.Pointer",
    "eface",
    "iface",
    "map",
    "chan",
    "func",
    "basic",
    "unknown",
]
_GO_KIND_MASK: Final = 31  # the bits above said "direct interface" and "GC program" up to 1.25
_GO_KINDS: Final[dict[int, Kind]] = {
    **dict.fromkeys(range(1, 17), "basic"),
    17: "array",
    18: "chan",
    19: "func",
    20: "iface",
    21: "map",
    22: "pointer",
    23: "slice",
    24: "string",
    25: "struct",
    26: "unsafe.Pointer",
}
_TAG_KINDS: Final[dict[int, Kind]] = {
    dw.TAG_ARRAY_TYPE: "array",
    dw.TAG_POINTER_TYPE: "pointer",
    dw.TAG_STRUCTURE_TYPE: "struct",
    dw.TAG_UNION_TYPE: "struct",
    dw.TAG_SUBROUTINE_TYPE: "func",
    dw.TAG_BASE_TYPE: "basic",
}
_SIZES: Final[dict[Kind, int]] = {
    "pointer": 8,
    "unsafe.Pointer": 8,
    "map": 8,
    "chan": 8,
    "func": 8,
    "string": 16,
    "eface": 16,
    "iface": 16,
    "slice": 24,
}
_QUALIFIERS: Final = {dw.TAG_TYPEDEF, dw.TAG_CONST_TYPE, dw.TAG_VOLATILE_TYPE}
_MAX_CHAIN = 32
_MAX_FIELDS = 1 << 16


@dataclass(frozen=True, slots=True)
class DwarfField:
    """A field of a struct; its type is read when asked for."""

    name: str
    offset: int
    embedded: bool
    _types: DwarfTypes = field(repr=False, compare=False)
    _type_offset: int = field(repr=False)

    @property
    def type(self) -> DwarfType | None:
        """The field's type, None when it cannot be read."""
        return self._types.at(self._type_offset)


@dataclass(frozen=True, slots=True)
class DwarfType:
    """A type, immutable; what it refers to is read when asked for, so types may be recursive.

    Attributes:
        offset: of its entry, its identity.
        name: as Go spells it with the full package path (``*example.com/a/b.T``).
        kind: what it is under its name.
        size: bytes; None when it is not known.
        count: elements of an array; None otherwise.
        runtime_type_offset: its descriptor's distance from ``moduledata.types``, None when it has none.
    """

    offset: int
    name: str
    kind: Kind
    size: int | None
    count: int | None
    runtime_type_offset: int | None
    _types: DwarfTypes = field(repr=False, compare=False)
    _shape_offset: int = field(repr=False)
    _elem_offset: int = field(repr=False)
    _key_offset: int = field(repr=False)

    @property
    def fields(self) -> tuple[DwarfField, ...]:
        """The fields of a struct in their order; empty for other kinds (strings and slices too)."""
        return self._types.fields_of(self._shape_offset) if self.kind == "struct" else ()

    @property
    def elem(self) -> DwarfType | None:
        """What a pointer points to, an array, slice or channel is made of, or a map's values are."""
        return self._types.at(self._elem_offset) if self._elem_offset else None

    @property
    def key(self) -> DwarfType | None:
        """The type of a map's keys."""
        return self._types.at(self._key_offset) if self._key_offset else None


class DwarfTypes:
    """All types of one executable, each read once."""

    def __init__(self, entries: DwarfEntries) -> None:
        self._entries = entries
        self._known: dict[int, DwarfType | None] = {}
        self._fields: dict[int, tuple[DwarfField, ...]] = {}

    def at(self, offset: int) -> DwarfType | None:
        """Return the type whose entry is at `offset`, None when there is none."""
        if offset not in self._known:
            entry = self._entries.entry(offset) if offset > 0 else None
            self._known[offset] = self._read(entry) if entry else None
        return self._known[offset]

    def fields_of(self, offset: int) -> tuple[DwarfField, ...]:
        """Return the fields of the struct whose entry is at `offset`."""
        if offset not in self._fields:
            entry = self._entries.entry(offset)
            self._fields[offset] = tuple(self._read_fields(entry)) if entry else ()
        return self._fields[offset]

    def _read(self, entry: Entry) -> DwarfType:
        chain = self._chain(entry)
        shape = chain[-1]
        name = next((e.name for e in chain if e.name), "")
        go_kind = next((k for e in chain if (k := e.number(dw.AT_GO_KIND)) is not None), 0)
        kind = _GO_KINDS.get(go_kind & _GO_KIND_MASK) or _TAG_KINDS.get(shape.tag, "unknown")
        if kind == "unknown" and shape.number(dw.AT_BYTE_SIZE) is not None:
            kind = "basic"  # a C enumeration
        if kind == "iface" and any(e.name == "runtime.eface" for e in chain):
            kind = "eface"
        runtime_type = next((v for e in chain if (v := e.number(dw.AT_GO_RUNTIME_TYPE))), None)
        size, count = _SIZES.get(kind), None
        if size is None:
            size = shape.number(dw.AT_BYTE_SIZE)
        if kind == "array":
            count = self._count(shape)
        elem = next((v for e in chain if (v := e.number(dw.AT_GO_ELEM))), 0)
        if not elem and kind in {"pointer", "array"}:
            elem = shape.number(dw.AT_TYPE) or 0
        key = next((v for e in chain if (v := e.number(dw.AT_GO_KEY))), 0)
        return DwarfType(entry.offset, name, kind, size, count, runtime_type, self, shape.offset, elem, key)

    def _chain(self, entry: Entry) -> list[Entry]:
        """Return the typedefs and qualifiers from `entry` down to the shape, all included."""
        chain = [entry]
        while chain[-1].tag in _QUALIFIERS and len(chain) < _MAX_CHAIN:
            target = chain[-1].number(dw.AT_TYPE)
            following = self._entries.entry(target) if target else None
            if following is None:
                break
            chain.append(following)
        return chain

    def _count(self, array: Entry) -> int | None:
        for depth, child in self._entries.children(array, 8):
            if depth == 1 and child.tag == dw.TAG_SUBRANGE_TYPE:
                count = child.number(dw.AT_COUNT)
                if count is None and (bound := child.number(dw.AT_UPPER_BOUND)) is not None:
                    count = bound + 1
                return count
        return None

    def _read_fields(self, struct: Entry) -> list[DwarfField]:
        return [
            DwarfField(
                child.name,
                child.number(dw.AT_DATA_MEMBER_LOCATION) or 0,
                bool(child.number(dw.AT_GO_EMBEDDED)),
                self,
                child.number(dw.AT_TYPE) or 0,
            )
            for depth, child in self._entries.children(struct, _MAX_FIELDS)
            if depth == 1 and child.tag == dw.TAG_MEMBER
        ]

"""Types that the debug information names, as numbers of the `TypeTable`.

Most have a descriptor in the program: its number is used. What has none (types of variables that never meet
an interface or the allocator) is built field by field and gets a number of its own.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Final

from heldby.binary.dwarf_types import DwarfType
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import UNKNOWN, Field, GoType, TypeTable

_KINDS: Final = {
    "struct": scan.STRUCT,
    "array": scan.ARRAY,
    "slice": scan.SLICE,
    "string": scan.STRING,
    "pointer": scan.POINTER,
    "unsafe.Pointer": scan.UNSAFE_POINTER,
    "eface": scan.INTERFACE,
    "iface": scan.INTERFACE,
    "map": scan.MAP,
    "chan": scan.CHAN,
    "func": scan.FUNC,
    "basic": 11,  # uintptr: any value without pointers; the size is its own
}
# Pointer words of values: cmd/compile/internal/types/size.go, PtrDataSize; liveness/plive.go and typebits, Set (an
# interface's first word leads to what is never collected).
_WORDS: Final = {
    **dict.fromkeys(("pointer", "unsafe.Pointer", "map", "chan", "func", "string", "slice"), 0b1),
    **dict.fromkeys(("eface", "iface"), 0b10),
}
_LONGEST_MASK: Final = 512  # bytes of the prefix
_MAX_DEPTH: Final = 64
_MAX_FIELDS: Final = 1 << 14


class DwarfImport:
    """Gives types of the debug information their numbers; each is read once.

    Args:
        types: the table that has or gets the types.
        types_base: ``moduledata.types`` of the program, where descriptor offsets count from.
    """

    def __init__(self, types: TypeTable, types_base: int) -> None:
        self._types = types
        self._base = types_base
        self._known: dict[int, int] = {}

    def number(self, dwarf_type: DwarfType | None) -> int:
        """Return the number of a type, 0 when it cannot be understood."""
        return self._number(dwarf_type, _MAX_DEPTH)

    def _number(self, of: DwarfType | None, depth: int) -> int:
        if of is None or depth == 0:
            return UNKNOWN
        known = self._known.get(of.offset)
        if known is None:
            known = self._with_descriptor(of)
            if known == UNKNOWN:
                known = self._built(of, depth)
            self._known[of.offset] = known
        return known

    def _with_descriptor(self, of: DwarfType) -> int:
        types = self._types
        if of.runtime_type_offset:
            number = types.number_at(self._base + of.runtime_type_offset)
            if number and of.size in (None, int(types.size[number])):
                return number
        package, _, short = of.name.rpartition("/")
        for number in types.named(short):
            exact = types[number].package == f"{package}/{short.partition('.')[0]}".lstrip("/")
            if exact and int(types.size[number]) == of.size:
                return number
        return UNKNOWN

    def _built(self, of: DwarfType, depth: int) -> int:
        kind = _KINDS.get(of.kind, 0)
        if not kind or of.size is None or not 0 <= of.size < 1 << 40:
            return UNKNOWN
        # A number first: the type may contain pointers to itself; whoever contains such a pointer needs its prefix.
        mask = _WORDS.get(of.kind, 0)
        placeholder = GoType(
            name=of.name, kind=scan.UNSAFE_POINTER, size=of.size, ptrbytes=8 * mask.bit_length()
        )
        number = self._types.add(placeholder, pointer_mask=mask)
        self._known[of.offset] = number
        elem = self._number(of.elem, depth - 1) if of.kind not in ("struct", "basic") else UNKNOWN
        key = self._number(of.key, depth - 1) if of.kind == "map" else UNKNOWN
        fields = tuple(
            Field(field.name, self._number(field.type, depth - 1), field.offset, field.embedded)
            for field in of.fields[:_MAX_FIELDS]
            if 0 <= field.offset <= of.size
        )
        prefix, mask = self._pointers(of, elem, fields)
        plain, bracket, arguments = of.name.partition("[")
        short = plain.rpartition("/")[2] + bracket + arguments if plain else of.name
        known = GoType(
            name=short,
            kind=kind,
            size=of.size,
            ptrbytes=prefix,
            elem=elem,
            key=key,
            length=of.count or 0,
            fields=fields,
        )
        self._types.define(number, known, pointer_mask=mask)
        return number

    def _pointers(self, of: DwarfType, elem: int, fields: tuple[Field, ...]) -> tuple[int, int]:
        """Return the bytes up to the last pointer of a value, and which words before that are pointers.

        The mask is 0 where the prefix is longer than those of `TypeTable.pointer_mask`.
        """
        if of.kind == "struct":
            parts = [(field.offset, field.type) for field in fields]
        elif of.kind == "array":
            step, prefix = int(self._types.size[elem]), int(self._types.ptrbytes[elem])
            last = ((of.count or 0) - 1) * step
            if last < 0 or not prefix or not step:
                return 0, 0
            if last + prefix > _LONGEST_MASK:
                return min(last + prefix, of.size or 0) // 8 * 8, 0
            parts = [(offset, elem) for offset in range(0, last + 1, step)]
        else:
            mask = _WORDS.get(of.kind, 0)
            return 8 * mask.bit_length(), mask
        ends = [
            offset + int(self._types.ptrbytes[part]) for offset, part in parts if self._types.ptrbytes[part]
        ]
        prefix = min(max(ends, default=0), of.size or 0) // 8 * 8
        if prefix > _LONGEST_MASK:
            return prefix, 0
        masks = [int(self._types.pointer_mask[part]) << offset // 8 for offset, part in parts]
        return prefix, reduce(or_, masks, 0) & (1 << prefix // 8) - 1

"""`TypeTable`: every Go type that an object can have, by a dense number; 0 is unknown.

Numbers below `FIRST_DESCRIPTOR` are memory without a descriptor (string data, tiny blocks, closures); then
come the program's own descriptors in address order; then types that exist only for the reader: the parts
of a map, a channel's header, a closure with its captures, types that DWARF alone knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from heldby.errors import InternalError
from heldby.golang.layouts.differences import WEAK_HANDLES_STAND_ALONE
from heldby.golang.layouts.layout import Layout
from heldby.golang.runtime.module import Module
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types import type_scan as scan
from heldby.golang.types.descriptor_texts import DescriptorTexts
from heldby.golang.types.type_scan import Descriptors, scan_descriptors
from heldby.memory.image import Image

UNKNOWN, STRING_DATA, TINY_BLOCK, CLOSURE, WEAK_HANDLE, CLEANUP_ARGUMENT = range(6)
FIRST_DESCRIPTOR: Final = 8
# Kinds beyond reflect's 26, for what has no descriptor.
KIND_MEMORY, KIND_CLOSURE, KIND_MAP, KIND_MAP_TABLE, KIND_CHANNEL = range(32, 37)
# Of maps made of buckets (Go 1.21 to 1.23): runtime.hmap, runtime.mapextra, and the list of overflow buckets.
KIND_BUCKET_MAP, KIND_MAP_EXTRA, KIND_MAP_OVERFLOW = range(37, 40)
MAP_PARTS: Final = (KIND_MAP, KIND_MAP_TABLE, KIND_BUCKET_MAP, KIND_MAP_EXTRA, KIND_MAP_OVERFLOW)
"""What maps are made of beside groups and buckets, which are structs."""
# cmd/compile/internal/noder/reader.go, shapify: in generic code all pointers that nothing is asked of share one shape.
_SHAPE_OF_POINTERS: Final = "go.shape.*uint8"
_Number = TypeVar("_Number", bound=np.generic)
_BUILTIN_NAMES: Final = {
    UNKNOWN: "unknown",
    STRING_DATA: "string",
    TINY_BLOCK: "tiny block",
    CLOSURE: "func",
    WEAK_HANDLE: "weak handle",
    CLEANUP_ARGUMENT: "cleanup argument",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct: its name, type number and byte offset; `tag` is the text behind it, as written."""

    name: str
    type: int
    offset: int
    embedded: bool = False
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoType:
    """A type, understood.

    Attributes:
        name: as Go's ``%v`` prints it, e.g. ``main.Entry``, ``map[string]int``.
        kind: ``reflect.Kind``, or one of the ``KIND_*`` numbers of this module.
        size: bytes of a value.
        ptrbytes: bytes of the prefix that holds pointers.
        elem, key: type numbers, 0 where there is none.
        length: of an array.
        fields: of a struct or closure.
        package: import path of a named type, empty where unknown.
    """

    name: str
    kind: int
    size: int
    ptrbytes: int
    elem: int = 0
    key: int = 0
    length: int = 0
    fields: tuple[Field, ...] = ()
    package: str = ""


@dataclass(frozen=True, slots=True)
class MadeTypes:
    """Types without a descriptor, in the order of their numbers, which follow those of the descriptors.

    Attributes:
        types: what is known of each.
        pointer_masks: of each, as in `TypeTable.pointer_mask`.
        parts: numbers of the parts of maps and channels, by role and type number.
    """

    types: tuple[GoType, ...]
    pointer_masks: tuple[int, ...]
    parts: Mapping[tuple[str, int], int]


class TypeTable:
    """All types of a program. Building it costs one scan of the type sections; details are read on demand.

    Attributes:
        size, ptrbytes: ``int64[n]``.
        kind: ``uint8[n]``.
        elem: ``uint32[n]``, type number of elements, 0 where there is none.
        length: ``int64[n]``, of arrays; 1 for everything else.
        direct: ``bool[n]``, an interface holds the value itself.
        pointer_mask: ``uint64[n]``, pointer words of types with at most 512 bytes of pointer prefix.
        parts: type numbers of the parts of maps and channels, by role and type; `container_parts` makes them.
    """

    def __init__(self, image: Image, layout: Layout, descriptors: Descriptors) -> None:
        self._image = image
        self.layout = layout
        self._descriptors = descriptors
        self._texts = DescriptorTexts(image, layout, descriptors)
        count = FIRST_DESCRIPTOR + descriptors.addr.size
        self._end_of_descriptors = count
        self._used = count
        self.size = _column(np.int64, descriptors.size)
        self.ptrbytes = _column(np.int64, descriptors.ptrbytes)
        self.kind = _column(np.uint8, descriptors.kind)
        self.direct = _column(np.bool_, descriptors.direct)
        self.pointer_mask = _column(np.uint64, descriptors.pointer_mask)
        has_elem = np.isin(descriptors.kind, (scan.ARRAY, scan.CHAN, scan.POINTER, scan.SLICE)) | (
            descriptors.kind == scan.MAP
        )
        word = np.where(descriptors.kind == scan.MAP, descriptors.extra[:, 1], descriptors.extra[:, 0])
        self.elem = _column(np.uint32, np.where(has_elem, self.numbers_at(word), 0))
        is_array = descriptors.kind == scan.ARRAY
        self.length = _column(np.int64, np.where(is_array, descriptors.extra[:, 2].astype(np.int64), 1))
        for number in self._pointers_of_any_type(descriptors):
            self.kind[number], self.elem[number] = scan.UNSAFE_POINTER, UNKNOWN
        self.kind[:FIRST_DESCRIPTOR] = KIND_MEMORY
        self.kind[CLOSURE] = KIND_CLOSURE
        self.size[STRING_DATA] = 1
        self.size[CLOSURE] = 8
        self.size[TINY_BLOCK] = self.size[CLEANUP_ARGUMENT] = 16
        self.size[WEAK_HANDLE] = 16 if WEAK_HANDLES_STAND_ALONE.holds(layout) else 8
        self._known: dict[int, GoType] = {}
        self._by_name: dict[str, list[int]] | None = None
        self.parts: dict[tuple[str, int], int] = {}

    def __len__(self) -> int:
        return self._used

    def _pointers_of_any_type(self, descriptors: Descriptors) -> list[int]:
        """Return the types that say of a pointer only that it is one, whatever it leads to."""
        named = np.flatnonzero((descriptors.kind == scan.POINTER) & ((descriptors.tflag & scan.NAMED) != 0))
        return [at + FIRST_DESCRIPTOR for at in named.tolist() if self._texts.name(at) == _SHAPE_OF_POINTERS]

    @classmethod
    def read(cls, runtime: Runtime) -> TypeTable:
        """Return the types of the program's descriptors."""
        return cls.of_modules(runtime.image, runtime.layout, runtime.modules)

    @classmethod
    def of_modules(cls, image: Image, layout: Layout, modules: Iterable[Module]) -> TypeTable:
        """Return the types whose descriptors lie in `modules`."""
        return cls(image, layout, scan_descriptors(image, layout, tuple(modules)))

    def numbers_at(self, addrs: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Return the type numbers of descriptor addresses, 0 where there is no descriptor."""
        at = self._descriptors.find(addrs)
        return np.where(at >= 0, at + FIRST_DESCRIPTOR, 0).astype(np.uint32)

    def number_at(self, addr: int) -> int:
        """Return the type number of the descriptor at `addr`, 0 where there is none."""
        return int(self.numbers_at(np.array([addr], np.uint64))[0])

    @property
    def descriptor_addrs(self) -> NDArray[np.uint64]:
        """Addresses of all descriptors, ascending; number i lies at ``[i - FIRST_DESCRIPTOR]``."""
        return self._descriptors.addr

    @property
    def descriptor_hashes(self) -> NDArray[np.uint32]:
        """The runtime's hashes of the types, in the order of `descriptor_addrs`."""
        return self._descriptors.hash

    def __getitem__(self, number: int) -> GoType:
        """Return what is known of type `number`; read on first use."""
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = self._understand(number)
        return known

    def field_places(self, number: int) -> list[tuple[int, int]]:
        """Return type number and offset of each field of a struct, without reading their names."""
        at = number - FIRST_DESCRIPTOR
        if not 0 <= at < self._descriptors.addr.size:
            return [(field.type, field.offset) for field in self[number].fields]
        words = scan.struct_field_words(self._image, self._descriptors.extra[at])
        if words is None:
            return []
        numbers = self.numbers_at(np.ascontiguousarray(words[:, 1]))
        offsets = words[:, 2].astype(np.int64)  # those of damaged descriptors may be negative then
        return list(zip(numbers.tolist(), offsets.tolist(), strict=True))

    def all_field_places(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
        """Return owner, type and offset of the fields of all structs, by owner and in order; O(fields), vectorised."""
        structs = np.flatnonzero(self.kind[FIRST_DESCRIPTOR : self._end_of_descriptors] == scan.STRUCT)
        owner, words = scan.all_struct_fields(self._image, self._descriptors.extra[structs])
        added = [
            (number, field.type, field.offset)
            for number in range(self._end_of_descriptors, self._used)
            if self.kind[number] == scan.STRUCT
            for field in self[number].fields
        ]
        more = np.array(added, np.int64).reshape(-1, 3)
        return (
            np.concatenate((structs[owner] + FIRST_DESCRIPTOR, more[:, 0])),
            np.concatenate(
                (self.numbers_at(np.ascontiguousarray(words[:, 1])), more[:, 1].astype(np.uint32))
            ),
            np.concatenate((words[:, 2].astype(np.int64), more[:, 2])),
        )

    def method_count(self, number: int) -> int:
        """Return the methods that an interface type demands; 0 for every other type."""
        at = number - FIRST_DESCRIPTOR
        if not 0 <= at < self._descriptors.addr.size or self.kind[number] != scan.INTERFACE:
            return 0
        return int(self._descriptors.extra[at, 2])

    def method_names(self, number: int) -> frozenset[str]:
        """Return the methods of a type that is no interface, as its descriptor lists them.

        Names stay in the list when the linker removes the code.
        """
        at = number - FIRST_DESCRIPTOR
        return self._texts.methods(at) if 0 <= at < self._descriptors.addr.size else frozenset()

    def named(self, name: str) -> list[int]:
        """Return the numbers of the descriptors with that ``%v`` name, e.g. ``runtime.sudog``."""
        return self._names().get(name, [])

    def name(self, number: int) -> str:
        """Return the ``%v`` name of a type without reading its fields."""
        is_descriptor = FIRST_DESCRIPTOR <= number < self._end_of_descriptors
        return self._texts.names[number - FIRST_DESCRIPTOR] if is_descriptor else self[number].name

    def package(self, number: int) -> str:
        """Return the import path of a named type without reading its fields; empty where it is unknown."""
        is_descriptor = FIRST_DESCRIPTOR <= number < self._end_of_descriptors
        return self._texts.package(number - FIRST_DESCRIPTOR) if is_descriptor else self[number].package

    def starting_with(self, prefix: str) -> list[int]:
        """Return the numbers of the descriptors whose name starts with `prefix`."""
        return [n for name, numbers in self._names().items() if name.startswith(prefix) for n in numbers]

    def _names(self) -> dict[str, list[int]]:
        if self._by_name is None:
            self._by_name = {}
            for number, name in enumerate(self._texts.names, FIRST_DESCRIPTOR):
                self._by_name.setdefault(name, []).append(number)
        return self._by_name

    def display_name(self, number: int) -> str:
        """Return the type's name; with its full import path where two types share the short one."""
        known = self[number]
        if known.package and "/" in known.package and len(self.named(known.name)) > 1:
            return f"{known.package.rpartition('/')[0]}/{known.name}"
        return known.name

    def add(self, known: GoType, *, pointer_mask: int = 0) -> int:
        """Give a type that has no descriptor a number of its own; without its mask no object of the heap has it."""
        number = self._used
        if number >= self.size.size:
            for name in ("size", "ptrbytes", "kind", "direct", "pointer_mask", "elem", "length"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(max(1024, old.size), old.dtype)]))
        self._used += 1
        self.define(number, known, pointer_mask=pointer_mask)
        return number

    def define(self, number: int, known: GoType, *, pointer_mask: int = 0) -> None:
        """Say what a type made by `add` is, once its parts have numbers."""
        self.size[number], self.ptrbytes[number], self.kind[number] = known.size, known.ptrbytes, known.kind
        self.elem[number], self.pointer_mask[number] = known.elem, pointer_mask
        self.length[number] = known.length if known.kind == scan.ARRAY else 1
        self._known[number] = known

    def made(self) -> MadeTypes:
        """Return the types that were added to those of the descriptors."""
        numbers = range(self._end_of_descriptors, self._used)
        masks = tuple(int(self.pointer_mask[number]) for number in numbers)
        return MadeTypes(tuple(self._known[number] for number in numbers), masks, dict(self.parts))

    def make_again(self, made: MadeTypes) -> None:
        """Add types that another table of the same descriptors had; they get the same numbers."""
        if self._used != self._end_of_descriptors:
            raise InternalError("types were added before those of another table")
        for known, mask in zip(made.types, made.pointer_masks, strict=True):
            self.add(known, pointer_mask=mask)
        self.parts.update(made.parts)

    def is_made(self, number: int) -> bool:
        """Tell whether a type has no descriptor and was added by someone who reads."""
        return number >= self._end_of_descriptors

    def described(self, kind: int) -> NDArray[np.int64]:
        """Return the numbers of the descriptors of one kind."""
        return np.flatnonzero(self.kind[: self._end_of_descriptors] == kind)

    def map_slots(self, number: int) -> int:
        """Return what the keys and elements of a map type lie in, its group or bucket; 0 for what is no map."""
        at = self._map_descriptor(number)
        return self.number_at(int(self._descriptors.extra[at, 2])) if at >= 0 else 0

    def made_of_buckets(self, number: int) -> bool:
        """Tell whether values of a map type are made of buckets: up to Go 1.23, and in builds of 1.24 and 1.25."""
        at = self._map_descriptor(number)
        return at >= 0 and self._texts.made_of_buckets(at)

    def _map_descriptor(self, number: int) -> int:
        at = number - FIRST_DESCRIPTOR
        return at if 0 <= at < self._descriptors.addr.size and self.kind[number] == scan.MAP else -1

    def _understand(self, number: int) -> GoType:
        if number in _BUILTIN_NAMES or number < FIRST_DESCRIPTOR:
            name = _BUILTIN_NAMES.get(number, "unknown")
            return GoType(name=name, kind=int(self.kind[number]), size=int(self.size[number]), ptrbytes=0)
        descriptors, at, kind = self._descriptors, number - FIRST_DESCRIPTOR, int(self.kind[number])
        key = self.number_at(int(descriptors.extra[at, 0])) if kind == scan.MAP else 0
        return GoType(
            name=self._texts.names[at],
            kind=kind,
            size=int(self.size[number]),
            ptrbytes=int(self.ptrbytes[number]),
            elem=int(self.elem[number]),
            key=key,
            length=int(self.length[number]) if kind == scan.ARRAY else 0,
            fields=self._fields(at) if kind == scan.STRUCT else (),
            package=self._texts.package(at),
        )

    def _fields(self, at: int) -> tuple[Field, ...]:
        found = self._texts.fields(at)
        numbers = self.numbers_at(np.array([field.type for field in found], np.uint64)).tolist()
        return tuple(
            Field(field.name, number, field.offset, field.embedded, field.tag)
            for field, number in zip(found, numbers, strict=True)
        )


def _column(dtype: type[_Number], values: NDArray[Any]) -> NDArray[_Number]:
    out = np.zeros(FIRST_DESCRIPTOR + values.size + 1024, dtype)
    out[FIRST_DESCRIPTOR : FIRST_DESCRIPTOR + values.size] = values
    return out

"""`DescriptorTexts`: what type descriptors say in words: names of types, fields, methods and packages.

A name is a record of its own (internal/abi/type.go, abi.Name): a byte of flags, the text behind its length, and
with some a tag or a package behind that. A large program has tens of thousands.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

from heldby.errors import NotCaptured
from heldby.golang.layouts.layout import Layout
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_scan import Descriptors
from heldby.memory.image import Image

_MAX_METHODS: Final = 4096
_USUAL_BYTES: Final = 64  # hold most names: one read instead of three
_EMBEDDED, _HAS_TAG = 8, 2


class NamedField(NamedTuple):
    """A field of a struct as its descriptor has it; `type` is the address of another descriptor."""

    name: str
    type: int
    offset: int
    embedded: bool
    tag: str


class DescriptorTexts:
    """The texts of descriptors, by their place in address order; read when they are asked for.

    Args:
        image: of the program.
        layout: of its runtime.
        descriptors: all of the program.
    """

    def __init__(self, image: Image, layout: Layout, descriptors: Descriptors) -> None:
        self._image = image
        self._layout = layout
        self._descriptors = descriptors

    @cached_property
    def names(self) -> list[str]:
        """The ``%v`` name of every type, ``?`` where it was not captured. 3 µs each."""
        starred = (self._descriptors.tflag & scan.EXTRA_STAR) != 0
        addrs = self._descriptors.name.tolist()
        return [
            _unstarred(self._name_at(addr), star) for addr, star in zip(addrs, starred.tolist(), strict=True)
        ]

    def name(self, at: int) -> str:
        """Return the name of one type, without reading those of the others."""
        starred = bool(self._descriptors.tflag[at] & scan.EXTRA_STAR)
        return _unstarred(self._name_at(int(self._descriptors.name[at])), starred)

    def fields(self, at: int) -> list[NamedField]:
        """Return the fields of a struct; none where their list was not captured, ``?`` for a name that was not."""
        words = scan.struct_field_words(self._image, self._descriptors.extra[at])
        return [] if words is None else [self._field(*row) for row in words.tolist()]

    def _field(self, name_addr: int, type_addr: int, offset: int) -> NamedField:
        try:
            flags, name, end = self._text_behind(name_addr)
            tag = self._text_behind(end - 1)[1] if flags & _HAS_TAG else ""
        except NotCaptured:
            return NamedField("?", type_addr, offset, embedded=False, tag="")
        return NamedField(name, type_addr, offset, bool(flags & _EMBEDDED), tag)

    def package(self, at: int) -> str:
        """Return the import path from a descriptor's uncommon part, empty where there is none."""
        if not self._descriptors.tflag[at] & scan.NAMED:
            return ""
        try:
            uncommon = self._uncommon(at)
            offset = self._image.i32(uncommon) if uncommon else 0
            return self._text_behind(self._names_base(at) + offset)[1] if offset > 0 else ""
        except NotCaptured:
            return ""

    def methods(self, at: int) -> frozenset[str]:
        """Return the methods of a type that is no interface, as its descriptor lists them.

        Names stay in the list when the linker removes the code.
        """
        try:
            uncommon = self._uncommon(at)
            if not uncommon:
                return frozenset()
            count, first = self._image.u32(uncommon + 4) & 0xFFFF, uncommon + self._image.u32(uncommon + 8)
            base = self._names_base(at)
            offsets = [self._image.i32(first + 16 * index) for index in range(min(count, _MAX_METHODS))]
            return frozenset(self._text_behind(base + offset)[1] for offset in offsets if offset > 0)
        except NotCaptured:
            return frozenset()

    def made_of_buckets(self, at: int) -> bool:
        """Tell whether values of a map type are made of buckets: the descriptor says it, not the release.

        cmd/compile/internal/reflectdata (Go 1.23), MapBucketType: ``topbits [8]uint8`` is a bucket's first field.
        """
        part = int(self._descriptors.find(self._descriptors.extra[at, 2:3])[0])
        if part < 0 or self._descriptors.kind[part] != scan.STRUCT:
            return False
        words = scan.struct_field_words(self._image, self._descriptors.extra[part])
        return words is not None and len(words) > 0 and self._name_at(int(words[0, 0])) == "topbits"

    def _uncommon(self, at: int) -> int:
        """Return where a descriptor's uncommon part lies (abi.UncommonType), 0 where there is none."""
        descriptors = self._descriptors
        if not descriptors.tflag[at] & scan.UNCOMMON:
            return 0
        kind = int(descriptors.kind[at])
        size = self._map_descriptor_bytes(at) if kind == scan.MAP else int(scan.KIND_BYTES[kind])
        return int(descriptors.addr[at]) + size

    def _map_descriptor_bytes(self, at: int) -> int:
        """Return the size of a map type's descriptor; builds of 1.24 and 1.25 have one of two kinds."""
        kind = "OldMapType" if self.made_of_buckets(at) else "SwissMapType"
        names = (f"internal/abi.{kind}", "internal/abi.MapType")
        return next(self._layout.size(name) for name in names if self._layout.has(name))

    def _names_base(self, at: int) -> int:
        """Return what the name offsets near a descriptor count from."""
        descriptors = self._descriptors
        return int(descriptors.name[at]) - self._image.i32(int(descriptors.addr[at]) + 40)

    def _name_at(self, addr: int) -> str:
        try:
            return self._text_behind(addr)[1]
        except NotCaptured:
            return "?"

    def _text_behind(self, addr: int) -> tuple[int, str, int]:
        """Return the byte at `addr`, the text behind it, and where that ends.

        Its length comes before it, a varint of at most two bytes. Raises `NotCaptured`.
        """
        segment = self._image.segment_at(addr)
        room = 2 if segment is None else max(segment.end - addr, 2)
        data = self._image.read(addr, min(room, _USUAL_BYTES))
        length, start = data[1], 2
        if length >= 128:
            length, start = (length & 127) | (self._image.u8(addr + 2) & 127) << 7, 3
        end = start + length
        text = data[start:end] if end <= len(data) else self._image.read(addr + start, length)
        return data[0], text.decode("utf-8", "replace"), addr + end


def _unstarred(name: str, starred: bool) -> str:
    # One record serves T and *T: tflagExtraStar says that it is that of *T.
    return name[1:] if starred and name.startswith("*") else name

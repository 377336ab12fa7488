"""Reading single Go values: words, strings, interfaces, fields by name."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from heldby.errors import NotCaptured
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types import type_scan as scan
from heldby.golang.types.types import Field, TypeTable
from heldby.golang.typing.interface_words import itab_type

_LONGEST: Final = 1 << 40
# reflect.Kind of numbers; an int and a uintptr have 8 bytes on the machines that are read.
NUMBERS: Final = {
    1: "<?",
    2: "<q",
    3: "<b",
    4: "<h",
    5: "<i",
    6: "<q",
    7: "<Q",
    8: "<B",
    9: "<H",
    10: "<I",
    11: "<Q",
    12: "<Q",
    13: "<f",
    14: "<d",
    15: "<2f",
    16: "<2d",
}


class GoMemory:
    """The memory of a process as Go's types lay it out. All methods raise `NotCaptured`."""

    def __init__(self, runtime: Runtime, types: TypeTable, objects: ObjectTable) -> None:
        self.runtime = runtime
        self.image = runtime.image
        self.types = types
        self.objects = objects

    def number(self, addr: int, kind: int) -> bool | int | float | complex:
        """Return the number of a reflect.Kind at `addr`."""
        layout = NUMBERS[kind]
        if kind == 1:
            return self.image.u8(addr) != 0
        parts = struct.unpack(layout, self.image.read(addr, struct.calcsize(layout)))
        return complex(*parts) if len(parts) == 2 else parts[0]

    def room_at(self, addr: int) -> int | None:
        """Return how many bytes the heap object at `addr` has from there on; None outside the heap."""
        spans = self.objects.spans
        vertex = int(self.objects.find(np.array([addr & (1 << 64) - 1], np.uint64))[0])
        if not vertex:
            return None
        one = np.array([vertex], np.uint32)
        span = int(self.objects.span_of(one)[0])
        size = int(spans.extent[span] if spans.large[span] else spans.elemsize[span])
        return int(self.objects.address_of(one)[0]) + size - addr

    def is_plausible(self, data: int, size: int) -> bool:
        """Tell whether `size` bytes can lie at `data`: a header that was being written may say anything."""
        if not 0 <= size < _LONGEST:
            return False
        room = self.room_at(data) if size else None
        return room is None or size <= room

    def string(self, addr: int, most: int = 1 << 16) -> bytes:
        """Return at most `most` bytes of the string whose header lies at `addr`."""
        data, length = self.image.u64(addr), self.image.u64(addr + 8)
        if not self.is_plausible(data, length):
            raise NotCaptured(data, what=f"a string of {length:,} bytes")
        return self.image.read(data, min(length, most)) if length else b""

    def text(self, addr: int) -> str:
        """Return the string whose header lies at `addr` as text."""
        return self.string(addr).decode("utf-8", "replace")

    def dynamic(self, addr: int, number: int) -> tuple[int, int]:
        """Return the type of what an interface of type `number` at `addr` holds, and where that lies.

        The type is 0 for a nil interface and for one whose first word names no type; the address is 0 then.
        """
        found = self.dynamic_type(self.image.u64(addr), number)
        if not found:
            return 0, 0
        return found, addr + 8 if self.types.direct[found] else self.image.u64(addr + 8)

    def dynamic_type(self, word: int, number: int) -> int:
        """Return the type that the first word of an interface of type `number` names, 0 for none."""
        if not word:
            return 0
        found = self.types.number_at(word) if not self.types.method_count(number) else 0
        return found or itab_type(self.runtime, self.types, word)

    def field(self, number: int, name: str) -> Field | None:
        """Return the field `name` of struct type `number`."""
        return next((field for field in self.types[number].fields if field.name == name), None)

    def pointed(self, number: int) -> int:
        """Return what pointer type `number` leads to, 0 for another type."""
        return int(self.types.elem[number]) if self.types.kind[number] == scan.POINTER else 0

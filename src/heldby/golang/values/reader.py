"""Reads Go values: from an address and a type, or from an object, to `Value`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from heldby.golang.functions.functions import FunctionTable
from heldby.golang.objects.objects import ObjectTable
from heldby.golang.runtime.runtime import Runtime
from heldby.golang.types.type_layout import is_map_group
from heldby.golang.types.types import CLOSURE, FIRST_DESCRIPTOR, STRING_DATA, TypeTable
from heldby.golang.typing.object_types import ObjectTypes
from heldby.golang.values.memory import GoMemory
from heldby.golang.values.value import Form, Value
from heldby.golang.values.walk import Limits, Walk


class ValueReader:
    """Reads values of one process.

    Args:
        runtime: of the process.
        objects: its objects, whose sizes tell which lengths can be.
        types: their types, which tell what a closure captured.
        functions: names of functions; asked when a func value is met.
    """

    def __init__(
        self,
        runtime: Runtime,
        objects: ObjectTable,
        types: ObjectTypes,
        functions: Callable[[], FunctionTable],
    ) -> None:
        self.types: TypeTable = types.layouts.types
        self.memory = GoMemory(runtime, self.types, objects)
        self.object_types = types
        self._functions = functions
        self._table: FunctionTable | None = None

    def read(self, addr: int, number: int, limits: Limits | None = None) -> Value:
        """Return the value of type `number` at `addr`. Never raises for what the memory says."""
        return Walk(self, limits or Limits()).value(addr, number, 0)

    def read_object(
        self, vertex: int, limits: Limits | None = None, *, text_bytes: int | None = None
    ) -> Value:
        """Return what lies in the object: one value, the elements of a run, or bytes of an unknown type.

        Args:
            vertex: the object.
            limits: how much of it to read.
            text_bytes: of a string's data, how many bytes strings use; the rest of the slot means nothing.
        """
        start, room = self.contents_of(vertex)
        packed = int(self.object_types.packed[vertex])
        number, walk = packed >> 1, Walk(self, limits or Limits())
        size = int(self.types.size[number])
        if number == STRING_DATA:
            if text_bytes is None:
                return walk.bytes(start, room, "string", Form.MEMORY)
            return walk.bytes(start, min(text_bytes, room), "string", Form.STRING)
        known = number >= FIRST_DESCRIPTOR or number == CLOSURE
        if not known or not size or not walk.can_read(number):
            return walk.bytes(start, room, self.types.name(number), Form.MEMORY)
        if is_map_group(self.types.name(number)):
            return walk.groups(start, number, room // size)
        if packed & 1:
            return walk.elements(start, number, room // size, f"[]{self.types.display_name(number)}")
        return walk.value(start, number, 0)

    def read_memory(self, addr: int, size: int, limits: Limits | None = None) -> Value:
        """Return `size` bytes whose type is not known."""
        return Walk(self, limits or Limits()).bytes(addr, size, "unknown", Form.MEMORY)

    def contents_of(self, vertex: int) -> tuple[int, int]:
        """Return where the contents of an object begin, behind its malloc header if any, and their bytes."""
        objects, spans = self.memory.objects, self.memory.objects.spans
        span = int(objects.span_of(np.array([vertex], np.uint32))[0])
        lead = 8 if spans.has_headers[span] else 0
        room = int(spans.extent[span] if spans.large[span] else spans.elemsize[span])
        return int(objects.address_of(np.array([vertex], np.uint32))[0]) + lead, room - lead

    def function_name(self, pc: int) -> str | None:
        """Return the function whose code holds `pc`; None for an address outside all functions."""
        if self._table is None:
            self._table = self._functions()
        index = self._table.index(pc)
        return self._table.name(index) if index >= 0 else None

    def object_at(self, addr: int) -> int:
        """Return the object that holds the byte at `addr`, 0 for none."""
        return int(self.memory.objects.find(np.array([addr & (1 << 64) - 1], np.uint64))[0])

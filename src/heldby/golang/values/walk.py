"""One reading of a Go value: what lies at an address, and what that leads to.

The memory is hostile: lengths, pointers and types may be anything. Each reading is bounded by `Limits`, a length
that does not fit the memory it speaks of is no length, and what is on the way already is not entered again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from heldby.errors import NotCaptured
from heldby.golang.types import type_scan as scan
from heldby.golang.types.type_layout import is_atomic_pointer
from heldby.golang.types.types import (
    KIND_BUCKET_MAP,
    KIND_CHANNEL,
    KIND_CLOSURE,
    KIND_MAP,
    Field,
    GoType,
    TypeTable,
)
from heldby.golang.typing.object_types import ObjectTypes
from heldby.golang.values.error_messages import error_message
from heldby.golang.values.key_order import KeyOrder
from heldby.golang.values.known_structs import bytes_text, number_text, struct_text
from heldby.golang.values.maps import MapEntries, group_entries, map_entries
from heldby.golang.values.memory import NUMBERS, GoMemory
from heldby.golang.values.number_forms import complex_text, float_text
from heldby.golang.values.value import SEEN, STOPPED, TOO_DEEP, TORN, UNKNOWN_PARTS, Form, Value

_UINT8: Final = 8
_FLOAT32: Final = 13
_COMPLEX64: Final = 15
_FLOATS: Final = (13, 14)
_COMPLEX: Final = (15, 16)
_MOST_NESTED: Final = 64
_ATOMIC: Final = frozenset(
    f"atomic.{name}" for name in ("Bool", "Int32", "Int64", "Uint32", "Uint64", "Uintptr", "Value")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a value is read.

    Attributes:
        depth: references to follow, one after the other.
        items: elements of each slice, array or channel, entries of each map; a struct has all its fields.
        text: bytes of each string or slice of bytes.
        values: values in all.
    """

    depth: int = 2
    items: int = 16
    text: int = 256
    values: int = 20_000


class Context(Protocol):
    """What a reading knows of the process; a `ValueReader`."""

    types: TypeTable
    memory: GoMemory
    object_types: ObjectTypes

    def function_name(self, pc: int) -> str | None:
        """Return the function whose code holds `pc`."""

    def object_at(self, addr: int) -> int:
        """Return the object that holds the byte at `addr`, 0 for none."""


class Walk:
    """One reading: what is left of its limits, and what it is inside of."""

    def __init__(self, context: Context, limits: Limits) -> None:
        self.context = context
        self.memory = context.memory
        self.types = context.types
        self.limits = limits
        self._left = limits.values
        self._nested = 0
        self._inside: list[tuple[int, int]] = []
        self._order = KeyOrder(self.memory)
        self._by_kind: dict[int, Callable[[int, int, GoType, str, int], Value]] = {
            **dict.fromkeys(NUMBERS, self._number),
            scan.ARRAY: self._array,
            scan.CHAN: self._channel,
            scan.FUNC: self._func,
            scan.INTERFACE: self._interface,
            scan.MAP: self._map,
            scan.POINTER: self._pointer,
            scan.SLICE: self._slice,
            scan.STRING: self._string,
            scan.STRUCT: self._struct,
            scan.UNSAFE_POINTER: self._unsafe_pointer,
            KIND_MAP: self._map_header,
            KIND_BUCKET_MAP: self._map_header,
            KIND_CHANNEL: self._channel_header,
            KIND_CLOSURE: self._closure,
        }

    def can_read(self, number: int) -> bool:
        """Tell whether values of type `number` are more than memory."""
        return self.types[number].kind in self._by_kind

    def value(self, addr: int, number: int, depth: int) -> Value:
        """Return the value of type `number` at `addr`, with `depth` references followed so far."""
        known = self.types[number]
        name = self.types.display_name(number)
        self._left -= 1
        if self._left < 0 or self._nested >= _MOST_NESTED:
            return Value(type=name, form=Form.MISSING, address=addr, note=STOPPED)
        self._nested += 1
        try:
            return self._by_kind.get(known.kind, self._unknown)(addr, number, known, name, depth)
        except NotCaptured:
            return Value(type=name, form=Form.MISSING, address=addr, note="not captured")
        finally:
            self._nested -= 1

    def _inner(self, key: tuple[int, int], addr: int, number: int, depth: int) -> Value:
        self._inside.append(key)
        try:
            return self.value(addr, number, depth)
        finally:
            self._inside.pop()

    def _number(self, addr: int, number: int, known: GoType, name: str, _depth: int) -> Value:
        data = self.memory.number(addr, known.kind)
        form = Form.BOOL if known.kind == 1 else Form.FLOAT if known.kind in _FLOATS else Form.INT
        text = None
        if known.kind in _COMPLEX:
            form = Form.COMPLEX
            text = complex_text(complex(data), single=True) if known.kind == _COMPLEX64 else None
        elif known.kind == _FLOAT32:
            text = float_text(float(data.real), single=True)
        elif isinstance(data, int) and form is Form.INT:
            text = number_text(name, data)
            if name == "syscall.Errno" and data:
                text = error_message(self.memory, number, addr)
        return Value(type=name, form=form, address=addr, data=data, text=text)

    def _string(self, addr: int, _number: int, _known: GoType, name: str, _depth: int) -> Value:
        data, length = self.memory.image.unpack("<QQ", addr)
        return self._text(addr, data, length, name, Form.STRING)

    def _text(
        self, addr: int, data: int, length: int, name: str, form: Form, capacity: int | None = None
    ) -> Value:
        value = Value(type=name, form=form, address=addr, target=data, length=length, capacity=capacity)
        if not self.memory.is_plausible(data, capacity if capacity is not None else length) or (
            capacity is not None and length > capacity
        ):
            return replace(value, length=None, capacity=None, note=TORN)
        try:
            text = self.memory.image.read(data, min(length, self.limits.text)) if length else b""
        except NotCaptured:
            return replace(value, note="not captured")
        return replace(value, data=text, text=bytes_text(name, text) if len(text) == length else None)

    def bytes(self, addr: int, count: int, name: str, form: Form) -> Value:
        """Return `count` bytes, as many of them as the limits allow."""
        try:
            data = self.memory.image.read(addr, min(count, self.limits.text))
        except NotCaptured:
            return Value(type=name, form=Form.MISSING, address=addr, length=count, note="not captured")
        return Value(type=name, form=form, address=addr, data=data, length=count)

    def elements(self, addr: int, number: int, count: int, name: str) -> Value:
        """Return the values of a run."""
        if self.types.kind[number] == _UINT8:
            return self.bytes(addr, count, name, Form.BYTES)
        step = int(self.types.size[number])
        shown = min(count, self.limits.items)
        values = tuple(self.value(addr + index * step, number, 0) for index in range(shown))
        return Value(type=name, form=Form.ARRAY, address=addr, length=count, elements=values)

    def groups(self, addr: int, number: int, count: int) -> Value:
        """Return the entries in a run of a map's groups or buckets."""
        name = self.types.display_name(number)
        found = group_entries(self.memory.runtime, self.types, number, addr, count, self.limits.items)
        value = Value(type=name, form=Form.MAP, address=addr)
        if found is None:
            return replace(value, note=UNKNOWN_PARTS)
        return replace(value, entries=self._entries(found, 0))

    def _array(self, addr: int, _number: int, known: GoType, name: str, depth: int) -> Value:
        if self.types.kind[known.elem] == _UINT8:
            value = self.bytes(addr, known.length, name, Form.BYTES)
            data = value.data if isinstance(value.data, bytes) else b""
            return replace(value, text=bytes_text(name, data) if len(data) == known.length else None)
        step = int(self.types.size[known.elem])
        shown = range(min(known.length, self.limits.items))
        values = tuple(self.value(addr + index * step, known.elem, depth) for index in shown)
        return Value(type=name, form=Form.ARRAY, address=addr, length=known.length, elements=values)

    def _slice(self, addr: int, number: int, known: GoType, name: str, depth: int) -> Value:
        data, length, capacity = self.memory.image.unpack("<QQQ", addr)
        step = int(self.types.size[known.elem])
        if self.types.kind[known.elem] == _UINT8:
            return self._text(addr, data, length, name, Form.BYTES, capacity)
        value = Value(type=name, form=Form.SLICE, address=addr, target=data, length=length, capacity=capacity)
        if length > capacity or not known.elem or not self.memory.is_plausible(data, capacity * step):
            return replace(value, length=None, capacity=None, note=TORN)
        key = (data, number)
        if not length or (depth >= self.limits.depth and self._leads_on(known.elem)):
            return replace(value, note=TOO_DEEP if length else "")
        if key in self._inside:
            return replace(value, note=SEEN)
        shown = range(min(length, self.limits.items))
        return replace(
            value,
            elements=tuple(self._inner(key, data + at * step, known.elem, depth + 1) for at in shown),
        )

    def _leads_on(self, number: int) -> bool:
        """Tell whether values of a type are more than a number or a text."""
        return self.types[number].kind not in (*NUMBERS, scan.STRING)

    def _struct(self, addr: int, number: int, known: GoType, name: str, depth: int) -> Value:
        if is_atomic_pointer(known.name):
            return self._atomic_pointer(addr, known, name, depth)
        if known.name in _ATOMIC:
            field = self.memory.field(number, "v")
            if field is not None:
                inner = self.value(addr + field.offset, field.type, depth)
                boolean = known.name == "atomic.Bool" and inner.form is Form.INT
                if boolean:
                    inner = replace(inner, form=Form.BOOL, data=bool(inner.data))
                return replace(inner, type=name)
        parts = tuple(
            (field.name, self._field(addr, field, depth)) for field in known.fields if field.name != "_"
        )
        try:
            text = struct_text(self.memory, number, addr) or error_message(self.memory, number, addr)
        except NotCaptured:
            text = None
        return Value(type=name, form=Form.STRUCT, address=addr, parts=parts, text=text)

    def _field(self, addr: int, field: Field, depth: int) -> Value:
        if not field.type:
            return Value(type="unknown", form=Form.MISSING, address=addr + field.offset, note="unknown type")
        return self.value(addr + field.offset, field.type, depth)

    def _atomic_pointer(self, addr: int, known: GoType, name: str, depth: int) -> Value:
        """Return what an atomic.Pointer[T] holds: ``_ [0]*T`` names T, ``v unsafe.Pointer`` is the pointer."""
        held = next((f for f in known.fields if f.name == "v"), None)
        named = (self.types[f.type] for f in known.fields)
        pointer = next((of.elem for of in named if of.kind == scan.ARRAY and not of.length), 0)
        if held is None or not pointer:
            return Value(type=name, form=Form.MISSING, address=addr, note="unknown type")
        return replace(self.value(addr + held.offset, pointer, depth), type=name)

    def _pointer(self, addr: int, _number: int, known: GoType, name: str, depth: int) -> Value:
        return self._leading(addr, self.memory.image.u64(addr), known.elem, name, depth)

    def _leading(self, addr: int, target: int, elem: int, name: str, depth: int) -> Value:
        value = Value(type=name, form=Form.POINTER, address=addr, target=target)
        if not target:
            return value
        key = (target, elem)
        if not elem:
            vertex = self.context.object_at(target)
            return replace(value, note=f"to {self._object_name(vertex)}" if vertex else "")
        if key in self._inside:
            return replace(value, note=SEEN)
        if depth >= self.limits.depth:
            return replace(value, note=TOO_DEEP)
        return replace(value, elements=(self._inner(key, target, elem, depth + 1),))

    def _object_name(self, vertex: int) -> str:
        number = int(self.context.object_types.packed[vertex]) >> 1
        return self.types.display_name(number) if number else "an object of unknown type"

    def _interface(self, addr: int, number: int, _known: GoType, name: str, depth: int) -> Value:
        word = self.memory.image.u64(addr)
        value = Value(type=name, form=Form.INTERFACE, address=addr, target=0)
        if not word:
            return value
        concrete, at = self.memory.dynamic(addr, number)
        value = replace(value, target=self.memory.image.u64(addr + 8))
        if not concrete:
            return replace(value, note="its type is not known")
        text = error_message(self.memory, concrete, at)
        key = (at, concrete)
        if key in self._inside:
            return replace(value, note=SEEN)
        return replace(value, text=text, elements=(self._inner(key, at, concrete, depth),))

    def _map(self, addr: int, number: int, _known: GoType, name: str, depth: int) -> Value:
        return self._map_at(addr, self.memory.image.u64(addr), number, name, depth)

    def _map_header(self, addr: int, _number: int, known: GoType, name: str, depth: int) -> Value:
        return self._map_at(addr, addr, known.elem, name, depth)

    def _map_at(self, addr: int, header: int, number: int, name: str, depth: int) -> Value:
        value = Value(type=name, form=Form.MAP, address=addr, target=header)
        if not header:
            return replace(value, length=0)
        if depth >= self.limits.depth or (header, number) in self._inside:
            empty = map_entries(self.memory.runtime, self.types, number, header, 0)
            length = empty.length if empty is not None else None
            note = SEEN if (header, number) in self._inside else TOO_DEEP
            return replace(value, length=length, note=note if length else "")
        found = map_entries(self.memory.runtime, self.types, number, header, self.limits.items)
        if found is None:
            return replace(value, note=UNKNOWN_PARTS)
        self._inside.append((header, number))
        try:
            entries = self._entries(found, depth + 1)
        finally:
            self._inside.pop()
        return replace(value, length=found.length, entries=entries, note=_map_note(found, self.limits.items))

    def _entries(self, found: MapEntries, depth: int) -> tuple[tuple[Value, Value], ...]:
        return tuple(
            (
                self._part(key, found.key, found.key_behind, depth),
                self._part(elem, found.elem, found.elem_behind, depth),
            )
            for key, elem in self._order.in_order(found)
        )

    def _part(self, addr: int, number: int, behind: bool, depth: int) -> Value:
        try:
            return self.value(self.memory.image.u64(addr) if behind else addr, number, depth)
        except NotCaptured:
            name = self.types.display_name(number)
            return Value(type=name, form=Form.MISSING, address=addr, note="not captured")

    def _channel(self, addr: int, number: int, _known: GoType, name: str, depth: int) -> Value:
        return self._channel_at(addr, self.memory.image.u64(addr), number, name, depth)

    def _channel_header(self, addr: int, _number: int, known: GoType, name: str, depth: int) -> Value:
        return self._channel_at(addr, addr, known.elem, name, depth)

    def _channel_at(self, addr: int, header: int, number: int, name: str, depth: int) -> Value:
        value = Value(type=name, form=Form.CHANNEL, address=addr, target=header)
        if not header:
            return value
        image, layout = self.memory.image, self.memory.runtime.layout

        def word(*path: str) -> int:
            return image.u64(header + layout.offset("runtime.hchan", *path))

        length, capacity, buffer, first = word("qcount"), word("dataqsiz"), word("buf"), word("recvx")
        elem = int(self.types.elem[number])
        step = int(self.types.size[elem])
        closed = image.u32(header + layout.offset("runtime.hchan", "closed")) != 0
        waiting = [
            what
            for what, queue in (("receivers wait", "recvq"), ("senders wait", "sendq"))
            if word(queue, "first")
        ]
        said = ["closed"] if closed else []
        value = replace(value, length=length, capacity=capacity, text=", ".join(said + waiting) or None)
        sound = length <= capacity and (first < capacity or not capacity)
        if not sound or not elem or not self.memory.is_plausible(buffer, capacity * step):
            return replace(value, length=None, capacity=None, note=TORN)
        key = (header, number)
        if not length or depth >= self.limits.depth or key in self._inside:
            return replace(value, note=(SEEN if key in self._inside else TOO_DEEP) if length else "")
        shown = (buffer + (first + at) % capacity * step for at in range(min(length, self.limits.items)))
        return replace(value, elements=tuple(self._inner(key, at, elem, depth + 1) for at in shown))

    def _func(self, addr: int, _number: int, _known: GoType, name: str, depth: int) -> Value:
        target = self.memory.image.u64(addr)
        value = Value(type=name, form=Form.FUNC, address=addr, target=target)
        if not target:
            return value
        value = replace(value, text=self.context.function_name(self.memory.image.u64(target)))
        vertex = self.context.object_at(target)
        number = int(self.context.object_types.packed[vertex]) >> 1 if vertex else 0
        if self.types.kind[number] != KIND_CLOSURE or (target, number) in self._inside:
            return value
        if depth >= self.limits.depth:
            return replace(value, note=TOO_DEEP)
        inner = self._inner((target, number), target, number, depth + 1)
        return replace(value, parts=inner.parts)

    def _closure(self, addr: int, _number: int, known: GoType, name: str, depth: int) -> Value:
        function = self.context.function_name(self.memory.image.u64(addr))
        parts = tuple((field.name, self._field(addr, field, depth)) for field in known.fields)
        return Value(type=name, form=Form.FUNC, address=addr, target=addr, text=function, parts=parts)

    def _unsafe_pointer(self, addr: int, _number: int, _known: GoType, name: str, depth: int) -> Value:
        return self._leading(addr, self.memory.image.u64(addr), 0, name, depth)

    def _unknown(self, addr: int, _number: int, known: GoType, name: str, _depth: int) -> Value:
        return self.bytes(addr, known.size, name, Form.MEMORY)


def _map_note(found: MapEntries, limit: int) -> str:
    if len(found.entries) < min(found.length, limit):
        parts = " in memory that was not captured" if found.missing else " were being moved"
        return f"{found.length - len(found.entries):,} entries{parts}"
    return ""

"""The order in which ``fmt`` prints the entries of a map (internal/fmtsort/sort.go, Go 1.21 to 1.27).

Keys are compared as they lie in memory, in full, however little of them is shown: numbers and texts by ``<``, NaN
before other floats, pointers and channels by address, structs and arrays part by part, interfaces by the address
of their type's descriptor, then by value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from heldby.errors import NotCaptured
from heldby.golang.types import type_scan as scan
from heldby.golang.values.maps import MapEntries
from heldby.golang.values.memory import NUMBERS, GoMemory

_MOST_PARTS: Final = 1 << 18
_MOST_TEXT: Final = 1 << 16
_MOST_NESTED: Final = 64
_UINT8: Final = 8


class _NoOrder(Exception):
    """The keys have more parts than may be looked at, or are nothing that a map can have."""


class KeyOrder:
    """Puts entries of maps in order; what it looks at is bounded, over all maps that it is asked about."""

    def __init__(self, memory: GoMemory) -> None:
        self._memory = memory
        self._types = memory.types
        self._left = _MOST_PARTS
        self._by_kind: dict[int, Callable[[int, int, int], Any]] = {
            **dict.fromkeys(NUMBERS, self._number),
            scan.STRING: self._string,
            **dict.fromkeys((scan.POINTER, scan.CHAN, scan.UNSAFE_POINTER), self._word),
            scan.STRUCT: self._struct,
            scan.ARRAY: self._array,
            scan.INTERFACE: self._interface,
        }

    def in_order(self, found: MapEntries) -> list[tuple[int, int]]:
        """Return the entries by key; those whose key was not captured last; all as they lie if there is no order."""
        try:
            ranked = [(self._rank(entry[0], found), entry) for entry in found.entries]
        except _NoOrder:
            return found.entries
        ranked.sort(key=lambda pair: pair[0])
        return [entry for _, entry in ranked]

    def _rank(self, addr: int, found: MapEntries) -> tuple[Any, ...]:
        try:
            at = self._memory.image.u64(addr) if found.key_behind else addr
            return 0, self._key(at, found.key, 0)
        except NotCaptured:
            return (1,)

    def _key(self, addr: int, number: int, nested: int) -> Any:
        """Return what orders values of a type; keys of one type can be compared with each other."""
        self._spend(1)
        kind = int(self._types.kind[number])
        if nested > _MOST_NESTED or kind not in self._by_kind:
            raise _NoOrder
        return self._by_kind[kind](addr, number, nested + 1)

    def _spend(self, parts: int) -> None:
        self._left -= parts
        if self._left < 0:
            raise _NoOrder

    def _number(self, addr: int, number: int, _nested: int) -> Any:
        kind = int(self._types.kind[number])
        value = self._memory.number(addr, kind)
        if isinstance(value, complex):
            return _real(value.real), _real(value.imag)
        return _real(value) if isinstance(value, float) else value

    def _string(self, addr: int, _number: int, _nested: int) -> bytes:
        text = self._memory.string(addr, _MOST_TEXT)
        self._spend(len(text) >> 6)
        return text

    def _word(self, addr: int, _number: int, _nested: int) -> int:
        return self._memory.image.u64(addr)

    def _struct(self, addr: int, number: int, nested: int) -> tuple[Any, ...]:
        fields = self._types[number].fields
        return tuple(self._key(addr + field.offset, field.type, nested) for field in fields)

    def _array(self, addr: int, number: int, nested: int) -> Any:
        known = self._types[number]
        if int(self._types.kind[known.elem]) == _UINT8:
            self._spend(known.length >> 6)
            return self._memory.image.read(addr, known.length)
        step = int(self._types.size[known.elem])
        if not step:
            return ()
        self._spend(known.length)
        return tuple(self._key(addr + at * step, known.elem, nested) for at in range(known.length))

    def _interface(self, addr: int, number: int, nested: int) -> tuple[Any, ...]:
        word = self._memory.image.u64(addr)
        concrete, at = self._memory.dynamic(addr, number)
        if not concrete:
            return 0, word
        # Numbers of types are in the order of their descriptors.
        return 1, concrete, self._key(at, concrete, nested)


def _real(value: float) -> tuple[bool, float]:
    return (False, 0.0) if math.isnan(value) else (True, value)

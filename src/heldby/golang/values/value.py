"""`Value`: a Go value as it was read, with what it leads to, as plain data."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Form(StrEnum):
    """What a value is made of."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    COMPLEX = "complex"
    STRING = "string"
    BYTES = "bytes"
    """A slice or array of bytes."""
    POINTER = "pointer"
    STRUCT = "struct"
    ARRAY = "array"
    SLICE = "slice"
    MAP = "map"
    INTERFACE = "interface"
    CHANNEL = "channel"
    FUNC = "func"
    MEMORY = "memory"
    """Bytes whose type is not known."""
    MISSING = "missing"
    """Memory that was not captured."""


class _NotCaptured:
    """What stands for memory that was not captured, in plain Python values."""

    def __repr__(self) -> str:
        return "<not captured>"

    def __bool__(self) -> bool:
        return False


NOT_CAPTURED: Final = _NotCaptured()
# Why something is left out, see `Value.note`.
TOO_DEEP: Final = "deeper than asked for"
SEEN: Final = "on the way here already"
TORN: Final = "its length does not fit its memory"
STOPPED: Final = "too many values"
UNKNOWN_PARTS: Final = "its parts are not known"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Value:
    """A Go value.

    Attributes:
        type: Go type.
        form: what it is made of.
        address: where it lies.
        data: of numbers and bools the number; of strings and bytes the bytes, at most as many as were asked for,
            None when they were not captured; of anything else None.
        text: what it means, for people: a time, an error's message, the state of a lock, a function's name.
        target: of what leads elsewhere, where to: 0 for nil; None for anything else.
        length, capacity: as ``len`` and ``cap`` say; None where Go has none.
        parts: fields of a struct, or what a closure captured, by name.
        elements: of arrays, slices and channels, in order; of a pointer or interface the one value it leads to.
        entries: of maps, key and element.
        note: why something is left out: not captured, too deep, seen on the way here; empty when nothing is.
    """

    type: str
    form: Form
    address: int
    data: bool | int | float | complex | bytes | None = None
    text: str | None = None
    target: int | None = None
    length: int | None = None
    capacity: int | None = None
    parts: tuple[tuple[str, Value], ...] = ()
    elements: tuple[Value, ...] = ()
    entries: tuple[tuple[Value, Value], ...] = ()
    note: str = ""

    def __repr__(self) -> str:
        return f"<{self.type} {self.text or reprlib.repr(self.python)}>"

    @property
    def is_nil(self) -> bool:
        """Whether Go would call it ``nil``."""
        return self.target == 0 and self.form not in (Form.STRING, Form.MISSING)

    @property
    def fields(self) -> dict[str, Value]:
        """The fields of a struct by name, through a pointer or interface too, as ``value.Field`` reaches them."""
        of = self
        while not of.parts and of.form in (Form.POINTER, Form.INTERFACE) and of.elements:
            of = of.elements[0]
        return dict(of.parts)

    @property
    def cut(self) -> int:
        """How many elements, entries or bytes there are beyond those that were read."""
        if self.length is None:
            return 0
        if self.form in (Form.STRING, Form.BYTES):
            return self.length - len(self.data) if isinstance(self.data, bytes) else 0
        return max(self.length - len(self.entries) - len(self.elements), 0)

    def __getitem__(self, name: str | int) -> Value:
        """Return a field by its name, or an element by its index."""
        return self.fields[name] if isinstance(name, str) else self.elements[name]

    @property
    def python(self) -> Any:
        """The value in Python's own types.

        Numbers, `str` for strings (bytes that are no UTF-8 as surrogates), `bytes`, lists, a `dict` for a struct
        or a map (a list of pairs when keys cannot be a dict's), what a pointer or interface leads to, None for
        nil. `NOT_CAPTURED` for what was not captured, and for texts and bytes whose length cannot be. The address
        that it leads to, or its own, for what was left out (below the depth asked for, seen on the way here, of a
        length that cannot be, after too many values) and for functions.
        """
        if self.note == STOPPED:
            return self.address
        if self.form in (Form.MISSING, Form.STRING, Form.BYTES):
            return self._python_bytes()
        if self.data is not None:
            return self.data
        if self.is_nil:
            return None
        return self._python_parts()

    def _python_bytes(self) -> Any:
        if not isinstance(self.data, bytes):
            return None if self.is_nil else NOT_CAPTURED
        return self.data.decode("utf-8", "surrogateescape") if self.form is Form.STRING else self.data

    def _python_parts(self) -> Any:
        if self.form in (Form.POINTER, Form.INTERFACE) and self.elements:
            return self.elements[0].python
        if self.form is Form.STRUCT:
            return {name: value.python for name, value in self.parts}
        if self._is_unread:
            return self._place
        if self.form is Form.MAP:
            return self._python_map()
        if self.form in (Form.ARRAY, Form.SLICE, Form.CHANNEL):
            return [element.python for element in self.elements]
        return self._place

    @property
    def _is_unread(self) -> bool:
        """Whether it has elements or entries of which none was read: what is left out is not empty."""
        return not self.elements and not self.entries and bool(self.note or self.cut)

    @property
    def _place(self) -> int:
        return self.target if self.target is not None else self.address

    def _python_map(self) -> Any:
        pairs = [(key.python, element.python) for key, element in self.entries]
        try:
            return dict(pairs)
        except TypeError:
            return pairs

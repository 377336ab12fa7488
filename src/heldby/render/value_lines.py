"""A Go value as lines for people: each value on one line, what it is made of below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from rich.text import Text

from heldby.analysis.table import Table, text_column
from heldby.golang.values import Form, Limits, Value, ValueReader
from heldby.render.plain_text import printable, shorten
from heldby.render.value_text import key_texts, said, with_parts
from heldby.units import format_count

_STEP: Final = "  "
_MOST_LINES: Final = 400
_LEADING: Final = (Form.POINTER, Form.INTERFACE)


def value_lines(value: Value, width: int) -> list[Text]:
    """Return the lines of a value; of a struct those of its fields. At most `_MOST_LINES`."""
    rows = list(_below(value, 0, width // 3)) or [(0, "", value)]
    names = [f"{_STEP * level}{printable(name)}" for level, name, _ in rows[:_MOST_LINES]]
    name_width = min(max(map(len, names)), width // 3)
    types = [_type(value) for *_, value in rows[:_MOST_LINES]]
    type_width = min(max(map(len, types)), width // 4)
    lines = []
    for name, kind, (_, _, each) in zip(names, types, rows, strict=False):
        line = Text(f"  {shorten(name, name_width):<{name_width}}  ")
        line.append(f"{shorten(kind, type_width):<{type_width}}  ", "dim")
        line.append("" if each is _NOTHING else said(each, width - name_width - type_width - 6))
        line.rstrip()
        lines.append(line)
    if len(rows) > _MOST_LINES:
        lines.append(Text(f"  {len(rows) - _MOST_LINES:,} more lines with --format json", "dim"))
    return lines


def with_values(table: Table, reader: ValueReader, number: int, addrs: Sequence[int]) -> Table:
    """Return `table`, whose rows are values of type `number` at `addrs`, with each value in a line."""
    limits = Limits(depth=1, items=3, text=60)
    texts = [in_one_line(reader.read(addr, number, limits)) for addr in addrs]
    name = "all fields"  # as no field is called
    return replace(table, columns=(*table.columns, text_column(name, texts)), details=(name,))


def in_one_line(value: Value) -> str:
    """Return the fields of a value, or the value, in one line: ``Name="x" Count=3``."""
    of = _end(value)
    if of.form is not Form.STRUCT or of.text is not None:
        return said(of, 200)
    return " ".join(f"{printable(name)}={_braced(part)}" for name, part in of.parts)


def _braced(value: Value) -> str:
    if value.form is Form.STRUCT and value.text is None:
        return "{" + in_one_line(value) + "}"
    if value.form is Form.ARRAY:
        return with_parts(value, 60)
    return said(value, 60)


def _below(value: Value, level: int, width: int) -> Iterator[tuple[int, str, Value]]:
    """Yield level, name and value of each line below `value`; names have `width` cells with what indents them."""
    of = _end(value)
    if of.text is not None and of.form in (Form.STRUCT, Form.INTERFACE) and level:
        return  # a time, a lock, an error with a message: its fields say less
    if of.form is Form.STRUCT and level and not of.parts:
        return
    for name, part in of.parts:
        yield level, name, part
        yield from _below(part, level + 1, width)
    for index, element in enumerate(of.elements):
        yield level, f"[{index}]", element
        yield from _below(element, level + 1, width)
    keys = key_texts([key for key, _ in of.entries], width - len(_STEP * level) - len("[]"))
    for key, (_, element) in zip(keys, of.entries, strict=True):
        yield level, f"[{key}]", element
        yield from _below(element, level + 1, width)
    if of.cut and (of.elements or of.entries):
        yield level, f"... {format_count(of.cut)} more", _NOTHING


def _end(value: Value) -> Value:
    """Return what pointers and interfaces lead to."""
    while value.form in _LEADING and value.elements and value.text is None:
        value = value.elements[0]
    return value


_NOTHING: Final = Value(type="", form=Form.STRUCT, address=0)


def _type(value: Value) -> str:
    if value.form is Form.INTERFACE and value.elements:
        held = value.elements[0].type
        return held if value.type == "interface {}" else f"{value.type} {held}"
    return value.type

"""A Go value as lines for people: each value on one line, what it is made of below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from rich.text import Text

from heldby.analysis.table import Table, text_column
from heldby.golang.values import Form, Limits, Value, ValueReader
from heldby.golang.values.walk import SEEN, TOO_DEEP
from heldby.render.plain_text import printable, shorten
from heldby.units import format_bytes, format_count

_STEP: Final = "  "
_MOST_LINES: Final = 400
_NOTES: Final = {TOO_DEEP: "…", SEEN: "(seen above)"}
_LEADING: Final = (Form.POINTER, Form.INTERFACE)


def value_lines(value: Value, width: int) -> list[Text]:
    """Return the lines of a value; of a struct those of its fields. At most `_MOST_LINES`."""
    rows = list(_below(value, 0)) or [(0, "", value)]
    names = [f"{_STEP * level}{printable(name)}" for level, name, _ in rows[:_MOST_LINES]]
    name_width = min(max(map(len, names)), width // 3)
    types = [_type(value) for *_, value in rows[:_MOST_LINES]]
    type_width = min(max(map(len, types)), width // 4)
    lines = []
    for name, kind, (_, _, each) in zip(names, types, rows, strict=False):
        line = Text(f"  {shorten(name, name_width):<{name_width}}  ")
        line.append(f"{shorten(kind, type_width):<{type_width}}  ", "dim")
        line.append(_said(each, width - name_width - type_width - 6))
        line.rstrip()
        lines.append(line)
    if len(rows) > _MOST_LINES:
        lines.append(Text(f"  {len(rows) - _MOST_LINES:,} more lines with --format json", "dim"))
    return lines


def with_values(table: Table, reader: ValueReader, number: int) -> Table:
    """Return `table`, whose rows are values of type `number` at ``address``, with each value in a line."""
    limits = Limits(depth=1, items=3, text=60)
    texts = [in_one_line(reader.read(int(addr), number, limits)) for addr in table["address"].values.tolist()]
    columns = (*table.columns, text_column("fields", texts))
    return replace(table, columns=columns, details=("fields",))


def in_one_line(value: Value) -> str:
    """Return the fields of a value, or the value, in one line: ``Name="x" Count=3``."""
    of = _end(value)
    if of.form is not Form.STRUCT or of.text is not None:
        return _said(of, 200)
    return " ".join(f"{printable(name)}={_braced(part)}" for name, part in of.parts)


def _braced(value: Value) -> str:
    if value.form is Form.STRUCT and value.text is None:
        return "{" + in_one_line(value) + "}"
    return _said(value, 60)


def _below(value: Value, level: int) -> Iterator[tuple[int, str, Value]]:
    """Yield level, name and value of each line below `value`."""
    of = _end(value)
    if of.text is not None and of.form in (Form.STRUCT, Form.INTERFACE) and level:
        return  # a time, a lock, an error with a message: its fields say less
    if of.form is Form.STRUCT and level and not of.parts:
        return
    for name, part in of.parts:
        yield level, name, part
        yield from _below(part, level + 1)
    for index, element in enumerate(of.elements):
        yield level, f"[{index}]", element
        yield from _below(element, level + 1)
    for key, element in of.entries:
        yield level, f"[{_key(key)}]", element
        yield from _below(element, level + 1)
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


def _key(value: Value) -> str:
    of = _end(value)
    if of.form in (Form.STRUCT, Form.ARRAY) and of.text is None:
        inner = [part for _, part in of.parts] or list(of.elements)
        return "{" + " ".join(_said(each, 40) for each in inner[:4]) + "}"
    return _said(of, 60)


def _said(value: Value, width: int) -> str:
    """Return a value in one line."""
    of = value
    while of.form in _LEADING and of.elements and of.text is None:
        if of.elements[0].form is Form.STRUCT and of.elements[0].text is None:
            break
        of = of.elements[0]
    text = _one_line(of, width)
    return shorten(text, width)


def _one_line(value: Value, width: int) -> str:
    if value is _NOTHING:
        return ""
    if value.form is Form.MISSING:
        return f"<{value.note}>"
    if value.is_nil:
        return "nil"
    if value.form in (Form.STRING, Form.BYTES, Form.MEMORY):
        return _bytes(value, width)
    if value.form in (Form.BOOL, Form.INT, Form.FLOAT, Form.COMPLEX):
        return _number(value)
    note = _NOTES.get(value.note, f"({value.note})" if value.note else "")
    return " ".join(part for part in (_shape(value), _meaning(value), note) if part)


def _meaning(value: Value) -> str:
    return "" if value.text is None else f'"{value.text}"' if value.form is Form.INTERFACE else value.text


def _shape(value: Value) -> str:
    if value.form is Form.POINTER or (value.form is Form.INTERFACE and value.text is None):
        return f"{value.target:#x}"
    if value.length is None or value.form is Form.ARRAY:
        return ""
    size = f"len {value.length:,}"
    return f"{size} cap {value.capacity:,}" if value.capacity not in (None, value.length) else size


def _number(value: Value) -> str:
    if value.form is Form.BOOL:
        return "true" if value.data else "false"
    if isinstance(value.data, complex):
        return f"({value.data.real:g}{value.data.imag:+g}i)"
    if isinstance(value.data, float):
        return value.text or repr(value.data)
    return f"{value.data!r} ({value.text})" if value.text else repr(value.data)


def _bytes(value: Value, width: int) -> str:
    if not isinstance(value.data, bytes):
        return f"<{value.note}>"
    if value.text is not None:
        return value.text
    try:
        text = value.data.decode()
        readable = value.form is not Form.MEMORY and (
            value.form is Form.STRING or sum(map(str.isprintable, text)) * 10 >= len(text) * 9
        )
    except UnicodeDecodeError:
        text = value.data.decode("utf-8", "surrogateescape")
        readable = value.form is Form.STRING
    more = f"... {format_bytes(value.length)}" if value.cut and value.length is not None else ""
    if readable:
        escaped = printable(text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        room = max(width - 2 - len(more), 8)
        if len(escaped) > room and not more and value.length is not None:
            more = f"... {format_bytes(value.length)}"
            room = max(room - len(more), 8)
        return f'"{escaped[:room]}"{more}'
    if not more and len(value.data) * 2 > width:
        more = f"... {format_bytes(len(value.data))}"
    return value.data.hex()[: max((width - len(more)) // 2 * 2, 2)] + more

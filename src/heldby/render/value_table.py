"""What lies in objects as a table: a row for each value, with the way to it from the object that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heldby.analysis.drilldown.object_report import ObjectReport
from heldby.analysis.table import Kind, Table, column, number_column, text_column
from heldby.golang.values import Form, Value
from heldby.render.value_text import real_text


def object_table(reports: Sequence[ObjectReport]) -> Table:
    """Return the values of objects, outer before inner, in the order of memory.

    ``field`` is empty for an object itself. ``value`` is text: numbers as Go prints them, bytes that are no UTF-8 as
    escapes; unknown where a value consists of others, or was not captured (then ``note`` says so).
    """
    rows = [(report, field, value) for report in reports for field, value in _parts("", report.value)]
    values = [value for _, _, value in rows]
    return Table(
        "object",
        (
            column("object", Kind.ADDRESS, [report.address for report, *_ in rows]),
            text_column("field", [field for _, field, _ in rows]),
            text_column("type", [value.type for value in values]),
            text_column("kind", [str(value.form) for value in values]),
            column("address", Kind.ADDRESS, [value.address for value in values]),
            text_column("value", [_text(value) for value in values]),
            number_column("target", Kind.ADDRESS, [value.target for value in values]),
            number_column("length", Kind.COUNT, [value.length for value in values]),
            number_column("capacity", Kind.COUNT, [value.capacity for value in values]),
            number_column("left_out", Kind.COUNT, [value.cut for value in values]),
            text_column("note", [value.note or None for value in values]),
        ),
        title="The values in the objects",
    )


def _parts(field: str, value: Value) -> Iterator[tuple[str, Value]]:
    yield field, value
    for name, part in value.parts:
        yield from _parts(f"{field}.{name}", part)
    if value.form in (Form.POINTER, Form.INTERFACE):
        for element in value.elements:
            yield from _parts(f"{field}.*", element)
    else:
        for index, element in enumerate(value.elements):
            yield from _parts(f"{field}[{index}]", element)
    for index, (key, element) in enumerate(value.entries):
        yield from _parts(f"{field}[key {index}]", key)
        yield from _parts(f"{field}[{index}]", element)


def _text(value: Value) -> str | None:
    data = value.data
    if isinstance(data, bytes):
        return data.decode("utf-8", "backslashreplace")
    if isinstance(data, bool):
        return "true" if data else "false"
    if data is not None:
        return real_text(value) or str(data)
    return value.text if not value.is_nil else "nil"

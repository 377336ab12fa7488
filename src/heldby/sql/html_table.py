"""A `Table` as HTML, for notebooks. What comes from the target is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator

from heldby.analysis.table import Kind, Table, Value
from heldby.analysis.table_units import SHOWN


def table_to_html(table: Table) -> str:
    """Return the rows of `table` as HTML, with a line on how many more there are, and its notes."""
    return "\n".join(_lines(table))


def _lines(table: Table) -> Iterator[str]:
    yield "<table>"
    yield (
        "<thead><tr>"
        + "".join(f"<th>{_escaped(column.name)}</th>" for column in table.columns)
        + "</tr></thead>"
    )
    yield "<tbody>"
    for row in zip(*(column.to_list() for column in table.columns), strict=True):
        cells = (_cell(column.kind, value) for column, value in zip(table.columns, row, strict=True))
        yield "<tr>" + "".join(cells) + "</tr>"
    yield "</tbody></table>"
    yield f"<p>{len(table):,} of {table.row_count:,} rows</p>"
    yield from (f"<p>note: {_escaped(note)}</p>" for note in table.notes)


def _cell(kind: Kind, value: Value) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str):
        return f'<td style="text-align:left">{_escaped(value)}</td>'
    return f"<td title={str(value)!r}>{SHOWN[kind](value)}</td>"


def _escaped(text: str) -> str:
    """Return a text that is shown as it is; what does not print, such as marks that turn text around, escaped."""
    plain = (char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return html.escape("".join(plain))

"""A `Table` as text for people: units as on the first screen, what does not print as an escape."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from heldby.analysis.table import Column, Kind, Table, Value
from heldby.analysis.table_units import SHOWN
from heldby.render.plain_text import print_text, printable, shared_room, shorten
from heldby.render.waterfall import percent

_GAP: Final = "  "
_NOTES_SHOWN: Final = 3
_LINES_OF_A_NOTE: Final = 4
_DETAIL_INDENT: Final = 6
_LINES_OF_A_DETAIL: Final = 3
_NARROWEST: Final = 60
_SHORTEST_TEXT: Final = 12
_LEFT: Final = (Kind.TEXT, Kind.FLAG)
_SHOWN: Final = {**SHOWN, Kind.SHARE: percent}


def print_table(console: Console, table: Table, *, all_notes: bool = False) -> None:
    """Print `table` as wide as `console` is."""
    print_text(console, table_text(table, width=console.width, all_notes=all_notes))


def table_text(table: Table, *, width: int = 80, all_notes: bool = False) -> Text:
    """Return title, heading, rows and notes in lines of at most `width` cells.

    If need be texts are cut, and then the last columns stand below their row, each under its name.
    """
    width = max(width, _NARROWEST)
    hidden_columns = (table.outline, *table.details, *table.hidden)
    columns = [column for column in table.columns if column.name not in hidden_columns]
    cells = [[_cell(column.kind, value) for value in column.to_list()] for column in columns]
    if table.outline is not None:
        _indent(columns, cells, table[table.outline])
    lines = []
    if table.title:
        lines += [Text(shorten(line, width), style="bold") for line in textwrap.wrap(table.title, width)]
        lines.append(Text())
    if len(table):
        heading, rows = _grid(columns, cells, width)
        lines += heading
        for row, details in zip(rows, _details(table, width), strict=True):
            lines += [*row, *details]
    else:
        lines.append(Text("nothing found", style="dim"))
    hidden = table.row_count - len(table)
    if hidden:
        more = "1 more row" if hidden == 1 else f"{hidden:,} more rows"
        lines.append(Text(f"{more} (--limit {table.row_count})", style="dim"))
    lines += note_lines(table.notes, width, show_all=all_notes)
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def note_lines(notes: Sequence[str], width: int, *, show_all: bool = False) -> list[Text]:
    """Return notes below what they are about: an empty line and the first few, or all; nothing for none."""
    width = max(width, _NARROWEST)
    shown = notes if show_all else notes[:_NOTES_SHOWN]
    lines = [Text()] if shown else []
    for note in shown:
        wrapped = textwrap.wrap(f"note: {printable(note)}", width, subsequent_indent=" " * 6)
        lines += [Text(shorten(line, width), style="yellow") for line in wrapped[:_LINES_OF_A_NOTE]]
    if len(shown) < len(notes):
        lines.append(Text(f"note: {len(notes) - len(shown)} more with -v or --format json", "yellow"))
    return lines


def _cell(kind: Kind, value: Value) -> str:
    """Return a value as people read it."""
    if value is None:
        return "unknown" if kind is not Kind.TEXT else ""
    return printable(value) if isinstance(value, str) else _SHOWN[kind](value)


def _indent(columns: list[Column], cells: list[list[str]], depth: Column) -> None:
    first = next((at for at, column in enumerate(columns) if column.kind is Kind.TEXT), None)
    if first is not None:
        levels = depth.values.tolist()
        cells[first] = ["  " * level + text for level, text in zip(levels, cells[first], strict=True)]


def _grid(columns: list[Column], cells: list[list[str]], width: int) -> tuple[list[Text], list[list[Text]]]:
    """Return the heading and the lines of each row."""
    headings = [_heading(column) for column in columns]
    widths = [
        max(cell_len(text) for text in (*heading, *column))
        for heading, column in zip(headings, cells, strict=True)
    ]
    inside = _fitting(columns, widths, width)
    below = [list(row) for row in zip(*cells[inside:], strict=True)] or [[]] * len(cells[0])
    columns, cells, folded = columns[:inside], cells[:inside], columns[inside:]
    texts = [at for at, column in enumerate(columns) if column.kind is Kind.TEXT]
    room = width - len(_GAP) * (inside - 1) - sum(widths[:inside]) + sum(widths[at] for at in texts)
    for at, given in zip(texts, shared_room([widths[at] for at in texts], room), strict=True):
        widths[at] = given
    above = [list(line) for line in zip(*headings[:inside], strict=True)]
    heading = [_line(columns, line, widths[:inside], style="bold") for line in above if any(line)]
    rows = [
        [_line(columns, list(row), widths[:inside]), *_folded(folded, rest, width)]
        for row, rest in zip(zip(*cells, strict=True), below, strict=True)
    ]
    return heading, rows


def _fitting(columns: list[Column], widths: list[int], width: int) -> int:
    """Return how many of the first columns fit `width` beside each other, texts as short as they may be; at least 1."""
    used = -len(_GAP)
    for at, (column, wanted) in enumerate(zip(columns, widths, strict=True)):
        used += len(_GAP) + (min(wanted, _SHORTEST_TEXT) if column.kind is Kind.TEXT else wanted)
        if used > width:
            return max(at, 1)
    return len(columns)


def _folded(columns: list[Column], cells: list[str], width: int) -> list[Text]:
    """Return the cells of a row that had no room in it, each behind its name: ``share 20%, objects 412``."""
    room = width - _DETAIL_INDENT
    lines: list[str] = []
    for column, cell in zip(columns, cells, strict=True):
        if not cell.strip():
            continue
        part = shorten(f"{' '.join(_heading(column)).strip()} {cell.strip()}", room)
        if lines and cell_len(f"{lines[-1]}, {part}") <= room:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return [Text(" " * _DETAIL_INDENT + line, style="dim") for line in lines]


def _details(table: Table, width: int) -> list[list[Text]]:
    """Return the lines for the long texts of each row, which stand below it."""
    found: list[list[Text]] = [[] for _ in range(len(table))]
    for name in table.details:
        label = "" if name == table.details[0] else f"{name.replace('_', ' ')} "
        for row, value in zip(found, table[name].to_list(), strict=True):
            if value is not None:
                row.extend(_detail(f"{label}{value}", width))
    return found


def _detail(text: str, width: int) -> list[Text]:
    room = width - _DETAIL_INDENT
    pieces = textwrap.wrap(printable(text), room, break_on_hyphens=False)
    if len(pieces) > _LINES_OF_A_DETAIL:
        pieces = textwrap.wrap(
            shorten(text, room * _LINES_OF_A_DETAIL - room // 2), room, break_on_hyphens=False
        )
    return [Text(" " * _DETAIL_INDENT + shorten(piece, room), style="dim") for piece in pieces]


def _heading(column: Column) -> tuple[str, str]:
    """Return the two lines over a column of numbers, the upper one mostly empty; texts have room for one."""
    if not column.name.isidentifier():  # an expression of a query: count_star()
        return "", column.name
    words = column.name.removesuffix("_bytes").removesuffix("_seconds").split("_")
    if column.kind in _LEFT or len(words) < 2:
        return "", " ".join(words)
    return words[0], " ".join(words[1:])


def _line(columns: list[Column], cells: list[str], widths: list[int], style: str = "") -> Text:
    parts = []
    for column, text, width in zip(columns, cells, widths, strict=True):
        shown = shorten(text, width)
        padding = " " * (width - cell_len(shown))
        parts.append(shown + padding if column.kind in _LEFT else padding + shown)
    return Text(_GAP.join(parts), style=style)

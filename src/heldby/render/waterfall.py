"""WHERE IT WENT: the rows of the memory account, largest fact first in words, bytes and a bar."""

from __future__ import annotations

import textwrap
from typing import Final

from rich.text import Text

from heldby.analysis.answer import Answer, RssRow
from heldby.render.plain_text import printable, shorten
from heldby.units import format_bytes

_NAME_WIDTH: Final = 24
_BAR_WIDTH: Final = 12
_FIXED_WIDTH: Final = 2 + _NAME_WIDTH + 1 + 9 + 2 + 4 + 2 + _BAR_WIDTH + 2
_SHORTEST_NOTE: Final = 30


def account_rows(answer: Answer) -> tuple[RssRow, ...]:
    """Return the rows of the account; without one, what the heap's totals say, with the rest of RSS."""
    if answer.rss.rows:
        rest = answer.rss.unexplained_bytes
        more = (RssRow(name="unexplained", bytes=rest),) if rest else ()
        return (*answer.rss.rows, *more)
    heap = answer.heap
    rows = [
        RssRow(name="live objects", bytes=heap.live_bytes),
        RssRow(
            name="garbage",
            bytes=heap.garbage_bytes,
            note="no longer reachable; the next collections free it",
        ),
        RssRow(name="free inside spans", bytes=heap.free_slot_bytes, note="free slots between objects"),
    ]
    total = _total(answer)
    known = [row.bytes for row in rows if row.bytes is not None]
    if total is not None and len(known) == len(rows) and total >= sum(known):
        rows.append(
            RssRow(
                name="the rest",
                bytes=total - sum(known),
                note="free pages, stacks, the runtime's own, C and files",
            )
        )
    return tuple(row for row in rows if row.bytes is not None)


def _total(answer: Answer) -> int | None:
    if answer.rss.total_bytes is not None:
        return answer.rss.total_bytes
    return answer.process.rss_bytes


def waterfall_lines(answer: Answer, width: int) -> list[Text]:
    """Return the section in lines of at most `width` cells."""
    rows = account_rows(answer)
    total = _total(answer)
    heading = Text("WHERE IT WENT", style="bold")
    if total is not None:
        heading.append(f"  RSS {format_bytes(total)}", style="not bold")
    elif rows:
        heading.append("  the heap only: what the process had resident is not in the core", style="not bold")
    else:
        heading.append("  unknown: the capture does not say", style="not bold")
    base = total if total is not None else sum(row.bytes or 0 for row in rows)
    lines = [heading]
    for row in rows:
        lines.extend(_row_lines(row, base, width))
    return [shortened(line, width) for line in lines]


def shortened(line: Text, width: int) -> Text:
    """Return `line` cut to `width` cells."""
    line.truncate(width, overflow="ellipsis")
    return line


def _row_lines(row: RssRow, base: int, width: int) -> list[Text]:
    line = Text(f"  {shorten(row.name, _NAME_WIDTH):<{_NAME_WIDTH}} ")
    if row.bytes is None:
        line.append(f"{'unknown':>9}")
    else:
        share = row.bytes / base if base > 0 else 0.0
        line.append(f"{format_bytes(row.bytes):>9}  {percent(share):>4}  ")
        line.append(f"{bar(share, _BAR_WIDTH):<{_BAR_WIDTH}}  ", style="cyan")
    if not row.note or row.bytes == 0:
        return [line]
    note = printable(row.note)
    if width - _FIXED_WIDTH >= min(len(note), _SHORTEST_NOTE):
        pieces = textwrap.wrap(note, width - _FIXED_WIDTH)[:2]
        line.append(pieces[0], style="dim")
        more = [Text(" " * _FIXED_WIDTH).append(piece, style="dim") for piece in pieces[1:]]
        return [line, *more]
    pieces = textwrap.wrap(note, width - 6)[:2]
    return [line, *(Text(" " * 6).append(piece, style="dim") for piece in pieces)]


def percent(share: float) -> str:
    """Return a share as ``87%``; what is there but rounds to nothing is ``<1%``, never 0%."""
    if 0 < share <= 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"


def bar(share: float, width: int) -> str:
    """Return a bar for `share` of 1 in half-cell steps, at most `width` cells."""
    halves = round(max(0.0, min(share, 1.0)) * width * 2)
    return "█" * (halves // 2) + "▌" * (halves % 2)

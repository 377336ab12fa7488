"""WHERE IT WENT: the rows of the memory account, largest fact first in words, bytes and a bar."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Final

from rich.text import Text

from heldby.analysis.answer import RssAccount, RssRow
from heldby.render.plain_text import printable, shorten
from heldby.units import format_bytes, format_count

_NAME_WIDTH: Final = 24
_BAR_WIDTH: Final = 12
_FIXED_WIDTH: Final = 2 + _NAME_WIDTH + 1 + 9 + 2 + 4 + 2 + _BAR_WIDTH + 2
_SHORTEST_NOTE: Final = 30
_MOST_ROWS: Final = 8
_WORTH_A_LINE: Final = 0.02
_MOST_PARTS: Final = 6


def account_rows(account: RssAccount) -> tuple[RssRow, ...]:
    """Return the rows that hold anything, what is unexplained among them.

    Of a core that does not say what was resident, rows have the size of their address space instead.
    """
    rows = account.rows
    if account.total_bytes is None:
        rows = tuple(replace(row, bytes=row.virtual_bytes) for row in rows if row.virtual_bytes is not None)
    rest = account.unexplained_bytes
    more = (RssRow(name="unexplained", bytes=rest),) if rest else ()
    return tuple(row for row in (*rows, *more) if row.bytes)


def unknown_rows(account: RssAccount) -> tuple[RssRow, ...]:
    """Return the rows of which only the address space is known, beside others that are known to be resident."""
    if account.total_bytes is None:
        return ()
    return tuple(row for row in account.rows if row.bytes is None and row.virtual_bytes)


def largest_rows(account: RssAccount) -> tuple[RssRow, ...]:
    """Return the rows worth a line on the first screen, in the account's order, the others summed in one."""
    rows = account_rows(account)
    base = account.total_bytes or sum(row.bytes or 0 for row in rows)
    ranked = sorted(rows, key=lambda row: -(row.bytes or 0))
    names = {row.name for row in ranked[:_MOST_ROWS] if (row.bytes or 0) >= base * _WORTH_A_LINE}
    names.add("unexplained")
    shown = [row for row in rows if row.name in names]
    others = [row for row in rows if row.name not in names]
    if len(others) == 1:
        return rows
    if others:
        rest = sum(row.bytes or 0 for row in others)
        shown.append(RssRow(name=f"{len(others)} smaller rows", bytes=rest, note="heldby rss lists them"))
    return tuple(shown)


def waterfall_lines(
    account: RssAccount, width: int, *, details: bool = False, detailed_from: float = 0.01
) -> list[Text]:
    """Return the section in lines of at most `width` cells.

    With `details`, every row has a line, and those of at least the share `detailed_from` say what they consist
    of, where that was read, and how it can be had back.
    """
    rows = account_rows(account) if details else largest_rows(account)
    total = account.total_bytes
    heading = Text("WHERE IT WENT", style="bold")
    if total is not None:
        heading.append(f"  RSS {format_bytes(total)}", style="not bold")
    elif rows:
        text = "  address space of the heap: what was resident is not in the core"
        heading.append(text, style="not bold")
    else:
        heading.append("  unknown: the capture does not say", style="not bold")
    base = total if total is not None else sum(row.bytes or 0 for row in rows)
    lines = [heading]
    for row in rows:
        lines.extend(_row_lines(row, base, width))
        if details and (row.bytes or 0) >= base * detailed_from:
            lines.extend(_detail_lines(row, width))
    if details:
        for row in unknown_rows(account):
            size = format_bytes(row.virtual_bytes or 0)
            lines.append(Text(f"  {shorten(row.name, _NAME_WIDTH):<{_NAME_WIDTH}}   unknown  of {size}"))
    if account.limit_bytes is not None or any(row.group == "swap" for row in account.beyond):
        lines.extend(_beyond_lines(account, width))
    return [shortened(line, width) for line in lines]


def _detail_lines(row: RssRow, width: int) -> list[Text]:
    """Return the largest parts of a row, where it was read, and how it can be had back."""
    lines = []
    for part in row.parts[:_MOST_PARTS]:
        count = f"  {format_count(part.count)}" if part.count is not None else ""
        name = shorten(part.name, max(20, width - 20 - len(count)))
        lines.append(Text(f"      {format_bytes(part.bytes):>9}{count}  {name}", style="dim"))
    hidden = len(row.parts) - _MOST_PARTS
    if hidden > 0:
        lines.append(Text(f"      {hidden} more with --format json", style="dim"))
    virtual = "" if row.virtual_bytes is None else f", {format_bytes(row.virtual_bytes)} of address space"
    if row.swapped_bytes:
        virtual += f", {format_bytes(row.swapped_bytes)} in swap"
    texts = [
        f"read from {row.source}{virtual}" if row.source else "",
        f"back: {row.remedy}" if row.remedy else "",
    ]
    for text in filter(None, texts):
        lines += [Text(f"      {piece}", style="dim") for piece in textwrap.wrap(text, width - 6)]
    return lines


def _beyond_lines(account: RssAccount, width: int) -> list[Text]:
    """Return the lines on what is charged beside RSS, and the limit it all counts towards."""
    parts = [f"{row.name} {format_bytes(row.bytes)}" for row in account.beyond if row.bytes]
    text = "beside RSS: " + ", ".join(parts) if parts else ""
    if account.limit_bytes is not None:
        share = ""
        if account.total_bytes is not None:
            share = f", of which RSS takes {percent(account.total_bytes / account.limit_bytes)}"
        text = f"limit of the cgroup {format_bytes(account.limit_bytes)}{share}" + (
            f"; {text}" if text else ""
        )
    return [Text(f"  {piece}", style="dim") for piece in textwrap.wrap(printable(text), width - 2)]


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
        pieces = textwrap.wrap(note, width - _FIXED_WIDTH, max_lines=2, placeholder="…")
        line.append(pieces[0], style="dim")
        more = [Text(" " * _FIXED_WIDTH).append(piece, style="dim") for piece in pieces[1:]]
        return [line, *more]
    pieces = textwrap.wrap(note, width - 6, max_lines=2, placeholder="…")
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

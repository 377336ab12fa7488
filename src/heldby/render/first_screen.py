"""The first screen: the answer in a sentence, then where the memory went, who holds it, what to change.

Written for a tired engineer at three in the morning: the first line alone must be worth reading. Widths
from 60 cells up; everything from the target goes through `heldby.render.plain_text`.
"""

from __future__ import annotations

import textwrap
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from heldby.analysis.answer import EVERYTHING_ELSE, Answer, RssAccount
from heldby.render.finding_lines import finding_lines
from heldby.render.holder_lines import holder_lines
from heldby.render.plain_text import print_text, printable, shorten
from heldby.render.waterfall import percent, shortened, waterfall_lines
from heldby.units import format_bytes, format_seconds

DEFAULT_LIMIT: Final = 8
NARROWEST: Final = 60
_CAVEATS_SHOWN: Final = 3


def print_first_screen(
    console: Console, answer: Answer, *, limit: int | None = None, all_caveats: bool = False
) -> None:
    """Print `answer` as wide as `console` is."""
    text = first_screen(
        answer, width=console.width, limit=DEFAULT_LIMIT if limit is None else limit, all_caveats=all_caveats
    )
    print_text(console, text)


def first_screen(
    answer: Answer, *, width: int = 80, limit: int = DEFAULT_LIMIT, all_caveats: bool = False
) -> Text:
    """Return the whole screen, styled, without a line break at the end.

    Args:
        answer: what to show.
        width: cells of a line, at least 60.
        limit: holders to list.
        all_caveats: show every caveat instead of the first three.
    """
    width = max(width, NARROWEST)
    lines = [*headline(answer, width), identity(answer, width), Text()]
    lines += [*waterfall_lines(answer.rss, width), Text()]
    lines += holder_lines(answer, width, limit)
    change = finding_lines(answer, width)
    if change:
        lines += [Text(), *change]
    caveats = caveat_lines(answer, width, show_all=all_caveats)
    if caveats:
        lines += [Text(), *caveats]
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def headline(answer: Answer, width: int) -> list[Text]:
    """Return the few lines that say most of it: where the memory went, and who holds what is live."""
    verdict = verdict_lines(answer.rss, width)
    return verdict + [Text(sentence, style="bold") for sentence in _holder_sentence(answer, width)]


def verdict_lines(account: RssAccount, width: int) -> list[Text]:
    """Return the verdict on the resident memory in lines of at most `width` cells; none without one."""
    return [Text(line, style="bold") for line in textwrap.wrap(printable(account.verdict or ""), width)]


def _holder_sentence(answer: Answer, width: int) -> list[str]:
    heap = answer.heap
    if not answer.holders:
        if heap.live_bytes == 0:
            return ["The heap has no live object."]
        return ["Who holds the heap is unknown; the notes below say why."]
    top = answer.holders[0]
    if top.path == EVERYTHING_ELSE:
        return ["No holder stands out: the live heap is spread over very many small ones."]
    size = format_bytes(top.retained_bytes)
    if top.share is None:
        start = f"The largest holder keeps {size}: "
    elif top.share < 0.1:
        start = f"No holder stands out; the largest keeps {percent(top.share)} of the live heap ({size}): "
    else:
        start = f"{percent(top.share)} of the live heap ({size}) is held by "
    path = printable(top.title or top.path)
    if len(start) + cell_len(path) <= width:
        return [start + path]
    return [*textwrap.wrap(start, width), "  " + shorten(path, width - 2)]


def identity(answer: Answer, width: int) -> Text:
    """Return the line that says which process this is and what the capture cost it."""
    process, capture = answer.process, answer.capture
    parts = [shorten(process.name or "a Go process", 40)]
    if process.pid is not None:
        parts.append(f"pid {process.pid}")
    if process.go_version:
        parts.append(shorten(process.go_version, 24))
    if process.stripped:
        parts.append("stripped")
    if process.uptime_seconds is not None:
        parts.append(f"up {format_seconds(process.uptime_seconds)}")
    if capture.pause_ms is not None:
        pause = format_seconds(capture.pause_ms / 1e3)
        seconds = f"captured in {format_seconds(capture.seconds)}, " if capture.seconds is not None else ""
        parts.append(f"{seconds}paused {pause}")
    elif capture.method == "core":
        parts.append("from a core")
    return shortened(Text(" · ".join(parts), style="dim"), width)


def caveat_lines(answer: Answer, width: int, *, show_all: bool) -> list[Text]:
    """Return what a reader should know, the first few or all of it."""
    shown = answer.caveats if show_all else answer.caveats[:_CAVEATS_SHOWN]
    lines = [Text(f"note: {shorten(caveat, width - 6)}", style="yellow") for caveat in shown]
    hidden = len(answer.caveats) - len(shown)
    if hidden:
        lines.append(Text(f"note: {hidden} more with -v or --format json", style="yellow"))
    return lines

"""WHO HOLDS IT: a row per holder, with what piles up there and where it was allocated for the large ones."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from heldby.analysis.answer import Answer, Frame, Holder, Site
from heldby.render.plain_text import printable, shared_room, shorten
from heldby.render.waterfall import percent, shortened
from heldby.units import format_bytes, format_count

_INDENT: Final = 18
_DETAILED: Final = 3
"""Rows that get detail lines; those below get them only from a tenth of the live bytes on."""
_SHARING: Final = 3
_SHORTEST_NAME: Final = 24
_FOLDERS: Final = re.compile(r"(?<![^\s(])(?:[\w.~%-]+/)+(?=[\w.~%-]+\.)")


def holder_lines(answer: Answer, width: int, limit: int) -> list[Text]:
    """Return the section in lines of at most `width` cells; the rows left out are summed in the last."""
    lines = [_heading(answer, width)]
    for index, holder in enumerate(answer.holders[:limit]):
        lines.append(_row(holder, width))
        if index < _DETAILED or (holder.share or 0) >= 0.1:
            lines.extend(_details(answer, index, width))
        elif holder.used_by:  # without a name, these functions are all that tells which variable it is
            used_by = _listing("used by", holder.used_by, width - _INDENT)
            lines.append(Text(" " * _INDENT).append(used_by, style="dim"))
    rest = answer.holders[limit:]
    if rest:
        count = sum(holder.retained_bytes for holder in rest)
        live = answer.heap.live_bytes
        share = percent(count / live) if live else ""
        what = "1 more holder" if len(rest) == 1 else f"{len(rest):,} more holders"
        lines.append(
            Text(f"  {share:>4}  {format_bytes(count):>9} {what} (--limit {limit + len(rest)})", "dim")
        )
    return lines


def _heading(answer: Answer, width: int) -> Text:
    heap = answer.heap
    heading = Text("WHO HOLDS IT", style="bold")
    parts = []
    if heap.live_bytes is not None:
        parts.append(f"live {format_bytes(heap.live_bytes)}")
    if heap.live_objects is not None:
        parts.append(f"{format_count(heap.live_objects)} objects")
    if heap.live_bytes and heap.typed_bytes is not None:
        # Rounded down: "100.0%" must mean that nothing is untyped.
        parts.append(f"{int(heap.typed_bytes / heap.live_bytes * 1000) / 10:.1f}% typed")
    if parts:
        heading.append("   " + ", ".join(parts), style="not bold")
    return shortened(heading, width)


def _row(holder: Holder, width: int) -> Text:
    share = percent(holder.share) if holder.share is not None else ""
    line = Text(f"  {share:>4}  {format_bytes(holder.retained_bytes):>9} ")
    return line.append(shorten(holder.path, width - _INDENT), style="bold green")


def _details(answer: Answer, index: int, width: int) -> list[Text]:
    holder = answer.holders[index]
    room = width - _INDENT
    texts = [_what(holder, room)]
    if holder.held_by:
        texts.append(_listing("held by", holder.held_by, room))
    if holder.used_by:
        texts.append(_listing("used by", holder.used_by, room))
    texts.append(_allocated_at(answer, index, room))
    texts.extend(shorten(fact, room) for fact in holder.evidence[:2])
    return [Text(" " * _INDENT).append(text, style="dim") for text in texts if text]


def _what(holder: Holder, room: int) -> str:
    containers = printable(", ".join(holder.containers))
    kind = holder.type or ""
    # objects_at_end counts what the type names; without it only the retained total is known.
    if kind and holder.objects_at_end is not None and holder.objects_at_end > 1:
        kind = f"{format_count(holder.objects_at_end)} × {kind}"
    elif holder.retained_objects is not None:
        objects = (
            "1 object" if holder.retained_objects == 1 else f"{format_count(holder.retained_objects)} objects"
        )
        kind = f"{kind} with {objects}" if kind else objects
    if kind and containers:
        left = max(room - len(containers) - 3, room // 2)
        kind = shorten(kind, left)
        return f"{kind} · {shorten(containers, room - len(kind) - 3)}"
    return shorten(kind or containers, room)


def _listing(word: str, names: tuple[str, ...], room: int) -> str:
    """Return ``word a, b and 3 more``: as many names as fit whole, or up to three that share the room."""
    texts = [without_folders(printable(name)) for name in names]
    room -= cell_len(word) + 1
    for count in range(len(texts), 0, -1):
        left = room - len(_and_more(len(texts) - count)) - 2 * (count - 1)
        widths = shared_room([cell_len(text) for text in texts[:count]], left)
        whole = sum(map(cell_len, texts[:count])) <= left
        if (
            whole
            or count == 1
            or (
                count <= _SHARING
                and all(
                    width >= min(cell_len(text), _SHORTEST_NAME)
                    for text, width in zip(texts, widths, strict=False)
                )
            )
        ):
            shown = [shorten(text, width) for text, width in zip(texts, widths, strict=False)]
            return f"{word} {', '.join(shown)}{_and_more(len(texts) - count)}"
    return word


def _and_more(count: int) -> str:
    return f" and {count} more" if count else ""


def without_folders(text: str) -> str:
    """Return `text` with ``github.com/nats-io/nats-server/v2/server.f`` written as ``server.f``, as pprof does."""
    return _FOLDERS.sub("", text)


def _allocated_at(answer: Answer, index: int, room: int) -> str:
    rows = [row for row in answer.held if row.holder == index and row.site < len(answer.sites)]
    total = sum(row.bytes for row in rows)
    if not rows or total <= 0:
        return ""
    best = max(rows, key=lambda row: (row.bytes, -row.site))
    frame = _first_user_frame(answer.sites[best.site])
    if frame is None:
        return ""
    full, function = printable(frame.func), without_folders(printable(frame.func))
    place = ""
    if frame.file:
        place = f" {printable(PurePosixPath(frame.file).name)}" + (f":{frame.line}" if frame.line else "")
    share = f" {percent(best.bytes / total)}"
    samples = f" ({format_count(best.samples)} sample{'' if best.samples == 1 else 's'})"
    for text in (full + place + share + samples, full + place + share, function + place + share):
        if cell_len(text) <= room - 13:
            return f"allocated at {text}"
    return f"allocated at {shorten(function, room - 13 - len(share))}{share}"


def _first_user_frame(site: Site) -> Frame | None:
    for frame in site.stack:
        if not frame.func.startswith("runtime."):
            return frame
    return site.stack[0] if site.stack else None

"""WHO HOLDS IT: a row per holder, with what piles up there and where it was allocated for the large ones."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from heldby.analysis.answer import Answer, Holder
from heldby.render.plain_text import printable, shared_room, shorten, without_folders
from heldby.render.site_lines import allocated_at, pprof_shows
from heldby.render.waterfall import percent, shortened
from heldby.units import format_bytes, format_count

_INDENT: Final = 18
_DETAILED: Final = 3
"""Rows that get detail lines; those below get them only from a tenth of the live bytes on."""
_SHARING: Final = 3
_SHORTEST_NAME: Final = 24


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
    return line.append(shorten(holder.title or holder.path, width - _INDENT), style="bold green")


def _details(answer: Answer, index: int, width: int) -> list[Text]:
    holder = answer.holders[index]
    room = width - _INDENT
    texts = [_what(holder, room)]
    if holder.held_by:
        texts.append(_listing("held by", holder.held_by, room))
    if holder.used_by:
        texts.append(_listing("used by", holder.used_by, room))
    texts += [allocated_at(answer, index, room), pprof_shows(answer, index, room)]
    texts.append(stored_by(holder, room))
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


def stored_by(holder: Holder, room: int) -> str:
    """Return the statement that keeps what is held; how many more there may be."""
    if not holder.stored_by:
        return ""
    first = holder.stored_by[0]
    place = f"{printable(PurePosixPath(first.file).name)}:{first.line}" if first.file and first.line else ""
    what = without_folders(printable(first.statement or first.func))
    more = _and_more(len(holder.stored_by) - 1)
    word = "perhaps stored by" if first.certainty == "possible" else "stored by"
    start = f"{word}  {place}  " if place else f"{word}  "
    return shorten(start + shorten(what, max(room - cell_len(start) - cell_len(more), 12)) + more, room)


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

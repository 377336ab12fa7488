"""``heldby cost`` for people: what each holder's bytes are spent on, and what the same data takes as texts."""

from __future__ import annotations

import textwrap
from typing import Final

from rich.text import Text

from heldby.analysis.answer import Cost, TextAlternative
from heldby.analysis.small_objects.costs import HolderCosts, cause_text, is_worth_it, text_sentence
from heldby.render.plain_text import printable, shorten
from heldby.render.waterfall import percent, shortened
from heldby.units import format_bytes, format_count

_INDENT: Final = 18
_SHOWN_CAUSES: Final = 6
_NARROWEST: Final = 60


def cost_screen(costs: HolderCosts, *, width: int = 80, limit: int = 8) -> Text:
    """Return the screen in lines of at most `width` cells, without a line break at the end."""
    width = max(width, _NARROWEST)
    total = costs.total
    lines = [_heading(total, width), *_spent(total, width, 2), Text()]
    tree, rows = costs.ownership.tree, costs.ownership.rows
    seen: set[str] = set()
    for row, cost in list(zip(rows, costs.costs, strict=False))[:limit]:
        share = percent(row.bytes / max(total.bytes, 1))
        line = Text(f"  {share:>4}  {format_bytes(row.bytes):>9} ")
        path = shorten(tree.text(row.path).strip(), width - _INDENT)
        lines.append(line.append(path, style="bold green"))
        lines += _details(cost, width, seen)
    rest = len(rows) - limit
    if rest > 0:
        lines.append(Text(f"{rest:,} more holder{'s' * (rest > 1)} (--limit {len(rows)})", style="dim"))
    if any(cost.texts is not None and is_worth_it(cost.texts) for cost in costs.costs[:limit]):
        lines.append(Text())
        lines += _wrapped(_WHEN, width, 0, style="dim")
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


_WHEN: Final = (
    "Texts serve data that is kept long and read seldom: each read decodes one whole text, each change writes one "
    "anew. They do not help where the data changes all the time, or where most of it is a few large byte slices."
)


def _heading(total: Cost, width: int) -> Text:
    mean = format_bytes(total.bytes / max(total.objects, 1))
    heading = Text("WHAT SMALL OBJECTS COST", style="bold")
    text = f"   live {format_bytes(total.bytes)} in {format_count(total.objects)} objects, {mean} on average"
    return shortened(heading.append(text, style="not bold"), width)


def _details(cost: Cost, width: int, seen: set[str]) -> list[Text]:
    mean = format_bytes(cost.bytes / max(cost.objects, 1))
    lines = _wrapped(
        f"{format_count(cost.objects)} objects of {mean} on average; each collection looks into "
        f"{format_count(cost.scanned_objects)} of them, at {format_count(cost.scanned_words)} pointer words",
        width,
        _INDENT,
    )
    lines += _spent(cost, width, _INDENT)
    if cost.texts is None:
        return lines + (
            _wrapped(f"as texts: {cost.why_no_texts}", width, _INDENT) if cost.why_no_texts else []
        )
    if cost.texts.path in seen:
        return [*lines, *_wrapped(f"as texts: see {cost.texts.path} above", width, _INDENT)]
    seen.add(cost.texts.path)
    return lines + _texts(cost.texts, width)


def _spent(cost: Cost, width: int, indent: int) -> list[Text]:
    """Return the causes, largest first: ``data 61%, string headers 16%, size class rounding 9%``."""
    found = sorted(((size, name) for name, size in cost.causes.items() if size), reverse=True)
    names = {"payload": "data"}
    parts = [
        f"{names.get(name, cause_text(name))} {format_bytes(size)} ({percent(size / max(cost.bytes, 1))})"
        for size, name in found[:_SHOWN_CAUSES]
    ]
    rest = sum(size for size, _ in found[_SHOWN_CAUSES:])
    if rest:
        parts.append(f"the rest {format_bytes(rest)}")
    return _wrapped(", ".join(parts), width, indent)


def _texts(texts: TextAlternative, width: int) -> list[Text]:
    path = printable(texts.path)
    measured = "" if texts.every == 1 else f", measured on every {texts.every}th"
    packed = format_bytes(texts.packed_total_bytes)
    what = f"one text for each of {texts.units:,} elements of {path}{measured}; packed binary: {packed}"
    if not is_worth_it(texts):
        after, before = format_bytes(texts.json_total_bytes), format_bytes(texts.current_bytes)
        lines = _wrapped(f"as JSON text {after} instead of {before}: not worth it ({what})", width, _INDENT)
    else:
        lines = _wrapped(text_sentence(texts), width, _INDENT, style="green")
        lines += _wrapped(f"({what})", width, _INDENT)
    for note in texts.left_out:
        lines += _wrapped(f"- {note}", width, _INDENT)
    return lines


def _wrapped(text: str, width: int, indent: int, style: str = "dim") -> list[Text]:
    space = " " * indent
    wrapped = textwrap.wrap(text, width - indent, subsequent_indent="  ", break_on_hyphens=False)
    return [Text(space).append(line, style=style) for line in wrapped]

"""WHAT TO CHANGE: each finding with its saving, what it rests on, and the line of code that it is about."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len
from rich.text import Text

from heldby.analysis.advice.findings import (
    COLLECT_SOONER,
    GOROUTINES,
    KEEP_AS_TEXT,
    LEAKED_GOROUTINES,
    LET_GO,
)
from heldby.analysis.answer import Answer, Finding, Holder
from heldby.render.holder_lines import stored_by
from heldby.render.plain_text import printable, shorten
from heldby.units import format_bytes, format_count

_INDENT: Final = 5
_SHOWN: Final = 3


def finding_lines(answer: Answer, width: int) -> list[Text]:
    """Return the section in lines of at most `width` cells; empty when there is no advice."""
    if not answer.findings:
        return []
    lines = [Text("WHAT TO CHANGE", style="bold")]
    for number, finding in enumerate(answer.findings[:_SHOWN], 1):
        lines.append(_title(number, finding, width))
        holder = next((each for each in answer.holders if each.path == finding.holder), None)
        reasons = _reasons(finding, holder, width - _INDENT)
        lines.extend(Text(" " * _INDENT).append(text, style="dim") for text in reasons)
    return lines


def _title(number: int, finding: Finding, width: int) -> Text:
    saving = ""
    if finding.saving_bytes is not None:
        up_to = "up to " if finding.rule in (LET_GO, COLLECT_SOONER) else ""
        saving = f"  saves {up_to}{format_bytes(finding.saving_bytes)}"
    line = Text(f"{number:3}  {shorten(finding.title, width - _INDENT - len(saving))}")
    return line.append(saving, style="green")


def _reasons(finding: Finding, holder: Holder | None, room: int) -> list[str]:
    known = finding.evidence
    if finding.rule == LET_GO and holder is not None:
        what = printable(holder.type or "")
        if what and (holder.objects_at_end or 0) > 1:
            what = f"{format_count(holder.objects_at_end or 0)} × {what}"
        ways = "held by several: all of them must let go" if known.get("shared") else "nothing else keeps it"
        first = f"{shorten(what, room - cell_len(ways) - 2)}; {ways}" if what else ways
        return [first, *filter(None, [stored_by(holder, room)])]
    if finding.rule == KEEP_AS_TEXT:
        about = "about " if known["measured_every"] > 1 else ""
        text = (
            f"{about}{format_bytes(known['json_total_bytes'])} instead of {format_bytes(known['current_bytes'])}, "
            f"{format_count(known['objects'])} objects instead of {format_count(known['current_objects'])}; "
            "for what is kept long and read seldom"
        )
        return textwrap.wrap(text, room)
    if finding.rule == GOROUTINES:
        # runtime/proc.go: gfput keeps the record; runtime/mgcmark.go, markrootFreeGStacks frees the stack.
        text = "when they end, a collection frees their stacks; the runtime keeps their records for the next ones"
        return textwrap.wrap(text, room)
    if finding.rule == LEAKED_GOROUTINES:
        return _leaked(known, room)
    if finding.rule == COLLECT_SOONER:
        return _sooner(known, room)
    return []


def _leaked(known: Mapping[str, Any], room: int) -> list[str]:
    parts = f"{format_bytes(known['kept_bytes'])} of objects, {format_bytes(known['stack_bytes'])} of stacks"
    lines = textwrap.wrap(f"nothing can wake them; they keep {parts}", room)
    place = f"{printable(Path(known['file']).name)}:{known['line']}" if known["file"] else None
    started = [f"started at  {shorten(place, room - len('started at  '))}"] if place else []
    return [*lines, *started, "heldby goroutines TARGET --leaked lists them"]


def _sooner(known: Mapping[str, Any], room: int) -> list[str]:
    often = f", {known['collections']:g} times as many collections" if known["collections"] else ""
    note = f"; {known['note']}" if known["note"] else ""
    return textwrap.wrap(f"the heap would grow to {format_bytes(known['goal_bytes'])}{often}{note}", room)

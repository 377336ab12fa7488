"""A diagnosis of what a capture needs, as lines for people: the verdict, then each check with its advice."""

from __future__ import annotations

import textwrap
from typing import Final

from rich.text import Text

from heldby.capture import Check, Diagnosis
from heldby.render.plain_text import printable

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_INDENT: Final = 22


def diagnosis_text(diagnosis: Diagnosis, width: int = 80) -> Text:
    """Return all checks in lines of at most `width` cells, without a line break at the end."""
    failed = [check for check in diagnosis.checks if check.outcome == "fail"]
    warned = any(check.outcome == "warn" for check in diagnosis.checks)
    if failed:
        verdict = f"Process {diagnosis.pid} cannot be captured: {printable(failed[0].found)}"
    else:
        verdict = f"Process {diagnosis.pid} can be captured" + (", with a drawback." if warned else ".")
    lines = [Text(line, style="bold") for line in textwrap.wrap(verdict, width)]
    for check in diagnosis.checks:
        lines.extend(_check_lines(check, width))
    return Text("\n").join(lines)


def _check_lines(check: Check, width: int) -> list[Text]:
    found = textwrap.wrap(printable(check.found), width - _INDENT, break_on_hyphens=False) or [""]
    first = Text("  ").append(f"{check.outcome:<6}", style=_STYLES.get(check.outcome, ""))
    lines = [first.append(f"{printable(check.name):<14}{found[0]}")]
    lines += [Text(" " * _INDENT + line) for line in found[1:]]
    if check.advice:
        advice = textwrap.wrap(f"→ {printable(check.advice)}", width - _INDENT, subsequent_indent="  ")
        lines += [Text(" " * _INDENT).append(line, style="bold") for line in advice]
    return lines

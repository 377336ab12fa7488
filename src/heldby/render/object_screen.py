"""The screen of ``heldby object``: what it is, who keeps it, and what is in it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from heldby.analysis.answer import SCHEMA
from heldby.analysis.drilldown.object_report import ObjectReport
from heldby.render.plain_text import printable, shorten, well_formed
from heldby.render.value_json import value_document
from heldby.render.value_lines import value_lines
from heldby.render.waterfall import percent
from heldby.units import format_bytes, format_count, format_size_class

_NARROWEST = 60
_LABEL = 12


def object_screen(report: ObjectReport, width: int) -> Text:
    """Return the screen in lines of at most `width` cells, as far as values can be cut."""
    width = max(width, _NARROWEST)
    lines = [Text(shorten(_title(report), width), style="bold"), Text()]
    for label, text in _facts(report):
        lines += _fact(label, text, width)
    lines += [Text(), Text("VALUE", style="bold"), *value_lines(report.value, width)]
    if report.value.note:
        lines.append(Text(f"  ({report.value.note})", "yellow"))
    lines += _dominators(report, width)
    lines += _referrers(report, width)
    return Text("\n").join(lines)


def _title(report: ObjectReport) -> str:
    name = f"{report.variable}  " if report.variable is not None else ""
    state = (
        "" if report.variable is not None else "  live" if report.live else "  garbage: nothing reaches it"
    )
    return f"{name}{report.type}  {report.address:#x}{state}"


def _facts(report: ObjectReport) -> list[tuple[str, str]]:
    facts = []
    if report.inside:
        facts.append(("asked for", f"{report.asked:#x} is {report.inside} in it"))
    size = format_bytes(report.shallow_bytes)
    if report.slot_bytes is not None:
        kind = f"size class {format_size_class(report.slot_bytes)}" if report.slot_bytes else "a large object"
        size += f"  {kind}, {'with' if report.has_pointers else 'without'} pointers"
    facts.append(("size", size))
    facts.append(("retains", _retains(report)))
    facts.append(("in memory", _residency(report)))
    if report.holder is not None:
        facts.append(("holder", report.holder))
    if report.path is not None and report.path not in (report.holder, report.variable):
        facts.append(("path", report.path))
    if report.shortest is not None and report.shortest not in (report.path, report.variable):
        facts.append(("shortest", report.shortest))
    if report.site is not None:
        facts.append(("allocated", " < ".join(_frame(frame) for frame in report.site[:4])))
    elif report.variable is None:
        facts.append(("allocated", "not sampled"))
    if report.specials:
        facts.append(("has", ", ".join(report.specials)))
    if report.evidence in ("none", "choice", "prefix", "shape"):
        facts.append(
            ("type", f"known by {report.evidence} only" if report.evidence != "none" else "not known")
        )
    return facts


def _retains(report: ObjectReport) -> str:
    if report.retained_bytes is None or report.retained_objects is None or report.share is None:
        return "unknown: what garbage keeps is not told apart"
    objects = format_count(report.retained_objects)
    return f"{format_bytes(report.retained_bytes)} in {objects} objects, {percent(report.share)} of live"


def _residency(report: ObjectReport) -> str:
    if report.resident_bytes is None:
        return "unknown: the core does not say which pages were resident"
    if report.resident_bytes >= report.shallow_bytes:
        return "all of it"
    swapped = f", {format_bytes(report.swapped_bytes)} in swap" if report.swapped_bytes else ""
    return f"{format_bytes(report.resident_bytes)} of it{swapped}"


def _frame(frame: Any) -> str:
    place = f" {frame.file.rpartition('/')[2]}:{frame.line}" if frame.file and frame.line else ""
    return f"{frame.func}{place}"


def _fact(label: str, text: str, width: int) -> list[Text]:
    pieces = textwrap.wrap(printable(text), width - _LABEL - 2)[:4] or [""]
    lines = [Text(f"  {label if number == 0 else '':<{_LABEL}}") for number in range(len(pieces))]
    for line, piece in zip(lines, pieces, strict=True):
        line.append(shorten(piece, width - _LABEL - 2))
    return lines


def _dominators(report: ObjectReport, width: int) -> list[Text]:
    if not report.dominator_count:
        return []
    lines = [Text(), Text("KEPT BY", style="bold"), Text("  without any of these it would be freed", "dim")]
    for each in report.dominators:
        place = f"{each.address:#x}" if each.address is not None else "root"
        room = width - 30
        lines.append(
            Text(f"  {format_bytes(each.retained_bytes):>10}  {place:<14}  {shorten(each.name, room)}")
        )
    more = report.dominator_count - len(report.dominators)
    if more:
        lines.append(Text(f"  {more:,} more", "dim"))
    return lines


def _referrers(report: ObjectReport, width: int) -> list[Text]:
    if report.referrers is None:
        return []
    lines = [Text(), Text("REFERRED TO BY", style="bold")]
    for row in report.referrers.rows():
        place = f"{row['addr']:#x}" if row["addr"] is not None else "root"
        room = width - 18
        name = f"{row['from']} {row['field']}"
        lines.append(Text(f"  {place:<14}  {shorten(name, room)}"))
    if not len(report.referrers):
        lines.append(Text("  nothing", "dim"))
    more = report.referrers.row_count - len(report.referrers)
    if more:
        lines.append(Text(f"  {more:,} more: heldby refs TARGET {report.address:#x}", "dim"))
    return lines


def object_document(reports: list[ObjectReport], caveats: Sequence[str] = ()) -> dict[str, Any]:
    """Return reports as plain data for JSON, with what their numbers lack; absent facts are None."""
    return {
        "schema": SCHEMA,
        "objects": [_document(report) for report in reports],
        "caveats": [well_formed(caveat) for caveat in caveats],
    }


def _document(report: ObjectReport) -> dict[str, Any]:
    referrers = report.referrers
    return {
        "asked": f"{report.asked:#x}",
        "address": f"{report.address:#x}",
        "inside": report.inside or None,
        "variable": report.variable,
        "type": report.type,
        "evidence": report.evidence,
        "live": report.live,
        "marked": report.marked,
        "shallow_bytes": report.shallow_bytes,
        "retained_bytes": report.retained_bytes,
        "retained_objects": report.retained_objects,
        "share": report.share,
        "slot_bytes": report.slot_bytes,
        "has_pointers": report.has_pointers,
        "resident_bytes": report.resident_bytes,
        "swapped_bytes": report.swapped_bytes,
        "holder": report.holder,
        "path": report.path,
        "shortest_path": report.shortest,
        "dominators": [
            {
                "name": each.name,
                "address": f"{each.address:#x}" if each.address is not None else None,
                "retained_bytes": each.retained_bytes,
            }
            for each in report.dominators
        ],
        "dominator_count": report.dominator_count,
        "referrer_count": None if referrers is None else referrers.row_count,
        "referrers": None
        if referrers is None
        else [
            row | {"addr": f"{row['addr']:#x}" if row["addr"] is not None else None}
            for row in referrers.rows()
        ],
        "site": None
        if report.site is None
        else [{"func": frame.func, "file": frame.file, "line": frame.line} for frame in report.site],
        "specials": list(report.specials),
        "value": value_document(report.value),
    }

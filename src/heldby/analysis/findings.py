"""What to change: advice with the bytes that it would save, each by a rule that states its condition."""

from __future__ import annotations

from typing import Final

from heldby.analysis.answer import EVERYTHING_ELSE, Finding, Holder
from heldby.analysis.costs import HolderCosts, is_worth_it
from heldby.units import format_count

LET_GO: Final = "let-go"
KEEP_AS_TEXT: Final = "keep-as-text"
GOROUTINES: Final = "goroutines"

_LARGE: Final = 0.25
"""Of the live bytes: a holder of less is not what makes the heap large."""
_OWN_ROOTS: Final = ("global", "goroutine", "object")
"""Whose roots the program can change; the others are the runtime's."""
_WORTH_IT_OF_LIVE: Final = 0.05
_MOST_INEXACT: Final = 0.02
"""Of the values on the way: with more of them told only in part, the figures are no advice."""


def findings_of(holders: tuple[Holder, ...], costs: HolderCosts, live_bytes: int) -> tuple[Finding, ...]:
    """Return the advice, what saves most first; O(holders)."""
    return (*_largest(holders), *text_findings(costs, live_bytes))


def _largest(holders: tuple[Holder, ...]) -> tuple[Finding, ...]:
    """Return what letting go of the largest holder would free: its retained bytes, exact by the dominator tree.

    Where that is the runtime's records of goroutines, the advice is about the goroutines.
    """
    top = holders[0] if holders else None
    if top is None or top.path == EVERYTHING_ELSE or top.root_kind not in _OWN_ROOTS:
        return ()
    if (top.share or 0) < _LARGE:
        return ()
    if top.title is not None:
        return _goroutines(top)
    evidence = {
        "type": top.type,
        "objects": top.objects_at_end,
        "container": top.kept_in[0].container if top.kept_in else None,
        "shared": top.root_kind == "object",
    }
    verb = "Keep less in" if top.kept_in else "Let go of"
    return (
        Finding(
            rule=LET_GO,
            title=f"{verb} {top.path}",
            holder=top.path,
            evidence=evidence,
            saving_bytes=top.retained_bytes,
        ),
    )


def _goroutines(top: Holder) -> tuple[Finding, ...]:
    """Return where to look. Nothing is saved for certain: a record is used again, never freed (runtime/proc.go)."""
    if top.root_kind != "goroutine":
        return ()
    where = top.root.removeprefix("goroutine ")
    count = top.objects_at_end if top.type == "runtime.g" else None
    who = "Goroutines" if count is None else f"{format_count(count)} goroutines"
    return (
        Finding(
            rule=GOROUTINES,
            title=f"{who} wait in {where}: heldby goroutines TARGET",
            holder=top.path,
            evidence={"goroutines": count},
        ),
    )


def text_findings(costs: HolderCosts, live_bytes: int) -> tuple[Finding, ...]:
    """Return the advice to keep data as texts, where that was measured to save much and leaves little out."""
    tree = costs.ownership.tree
    findings: list[Finding] = []
    seen = set()
    for row, cost in zip(costs.ownership.rows, costs.costs, strict=False):
        texts = cost.texts
        if texts is None or texts.path in seen:
            continue
        seen.add(texts.path)
        much = texts.saving_bytes >= _WORTH_IT_OF_LIVE * live_bytes
        if not much or not is_worth_it(texts) or texts.inexact_share > _MOST_INEXACT:
            continue
        evidence = {
            "current_bytes": texts.current_bytes,
            "json_total_bytes": texts.json_total_bytes,
            "current_objects": texts.current_objects,
            "objects": texts.objects,
            "measured_every": texts.every,
        }
        findings.append(
            Finding(
                rule=KEEP_AS_TEXT,
                title=f"Keep {texts.path} as JSON, one text for each element",
                holder=tree.text(row.path).strip(),
                evidence=evidence,
                saving_bytes=texts.saving_bytes,
            )
        )
    return tuple(findings)

"""What to change: advice with the bytes that it would save, each by a rule that states its condition."""

from __future__ import annotations

from typing import Final

from heldby.analysis.advice.goroutine_leaks import LeakedGoroutines
from heldby.analysis.answer import EVERYTHING_ELSE, Finding, Holder, RssAccount
from heldby.analysis.small_objects.costs import HolderCosts, is_worth_it
from heldby.units import format_count

LET_GO: Final = "let-go"
KEEP_AS_TEXT: Final = "keep-as-text"
GOROUTINES: Final = "goroutines"
LEAKED_GOROUTINES: Final = "leaked-goroutines"
COLLECT_SOONER: Final = "collect-sooner"

_LARGE: Final = 0.25
"""Of the live bytes: a holder of less is not what makes the heap large."""
_OWN_ROOTS: Final = ("global", "goroutine", "object")
"""Whose roots the program can change; the others are the runtime's."""
_WORTH_IT_OF_RSS: Final = 0.1
_LEAST_LEAK: Final = 1 << 20
_WORTH_IT_OF_LIVE: Final = 0.05
_MOST_INEXACT: Final = 0.02
"""Of the values on the way: with more of them told only in part, the figures are no advice."""


def findings_of(
    holders: tuple[Holder, ...],
    costs: HolderCosts,
    leaked: LeakedGoroutines | None,
    account: RssAccount,
    live_bytes: int,
) -> tuple[Finding, ...]:
    """Return the advice, what saves most first; O(holders)."""
    found = (
        *_largest(holders),
        *_leaked_goroutines(leaked, live_bytes),
        *text_findings(costs, live_bytes),
        *_collect_sooner(account),
    )
    return tuple(sorted(found, key=lambda finding: -(finding.saving_bytes or 0)))


def _leaked_goroutines(leaked: LeakedGoroutines | None, live_bytes: int) -> tuple[Finding, ...]:
    """Return what goroutines that nothing can wake keep: it is freed when the code lets them end."""
    if leaked is None or leaked.saving_bytes < max(_LEAST_LEAK, _WORTH_IT_OF_LIVE * live_bytes):
        return ()
    some = "" if leaked.of_creator == leaked.count else f"{format_count(leaked.of_creator)} of them "
    where = f", {some}started by {leaked.creator}" if leaked.creator else ""
    return (
        Finding(
            rule=LEAKED_GOROUTINES,
            title=f"End {format_count(leaked.count)} leaked goroutines{where}",
            evidence={
                "goroutines": leaked.count,
                "kept_bytes": leaked.kept_bytes,
                "stack_bytes": leaked.stack_bytes,
                "created_by": leaked.creator,
                "file": leaked.file,
                "line": leaked.line,
            },
            saving_bytes=leaked.saving_bytes,
        ),
    )


def _collect_sooner(account: RssAccount) -> tuple[Finding, ...]:
    """Return what a smaller goal gives back, where the room up to today's is what makes the process large.

    That is what the heap fills beyond the smaller goal now, not what it may fill later.
    """
    if account.cause not in ("headroom", "garbage") or not account.total_bytes:
        return ()
    filled = sum(row.bytes or 0 for row in account.rows if row.group == "heap")
    worth = [
        each
        for each in account.settings
        if each.setting.startswith("GOGC=")
        and filled - each.goal_bytes >= _WORTH_IT_OF_RSS * account.total_bytes
    ]
    if not worth:
        return ()
    mildest = max(worth, key=lambda each: each.goal_bytes)
    return (
        Finding(
            rule=COLLECT_SOONER,
            title=f"Set {mildest.setting}: most of RSS is {account.cause}",
            evidence={
                "setting": mildest.setting,
                "goal_bytes": mildest.goal_bytes,
                "collections": mildest.collections,
                "note": mildest.note,
            },
            saving_bytes=filled - mildest.goal_bytes,
        ),
    )


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
    containers = [place for place in top.kept_in if place.container != "field"]
    evidence = {
        "type": top.type,
        "objects": top.objects_at_end,
        "container": containers[0].container if containers else None,
        "shared": top.root_kind == "object",
    }
    verb = "Keep less in" if containers else "Let go of"
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

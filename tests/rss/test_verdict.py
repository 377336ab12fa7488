"""The verdict's sentence: the number, the cause, and whether anything leaks outside the heap."""

from __future__ import annotations

import pytest

from heldby.analysis.answer import CollectorFacts, RssAccount, RssRow
from heldby.analysis.rss.verdict import Verdict, verdict_of

MIB = 1 << 20
GROUPS = {
    "live objects": "heap",
    "held by finalizers only": "heap",
    "garbage, not swept": "heap",
    "free slots in spans": "heap",
    "free pages, kept": "heap",
    "free pages, given back": "heap",
    "goroutine stacks, used": "stacks",
    "mspans": "runtime",
    "program text": "program",
    "C heap (malloc)": "outside",
    "thread stacks": "outside",
    "mapped files": "outside",
    "other anonymous memory": "outside",
}


def verdict(collector: CollectorFacts | None = None, **mebibytes: int) -> Verdict:
    """Return the verdict on rows that are named by their first letters."""
    rows = []
    for name, group in GROUPS.items():
        key = next((k for k in mebibytes if name.replace(",", "").replace(" ", "_").startswith(k)), None)
        size = mebibytes.get(key, 0) if key is not None else 0
        rows.append(RssRow(name=name, bytes=size * MIB, group=group, note="7 goroutines"))
    total = sum(row.bytes or 0 for row in rows)
    return verdict_of(RssAccount(total_bytes=total, rows=tuple(rows), collector=collector))


def test_what_is_live_is_held_and_not_wasted() -> None:
    found = verdict(live=90, mspans=4, program=6)

    assert found.cause == "live"
    assert found.sentence == (
        "100 MiB: 90.0 MiB live (90%), held by the program; 6.00 MiB is the program itself; "
        "nothing leaks outside the heap."
    )


def test_garbage_is_told_with_the_goal_that_allows_it() -> None:
    found = verdict(CollectorFacts(gogc=100, goal_bytes=90 * MIB), live=40, garbage=60)

    assert found.cause == "garbage"
    assert found.sentence == (
        "100 MiB: 40.0 MiB live; 60.0 MiB is garbage that the next collection frees "
        "(GOGC=100 lets the heap reach 90.0 MiB); nothing leaks outside the heap."
    )


def test_free_pages_below_the_goal_are_headroom_and_those_above_it_are_not_returned() -> None:
    collector = CollectorFacts(gogc=100, goal_bytes=50 * MIB)

    # 30 MiB are in use, so the heap will fill 20 of the 100 free ones before its goal.
    found = verdict(collector, live=30, free_pages_kept=100)
    assert found.cause == "not returned"
    assert "80.0 MiB is free and not returned to the kernel" in str(found.sentence)
    assert "20.0 MiB is free and kept as headroom (GOGC=100 lets the heap reach 50.0 MiB)" in str(
        found.sentence
    )
    assert verdict(collector, live=10, free_pages_kept=40).cause == "headroom"


def test_two_causes_are_told_when_the_second_is_large() -> None:
    found = verdict(live=20, free_slots=50, goroutine=30)

    assert found.sentence == (
        "100 MiB: 20.0 MiB live; 50.0 MiB is free slots between live objects, fragmentation; "
        "30.0 MiB is stacks of 7 goroutines; nothing leaks outside the heap."
    )


@pytest.mark.parametrize(
    ("row", "cause", "words"),
    [
        ("C", "C", "was allocated by C, where no Go profile looks"),
        ("thread", "threads", "is stacks of threads"),
        ("mapped", "files", "is mapped files, which the kernel drops when it must"),
        ("other", "anonymous", "is mapped outside the Go heap, where no Go profile looks"),
        ("held", "finalizers", "only finalizers or cleanups that have not run still reach"),
        ("free_pages_given", "given back", "was given back and is still resident"),
        ("mspans", "runtime", "is the runtime's own metadata"),
    ],
)
def test_each_cause_has_its_words(row: str, cause: str, words: str) -> None:
    found = verdict(live=10, **{row: 90})

    assert found.cause == cause
    assert words in str(found.sentence)
    outside = cause in ("C", "threads", "files", "anonymous")
    assert ("nothing leaks outside the heap" in str(found.sentence)) != outside


def test_without_rss_there_is_no_verdict() -> None:
    assert verdict_of(RssAccount()) == Verdict(None, None)

"""How the answer to the first question is made: each part from its own analysis, O(vertices + references)."""

from __future__ import annotations

from typing import Final

from heldby.analysis.advice.findings import findings_of
from heldby.analysis.advice.goroutine_leaks import leaked_goroutines
from heldby.analysis.allocation.sites import profile_caveats, profile_facts, site_matrix
from heldby.analysis.answer import Answer
from heldby.analysis.heap_totals import heap_totals
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.holding.holders import describe_rows
from heldby.analysis.holding.ownership import ownership_of
from heldby.analysis.process_facts import capture_facts, process_facts
from heldby.analysis.rss import rss_account
from heldby.analysis.small_objects.costs import measure_costs, with_costs
from heldby.analysis.statements.storing import with_statements
from heldby.heap.heap import Heap
from heldby.progress import Progress

_MEASURED_AS_TEXTS: Final = 3
"""Holders whose data is measured as texts for the first screen."""


def make_answer(heap: Heap, progress: Progress) -> Answer:
    """Return the answer for one heap; see `heldby.analysis.answering.answer_of`."""
    with progress.phase("dominator tree"):
        _ = heap.tree
    with progress.phase("holders"):
        tree = build_holder_tree(heap)
        ownership = ownership_of(tree)
        holders = describe_rows(tree, ownership.rows, ownership.rest)
    with progress.phase("statements that store"):
        holders = with_statements(tree, holders, [row.path for row in ownership.rows])
    costs = measure_costs(ownership, texts=_MEASURED_AS_TEXTS, sampled=True, progress=progress)
    with progress.phase("allocation sites"):
        matrix = site_matrix(ownership)
        profile = profile_facts(heap.profile, matrix)
    totals = heap_totals(heap)
    core = heap.process.core
    with progress.phase("leaked goroutines"):
        leaked = leaked_goroutines(heap)
    with progress.phase("resident memory"):
        account = rss_account(core, heap.process, heap, detailed=False)
    return Answer(
        capture=capture_facts(core),
        process=process_facts(core, heap.process, heap.goroutine_count),
        heap=totals,
        rss=account,
        holders=with_costs(holders, costs),
        profile=profile,
        sites=matrix.sites() if matrix is not None else (),
        held=matrix.held() if matrix is not None else (),
        findings=findings_of(holders, costs, leaked, account, totals.live_bytes or 0),
        caveats=(*heap.caveats, *profile_caveats(profile, matrix)),
    )

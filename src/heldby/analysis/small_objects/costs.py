"""What small objects cost, holder by holder: what the bytes are spent on, and the same data as texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import Cost, Holder, TextAlternative
from heldby.analysis.holding.ownership import Ownership
from heldby.analysis.small_objects.text_alternative import measure_alternative
from heldby.analysis.small_objects.text_scopes import ScopeFinder
from heldby.analysis.table import Kind, Table, number_column, text_column
from heldby.golang.typing.object_use_kernels import CAUSES, OBJECTS, SCANNED_OBJECTS, SCANNED_WORDS
from heldby.heap.object_use import object_use
from heldby.heap.value_walk import ValueWalk
from heldby.progress import QUIET, Progress
from heldby.units import format_bytes, format_count

CAUSE_NAMES: Final = (
    "payload",
    "pointers",
    "string_headers",
    "slice_headers",
    "interface_words",
    "spare_capacity",
    "map_empty_slots",
    "map_control",
    "malloc_headers",
    "size_class_rounding",
    "unknown",
)
assert len(CAUSE_NAMES) == CAUSES
SAMPLED_BUDGET: Final = 1 << 20
"""Values that the first screen visits for each holder; `heldby cost` visits all."""
_EVIDENCE_CELLS: Final = 62
"""What fits beside a holder on a screen of 80 cells."""
_FEWEST_OBJECTS: Final = 1000
_WORTH_IT: Final = 0.25
_LEAST_SAVING: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class HolderCosts:
    """The costs of the first rows of the answer.

    Attributes:
        ownership: the rows.
        costs: of the first rows, in their order; the last one may be that of everything else.
        total: of all live objects together.
    """

    ownership: Ownership
    costs: tuple[Cost, ...]
    total: Cost


def measure_costs(
    ownership: Ownership, *, texts: int, sampled: bool = False, progress: Progress = QUIET
) -> HolderCosts:
    """Return what every row costs; the first `texts` rows are measured as texts, too.

    One pass over the references, one over the objects (together 80 ns for each), and about 30 ns for each value
    of what is measured as texts; when `sampled`, of at most about `SAMPLED_BUDGET` of them.
    """
    tree, rows = ownership.tree, [*ownership.rows, ownership.rest]
    with progress.phase("what bytes are spent on"):
        use = object_use(tree.heap)
        account = use.account(ownership.of_all(), len(rows))
    with progress.phase("the same data as texts"):
        measured = ownership.rows[:texts]
        walk = ValueWalk(tree.heap)
        finder = ScopeFinder(tree, use, walk, [row.path for row in measured])
        # Far more than an undamaged heap needs: a value has a few words, and 64 bytes of text count one.
        everything = 16 * tree.heap.object_count + int(tree.paths.retained[0]) + (1 << 24)
        known: dict[int, TextAlternative | str] = {}
        found: list[tuple[TextAlternative | None, str | None]] = []
        for row in measured:
            if row.objects < _FEWEST_OBJECTS:
                found.append((None, "few objects: nothing to gain"))
                continue
            if tree.heap.naming.is_runtime_record(tree.type_of(row.path)):
                found.append((None, "the runtime's own records of goroutines"))
                continue
            scope = finder.scope_of(row.path)
            if scope is None:
                found.append((None, "nothing on the way to it has many elements of less than 64 KiB"))
                continue
            if scope.path not in known:
                budget = SAMPLED_BUDGET if sampled else everything
                known[scope.path] = measure_alternative(tree, finder, walk, scope, budget=budget)
            texts_or_why = known[scope.path]
            found.append((None, texts_or_why) if isinstance(texts_or_why, str) else (texts_or_why, None))
    found += [(None, None)] * (len(rows) - len(found))
    costs = tuple(_cost(line, *texts_of) for line, texts_of in zip(account, found, strict=True))
    return HolderCosts(ownership, costs, _cost(account.sum(axis=0), None, None))


def _cost(line: NDArray[np.int64], texts: TextAlternative | None, why: str | None) -> Cost:
    causes = dict(zip(CAUSE_NAMES, line[:CAUSES].tolist(), strict=True))
    return Cost(
        objects=int(line[OBJECTS]),
        bytes=int(line[:CAUSES].sum()),
        causes=causes,
        scanned_objects=int(line[SCANNED_OBJECTS]),
        scanned_words=int(line[SCANNED_WORDS]),
        texts=texts,
        why_no_texts=why,
    )


def cost_evidence(cost: Cost, *, texts: bool) -> tuple[str, ...]:
    """Return the one or two lines that stand below a holder; with `texts`, the second says what texts save."""
    if not cost.bytes or cost.objects < _FEWEST_OBJECTS:
        return ()
    largest = sorted(
        ((size, name) for name, size in cost.causes.items() if name not in ("payload", "unknown")),
        reverse=True,
    )
    parts = [
        f"{size / cost.bytes:.0%} {cause_text(name)}" for size, name in largest[:2] if size * 20 > cost.bytes
    ]
    mean = (
        f"{format_bytes(cost.bytes / cost.objects)} an object: " if cost.bytes < 1024 * cost.objects else ""
    )
    line = f"{mean}{cost.causes['payload'] / cost.bytes:.0%} data"
    for part in parts:
        line += f", {part}" if len(line) + len(part) + 2 <= _EVIDENCE_CELLS else ""
    lines = [line]
    if texts and cost.texts is not None and is_worth_it(cost.texts):
        lines.append(text_sentence(cost.texts, short=True))
    return tuple(lines)


def with_costs(holders: tuple[Holder, ...], costs: HolderCosts) -> tuple[Holder, ...]:
    """Return the holders, which stand in the order of the rows, with their costs and a line on them."""
    seen: set[str] = set()
    found = []
    for holder, cost in zip(holders, costs.costs, strict=False):  # everything else may be nothing
        lines = cost_evidence(cost, texts=cost.texts is not None and cost.texts.path not in seen)
        if cost.texts is not None:
            seen.add(cost.texts.path)
        found.append(replace(holder, cost=cost, evidence=(*holder.evidence, *lines)))
    return tuple(found)


def cause_text(name: str) -> str:
    """Return a cause in words."""
    return name.replace("_", " ")


def is_worth_it(texts: TextAlternative) -> bool:
    """Tell whether texts save a quarter of what they replace, and that is more than a megabyte."""
    return texts.saving_bytes >= max(_WORTH_IT * texts.current_bytes, _LEAST_SAVING)


def text_sentence(texts: TextAlternative, *, short: bool = False) -> str:
    """Return what texts would take instead of what there is."""
    before, after = format_bytes(texts.current_bytes), format_bytes(texts.json_total_bytes)
    about = "about " if texts.every > 1 else ""
    now, then = format_count(texts.current_objects), format_count(texts.objects)
    if short:
        return f"as JSON text {'~' if about else ''}{after}, not {before}; {then} objects, not {now}"
    return (
        f"kept as JSON text, {about}{after} instead of {before}, and the collector would mark {then} objects "
        f"instead of {now}"
    )


def cost_table(costs: HolderCosts) -> Table:
    """Return one row for each holder, with exact numbers."""
    tree, rows = costs.ownership.tree, costs.ownership.rows
    names = [*(tree.text(row.path).strip() for row in rows), "everything else"]
    found = costs.costs
    texts = [cost.texts for cost in found]
    columns = [
        text_column("holder", names),
        number_column("bytes", Kind.BYTES, [cost.bytes for cost in found]),
        number_column("objects", Kind.COUNT, [cost.objects for cost in found]),
        *(
            number_column(f"{name}_bytes", Kind.BYTES, [cost.causes[name] for cost in found])
            for name in CAUSE_NAMES
        ),
        number_column("scanned_objects", Kind.COUNT, [cost.scanned_objects for cost in found]),
        number_column("scanned_words", Kind.COUNT, [cost.scanned_words for cost in found]),
        text_column("texts_of", [None if each is None else each.path for each in texts]),
        *(
            number_column(
                f"texts_{name}" if name != "units" else "texts",
                kind,
                [None if each is None else getattr(each, name) for each in texts],
            )
            for name, kind in _TEXT_COLUMNS
        ),
    ]
    return Table(name="cost", columns=tuple(columns), title="What small objects cost", notes=_notes(costs))


_TEXT_COLUMNS: Final = (
    ("units", Kind.COUNT),
    ("every", Kind.NUMBER),
    ("current_bytes", Kind.BYTES),
    ("current_objects", Kind.COUNT),
    ("json_bytes", Kind.BYTES),
    ("full_json_bytes", Kind.BYTES),
    ("json_total_bytes", Kind.BYTES),
    ("packed_bytes", Kind.BYTES),
    ("packed_total_bytes", Kind.BYTES),
    ("objects", Kind.COUNT),
)


def _notes(costs: HolderCosts) -> tuple[str, ...]:
    names = [costs.ownership.tree.text(row.path).strip() for row in costs.ownership.rows]
    return tuple(
        f"{name} as texts: {note}"
        for name, cost in zip(names, costs.costs, strict=False)
        if cost.texts is not None
        for note in cost.texts.left_out
    )

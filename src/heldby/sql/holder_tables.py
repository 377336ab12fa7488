"""Tables of who holds what: holders, goroutines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import Holder
from heldby.analysis.table import Kind
from heldby.golang.layouts.layout import Layout
from heldby.sql.facts import Facts, Known, Texts, texts
from heldby.sql.schema import ColumnOf, TableOf


def numbers(values: list[int | float | None]) -> Known:
    """Return a few numbers, None for unknown."""
    unknown = np.array([value is None for value in values], np.bool_)
    return np.array([0 if value is None else value for value in values]), unknown


def _holders(of: Callable[[Holder], Any], *, text: bool = False) -> Callable[[Facts], Known | Texts]:
    def values(facts: Facts) -> Known | Texts:
        found = [of(holder) for holder in facts.answer.holders]
        return texts(found) if text else numbers(found)

    return values


HOLDERS: Final = TableOf(
    "holders",
    "A row of the first screen: who keeps a part of the live heap. Every live byte belongs to exactly one.",
    (
        ColumnOf(
            "holder", Kind.NUMBER, "its number, the largest is 0", lambda f: np.arange(len(f.answer.holders))
        ),
        ColumnOf("path", Kind.TEXT, "`main.manager.paths[*].Seen[*]`", _holders(lambda h: h.path, text=True)),
        ColumnOf(
            "root",
            Kind.TEXT,
            "variable, goroutine, or type of what several hold",
            _holders(lambda h: h.root, text=True),
        ),
        ColumnOf(
            "root_kind",
            Kind.TEXT,
            "`global`, `goroutine`, `special`, `runtime`, `object`",
            _holders(lambda h: h.root_kind, text=True),
        ),
        ColumnOf(
            "type",
            Kind.TEXT,
            "of what piles up there; NULL when unknown",
            _holders(lambda h: h.type, text=True),
        ),
        ColumnOf("retained_bytes", Kind.BYTES, "what this row keeps", _holders(lambda h: h.retained_bytes)),
        ColumnOf(
            "retained_objects", Kind.COUNT, "objects that it keeps", _holders(lambda h: h.retained_objects)
        ),
        ColumnOf("share", Kind.SHARE, "of the live bytes", _holders(lambda h: h.share)),
        ColumnOf(
            "held_by",
            Kind.TEXT,
            "for what several hold: who they are; NULL otherwise",
            _holders(lambda h: "; ".join(h.held_by) or None, text=True),
        ),
    ),
)


def _constant_names(layout: Layout, prefix: str, values: NDArray[np.uint64]) -> Texts:
    """Return the runtime's names of constants, ``waiting`` for ``runtime._Gwaiting``; unknown for other values."""
    names = {
        layout.const(f"runtime.{prefix}{name}"): name
        for name in _STATES
        if layout.has_const(f"runtime.{prefix}{name}")
    }
    distinct, codes = np.unique(values, return_inverse=True)
    return [names.get(value) for value in distinct.tolist()], codes


_STATES: Final = (
    *(
        "idle",
        "runnable",
        "running",
        "syscall",
        "waiting",
        "dead",
        "copystack",
        "preempted",
        "leaked",
        "deadextra",
    ),
)


def _alive(facts: Facts) -> NDArray[np.intp]:
    runtime = facts.heap.process.runtime
    gone = [
        runtime.layout.const(f"runtime._G{name}")
        for name in ("idle", "dead", "deadextra")
        if runtime.layout.has_const(f"runtime._G{name}")
    ]
    return np.flatnonzero(~np.isin(facts.goroutines.status, gone) & facts.goroutines.present)


def _wait_reasons(facts: Facts) -> Texts:
    layout = facts.heap.process.runtime.layout
    rows = _alive(facts)
    reasons = facts.goroutines.wait_reason[rows].astype(np.int64)
    waiting = facts.goroutines.status[rows] == layout.const("runtime._Gwaiting", 4)
    words: list[str | None] = [*layout.wait_reasons, None]
    known = waiting & (reasons < len(words) - 1)
    return words, np.where(known, reasons, len(words) - 1)


def _of_root(facts: Facts, which: str) -> Known:
    root = facts.goroutine_root[_alive(facts)]
    nothing = root < 0
    if which == "root":
        return root, nothing
    vertices = np.where(nothing, 0, root) + facts.heap.object_count + 1
    values, unreached = facts.by_number(facts.heap.retained_bytes, vertices)
    return np.where(nothing, 0, values), unreached & ~nothing


def _column(name: str) -> Callable[[Facts], NDArray[Any]]:
    return lambda facts: getattr(facts.goroutines, name)[_alive(facts)]


def _functions(facts: Facts, name: str) -> Texts:
    return facts.function_names(getattr(facts.goroutines, name)[_alive(facts)])


GOROUTINES: Final = TableOf(
    "goroutines",
    "A goroutine that is not dead.",
    (
        ColumnOf("goroutine", Kind.NUMBER, "its id, as in a traceback", _column("goid")),
        ColumnOf(
            "state",
            Kind.TEXT,
            "`runnable`, `running`, `syscall`, `waiting`, ...",
            lambda f: _constant_names(f.heap.process.runtime.layout, "_G", f.goroutines.status[_alive(f)]),
        ),
        ColumnOf("wait_reason", Kind.TEXT, "as in a traceback; NULL when it does not wait", _wait_reasons),
        ColumnOf("function", Kind.TEXT, "that it started with", partial(_functions, name="start_pc")),
        ColumnOf(
            "created_by", Kind.TEXT, "the function with the go statement", partial(_functions, name="go_pc")
        ),
        ColumnOf(
            "parent",
            Kind.NUMBER,
            "id of the goroutine that made it, 0 for the runtime",
            _column("parent_goid"),
        ),
        ColumnOf(
            "stack_bytes",
            Kind.BYTES,
            "of its stack",
            lambda f: (f.goroutines.stack_hi - f.goroutines.stack_lo)[_alive(f)],
        ),
        ColumnOf(
            "root", Kind.NUMBER, "`roots.root`; NULL when it holds nothing", partial(_of_root, which="root")
        ),
        ColumnOf(
            "retained_bytes",
            Kind.BYTES,
            "what would be freed if its stack held nothing",
            partial(_of_root, which="retained_bytes"),
        ),
    ),
)

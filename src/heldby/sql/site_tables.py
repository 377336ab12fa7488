"""Tables of where memory was allocated: sites, what holders hold of each, and the sampled objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from heldby.analysis.allocation.estimates import weights
from heldby.analysis.allocation.sites import SiteMatrix, site_matrix
from heldby.analysis.answer import Held, Site
from heldby.analysis.holding.ownership import ownership_of
from heldby.analysis.table import Kind
from heldby.sql.facts import Facts, Known, Texts, texts
from heldby.sql.holder_tables import numbers
from heldby.sql.schema import ColumnOf, TableOf


def _sites(of: Callable[[Site], Any], *, text: bool = False) -> Callable[[Facts], Known | Texts]:
    def values(facts: Facts) -> Known | Texts:
        found = [of(site) for site in facts.answer.sites]
        return texts(found) if text else numbers(found)

    return values


def _held(of: Callable[[Held], int | None]) -> Callable[[Facts], Known]:
    return lambda facts: numbers([of(held) for held in facts.answer.held])


def _matrix(facts: Facts) -> SiteMatrix | None:
    return site_matrix(ownership_of(facts.tree))


def _samples(of: Callable[[Facts, SiteMatrix], Any]) -> Callable[[Facts], Any]:
    def values(facts: Facts) -> Any:
        matrix = facts.shared(_matrix)
        return np.zeros(0, np.int64) if matrix is None else of(facts, matrix)

    return values


def _weights(facts: Facts, matrix: SiteMatrix) -> Any:
    return weights(facts.heap.objects.sizes()[matrix.objects], facts.heap.profile.rate or 1)


SITES: Final = TableOf(
    "sites",
    "An allocation site of the runtime's memory profile: a stack. Empty where the process has no such profile.",
    (
        ColumnOf("site", Kind.NUMBER, "its number", lambda f: np.arange(len(f.answer.sites))),
        ColumnOf(
            "function",
            Kind.TEXT,
            "that allocated",
            _sites(lambda s: s.stack[0].func if s.stack else None, text=True),
        ),
        ColumnOf(
            "file",
            Kind.TEXT,
            "of that call",
            _sites(lambda s: s.stack[0].file if s.stack else None, text=True),
        ),
        ColumnOf("line", Kind.NUMBER, "of that call", _sites(lambda s: s.stack[0].line if s.stack else None)),
        ColumnOf(
            "stack",
            Kind.TEXT,
            "all calls, the allocating one first, with ` < ` between",
            _sites(lambda s: " < ".join(frame.func for frame in s.stack), text=True),
        ),
        ColumnOf(
            "live_bytes", Kind.BYTES, "live bytes allocated there, estimated", _sites(lambda s: s.live_bytes)
        ),
        ColumnOf("live_objects", Kind.COUNT, "live objects, estimated", _sites(lambda s: s.live_objects)),
        ColumnOf(
            "live_bytes_low",
            Kind.BYTES,
            "in 95 of 100 cases the truth is no less",
            _sites(lambda s: s.live_bytes_low),
        ),
        ColumnOf("live_bytes_high", Kind.BYTES, "and no more", _sites(lambda s: s.live_bytes_high)),
        ColumnOf("live_samples", Kind.COUNT, "samples of live objects", _sites(lambda s: s.live_samples)),
        ColumnOf(
            "garbage_bytes",
            Kind.BYTES,
            "garbage allocated there, estimated",
            _sites(lambda s: s.garbage_bytes),
        ),
        ColumnOf("garbage_samples", Kind.COUNT, "samples of garbage", _sites(lambda s: s.garbage_samples)),
    ),
)

HELD: Final = TableOf(
    "held",
    "What a holder holds of what a site allocated; pairs without samples are left out.",
    (
        ColumnOf("site", Kind.NUMBER, "`sites.site`", _held(lambda h: h.site)),
        ColumnOf("holder", Kind.NUMBER, "`holders.holder`", _held(lambda h: h.holder)),
        ColumnOf("bytes", Kind.BYTES, "estimated", _held(lambda h: h.bytes)),
        ColumnOf(
            "bytes_low", Kind.BYTES, "in 95 of 100 cases the truth is no less", _held(lambda h: h.bytes_low)
        ),
        ColumnOf("bytes_high", Kind.BYTES, "and no more", _held(lambda h: h.bytes_high)),
        ColumnOf("samples", Kind.COUNT, "on which the estimate stands", _held(lambda h: h.samples)),
    ),
)

SAMPLES: Final = TableOf(
    "samples",
    "A sampled object that still exists, garbage included: join it with objects.",
    (
        ColumnOf(
            "object", Kind.ADDRESS, "`objects.address`", _samples(lambda f, m: f.heap.objects.addr[m.objects])
        ),
        ColumnOf("site", Kind.NUMBER, "`sites.site`", _samples(lambda _f, m: m.site_of_object)),
        ColumnOf(
            "stands_for_bytes",
            Kind.BYTES,
            "bytes that the sample stands for, as pprof scales them",
            _samples(lambda f, m: np.rint(_weights(f, m) * f.heap.objects.sizes()[m.objects])),
        ),
        ColumnOf(
            "stands_for_objects",
            Kind.COUNT,
            "objects that it stands for",
            _samples(lambda f, m: np.rint(_weights(f, m))),
        ),
    ),
)

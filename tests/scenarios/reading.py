"""Runs a scenario program, reads its heap once, and keeps what the tests of this folder compare."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heldby
from heldby.analysis.answer import HeapTotals
from heldby.analysis.answering import heap_totals
from tests.support.build import Mode, scenario_program
from tests.support.places import Place, named_bytes, places, types_of
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

#: Programs whose goroutines run while they are looked at.
RESTLESS = frozenset({"spinning"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A scenario as its program and as heldby say it is.

    Attributes:
        ready: what the program said: its MemStats, and what each root added.
        totals: heldby's totals.
        allocated_bytes: the slots of all objects, by heldby.
        unmarked: live objects that the collector did not mark, by address and type.
        unreached: marked objects that heldby did not find reachable, likewise.
        named_bytes: live bytes under roots that have a name, or whose users are known.
        places: what stands where.
        types: live objects by type.
    """

    ready: Mapping[str, Any]
    totals: HeapTotals
    allocated_bytes: int
    unmarked: tuple[tuple[str, str], ...]
    unreached: tuple[tuple[str, str], ...]
    named_bytes: int
    places: tuple[Place, ...]
    types: Counter[str]


@functools.cache
def read(name: str, toolchain: Toolchain, mode: Mode) -> Reading:
    """Return the reading of one scenario in one build. About a second the first time."""
    with running(scenario_program(name, toolchain, mode)) as program:
        if name not in RESTLESS:
            wait_until_still(program.pid)
        heap = heldby.open(program.pid).heap
        ready = program.ready
    marked = heap.objects.marked.astype(bool)

    def describe(chosen: NDArray[np.bool_]) -> tuple[tuple[str, str], ...]:
        return tuple(
            (hex(int(heap.objects.addr[number])), heap.naming.type_name(int(heap.naming.type_of[number])))
            for number in np.flatnonzero(chosen)[:20]
        )

    return Reading(
        ready=ready,
        totals=heap_totals(heap),
        allocated_bytes=int(heap.sizes.sum()),
        unmarked=describe(heap.live & ~marked),
        unreached=describe(marked & ~heap.live),
        named_bytes=named_bytes(heap),
        places=tuple(places(heap)),
        types=types_of(heap),
    )

"""Runs a scenario program, reads its heap once, and keeps what the tests of this folder compare."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heldby
from heldby.analysis.answer import HeapTotals
from heldby.analysis.heap_totals import heap_totals
from heldby.heap import Heap
from tests.support.arm64 import arm64_core
from tests.support.build import Mode, scenario_program
from tests.support.places import Place, named_bytes, places, types_of
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

#: Programs whose goroutines run while they are looked at.
RESTLESS = frozenset({"spinning"})


#: What the runtime takes and gives back for itself between a collection and our look, now and then, on a loaded
#: machine: records of waiting goroutines (runtime/proc.go, acquireSudog) and a P's heap of timers as it grows.
#: No more than two of them, and never an object of the program's.
_RUNTIMES_OWN = ("runtime.sudog", "[]runtime.timerWhen", "runtime.timerWhen")

#: On a loaded machine the runtime may start a thread between the program's look at itself and ours, which brings
#: half a dozen objects, or let go of a list that it made longer; a mistake of ours would be there each time.
_ATTEMPTS = 3


Objects = tuple[tuple[str, str], ...]
"""Addresses and types."""


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
    unmarked: Objects
    unreached: Objects
    named_bytes: int
    places: tuple[Place, ...]
    types: Counter[str]


def _run(name: str, program: Path, mode: Mode) -> tuple[Heap, Mapping[str, Any]]:
    if mode.value.arch == "arm64":
        with arm64_core(program) as (core, ready):
            return heldby.open(core, exe=program, cache=False).heap, ready
    with running(program) as process:
        if name not in RESTLESS:
            wait_until_still(process.pid)
        return heldby.open(process.pid).heap, process.ready


@functools.cache
def read(name: str, toolchain: Toolchain, mode: Mode) -> Reading:
    """Return the reading of one scenario in one build. About a second the first time."""
    program = scenario_program(name, toolchain, mode)
    for _ in range(_ATTEMPTS):
        reading = _reading(*_run(name, program, mode))
        differing = not_the_runtimes_own((*reading.unmarked, *reading.unreached))
        same = reading.allocated_bytes == reading.ready["memstats"]["HeapAlloc"]
        if same and (name in RESTLESS or not differing):
            break
    return reading


def _reading(heap: Heap, ready: Mapping[str, Any]) -> Reading:
    marked = heap.objects.marked.astype(bool)

    def describe(chosen: NDArray[np.bool_]) -> Objects:
        return tuple(
            (hex(int(heap.objects.addr[number])), heap.naming.type_name(heap.naming.type_at(int(number))))
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


def not_the_runtimes_own(found: Objects) -> Objects:
    """Return the objects, without two or less that the runtime may take or give back while we look."""
    own = [each for each in found if each[1] in _RUNTIMES_OWN]
    return found if len(own) > 2 else tuple(each for each in found if each not in own)

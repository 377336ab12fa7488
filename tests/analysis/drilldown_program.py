"""The heap of ``tests/scenarios/programs/drilldown``, read once for each release and build."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import heldby
from heldby.heap.heap import Heap
from tests.support.build import Mode, scenario_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain


@dataclass(frozen=True, slots=True)
class Read:
    """The heap, and the addresses that the program printed."""

    heap: Heap
    ready: Mapping[str, Any]


@functools.cache
def drilldown(go: Toolchain, mode: Mode = Mode.DEFAULT) -> Read:
    with running(scenario_program("drilldown", go, mode)) as program:
        wait_until_still(program.pid)
        heap = heldby.open(program.pid).heap
    return Read(heap, program.ready)

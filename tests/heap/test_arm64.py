"""Cores of arm64 programs, which qemu-user ran here, read on this machine. The matrix has all releases."""

from __future__ import annotations

import pytest

import heldby
from heldby.analysis import answer_of
from tests.scenarios.reading import read
from tests.support.arm64 import QEMU, WITHOUT_QEMU, arm64_core
from tests.support.build import Mode, scenario_program
from tests.support.toolchains import any_toolchain

pytestmark = pytest.mark.skipif(QEMU is None, reason=WITHOUT_QEMU)

GO = any_toolchain()


@pytest.mark.parametrize("mode", [Mode.ARM64, Mode.ARM64_STRIPPED], ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("name", ["goroutines", "maps"])
def test_reachable_objects_are_those_that_the_collector_marked(name: str, mode: Mode) -> None:
    reading = read(name, GO, mode)

    assert reading.totals.objects == reading.ready["memstats"]["HeapObjects"]
    assert reading.allocated_bytes == reading.ready["memstats"]["HeapAlloc"]
    assert reading.unreached == ()
    assert reading.unmarked == ()
    assert (reading.totals.typed_bytes or 0) > 0.99 * reading.totals.live_bytes


def test_the_answer_says_which_processor_it_was() -> None:
    program = scenario_program("maps", GO, Mode.ARM64)
    with arm64_core(program) as (core, _ready):
        answer = answer_of(heldby.open(core, exe=program, cache=False).heap)

    assert answer.process.arch == "arm64"
    assert answer.holders[0].path == "main.tables"
    assert answer.holders[0].containers == ("map of 20,000 entries",)

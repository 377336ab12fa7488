"""Cores of arm64 programs, which qemu-user ran here, read on this machine. The matrix has all releases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import heldby
from heldby.analysis.answering import answer_of
from heldby.analysis.exports.exporting import heap_profile_of
from heldby.profiles.pprof_read import parse_profile
from heldby.profiles.profile import Profile
from tests.scenarios.reading import not_the_runtimes_own, read
from tests.support.allocations import CELLS, sites_program
from tests.support.arm64 import QEMU, WITHOUT_QEMU, arm64_core
from tests.support.build import Mode, scenario_program
from tests.support.toolchains import RELEASES, any_toolchain, toolchain

pytestmark = pytest.mark.skipif(QEMU is None, reason=WITHOUT_QEMU)

GO = any_toolchain()


@pytest.mark.parametrize("mode", [Mode.ARM64, Mode.ARM64_STRIPPED], ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("name", ["goroutines", "maps"])
def test_reachable_objects_are_those_that_the_collector_marked(name: str, mode: Mode) -> None:
    reading = read(name, GO, mode)

    assert reading.totals.objects == reading.ready["memstats"]["HeapObjects"]
    assert reading.allocated_bytes == reading.ready["memstats"]["HeapAlloc"]
    assert not_the_runtimes_own(reading.unreached) == ()
    assert not_the_runtimes_own(reading.unmarked) == ()
    assert (reading.totals.typed_bytes or 0) > 0.99 * reading.totals.live_bytes


@pytest.mark.parametrize(
    ("mode", "rate"),
    [(Mode.ARM64_STRIPPED, 8192), pytest.param(Mode.ARM64, 512 << 10, marks=pytest.mark.slow)],
)
def test_the_heap_profile_is_that_of_the_process_sample_by_sample(
    mode: Mode, rate: int, tmp_path: Path
) -> None:
    program = sites_program(GO, mode)
    with arm64_core(program, [str(rate)], asked=f"heap {tmp_path / 'served'}") as (core, _ready):
        own = parse_profile(heap_profile_of(heldby.open(core, exe=program, cache=False).heap))
    its = parse_profile((tmp_path / "served").read_bytes())

    def whole(profile: Profile) -> list[tuple[object, ...]]:
        return [(each.values, each.labels, each.stack) for each in profile.samples if any(each.values)]

    assert own.period_type == its.period_type
    assert len(whole(own)) >= 5
    assert whole(own) == whole(its)


@pytest.mark.parametrize(
    ("mode", "release"),
    [
        (Mode.ARM64, None),
        *[pytest.param(Mode.ARM64, release, marks=pytest.mark.slow) for release in RELEASES],
    ],
)
def test_every_pair_of_site_and_holder_is_exact_when_everything_is_sampled(
    mode: Mode, release: str | None
) -> None:
    program = sites_program(toolchain(release) if release else GO, mode)
    with arm64_core(program, ["1"]) as (core, _ready):
        found = answer_of(heldby.open(core, exe=program, cache=False).heap)

    cells: Counter[tuple[str, str | None]] = Counter()
    for held in found.held:
        root = ".".join(found.holders[held.holder].path.split(".")[:2])
        cells[found.sites[held.site].stack[0].func, root] += held.bytes
    for site in found.sites:
        cells[site.stack[0].func, None] += site.garbage_bytes or 0
    assert {key: size for key, size in cells.items() if key[0].startswith("main.new") and size} == CELLS


def test_the_answer_says_which_processor_it_was() -> None:
    program = scenario_program("maps", GO, Mode.ARM64)
    with arm64_core(program) as (core, _ready):
        answer = answer_of(heldby.open(core, exe=program, cache=False).heap)

    assert answer.process.arch == "arm64"
    assert answer.holders[0].path == "main.tables"
    assert answer.holders[0].containers == ("map of 20,000 entries",)

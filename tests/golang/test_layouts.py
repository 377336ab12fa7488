"""The layout tables: what the generator makes of real toolchains, and what heldby reads from them."""

from __future__ import annotations

import json

import pytest

from heldby.golang.layouts.differences import DIFFERENCES, OLD_MAPS
from heldby.golang.layouts.layout import KNOWN_RELEASES, table_layout
from tests.support.toolchains import NEWEST, OLDEST, RELEASES, wheel_toolchain
from tools.layouts.generate import ARCHITECTURES, path_of, table_of, text_of

ENDS = (OLDEST, NEWEST)


@pytest.mark.parametrize(
    "release", [pytest.param(r, marks=() if r in ENDS else (pytest.mark.slow,)) for r in RELEASES]
)
def test_table_is_what_the_release_gives(release: str) -> None:
    # amd64 alone: the standard library need not be compiled once more in a default run.
    toolchain = wheel_toolchain(release)
    written = json.loads(path_of(toolchain.version).read_text())

    made = table_of(toolchain, ("amd64",))

    assert made["amd64"] == written["amd64"]
    assert made["wait_reasons"] == written["wait_reasons"]
    assert written["release"] == release


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_generating_gives_the_very_file_with_all_architectures(release: str) -> None:
    toolchain = wheel_toolchain(release)

    assert text_of(table_of(toolchain)) == path_of(toolchain.version).read_text()


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("release", KNOWN_RELEASES)
@pytest.mark.parametrize("number", range(len(DIFFERENCES)))
def test_feature_that_shows_a_difference_is_there_in_its_releases_only(
    number: int, release: str, arch: str
) -> None:
    difference = DIFFERENCES[number]
    layout = table_layout(f"go{release}.0", arch)

    in_range = difference.first <= layout.minor and (
        difference.last is None or layout.minor <= difference.last
    )
    assert difference.holds(layout) == in_range


def test_differences_are_written_newest_first() -> None:
    firsts = [difference.first for difference in DIFFERENCES if difference is not OLD_MAPS]

    assert firsts == sorted(firsts, reverse=True)
    assert all(difference.source.count(".go") for difference in DIFFERENCES)


def test_fields_of_known_places() -> None:
    # From runtime/mheap.go, runtime2.go and symtab.go of the releases, counted by hand.
    oldest, newest = table_layout("go1.21.13", "amd64"), table_layout("go1.27.3", "amd64")
    arm = table_layout("go1.27.3", "arm64")

    assert (oldest.offset("runtime.mspan", "nelems"), oldest.field_size("runtime.mspan", "nelems")) == (56, 8)
    assert (newest.offset("runtime.mspan", "nelems"), newest.field_size("runtime.mspan", "nelems")) == (50, 2)
    assert newest.offset("runtime.mspan", "state") == 99
    assert newest.field_size("runtime.mspan", "state") == 1
    assert newest.offset("runtime.g", "sched", "ctxt") == 56 + 24
    assert oldest.has("runtime.heapArena", "noMorePtrs")
    assert not newest.has("runtime.heapArena", "noMorePtrs")
    # The entries of mheap.central are padded to the cache line: 64 bytes on amd64, 128 on arm64.
    central = arm.offset("runtime.mheap", "spanalloc") - arm.offset("runtime.mheap", "central")
    assert central == 136 * 256
    assert arm.offset("runtime.moduledata", "next") == newest.offset("runtime.moduledata", "next") == 560

"""A release that heldby does not know: read by its debug information when all checks pass, refused otherwise."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import heldby
from heldby.binary.dwarf import read_dwarf
from heldby.binary.executable import open_executable
from heldby.errors import CheckFailed, Unsupported
from heldby.golang.goroutines.stacks import Outcome
from heldby.golang.layouts.dwarf_layout import dwarf_layout
from heldby.golang.layouts.layout import KNOWN_RELEASES, Layout, table_layout
from heldby.golang.release_checks import check_heap, check_layout
from tests.support.build import Mode, scenario_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import NEWEST, toolchain


def of_tomorrow(folder: Path, mode: Mode) -> Path:
    """Return a program of the newest release that calls itself go1.28.1 wherever it says its release."""
    go = toolchain(NEWEST)
    today = f"go{go.version}".encode()
    data = scenario_program("structs", go, mode).read_bytes()
    tomorrow = b"go1.28." + b"1" * (len(today) - len(b"go1.28."))
    assert data.count(today) >= 1
    program = folder / "structs"
    program.write_bytes(data.replace(today, tomorrow))
    program.chmod(0o755)
    return program


@pytest.mark.ptrace
def test_newer_release_with_debug_information_is_read_with_a_caveat(tmp_path: Path) -> None:
    with running(of_tomorrow(tmp_path, Mode.DEFAULT)) as program:
        wait_until_still(program.pid)
        heap = heldby.open(program.pid).heap
        said = program.ready

    assert said["go"] == heap.process.runtime.version == "go1.28.1"
    assert [text for text in heap.caveats if text.startswith("go1.28.1 is newer than this heldby")]
    assert len(heap.objects) == said["memstats"]["HeapObjects"]
    assert int(heap.sizes.sum()) == said["memstats"]["HeapAlloc"]
    marked = heap.objects.marked.astype(bool)
    assert np.flatnonzero(marked != heap.live).size <= 2  # a sudog of the runtime's, now and then
    # The layout is what the generator writes from the same debug information.
    built_in, described = table_layout("go1.27.3", "amd64"), heap.process.runtime.layout
    assert described.offset("runtime.mspan", "largeType") == built_in.offset("runtime.mspan", "largeType")
    assert described.wait_reasons == built_in.wait_reasons


@pytest.mark.ptrace
def test_newer_release_without_debug_information_is_refused(tmp_path: Path) -> None:
    with running(of_tomorrow(tmp_path, Mode.STRIPPED)) as program, pytest.raises(Unsupported) as refused:
        heldby.open(program.pid)

    assert refused.value.message.startswith("go1.28.1 on amd64 is newer than this heldby")
    assert "debug information" in (refused.value.cause or "")


def test_newest_release_is_described_by_its_debug_information_as_by_its_table() -> None:
    described = layout_of_newest()

    check_layout(described)
    assert described.offset("runtime.mheap", "allspans") == 65864


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
@pytest.mark.parametrize("release", KNOWN_RELEASES[:5])  # 1.21 and 1.22 call abi.ITab runtime.itab
def test_what_is_taken_for_granted_holds_in_every_known_release(release: str, arch: str) -> None:
    check_layout(table_layout(f"go{release}.0", arch))


def test_field_that_moved_though_it_is_taken_for_granted_is_named() -> None:
    layout = copy.deepcopy(layout_of_newest())
    layout._structs["internal/abi.Type"]["fields"]["GCData"][0] = 24

    with pytest.raises(CheckFailed) as failed:
        check_layout(layout)

    assert failed.value.check == "internal/abi.Type.GCData"
    assert "lies at offset 24, 32 was expected (internal/abi/type.go)" in failed.value.message


def test_constant_that_changed_is_named() -> None:
    layout = layout_of_newest()
    layout = replace(layout, _consts={**layout._consts, "runtime._PageSize": 16384})

    with pytest.raises(CheckFailed) as failed:
        check_layout(layout)

    assert failed.value.check == "runtime._PageSize"
    assert "is 16384, 8192 was expected" in failed.value.message


def test_field_that_is_gone_is_named() -> None:
    layout = copy.deepcopy(layout_of_newest())
    del layout._structs["runtime.mheap"]["fields"]["allspans"]

    with pytest.raises(CheckFailed) as failed:
        layout.offset("runtime.mheap", "allspans")

    assert failed.value.check == "runtime.mheap.allspans"
    assert failed.value.message.endswith("has no runtime.mheap.allspans")


@pytest.mark.ptrace
def test_heap_that_contradicts_the_runtimes_numbers_is_refused_by_name() -> None:
    with running(scenario_program("structs", toolchain(NEWEST))) as program:
        wait_until_still(program.pid)
        heap = heldby.open(program.pid).heap
    layout = heap.process.runtime.layout
    stacks = Stacklike(np.full(50, Outcome.WHOLE, np.uint8))

    def refused(**wrong: object) -> str:
        given = {"objects": heap.objects, "references": Referencelike(0), "stacks": stacks, **wrong}
        with pytest.raises(CheckFailed) as failed:
            check_heap(layout, **given)  # type: ignore[arg-type]
        return failed.value.check

    check_heap(layout, heap.objects, Referencelike(0), stacks)  # type: ignore[arg-type]
    elemsize = heap.objects.spans.elemsize.copy()
    elemsize[~heap.objects.spans.large] += np.uint64(8)
    spans = replace(heap.objects.spans, elemsize=elemsize)
    assert refused(objects=replace(heap.objects, spans=spans)) == "size classes"
    assert refused(objects=replace(heap.objects, count_mismatches=65)) == "allocation counts"
    assert refused(references=Referencelike(1)) == "types of large objects"
    assert refused(stacks=Stacklike(np.zeros(0, np.uint8))) == "goroutines"
    assert refused(stacks=Stacklike(np.full(50, Outcome.UNKNOWN_PC, np.uint8))) == "goroutine stacks"


class Stacklike:
    """The one column of `Stacks` that the checks read."""

    def __init__(self, outcome: np.ndarray) -> None:
        self.outcome = outcome


class Referencelike:
    """The one number of `References` that the checks read."""

    def __init__(self, unreadable_types: int) -> None:
        self.unreadable_types = unreadable_types


def layout_of_newest() -> Layout:
    executable = open_executable(scenario_program("structs", toolchain(NEWEST)))
    dwarf = read_dwarf(executable)
    assert dwarf is not None
    return dwarf_layout(
        dwarf, f"go{NEWEST}", "amd64", lambda at, size: executable.bytes_at(at, size).tobytes(), 0
    )

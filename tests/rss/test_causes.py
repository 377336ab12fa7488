"""Programs that each make one share of their memory large, by a known amount: the right row carries it.

Amounts are what the programs did (tests/rss/programs); the slack is for the rest of a small Go program, about
3 MiB of it, and for the rounding of slots and stacks that is said beside each.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import pytest

from heldby.capture import resident
from tests.rss.examining import MIB, Examined, examine, examine_offheap
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="cgo needs gcc")
#: The rest of a small Go program: rows that it has anyway are smaller than this.
REST = 2 * MIB


def require(examined: Examined, cause: str, size: int) -> None:
    """Assert that `size` is the program's amount, the sum is whole, and the verdict names the cause."""
    examined.require_whole()
    assert examined.amount <= size < examined.amount + REST
    assert examined.account.cause == cause


def test_live_objects(go: Toolchain) -> None:
    found = examine("live", go)

    require(found, "live", found.bytes_of("live objects"))  # 400,000 slots of 128 bytes
    assert "held by the program" in str(found.account.verdict)
    assert "nothing leaks outside the heap" in str(found.account.verdict)


def test_rounding_up_to_size_classes(go: Toolchain) -> None:
    found = examine("rounded", go)
    parts = next(row.parts for row in found.account.rows if row.name == "live objects")

    found.require_whole()
    (rounding,) = (part for part in parts if part.name.startswith("of it rounding of single values"))
    assert found.amount <= rounding.bytes < found.amount + (64 << 10)
    assert 100_000 <= (rounding.count or 0) < 102_000


def test_garbage(go: Toolchain) -> None:
    found = examine("garbage", go)

    require(found, "garbage", found.bytes_of("garbage, not swept"))
    assert "garbage that the next collection frees" in str(found.account.verdict)
    row = next(row for row in found.account.rows if row.name == "garbage, not swept")
    assert row.parts[0].name == "main.record"
    # Without a pointer from anything live the type of a few is not told up to Go 1.23.
    assert 399_900 < (row.parts[0].count or 0) <= 400_000
    (site,) = (part for part in row.parts if part.name.startswith("allocated at main.live main.go:"))
    # The list is all garbage, but for a few hundred bytes of the start.
    assert str(row.note).startswith("100% main.record, most allocated at main.live main.go:")
    assert "(estimate); freed by the next collection (GOGC=" in str(row.note)
    # About 98 samples, one in 512 KiB: three standard deviations are 30 %.
    assert 0.6 * found.amount < site.bytes < 1.4 * found.amount


def test_headroom(go: Toolchain) -> None:
    found = examine("headroom", go)

    require(found, "headroom", found.bytes_of("free pages, kept"))
    assert "kept as headroom (GOGC=800 lets the heap reach" in str(found.account.verdict)


def test_fragmentation(go: Toolchain) -> None:
    found = examine("fragments", go)

    require(found, "fragmentation", found.bytes_of("free slots in spans"))
    row = next(row for row in found.account.rows if row.name == "free slots in spans")
    assert row.parts[0].name == "size class 64 B"
    assert 900_000 <= (row.parts[0].count or 0) < 901_000


def test_pages_that_are_not_returned(go: Toolchain) -> None:
    found = examine("unreturned", go)

    require(found, "not returned", found.bytes_of("free pages, kept"))
    assert "not returned to the kernel (GOGC=off: the runtime keeps all)" in str(found.account.verdict)


def test_pages_that_were_given_back_and_are_still_resident(go: Toolchain) -> None:
    found = examine("lazy", go, environment={"GODEBUG": "madvdontneed=0"})

    require(found, "given back", found.bytes_of("free pages, given back"))
    row = next(row for row in found.account.rows if row.name == "free pages, given back")
    assert "MADV_FREE" in str(row.note)


def test_a_hundred_thousand_goroutines(go: Toolchain) -> None:
    found = examine("goroutines", go)
    stacks = found.bytes_of("goroutine stacks, used", "goroutine stacks, unused")

    require(found, "stacks", stacks)  # 2 KiB each, the smallest
    assert found.bytes_of("goroutine stacks, used") < found.bytes_of("goroutine stacks, unused")
    assert "stacks of 100 k goroutines" in str(found.account.verdict)


def test_deep_stacks(go: Toolchain) -> None:
    found = examine("deep", go)

    found.require_whole()
    # Eight goroutines, 4 MiB deep each: frames of 1,024 bytes and a little.
    assert 28 * MIB < found.bytes_of("goroutine stacks, used") < 40 * MIB
    assert found.account.cause == "stacks"


def test_finalizers_behind_one_that_never_returns(go: Toolchain) -> None:
    found = examine("finalizers", go)

    require(found, "finalizers", found.bytes_of("held by finalizers only"))
    assert "only finalizers or cleanups that have not run still reach" in str(found.account.verdict)
    row = next(row for row in found.account.rows if row.name == "held by finalizers only")
    # Without a pointer from anything live, their size alone is known: tickets of 512 bytes, 60,000 that wait.
    assert row.parts[0].name == "unknown(512 B)"
    assert row.parts[0].bytes == 512 * (row.parts[0].count or 0)
    assert 59_990 < (row.parts[0].count or 0) <= 60_001


def test_a_mapped_file(go: Toolchain, tmp_path: Path) -> None:
    name = tmp_path / "mapped"
    found = examine("file", go, str(name))

    require(found, "files", found.bytes_of("mapped files"))
    row = next(row for row in found.account.rows if row.name == "mapped files")
    assert row.parts[0].name == str(name)
    assert row.parts[0].bytes == 32 * MIB


def test_more_of_a_mapped_file_than_is_counted_in_the_pause(
    go: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "_MOST_BYTES", 16 * MIB)
    found = examine("file", go, str(tmp_path / "mapped"))

    require(found, "files", found.bytes_of("mapped files"))


def test_memory_that_a_fork_does_not_get(go: Toolchain) -> None:
    found = examine("unforked", go)

    require(found, "anonymous", found.bytes_of("other anonymous memory"))


def test_huge_pages_make_untouched_memory_resident(go: Toolchain) -> None:
    if "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
        pytest.skip("this machine has no huge pages")
    found = examine("huge", go)

    # One byte in each 2 MiB was written.
    require(found, "live", found.bytes_of("live objects"))


def test_memory_that_was_never_written_is_not_resident(go: Toolchain) -> None:
    found = examine("untouched", go)
    row = next(row for row in found.account.rows if row.name == "live objects")

    found.require_whole()
    assert row.bytes is not None
    assert row.virtual_bytes is not None
    # 64 MiB that nobody wrote; half of it was read, which shows the kernel's page of zeros.
    assert row.bytes < MIB
    assert 64 * MIB < row.virtual_bytes < 65 * MIB


@needs_gcc
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="blocks of malloc are told for glibc")
@pytest.mark.parametrize("cause", ["small", "large"])
def test_memory_of_c(cause: str, go: Toolchain) -> None:
    found = examine_offheap(cause, go)

    require(found, "C", found.bytes_of("C heap (malloc)"))
    assert "allocated by C, where no Go profile looks" in str(found.account.verdict)


@needs_gcc
def test_stacks_of_threads(go: Toolchain) -> None:
    found = examine_offheap("threads", go)

    require(found, "threads", found.bytes_of("thread stacks"))


@needs_gcc
def test_memory_that_go_code_maps_itself(go: Toolchain) -> None:
    found = examine_offheap("mapped", go)

    require(found, "anonymous", found.bytes_of("other anonymous memory"))

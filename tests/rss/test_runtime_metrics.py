"""What heldby reads of the runtime's own books, against runtime/metrics of the same program at the same moment.

The rows of the account and /memory/classes divide the same memory, in address space (virtual bytes):

    heap/objects + heap/unused   live objects, held by finalizers only, garbage, free slots, span tails
    heap/free                    free pages, kept
    heap/released                free pages, given back, and from Go 1.26 on pages in no list before the first
    heap/stacks                  the five rows of the group stacks
    metadata/mspan, mcache       the rows mspans and mcaches
    metadata/other               work buffers, GC bits, arena maps, page summaries
    profiling/buckets, other     profiling buckets; small structures
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from heldby.golang.books.collector import read_collector
from heldby.golang.books.memory_statistics import MemoryStatistics, read_memory_statistics
from heldby.golang.goroutines.scheduler import find_processors, find_threads
from tests.rss.examining import Examined, examine
from tests.support.build import Mode
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace
#: Between the program's look and the capture a few small objects are allocated: some spans of 8 KiB.
MEANWHILE = 256 << 10
#: runtime/mheap.go, randomized heap base: less than a chunk of 512 pages is left out before the first page.
PADDING = 512 * 8192


@pytest.fixture(scope="module", params=[Mode.DEFAULT, Mode.STRIPPED], ids=["symbols", "stripped"])
def garbage(request: pytest.FixtureRequest, go: Toolchain) -> Examined:
    return examine("garbage", go, mode=request.param)


def statistics_of(examined: Examined) -> MemoryStatistics:
    found = read_memory_statistics(examined.heap.process.runtime)
    assert found is not None
    return found


def metric(examined: Examined, name: str) -> int:
    return int(examined.metrics[f"/memory/classes/{name}:bytes"])


def virtual(examined: Examined, *names: str) -> int:
    rows = {row.name: row.virtual_bytes for row in examined.account.rows}
    return sum(rows[name] or 0 for name in names)


def test_the_counters_of_structures_are_those_of_runtime_metrics(garbage: Examined) -> None:
    counters = statistics_of(garbage).classes()
    names = ["metadata/mspan/inuse", "metadata/mspan/free", "metadata/mcache/inuse", "metadata/mcache/free"]
    names += ["metadata/other", "profiling/buckets", "other", "os-stacks", "total"]

    assert counters["total"] == metric(garbage, "total")
    # One more span may be wanted meanwhile: a P then takes 64 mspans at once, from a chunk of 16 KiB.
    moved = {name: counters[name] - metric(garbage, name) for name in names}
    assert {name: size for name, size in moved.items() if abs(size) > 32 << 10} == {}


def test_the_counters_of_the_heap_are_those_of_runtime_metrics(garbage: Examined) -> None:
    counters = statistics_of(garbage).classes()

    in_use = metric(garbage, "heap/objects") + metric(garbage, "heap/unused")
    assert abs(counters["heap/in-use"] - in_use) < MEANWHILE
    for name in ("heap/free", "heap/released", "heap/stacks"):
        assert abs(counters[name] - metric(garbage, name)) < MEANWHILE


def test_the_rows_divide_the_memory_as_runtime_metrics_does(garbage: Examined) -> None:
    objects = virtual(garbage, "live objects", "held by finalizers only", "garbage, not swept")
    slots = virtual(garbage, "free slots in spans", "span tails and bitmaps")
    counters = statistics_of(garbage).classes()

    assert objects + slots == counters["heap/in-use"]
    # The runtime's own count of objects lags behind by what the Ps have cached.
    assert abs(objects - metric(garbage, "heap/objects")) < MEANWHILE
    assert virtual(garbage, "free pages, kept") == counters["heap/free"]
    padding = counters["heap/released"] - virtual(garbage, "free pages, given back")
    assert 0 <= padding < PADDING
    stacks = sum(row.virtual_bytes or 0 for row in garbage.account.rows if row.group == "stacks")
    assert stacks == counters["heap/stacks"]
    assert virtual(garbage, "collector's work buffers") == statistics_of(garbage).in_work_buffers


def test_no_row_of_the_runtime_has_more_resident_than_it_took(garbage: Examined) -> None:
    assert garbage.group("runtime") <= statistics_of(garbage).metadata + virtual(
        garbage, "collector's work buffers"
    )
    for row in garbage.account.rows:
        if row.group in ("heap", "stacks"):
            assert (row.bytes or 0) <= (row.virtual_bytes or 0)


def test_the_collector_s_state_is_the_one_that_it_publishes(go: Toolchain) -> None:
    found = examine("headroom", go, mode=Mode.STRIPPED, environment={"GOMEMLIMIT": "900MiB"})
    facts = found.account.collector

    assert facts is not None
    assert facts.gogc == 800
    assert not facts.gogc_off
    assert facts.memory_limit_bytes == 900 << 20
    assert facts.marked_bytes == found.metrics["/gc/heap/live:bytes"]
    assert facts.goal_bytes == found.metrics["/gc/heap/goal:bytes"]
    assert facts.cycles == found.metrics["/gc/cycles/total:gc-cycles"]
    assert facts.forced_cycles == found.metrics["/gc/cycles/forced:gc-cycles"]
    assert 0 <= (facts.seconds_since_last or -1) < 60


def test_gogc_off_is_told_from_unknown(garbage: Examined) -> None:
    facts = garbage.account.collector

    assert facts is not None
    assert (facts.gogc, facts.gogc_off, facts.goal_bytes) == (None, True, None)


def test_nothing_is_found_by_name_that_is_not_found_without(garbage: Examined) -> None:
    named = garbage.heap.process.runtime
    nameless = replace(named, symbols={})

    counters = read_memory_statistics(nameless)
    assert read_collector(nameless, counters) == read_collector(named, counters) is not None
    assert find_processors(nameless).tolist() == find_processors(named).tolist()
    assert find_threads(nameless).tolist() == find_threads(named).tolist()
    assert find_threads(named).size >= 2
    assert find_processors(named).size == int(garbage.metrics["/sched/gomaxprocs:threads"])

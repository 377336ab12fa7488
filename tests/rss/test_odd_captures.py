"""Captures in which the runtime's books contradict themselves or are not there: coarser rows, never an error."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from heldby.analysis.rss import rss_account
from heldby.golang.books.collector import read_collector
from heldby.golang.books.free_pages import read_free_pages
from heldby.golang.books.memory_statistics import read_memory_statistics
from heldby.golang.books.runtime_metadata import runtime_structures
from heldby.golang.goroutines.scheduler import find_processors, find_threads
from heldby.golang.runtime.runtime import Runtime
from heldby.memory.image import Bytes, Image
from tests.rss.examining import Examined, examine
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace


@pytest.fixture(scope="module")
def live(go: Toolchain) -> Examined:
    return examine("live", go)


def with_words(runtime: Runtime, changes: dict[int, int]) -> Runtime:
    """Return the runtime with other 64-bit words at some addresses."""
    image = runtime.image
    buffers: list[Bytes] = [np.array(image.buffers[0]), *image.buffers[1:]]
    for addr, value in changes.items():
        segment = image.segment_at(addr)
        assert segment is not None
        assert segment.buffer == 0
        at = segment.offset + addr - segment.start
        buffers[0][at : at + 8] = np.frombuffer(value.to_bytes(8, "little"), np.uint8)
    return replace(runtime, image=Image(buffers, image.segments))


@pytest.mark.parametrize("value", [0, 8, 1 << 46, (1 << 64) - 1])
def test_a_lost_way_to_memstats_loses_the_counters_only(live: Examined, value: int) -> None:
    runtime = live.heap.process.runtime
    at = runtime.mheap + runtime.layout.offset("runtime.mheap", "pages", "sysStat")
    damaged = with_words(runtime, {at: value})
    process = replace(live.heap.process, runtime=damaged)

    assert read_memory_statistics(damaged) is None
    account = rss_account(process.core, process, live.heap)
    assert account.total_bytes == live.account.total_bytes
    assert sum(row.bytes or 0 for row in account.rows) == account.total_bytes
    assert account.cause == "live"


@pytest.mark.parametrize("value", [1, 8, 4096, 1 << 40, 1 << 46, (1 << 64) - 8])
@pytest.mark.parametrize("field", ["inUse", "summary", "scav", "chunks"])
def test_a_damaged_page_allocator_is_no_error(live: Examined, field: str, value: int) -> None:
    runtime = live.heap.process.runtime
    at = runtime.mheap + runtime.layout.offset("runtime.mheap", "pages", field)
    damaged = with_words(runtime, {at: value, at + 8: value})

    processors = find_processors(damaged)
    read_free_pages(damaged, processors)
    found = runtime_structures(damaged, live.heap.objects.spans, processors, np.zeros(0, np.uint64))
    assert {"mspans", "mcaches"} <= {structure.kind for structure in found}


def test_what_is_not_there_is_not_found(live: Examined) -> None:
    runtime = replace(live.heap.process.runtime, modules=(), symbols={})

    assert find_processors(runtime).size == find_threads(runtime).size == 0
    assert read_collector(runtime, read_memory_statistics(runtime)) is None


def test_a_collector_that_contradicts_itself_is_none(live: Examined) -> None:
    runtime = live.heap.process.runtime
    layout = runtime.layout
    at = runtime.symbols["runtime.gcController"]
    statistics = read_memory_statistics(runtime)
    assert read_collector(runtime, statistics) is not None
    for field, value in (("gcPercent", 0xFFFFFF00), ("mappedReady", 1), ("heapMarked", 1 << 50)):
        damaged = with_words(runtime, {at + layout.offset("runtime.gcControllerState", field): value})
        assert read_collector(damaged, statistics) is None


def test_a_kernel_that_names_go_s_mappings_gives_the_same_rows(live: Examined) -> None:
    core = live.heap.process.core
    assert core.note is not None
    proc = core.note["proc"]
    # As Linux with CONFIG_ANON_VMA_NAME writes them for Go 1.25 and later.
    smaps = re.sub(
        r"(?m)^(\S+ rw-p 00000000 00:00 0) *$", r"\1                [anon: Go: heap]", proc["smaps"]
    )
    assert smaps.count("[anon: Go: heap]") > 5
    named = replace(core, note={**core.note, "proc": {**proc, "smaps": smaps}})

    account = rss_account(named, live.heap.process, live.heap)

    before = {row.name: row.bytes for row in live.account.rows}
    after = {row.name: row.bytes for row in account.rows}
    assert sum(size or 0 for size in after.values()) == account.total_bytes == live.account.total_bytes
    changed = {name for name in before | after if before.get(name, 0) != after.get(name, 0)}
    assert changed <= {"other runtime metadata", "other anonymous memory"}
    alone = rss_account(named)
    assert {row.name for row in alone.rows} >= {"anonymous memory", "program text"}
    assert sum(row.bytes or 0 for row in alone.rows) == account.total_bytes

"""The memory profile as the runtime keeps it, found with and without symbols."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heldby.golang.functions.functions import FunctionTable
from heldby.golang.objects.specials import PROFILE
from heldby.golang.profile.memory_profile import MemoryProfile, Profiling, read_memory_profile
from heldby.golang.runtime.linked_lists import walk_lists
from heldby.memory.image import Image, Segment
from heldby.memory.paging_kernels import build_page_table
from tests.support.allocations import sites_heap
from tests.support.build import Mode
from tests.support.toolchains import Toolchain


def functions_of(profile: MemoryProfile, bucket: int) -> list[str]:
    stack = profile.stack[profile.first[bucket] : profile.first[bucket + 1]]
    return [profile.frames[frame].function for frame in stack.tolist()]


@pytest.mark.ptrace
def test_counts_are_those_as_of_the_last_collection(go: Toolchain) -> None:
    profile = sites_heap(go, 1).profile

    assert profile.complete
    assert profile.damaged == 0
    counts = {
        (name, int(profile.size[bucket]), int(profile.allocs[bucket]), int(profile.frees[bucket]))
        for bucket in range(len(profile))
        for name in functions_of(profile, bucket)
        if name.startswith("main.new")
    }
    # newSmall is called from three places; what lose allocated came after the last collection.
    assert counts == {
        ("main.newSmall", 1024, 4096, 0),
        ("main.newSmall", 1024, 8192, 0),
        ("main.newSmall", 1024, 0, 0),
        ("main.newLarge", 65536, 512, 0),
        ("main.newLarge", 65536, 64, 0),
        ("main.newInlined", 4096, 2048, 0),
    }


@pytest.mark.ptrace
def test_profile_is_the_same_without_symbols(go: Toolchain) -> None:
    heap = sites_heap(go, 1)
    runtime = heap.process.runtime
    blind = replace(runtime, symbols={})

    found = read_memory_profile(
        blind, FunctionTable(blind), heap.specials, runtime.symbols["runtime.MemProfileRate"]
    )

    for name in ("address", "size", "allocs", "frees", "first", "stack"):
        assert np.array_equal(getattr(found, name), getattr(heap.profile, name)), name
    assert found.frames == heap.profile.frames
    assert found.complete


@pytest.mark.ptrace
def test_rate_is_found_in_a_stripped_program(go: Toolchain) -> None:
    profile = sites_heap(go, 1, Mode.STRIPPED).profile

    assert (profile.profiling, profile.rate) == (Profiling.ON, 1)


@pytest.mark.ptrace
def test_sampled_objects_are_as_large_as_their_bucket_says(go: Toolchain) -> None:
    heap = sites_heap(go, 1)
    rows = heap.specials.of_kind(PROFILE)

    buckets = heap.profile.rows_of(heap.specials.payload[rows, 0])

    assert (buckets >= 0).all()
    assert np.array_equal(heap.sizes[heap.specials.object[rows]], heap.profile.size[buckets])


@pytest.mark.ptrace
def test_without_the_list_the_buckets_of_objects_are_still_read(go: Toolchain) -> None:
    heap = sites_heap(go, 1)
    runtime = heap.process.runtime
    lost = replace(runtime, symbols={**runtime.symbols, "runtime.mbuckets": 8})

    found = read_memory_profile(lost, FunctionTable(lost), heap.specials, None)

    assert not found.complete
    assert found.rate is None
    # Stacks whose objects are all gone are not found; Go 1.21 has none of them here.
    assert 6 <= len(found) <= len(heap.profile)
    assert set(found.address.tolist()) <= set(heap.profile.address.tolist())


def test_list_that_goes_in_circles_ends_and_is_counted() -> None:
    words = np.zeros(512, np.uint64)
    words[[0, 2]] = 0x10010, 0x10000
    image = Image((words.view(np.uint8),), [Segment(0x10000, 0x11000, 0, 0)])
    pages = build_page_table(image)

    rows, addrs, broken = walk_lists(pages, np.array([0x10000], np.uint64), np.array([5], np.uint64))

    assert addrs.tolist() == [0x10000, 0x10010, 0x10000, 0x10010, 0x10000]
    assert rows.tolist() == [0] * 5
    assert broken == 1


def test_list_that_leads_out_of_the_capture_is_counted() -> None:
    words = np.zeros(512, np.uint64)
    words[1] = 0x90000
    image = Image((words.view(np.uint8),), [Segment(0x10000, 0x11000, 0, 0)])
    pages = build_page_table(image)

    _, addrs, broken = walk_lists(pages, np.array([0x10000], np.uint64), np.array([5], np.uint64), link=8)

    assert addrs.tolist() == [0x10000]
    assert broken == 1

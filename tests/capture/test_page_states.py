"""Pages of shared zeros on a kernel that does not name them: smaps says how many, their content which."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from heldby.capture.page_states import PageStateRecorder
from heldby.memory.image import PAGE_SIZE
from heldby.memory.mappings import Mapping

START = 0xC000000000
PAGES = 1536  # three huge pages
PRESENT, SWAPPED = 1 << 63, 1 << 62


@pytest.fixture
def pagemap() -> Iterator[int]:
    descriptor = os.open("/dev/null", os.O_RDONLY)  # it knows no PAGEMAP_SCAN, like Linux before 6.7
    yield descriptor
    os.close(descriptor)


def resident(pagemap: int, filled: list[int], resident_pages: int | None) -> list[int]:
    recorder = PageStateRecorder(pagemap, Mapping(START, START + PAGES * PAGE_SIZE, "rw-p", 0, "0", 0, ""))
    content = np.zeros(PAGES, np.bool_)
    content[filled] = True
    recorder.add(START, np.full(PAGES, PRESENT, np.uint64), content)
    (states,) = recorder.finish(None if resident_pages is None else resident_pages * PAGE_SIZE)
    return np.flatnonzero(states.resident).tolist()


def test_all_empty_pages_go_when_smaps_counts_those_with_content_only(pagemap: int) -> None:
    assert resident(pagemap, [3, 700, 1535], 3) == [3, 700, 1535]


def test_whole_huge_pages_of_zeros_go_first(pagemap: int) -> None:
    # The second huge page is empty: the kernel's huge page of zeros. The others have content.
    assert resident(pagemap, [3, 1535], PAGES - 512) == [*range(512), *range(1024, 1536)]


def test_pages_with_content_always_stay(pagemap: int) -> None:
    assert resident(pagemap, list(range(PAGES)), 5) == list(range(PAGES))


@pytest.mark.parametrize("counted", [None, PAGES])
def test_nothing_goes_without_a_surplus(pagemap: int, counted: int | None) -> None:
    assert resident(pagemap, [3], counted) == list(range(PAGES))


def test_swapped_pages_are_told_and_are_not_resident(pagemap: int) -> None:
    recorder = PageStateRecorder(pagemap, Mapping(START, START + 3 * PAGE_SIZE, "rw-p", 0, "0", 0, ""))
    recorder.add(START, np.array([PRESENT, SWAPPED, 0], np.uint64), np.array([True, True, False]))
    (states,) = recorder.finish(PAGE_SIZE)

    assert states.resident.tolist() == [True, False, False]
    assert states.swapped.tolist() == [False, True, False]

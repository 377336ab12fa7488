"""The first oracle: what we find reachable is what the collector marked, object for object."""

from __future__ import annotations

import numpy as np
import pytest

from tests.heap.conftest import Seen

pytestmark = pytest.mark.ptrace


def test_every_marked_object_is_found_reachable(seen: Seen) -> None:
    heap = seen.heap
    marked = heap.objects.marked.astype(bool)

    lost = np.flatnonzero(marked & ~heap.live)

    assert [heap.naming.type_name(int(heap.naming.type_of[i])) for i in lost] == []


def test_every_reachable_object_was_marked_or_is_younger_than_the_collection(seen: Seen) -> None:
    heap = seen.heap
    marked = heap.objects.marked.astype(bool)

    # After the last collection the program reads its statistics and prints: a handful of small objects.
    young = np.flatnonzero(heap.live & ~marked)

    assert young.size <= 60
    assert int(heap.sizes[young].sum()) <= 16_384


def test_allocated_objects_are_those_that_the_runtime_counts(seen: Seen) -> None:
    told = seen.ready["memstats"]
    heap = seen.heap

    assert 0 <= heap.object_count - told["HeapObjects"] <= 60
    assert 0 <= int(heap.sizes.sum()) - told["HeapAlloc"] <= 16_384


def test_no_span_contradicts_the_runtimes_own_count(seen: Seen) -> None:
    assert seen.heap.objects.count_mismatches == 0
    assert seen.heap.objects.spans.dropped == 0


def test_nothing_was_missing(seen: Seen) -> None:
    assert seen.heap.caveats == []

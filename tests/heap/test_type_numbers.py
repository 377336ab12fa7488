"""Types of all objects in one pass are those that each object has by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import heldby
from heldby.heap.naming import UNKNOWN
from heldby.heap.type_numbers import type_numbers
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace


@pytest.mark.parametrize("mode", [Mode.DEFAULT, Mode.STRIPPED])
def test_rows_and_choices_agree_with_the_type_of_each_object(
    captures: Callable[[str, Mode], Path], mode: Mode
) -> None:
    heap = heldby.open(captures("shared", mode)).heap
    each = heap.naming.types_of(np.arange(heap.object_count + 1, dtype=np.uint32))

    found = type_numbers(heap)
    rows = found.rows(np.arange(found.distinct.size, dtype=np.int32))
    unknown = found.chosen(found.distinct >= UNKNOWN)

    assert found.distinct.tolist() == np.unique(each[1:]).tolist()
    assert np.array_equal(found.distinct[rows[1:]], each[1:])
    assert np.array_equal(unknown[1:], each[1:] >= UNKNOWN)
    assert not unknown[0]
    assert unknown.any() == (mode is Mode.STRIPPED)

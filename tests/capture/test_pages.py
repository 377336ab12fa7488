"""Stretches of pages."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldby.capture.pages import runs


@pytest.mark.parametrize(
    ("flags", "stretches"),
    [
        ([], []),
        ([True], [(0, 1)]),
        ([False, False], []),
        ([True, True, True], [(0, 3)]),
        ([True, False, True, True], [(0, 1), (2, 4)]),
        ([False, True, False], [(1, 2)]),
    ],
)
def test_stretches_of_true_values_are_found(flags: list[bool], stretches: list[tuple[int, int]]) -> None:
    assert runs(np.array(flags, np.bool_)) == stretches


@given(flags=st.lists(st.booleans(), max_size=300))
def test_stretches_cover_exactly_the_true_values(flags: list[bool]) -> None:
    found = runs(np.array(flags, np.bool_))

    covered = [index for first, last in found for index in range(first, last)]
    assert covered == [index for index, flag in enumerate(flags) if flag]
    assert all(a[1] < b[0] for a, b in pairwise(found))

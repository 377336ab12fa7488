"""Candidates of typing by shape are put in order by one sort, whatever their numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.golang.typing.shape_matching import best_first

numbers = st.sampled_from([0, 1, 2, 7, 1000, 2**20, 2**31, 2**32 - 1])
pairs = st.lists(st.tuples(numbers, numbers, st.integers(-(2**31), 2**31 - 1)), max_size=30)
narrow = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(-9, 9)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.one_of(pairs, narrow))
def test_pairs_come_by_object_then_the_best_score_then_the_type(made: list[tuple[int, int, int]]) -> None:
    found = best_first(
        np.array([pair[0] for pair in made], np.uint32),
        np.array([pair[1] for pair in made], np.uint32),
        np.array([pair[2] for pair in made], np.int32),
    )

    assert list(zip(*(column.tolist() for column in found), strict=True)) == sorted(
        made, key=lambda pair: (pair[0], -pair[2], pair[1])
    )
    assert [column.dtype for column in found] == [np.uint32, np.uint32, np.int32]

"""Bytes are found wherever they lie: at every offset of a word, across words and pages, and not beyond the end."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.golang.texts.text_search_kernels import find_bytes
from heldby.memory.image import Image, Segment
from heldby.memory.paging_kernels import build_page_table

PAGE = 4096
START = 16 * PAGE
# Two pages that are captured, one that is not.
DATA = np.zeros(2 * PAGE, np.uint8)


def found(data: bytes, at: int, length: int, needle: bytes) -> int:
    buffer = DATA.copy()
    buffer[at : at + len(data)] = np.frombuffer(data, np.uint8)
    pages = build_page_table(Image((buffer,), [Segment(START, START + 2 * PAGE, 0, 0)]))
    out = np.full(1, 9, np.uint8)
    find_bytes(
        pages, np.array([START + at], np.uint64), np.array([length]), np.frombuffer(needle, np.uint8), out
    )
    return int(out[0])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(b"ab\x00\x01\x80\xff"), max_size=40).map(bytes),
    st.lists(st.sampled_from(b"ab\x00\x01\x80\xff"), min_size=1, max_size=6).map(bytes),
    st.one_of(st.integers(0, 20), st.integers(PAGE - 30, PAGE + 5)),
    st.integers(0, 40),
)
def test_it_is_found_where_python_finds_it(data: bytes, needle: bytes, at: int, length: int) -> None:
    length = min(length, len(data))

    assert found(data, at, length, needle) == (needle in data[:length])


def test_what_lies_behind_a_missing_page_may_match() -> None:
    assert found(b"needle", 2 * PAGE - 10, 10 + PAGE, b"needle") == 1  # before it
    assert found(b"other", 2 * PAGE - 10, 10 + PAGE, b"needle") == 2
    assert found(b"", 2 * PAGE - 3, 5, b"needle") == 0  # too short, wherever it lies

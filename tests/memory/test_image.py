"""`Image`: which bytes win, which are zero and which are missing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldby.errors import NotCaptured
from heldby.jit import kernel
from heldby.memory.image import ZEROS, Image, Segment
from heldby.memory.paging_kernels import build_page_table, load8, load32, load64

PAGE = 4096
CORE = np.arange(64, dtype=np.uint8)
OTHER = np.arange(100, 200, dtype=np.uint8)


def test_the_earlier_segment_wins_and_the_later_fills_what_it_left() -> None:
    image = Image((CORE, OTHER), [Segment(10, 14, 0, 0), Segment(8, 16, 1, 0)])

    assert list(image.read(8, 8)) == [100, 101, 0, 1, 2, 3, 106, 107]
    assert [(s.start, s.end, s.buffer, s.offset) for s in image.segments] == [
        (8, 10, 1, 0),
        (10, 14, 0, 0),
        (14, 16, 1, 6),
    ]


def test_zeros_fill_only_what_nothing_else_claims() -> None:
    image = Image((CORE,), [Segment(4, 6, 0, 1), Segment(0, 8, ZEROS, 0)])

    assert list(image.read(0, 8)) == [0, 0, 0, 0, 1, 2, 0, 0]


def test_reading_past_a_segment_names_the_first_missing_address() -> None:
    image = Image((CORE,), [Segment(0x1000, 0x1008, 0, 0)])

    with pytest.raises(NotCaptured, match="0x1008") as caught:
        image.read(0x1004, 8)
    assert caught.value.addr == 0x1008
    assert image.read_available(0x1004, 8) == (bytes([4, 5, 6, 7, 0, 0, 0, 0]), 4)


segments = st.lists(
    st.builds(
        lambda start, size, buffer, offset: Segment(
            start, start + size, buffer, 0 if buffer == ZEROS else offset
        ),
        st.integers(0, 60),
        st.integers(0, 20),
        st.sampled_from([0, 1, ZEROS]),
        st.integers(0, 40),
    ),
    max_size=12,
)


@settings(max_examples=500, deadline=None)
@given(claims=segments)
def test_each_address_belongs_to_the_first_segment_that_claims_it(claims: list[Segment]) -> None:
    image = Image((CORE, OTHER), claims)

    for addr in range(82):
        first = next((s for s in claims if s.start <= addr < s.end), None)
        if first is None:
            assert addr not in image
        elif first.buffer == ZEROS:
            assert image.u8(addr) == 0
        else:
            assert image.u8(addr) == (CORE, OTHER)[first.buffer][first.offset + addr - first.start]


def test_a_hundred_thousand_segments_that_claim_the_same_are_sorted_out_at_once() -> None:
    claims = [Segment(2 * n, 2 * n + 1, 0, 0) for n in range(50_000)]
    claims += [Segment(0, 100_000, ZEROS, 0)] * 50_000

    started = time.process_time()
    image = Image((CORE,), claims)

    assert time.process_time() - started < 5
    assert len(image.segments) == 100_000


@kernel
def loads(directory, tables, words, addr):
    return (
        load64(directory, tables, words, addr & ~np.uint64(7)),
        load32(directory, tables, words, addr & ~np.uint64(3)),
        load8(directory, tables, words, addr),
    )


@settings(max_examples=100, deadline=None)
@given(addr=st.integers(0, 8 * PAGE - 1), shift=st.sampled_from([0, 8, 16]))
def test_kernels_read_what_the_image_reads(addr: int, shift: int) -> None:
    core = np.random.default_rng(1).integers(0, 256, 4 * PAGE, np.uint8)
    image = Image(
        (core,),
        [
            Segment(PAGE, 2 * PAGE, 0, PAGE + shift),
            Segment(3 * PAGE, 4 * PAGE, 0, shift),
            Segment(0, 6 * PAGE, ZEROS, 0),
        ],
    )
    table = build_page_table(image)

    word, half, byte = loads(*table, np.uint64(addr))

    if addr >= 6 * PAGE:
        assert (word, half, byte) == (0, 0, 0)
    else:
        assert word == image.u64(addr & ~7)
        assert half == image.u32(addr & ~3)
        assert byte == image.u8(addr)


def test_kernels_read_nothing_beyond_the_48_bits_of_user_addresses() -> None:
    table = build_page_table(Image((CORE,), []))

    assert loads(*table, np.uint64((1 << 64) - 1)) == (0, 0, 0)
    assert loads(*table, np.uint64(1 << 48)) == (0, 0, 0)


def test_kernels_read_the_top_of_the_addresses_of_arm64() -> None:
    top = (1 << 48) - PAGE
    page = np.full(PAGE, 7, np.uint8)
    table = build_page_table(Image((page,), [Segment(top, top + PAGE, 0, 0)]))

    assert loads(*table, np.uint64(top + PAGE - 8)) == (0x0707070707070707, 0x07070707, 7)

"""Which pages were resident: written by a capture, read back, counted by byte ranges."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest

from heldby.memory.residency import PageStates, Residency, pack_states, unpack_states

MIB = 1 << 20


def states(start: int, resident: list[int], swapped: list[int], pages: int) -> PageStates:
    flags = np.zeros((2, pages), np.bool_)
    flags[0, resident] = flags[1, swapped] = True
    return PageStates(start=start, resident=flags[0], swapped=flags[1])


def test_states_are_the_same_after_packing() -> None:
    before = states(0x7F0000003000, [0, 5, 8, 30], [1, 29], 31)

    (after,) = unpack_states([pack_states(before)])

    assert after.start == 0x7F0000003000
    assert after.resident.tolist() == before.resident.tolist()
    assert after.swapped.tolist() == before.swapped.tolist()


@pytest.mark.parametrize(
    "damage",
    [
        None,
        {},
        [None],
        [[0, 8, "", ""]],
        [[4095, 8, "eJz7DwABAQEA", ""]],  # not a page
        [[0, 1 << 40, "eJz7DwABAQEA", ""]],
        [[-4096, 8, "eJz7DwABAQEA", ""]],
        [[0, 8, "not base64!", ""]],
        [[0, 8, base64.b64encode(b"not zlib").decode(), ""]],
        [[0, 16, base64.b64encode(zlib.compress(b"\xff")).decode(), ""]],  # too short
    ],
)
def test_what_a_damaged_note_says_of_pages_is_left_out(damage: object) -> None:
    assert unpack_states(damage) == []


def test_resident_bytes_of_a_range_count_parts_of_pages() -> None:
    # Pages 0 and 2 of four, at an address where a block of 64 MiB ends.
    start = 64 * MIB - 2 * 4096
    pages = Residency.of([(start, np.array([True, False, True, False]))])

    assert pages.between(start, start + 4 * 4096) == 2 * 4096
    assert pages.between(start + 4000, start + 2 * 4096 + 10) == 96 + 10
    assert pages.between(start + 4096, start + 2 * 4096) == 0
    assert pages.between(0, 1 << 48) == 2 * 4096
    assert pages.between(5, 5) == 0


def test_long_ranges_are_counted_like_their_pages() -> None:
    random = np.random.default_rng(7)
    flags = random.random(3 << 14) < 0.5  # 192 MiB
    start = 0xC000000000 + 5 * 4096
    pages = Residency.of([(start, flags)])
    lows = random.integers(start - MIB, start + 192 * MIB, 200).astype(np.uint64)
    highs = lows + random.integers(0, 70 * MIB, 200).astype(np.uint64)

    counted = pages.each(lows, highs)

    resident = np.flatnonzero(flags).astype(np.int64) * 4096 + start
    for low, high, found in zip(lows.tolist(), highs.tolist(), counted.tolist(), strict=True):
        overlap = np.minimum(resident + 4096, high) - np.maximum(resident, low)
        assert found == int(overlap[overlap > 0].sum())

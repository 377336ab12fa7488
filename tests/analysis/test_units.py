"""Numbers that people write."""

from __future__ import annotations

import pytest

from heldby.units import parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10KiB", 10_240),
        ("10k", 10_240),
        ("1.5 GiB", 1_610_612_736),
        ("48 B", 48),
        ("3MB", None),  # a megabyte of people is not one of drives: it must be said which
        ("-1", None),
        ("many", None),
        ("1e9", None),
        ("", None),
    ],
)
def test_sizes_are_read_as_they_are_shown(text: str, count: int | None) -> None:
    assert parse_bytes(text) == count

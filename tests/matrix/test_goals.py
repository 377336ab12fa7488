"""The goals of the matrix say what a cell misses, and nothing of a cell that reaches them."""

from __future__ import annotations

from dataclasses import replace

from tests.matrix.cell import Cell
from tests.matrix.goals import misses, reasons
from tests.matrix.table import page

GOOD = Cell(
    release="1.26.8",
    mode="STRIPPED",
    marked=1000,
    live_bytes=100_000,
    typed_bytes=98_000,
    named_bytes=99_000,
    holder_error=0.01,
)


def test_a_cell_that_reaches_its_goals_misses_none() -> None:
    assert list(misses(GOOD)) == []


def test_types_must_be_known_better_with_debug_information() -> None:
    assert list(misses(replace(GOOD, mode="DEFAULT"))) == ["98.00% of the live bytes are typed, not 99.5%"]


def test_a_difference_from_the_collector_is_a_miss() -> None:
    assert list(misses(replace(GOOD, differing=1))) == ["1 objects differ from what the collector marked"]


def test_a_difference_that_is_understood_has_its_reason() -> None:
    cell = replace(GOOD, release="1.24.11", differing=12)

    assert list(misses(cell)) == []
    assert ["package unique" in reason for reason in reasons(cell)] == [True]


def test_a_holder_off_by_more_than_a_hundredth_is_a_miss() -> None:
    assert list(misses(replace(GOOD, holder_error=0.011))) == ["a known holder is off by 1.10%"]


def test_a_program_that_cannot_be_read_is_a_miss_and_stands_on_the_page() -> None:
    cell = replace(GOOD, failures={"maps": "Unsupported: no"})

    assert list(misses(cell)) == ["maps: Unsupported: no"]
    assert "- **missed**: maps: Unsupported: no: Go 1.26.8 (`-ldflags='-s -w'`)." in page([cell], "a machine")

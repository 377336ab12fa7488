"""Texts of the target cannot reach the terminal as commands, and keep both ends when cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from heldby.render.plain_text import printable, shorten


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("main.cache[*]", "main.cache[*]"),
        ("größe.Stück", "größe.Stück"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\nb\tc\rd\0", r"a\x0ab\x09c\x0dd\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\u2066x\u2069\u200f", r"\u2066x\u2069\u200f"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028break", r"line\u2028break"),
        ("\U000e0041tag", r"\U000e0041tag"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), r"\xff\xfe"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_does_not_print_is_written_as_an_escape(hostile: str, shown: str) -> None:
    assert printable(hostile) == shown


@given(st.text())
def test_every_text_becomes_printable(text: str) -> None:
    assert printable(text).isprintable()


def test_a_name_of_megabytes_is_not_walked_to_its_end() -> None:
    shown = printable("[" * 5_000_000 + "\x1b" + "]" * 5_000_000)

    assert len(shown) == 20_001
    assert shown.startswith("[[[")
    assert shown.endswith("]]]")


@pytest.mark.parametrize(
    ("width", "shown"),
    [(40, "main.manager.paths[*].Seen[*]"), (21, "main.manag…*].Seen[*]"), (1, "…"), (0, "")],
)
def test_a_long_name_loses_its_middle(width: int, shown: str) -> None:
    assert shorten("main.manager.paths[*].Seen[*]", width) == shown


@given(st.text(max_size=60), st.integers(0, 50))
def test_a_shortened_text_fits_and_a_short_one_is_whole(text: str, width: int) -> None:
    shown = shorten(text, width)

    assert cell_len(shown) <= width
    if cell_len(printable(text)) <= width:
        assert shown == printable(text)


def test_wide_characters_count_as_two_cells() -> None:
    assert shorten("日本語", 6) == "日本語"
    assert shorten("日本語", 5) == "日…語"

"""The first screen, compared with texts that were read and judged; HELDBY_UPDATE_SCREENS=1 rewrites them."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from heldby.analysis.answer import (
    Answer,
    CaptureFacts,
    Finding,
    HeapTotals,
    Holder,
    ProcessFacts,
    RssAccount,
    RssPart,
    RssRow,
)
from heldby.render.first_screen import first_screen, headline, print_first_screen
from heldby.render.waterfall import account_rows, bar, largest_rows, percent, waterfall_lines
from tests.support.answers import MIB, story

SCREENS = Path(__file__).parent / "screens"


def without_rss(answer: Answer) -> Answer:
    return replace(
        answer,
        rss=RssAccount(),
        process=replace(answer.process, rss_bytes=None, pid=None, uptime_seconds=None),
        capture=CaptureFacts(method="core"),
    )


ANSWERS = {
    "story": story(),
    "core": without_rss(story()),
    "empty": Answer(
        capture=CaptureFacts(method="core"),
        process=ProcessFacts(),
        heap=HeapTotals(),
        caveats=("the core is cut off: 4,096 bytes that its headers promise are not there",),
    ),
    "findings": replace(
        story(),
        findings=(
            *story().findings,
            Finding(
                rule="keep-as-text",
                title="Keep main.manager.paths as JSON, one text for each element",
                evidence={
                    "current_bytes": 1000 * MIB,
                    "json_total_bytes": 400 * MIB,
                    "current_objects": 9_300_000,
                    "objects": 51_300,
                    "measured_every": 10,
                },
                saving_bytes=600 * MIB,
            ),
        ),
    ),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_screen_is_the_one_that_was_judged(name: str, width: int) -> None:
    shown = first_screen(ANSWERS[name], width=width).plain + "\n"
    golden = SCREENS / f"{name}-{width}.txt"
    if os.environ.get("HELDBY_UPDATE_SCREENS"):
        golden.write_text(shown)

    assert shown == golden.read_text()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ANSWERS)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    lines = first_screen(ANSWERS[name], width=width).plain.split("\n")

    assert max(cell_len(line) for line in lines) <= width


def test_the_first_lines_are_the_answer() -> None:
    lines = first_screen(story()).plain.split("\n")

    assert lines[:3] == [
        "2.31 GiB: 1.02 GiB live; 625 MiB is garbage that the next collection frees;",
        "nothing leaks outside the heap.",
        "87% of the live heap (908 MiB) is held by main.manager.paths[*].Seen[*]",
    ]


def test_a_flat_heap_is_not_blamed_on_its_largest_holder() -> None:
    small = replace(story().holders[1], share=0.04)
    answer = replace(story(), holders=(small,))

    first = headline(answer, 200)[-1].plain

    assert (
        first
        == "No holder stands out; the largest keeps 4% of the live heap (43.0 MiB): main.hub.subs[*].pending"
    )


def test_holders_that_are_not_listed_are_summed() -> None:
    text = first_screen(story(), limit=2).plain

    assert "    9%   93.0 MiB 3 more holders (--limit 5)" in text.split("\n")


def test_small_rows_are_summed_and_the_account_stays_whole() -> None:
    rows = [RssRow(name=f"row {i}", bytes=i * MIB, group="heap") for i in range(30)]
    account = RssAccount(total_bytes=436 * MIB, rows=tuple(rows), unexplained_bytes=MIB)

    shown = largest_rows(account)

    assert sum(row.bytes or 0 for row in shown) == 436 * MIB
    assert [row.name for row in shown] == [
        *(f"row {i}" for i in range(22, 30)),
        "unexplained",
        "21 smaller rows",
    ]


def test_rows_without_residency_show_their_address_space() -> None:
    rows = (
        RssRow(name="live objects", bytes=None, virtual_bytes=7 * MIB),
        RssRow(name="garbage", bytes=None, virtual_bytes=0),
        RssRow(name="GC bits", bytes=None),
    )

    shown = account_rows(RssAccount(rows=rows))

    assert [(row.name, row.bytes) for row in shown] == [("live objects", 7 * MIB)]


def test_the_limit_of_the_cgroup_and_swap_are_shown_beside_rss() -> None:
    beyond = (
        RssRow(name="swap", bytes=64 * MIB, group="swap"),
        RssRow(name="kernel memory of the cgroup", bytes=12 * MIB, group="cgroup"),
    )
    account = replace(story().rss, beyond=beyond, limit_bytes=4096 * MIB)

    text = " ".join(line.plain.strip() for line in waterfall_lines(account, 80))

    assert "limit of the cgroup 4.00 GiB, of which RSS takes 58%" in text
    assert "swap 64.0 MiB, kernel memory of the cgroup 12.0 MiB" in text


def test_every_row_with_its_parts_is_shown_on_demand() -> None:
    row = RssRow(
        name="free slots in spans",
        bytes=9 * MIB,
        parts=(RssPart(name="size class 48 B", bytes=8 * MIB, count=174763),),
        remedy="taken by new objects",
    )
    account = RssAccount(total_bytes=9 * MIB, rows=(row,), unexplained_bytes=0)

    lines = [line.plain.strip() for line in waterfall_lines(account, 80, details=True)]

    assert "8.00 MiB  175 k  size class 48 B" in lines
    assert "back: taken by new objects" in lines


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0%"), (0.001, "<1%"), (0.005, "<1%"), (0.006, "1%"), (0.87, "87%"), (0.996, ">99%"), (1, "100%")],
)
def test_a_share_never_rounds_to_nothing_or_to_all(share: float, shown: str) -> None:
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(-1, ""), (0, ""), (0.5, "██"), (0.63, "██▌"), (1, "████"), (9, "████")]
)
def test_a_bar_stays_in_its_box(share: float, shown: str) -> None:
    assert bar(share, 4) == shown


def test_hostile_names_reach_no_terminal() -> None:
    evil = "\x1b[31m\u202e\n[bold red]"
    holder = Holder(
        path=evil + "p" * 500,
        root=evil,
        root_kind="global",
        type=evil,
        retained_bytes=908 * MIB,
        share=0.87,
        held_by=(evil, evil * 50),
        used_by=(evil,),
        containers=(evil * 90,),
        evidence=(evil,),
    )
    answer = replace(
        story(),
        process=replace(story().process, name=evil, go_version=evil),
        holders=(holder,),
        findings=(Finding(rule=evil, title=evil),),
        caveats=(evil,),
    )
    file = io.StringIO()
    print_first_screen(Console(file=file, width=80, force_terminal=False), answer)
    out = file.getvalue()

    assert "\x1b" not in out
    assert "\u202e" not in out
    assert r"\x1b[31m\u202e\x0a[bold red]" in out  # and the console's markup is not obeyed
    assert max(map(len, out.split("\n"))) <= 80


def test_colour_is_off_in_a_pipe_and_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain, piped = io.StringIO(), io.StringIO(), io.StringIO()

    print_first_screen(Console(file=coloured, force_terminal=True, width=80), story())
    print_first_screen(Console(file=piped, width=80), story())
    monkeypatch.setenv("NO_COLOR", "1")
    print_first_screen(Console(file=plain, force_terminal=True, width=80), story())

    assert "\x1b[1;32m" in coloured.getvalue()  # the holders
    assert ";32m" not in plain.getvalue()
    assert "\x1b" not in piped.getvalue()


def test_columns_sets_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    file = io.StringIO()

    print_first_screen(Console(file=file), story())

    assert file.getvalue() == (SCREENS / "story-120.txt").read_text()


def test_an_ascii_terminal_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")

    print_first_screen(Console(file=file, width=80), story())
    file.flush()

    assert b"  live objects              1.02 GiB   44%  #####-" in raw.getvalue()

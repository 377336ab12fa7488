"""Who has most, in a program whose objects are counted by hand."""

from __future__ import annotations

import pytest

from heldby.analysis.drilldown.selection import Selection, pattern
from heldby.analysis.drilldown.top import top
from heldby.analysis.table import Value
from heldby.errors import UsageError
from tests.analysis.drilldown_program import Read, drilldown
from tests.support.build import MODES, Mode
from tests.support.toolchains import Toolchain

ptrace = pytest.mark.ptrace

ENTRY = 32 + 48 + 1024  # the struct, its name, its blob


def rows_of(read: Read, by: str, selection: Selection | None = None) -> dict[Value, dict[str, Value]]:
    table = top(read.heap, by, selection=selection or Selection())
    return {row[by.replace("-", "_")]: row for row in table.rows()}


@ptrace
@pytest.mark.parametrize("mode", MODES)
def test_a_type_retains_what_its_objects_hold_together(mode: Mode, go: Toolchain) -> None:
    rows = rows_of(drilldown(go, mode), "type")

    # 100 entries with name and blob, and a chain of 50 without either.
    entry = rows["main.Entry"]
    assert (entry["objects"], entry["shallow_bytes"]) == (150, 150 * 32)
    assert entry["retained_bytes"] == 100 * ENTRY + 50 * 32
    assert entry["retained_objects"] == 350
    # Neither twin holds the common room alone; both together do.
    twin = rows["main.Twin"]
    assert (twin["objects"], twin["shallow_bytes"]) == (2, 64)
    assert (twin["retained_bytes"], twin["retained_objects"]) == (64 + 8192, 3)


@ptrace
def test_what_another_type_holds_too_is_not_retained(go: Toolchain) -> None:
    rows = rows_of(drilldown(go), "type")

    # The manager's spare room is held by a variable too, its map and chain by nothing else.
    parts = [
        row["shallow_bytes"]
        for name, row in rows.items()
        if "map" in str(name) and "*main.Entry" in str(name)
    ]
    assert rows["main.Manager"]["retained_bytes"] == 24 + sum(parts) + 100 * ENTRY + 50 * 32
    assert rows["main.Spare"]["retained_bytes"] == 4096
    assert rows["main.Request"]["retained_bytes"] == 8 * 512


@ptrace
def test_the_first_rows_are_those_of_the_whole_list(go: Toolchain) -> None:
    read = drilldown(go)

    few = top(read.heap, "type", limit=10)
    whole = top(read.heap, "type")
    assert list(few.rows()) == list(whole.rows())[:10]
    assert few.row_count == len(whole)


@ptrace
def test_packages_modules_and_size_classes_count_every_live_object_once(go: Toolchain) -> None:
    read = drilldown(go)
    live = int(read.heap.live.sum())
    live_bytes = int(read.heap.sizes[: read.heap.object_count + 1].sum(where=read.heap.live))

    for by in ("type", "package", "module", "size-class"):
        rows = rows_of(read, by).values()
        assert sum(row["objects"] for row in rows) == live, by
        assert sum(row["shallow_bytes"] for row in rows) == live_bytes, by
    assert rows_of(read, "size-class")["32 B"]["objects"] >= 152
    # Entries, twins, the manager, the spare and the common room, requests, the buffer; and the map's parts.
    assert rows_of(read, "package")["main"]["objects"] >= 150 + 2 + 1 + 1 + 1 + 8 + 1
    assert {"(standard library)", "(built-in types)"} < set(rows_of(read, "module"))


@ptrace
def test_holders_divide_the_live_bytes(go: Toolchain) -> None:
    read = drilldown(go)

    rows = rows_of(read, "holder").values()
    assert sum(row["retained_bytes"] for row in rows) == int(read.heap.retained_bytes[0])


@ptrace
def test_roots_and_goroutines_retain_what_they_hold_alone(go: Toolchain) -> None:
    read = drilldown(go)
    roots = rows_of(read, "root")
    goroutines = [row for row in top(read.heap, "goroutine").rows() if row["goroutine"] == "main.serve"]

    assert roots["main.boxed"]["retained_bytes"] == 512
    assert roots["main.boxed"]["retained_objects"] == 1
    assert (roots["main.twinA"]["retained_bytes"], roots["main.twinA"]["retained_objects"]) == (32, 1)
    assert len(goroutines) == 7
    assert all(row["retained_bytes"] >= 512 for row in goroutines)
    assert len({row["goid"] for row in goroutines}) == 7


@ptrace
def test_a_selection_counts_only_what_fits(go: Toolchain) -> None:
    read = drilldown(go)

    held = rows_of(read, "type", Selection(holder="main.manager.paths"))
    assert held["main.Entry"]["objects"] == 100
    assert held["main.Entry"]["retained_bytes"] == 100 * ENTRY
    assert "main.Twin" not in held
    assert set(rows_of(read, "type", Selection(type="main.T..."))) == {"main.Twin"}
    assert "string" not in rows_of(read, "type", Selection(package="main"))


@ptrace
def test_small_rows_are_left_out_when_asked_for(go: Toolchain) -> None:
    read = drilldown(go)

    rows = list(top(read.heap, "type", min_size=8192).rows())
    assert rows
    assert min(row["retained_bytes"] for row in rows) >= 8192
    assert "main.Twin" in [row["type"] for row in rows]


@ptrace
@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(type="main.Nothing"), "no live object fits --type main.Nothing"),
        (Selection(package="no/such"), "no live object fits --package no/such"),
        (Selection(holder="main.managr"), "nothing is called main.managr"),
    ],
)
def test_what_fits_nothing_is_an_error_that_helps(selection: Selection, said: str, go: Toolchain) -> None:
    read = drilldown(go)

    with pytest.raises(UsageError, match=said) as error:
        top(read.heap, "type", selection=selection)
    if selection.holder:
        assert "main.manager" in str(error.value.cause)


@ptrace
def test_what_comes_close_is_told(go: Toolchain) -> None:
    heap = drilldown(go).heap

    for selection, close in (
        (Selection(type="Entry"), "main.Entry"),
        (Selection(type="main.Entri"), "main.Entry"),
        (Selection(package="ain"), "main"),
    ):
        with pytest.raises(UsageError) as error:
            top(heap, "type", selection=selection)
        assert close in str(error.value.cause)


@pytest.mark.parametrize(
    ("text", "fitting", "others"),
    [
        ("main.Entry", ["main.Entry"], ["main.Entry2", "xmain.Entry"]),
        ("net/...", ["net", "net/http", "net/http/pprof"], ["network"]),
        ("main....", ["main.Entry", "main."], ["mainly.Entry", "main"]),
        ("...Entry", ["main.Entry", "map[string]*main.Entry"], ["main.Entries"]),
        ("map[string]...", ["map[string]int"], ["map[int]string", "mapstring"]),
        ("[]main.T", ["[]main.T"], ["m", "main.T"]),
    ],
)
def test_patterns_are_those_of_go_list(text: str, fitting: list[str], others: list[str]) -> None:
    assert all(pattern(text).fullmatch(name) for name in fitting)
    assert not any(pattern(text).fullmatch(name) for name in others)

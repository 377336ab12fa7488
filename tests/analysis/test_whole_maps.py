"""A map is one row with all its parts, in a program with two map types whose groups, or buckets, have one type."""

from __future__ import annotations

import pytest

from heldby.analysis.drilldown.selection import Selection
from heldby.analysis.drilldown.top import top
from heldby.analysis.drilldown.what_if import what_if
from heldby.analysis.table import Value
from tests.analysis.drilldown_program import drilldown
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace


def rows_by_type(go: Toolchain, **options: object) -> dict[Value, dict[str, Value]]:
    table = top(drilldown(go).heap, "type", **options)  # type: ignore[arg-type]
    return {row["type"]: row for row in table.rows()}


def test_a_map_is_one_row_with_its_header_and_all_that_its_entries_lie_in(go: Toolchain) -> None:
    whole, apart = rows_by_type(go), rows_by_type(go, parts=True)

    parts = [row for name, row in apart.items() if "map" in str(name) and "*main.Entry" in str(name)]
    paths = whole["map[int]*main.Entry"]
    assert len(parts) > 1
    assert paths["objects"] == sum(int(str(row["objects"])) for row in parts)
    assert paths["shallow_bytes"] == sum(int(str(row["shallow_bytes"])) for row in parts)
    # What its entries hold goes with it, and nothing else does.
    assert paths["retained_bytes"] == int(str(paths["shallow_bytes"])) + 100 * (32 + 48 + 1024)
    assert [name for name in whole if "groups" in str(name) or " table" in str(name)] == []


def test_groups_of_one_type_count_for_the_map_that_they_belong_to(go: Toolchain) -> None:
    whole = rows_by_type(go)
    # What the map retains is what it consists of: its values are nil.
    retained = {
        root: row["retained_bytes"]
        for row in top(drilldown(go).heap, "root").rows()
        if (root := row["root"]) in ("main.index", "main.plain")
    }

    assert whole["main.Index"]["shallow_bytes"] == retained["main.index"]
    assert whole["map[int32]*int32"]["shallow_bytes"] == retained["main.plain"]
    # 100 entries of 16 bytes, and 60.
    assert int(str(retained["main.index"])) > 1600
    assert int(str(retained["main.plain"])) > 960


def test_a_type_that_is_asked_for_brings_the_parts_of_its_maps(go: Toolchain) -> None:
    only = rows_by_type(go, selection=Selection(type="main.Index"))

    assert set(only) == {"main.Index"}
    assert only["main.Index"] == rows_by_type(go)["main.Index"]


def test_what_would_be_freed_of_a_map_is_one_row_too(go: Toolchain) -> None:
    (row,) = what_if(drilldown(go).heap, ["main.index"]).rows()

    assert (row["type"], row["freed_bytes"]) == (
        "main.Index",
        rows_by_type(go)["main.Index"]["shallow_bytes"],
    )

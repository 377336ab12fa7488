"""The filters mean the same in every question, in a program whose objects are counted by hand."""

from __future__ import annotations

import pytest

from heldby.analysis.drilldown.goroutines import goroutines, read_goroutine_stacks
from heldby.analysis.drilldown.paths import paths, paths_of_all_roots
from heldby.analysis.drilldown.references import references
from heldby.analysis.drilldown.selection import Selection
from heldby.analysis.drilldown.string_search import TextScope, find_text
from heldby.analysis.drilldown.top import top
from heldby.analysis.drilldown.tree import merged_tree, object_tree
from heldby.analysis.drilldown.what_if import what_if
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.small_objects.size_classes import pinning_table, size_class_table
from heldby.errors import UsageError
from heldby.heap import Heap
from tests.analysis.drilldown_program import drilldown
from tests.support.toolchains import any_toolchain

pytestmark = pytest.mark.ptrace

ENTRIES = Selection(type="main.Entry")


@pytest.fixture(scope="module")
def heap() -> Heap:
    return drilldown(any_toolchain()).heap


def test_chosen_objects_are_divided_among_their_holders_and_roots(heap: Heap) -> None:
    holders = {row["holder"]: row for row in top(heap, "holder", selection=ENTRIES).rows()}
    roots = {row["root"]: row for row in top(heap, "root", selection=ENTRIES).rows()}

    assert sum(int(str(row["objects"])) for row in holders.values()) == 150
    assert sum(int(str(row["shallow_bytes"])) for row in holders.values()) == 150 * 32
    assert list(roots) == ["main.manager"]
    # With names and blobs of the map's entries; those of the chain have none.
    assert roots["main.manager"]["retained_bytes"] == 150 * 32 + 100 * (48 + 1024)


def test_what_several_roots_hold_is_a_row_of_its_own(heap: Heap) -> None:
    (row,) = top(heap, "root", selection=Selection(type="main.Common")).rows()

    assert (row["root"], row["objects"], row["shallow_bytes"]) == ("(several)", 1, 8192)


def test_single_goroutines_are_not_listed_by_what_they_hold(heap: Heap) -> None:
    with pytest.raises(UsageError, match="single goroutines are not asked for") as error:
        top(heap, "goroutine", selection=ENTRIES)

    assert "--by root --type main.Entry" in str(error.value.next_step)


def test_the_tree_shows_the_branches_that_lead_to_chosen_objects(heap: Heap) -> None:
    rows = list(merged_tree(heap, depth=4, selection=ENTRIES).rows())
    named = {row["path"]: row for row in rows}

    # One root leads to entries; what lies beside them is left out.
    assert [row["step"] for row in rows if row["depth"] == 0] == ["main.manager"]
    assert (named["main.manager"]["chosen_objects"], named["main.manager"]["chosen_bytes"]) == (150, 150 * 32)
    assert named["main.manager.paths[*]"]["chosen_objects"] == 100
    assert all("spare" not in str(path) and "Blob" not in str(path) for path in named)
    # What is not shown is summed up.
    narrow = list(merged_tree(heap, "main.manager", depth=1, width=1, selection=ENTRIES).rows())
    assert [row["chosen_objects"] for row in narrow] == [150, 100, 50]
    assert narrow[-1]["step"] == "1 more (--width)"
    # What a line retains is what it always is.
    whole = {row["path"]: row for row in merged_tree(heap, depth=4, width=100).rows()}
    assert {path: row["retained_bytes"] for path, row in named.items()} == {
        path: whole[path]["retained_bytes"] for path in named
    }
    assert all(
        int(str(row["chosen_bytes"])) >= 3200
        for row in merged_tree(heap, selection=ENTRIES, min_size=3200).rows()
    )


def test_single_objects_are_the_chosen_ones_below_a_path(heap: Heap) -> None:
    table = object_tree(heap, "main.manager.paths", depth=0, width=1000, selection=ENTRIES)

    assert (table["type"].to_list(), len(table)) == (["main.Entry"] * 100, 100)
    address = f"{int(table['addr'].values[0]):#x}"
    with pytest.raises(UsageError, match="not below one object"):
        object_tree(heap, address, selection=ENTRIES)


def test_paths_lead_to_the_chosen_ones_only(heap: Heap) -> None:
    held = Selection(holder="main.manager.paths")

    assert sum(paths(heap, "main.Entry", selection=held)["objects"].values.tolist()) == 100
    assert len(paths(heap, "main.Entry", selection=held, min_size=3201)) == 0
    assert paths_of_all_roots(heap, "main.Entry", selection=held)["root"].to_list()[0] == "main.manager"
    with pytest.raises(UsageError, match=r"no live object called main\.Entry fits --type main\.Twin"):
        paths(heap, "main.Entry", selection=Selection(type="main.Twin"))


def test_references_are_chosen_by_what_stands_at_the_other_end(heap: Heap) -> None:
    common = int(drilldown(any_toolchain()).ready["common"])

    twins = references(heap, common, into=True, selection=Selection(type="main.Twin"))
    assert twins["from"].to_list() == ["main.Twin", "main.Twin"]
    assert len(references(heap, common, into=True, selection=ENTRIES)) == 0
    assert len(references(heap, common, into=True, min_size=33)) == 0  # a twin retains its 32 bytes


def test_strings_are_chosen_by_who_has_them_and_by_where_they_lie(heap: Heap) -> None:
    tree = build_holder_tree(heap)

    def found(scope: TextScope) -> int:
        return find_text(heap, tree, "", scope=scope).row_count

    entries, twins = (Selection(type=name).objects(heap) for name in ("main.Entry", "main.Twin"))
    names = Selection(holder="main.manager.paths[*].Name").objects(heap)
    assert found(TextScope(sources=entries)) == 100
    assert found(TextScope(sources=twins)) == 0
    assert found(TextScope(texts=names)) == 100
    assert found(TextScope(sources=entries, least_bytes=49)) == 0


def test_goroutines_are_chosen_by_the_functions_on_their_stacks(heap: Heap) -> None:
    stacks = read_goroutine_stacks(heap)

    serving = goroutines(stacks, function="main.serve")
    assert sum(serving["goroutines"].values.tolist()) == 7
    assert sum(goroutines(stacks, function="main")["goroutines"].values.tolist()) == 8
    assert len(goroutines(stacks, function="main.serve", min_size=1 << 20)) == 0
    with pytest.raises(UsageError, match=r"no goroutine's stack passes through main\.nobody"):
        goroutines(stacks, function="main.nobody")


def test_what_would_be_freed_is_listed_as_chosen_and_told_whole(heap: Heap) -> None:
    whole = what_if(heap, ["main.manager"])
    entries = what_if(heap, ["main.manager"], selection=ENTRIES)

    assert [(row["type"], row["freed_objects"]) for row in entries.rows()] == [("main.Entry", 150)]
    assert entries.title == whole.title
    assert "listed is what fits --type main.Entry: 4.69 KiB in 150 objects" in entries.notes[0]
    assert all(row["freed_bytes"] >= 4800 for row in what_if(heap, ["main.manager"], min_size=4800).rows())  # type: ignore[operator]


def test_size_classes_are_those_of_the_spans_in_which_chosen_objects_lie(heap: Heap) -> None:
    (row,) = size_class_table(heap, selection=ENTRIES).rows()

    assert (row["slot_bytes"], row["pointers"]) == (32, True)
    assert int(str(row["live_objects"])) >= 150  # with what else lies in these spans
    pinning = pinning_table(heap, selection=Selection(package="main"))["type"].to_list()
    assert set(pinning) <= set(
        top(heap, "type", selection=Selection(package="main"), parts=True)["type"].to_list()
    )
    assert len(size_class_table(heap, min_size=1 << 40)) == 0


def test_a_filter_makes_no_holder_larger_than_it_is(heap: Heap) -> None:
    """All objects below a variable, divided: each holder has no more than without a filter."""
    own = {row["holder"]: int(str(row["retained_bytes"])) for row in top(heap, "holder").rows()}
    divided = top(heap, "holder", selection=Selection(holder="main.manager"))

    chosen = int(heap.sizes[: heap.object_count + 1][Selection(holder="main.manager").objects(heap)].sum())
    assert sum(int(str(row["shallow_bytes"])) for row in divided.rows()) == chosen
    assert all(int(str(row["shallow_bytes"])) <= own[row["holder"]] for row in divided.rows())
    assert [column.name for column in divided.columns] == ["holder", "objects", "shallow_bytes", "share"]

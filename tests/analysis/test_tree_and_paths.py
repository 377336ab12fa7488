"""The tree, the ways from the roots, and single references, in a program whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from heldby.analysis.drilldown.paths import paths, paths_of_all_roots
from heldby.analysis.drilldown.references import references
from heldby.analysis.drilldown.tree import merged_tree, object_tree
from heldby.analysis.table import Value
from heldby.errors import UsageError
from tests.analysis.drilldown_program import drilldown
from tests.support.build import MODES, Mode
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

ENTRY = 32 + 48 + 1024


def test_the_tree_below_a_variable_has_its_fields_largest_first(go: Toolchain) -> None:
    table = merged_tree(drilldown(go).heap, "main.manager", depth=1)

    rows = list(table.rows())
    assert [(row["depth"], row["step"], row["path"]) for row in rows] == [
        (0, "main.manager", "main.manager"),
        (1, ".paths", "main.manager.paths"),
        (1, ".chain", "main.manager.chain"),
    ]
    assert rows[2]["retained_bytes"] == 50 * 32
    assert rows[2]["retained_objects"] == 50


def test_the_tree_goes_as_deep_as_it_is_asked_to(go: Toolchain) -> None:
    heap = drilldown(go).heap

    deep = {row["path"]: row for row in merged_tree(heap, "main.manager", depth=4).rows()}
    entries = deep["main.manager.paths[*]"]
    assert (entries["type"], entries["retained_bytes"], entries["retained_objects"]) == (
        "main.Entry",
        100 * ENTRY,
        300,
    )
    assert deep["main.manager.paths[*].Name"]["retained_bytes"] == 4800
    assert deep["main.manager.paths[*].Blob[*]"]["retained_bytes"] == 102_400
    assert deep["main.manager.chain(.Next)*"]["retained_bytes"] == 49 * 32
    assert max(int(row["depth"] or 0) for row in merged_tree(heap, depth=2).rows()) == 1


def test_few_lines_are_those_that_retain_most(go: Toolchain) -> None:
    heap = drilldown(go).heap

    few = merged_tree(heap, "main.manager", depth=4, most=3)
    assert [row["path"] for row in few.rows()] == [
        "main.manager",
        "main.manager.paths",
        "main.manager.paths[*]",
    ]
    assert few.notes != ()


def test_other_children_share_a_line(go: Toolchain) -> None:
    table = merged_tree(drilldown(go).heap, "main.manager", depth=1, width=1)

    last = list(table.rows())[-1]
    assert (last["step"], last["retained_bytes"]) == ("1 more (--width)", 50 * 32)


def test_single_objects_of_a_path(go: Toolchain) -> None:
    read = drilldown(go)

    rows = list(object_tree(read.heap, "main.manager.paths[*]", depth=1, width=5).rows())
    assert [row["depth"] for row in rows] == [0, 1, 1] * 5
    assert {row["type"] for row in rows if row["depth"] == 0} == {"main.Entry"}
    assert {row["retained_bytes"] for row in rows if row["depth"] == 0} == {ENTRY}


@pytest.mark.parametrize("mode", MODES)
def test_an_object_by_its_address(mode: Mode, go: Toolchain) -> None:
    read = drilldown(go, mode)

    rows = list(object_tree(read.heap, hex(read.ready["entry"]), depth=3).rows())
    assert rows[0]["addr"] == read.ready["entry"]
    assert [row["retained_bytes"] for row in rows] == [ENTRY, 1024, 48]


def test_the_shortest_way_to_a_type_names_variable_and_fields(go: Toolchain) -> None:
    rows = [(row["path"], row["objects"]) for row in paths(drilldown(go).heap, "main.Entry").rows()]

    assert rows == [
        ("main.manager.paths[*]", 100),
        ("main.manager.chain(.Next)*", 49),
        ("main.manager.chain", 1),
    ]


def test_a_way_to_an_address_counts_its_steps(go: Toolchain) -> None:
    read = drilldown(go)

    rows = list(paths(read.heap, hex(read.ready["common"])).rows())
    assert len(rows) == 1
    # The root, the twin, the common room.
    assert (rows[0]["path"], rows[0]["steps"]) in [("main.twinA.Common", 3), ("main.twinB.Common", 3)]


def test_a_holder_is_its_own_target(go: Toolchain) -> None:
    rows = list(paths(drilldown(go).heap, "main.manager.paths[*].Name").rows())

    assert [(row["path"], row["objects"], row["shallow_bytes"]) for row in rows] == [
        ("main.manager.paths[*].Name", 100, 4800)
    ]


def test_every_root_has_its_way(go: Toolchain) -> None:
    read = drilldown(go)

    found = {str(row["root"]): row for row in paths_of_all_roots(read.heap, hex(read.ready["common"])).rows()}
    ours = {name: row for name, row in found.items() if name.startswith("main.twin")}
    assert {name: (row["path"], row["steps"]) for name, row in ours.items()} == {
        "main.twinA": ("main.twinA.Common", 2),
        "main.twinB": ("main.twinB.Common", 2),
    }


@pytest.mark.parametrize("mode", MODES)
def test_pools_and_finalizers_are_no_strong_way(mode: Mode, go: Toolchain) -> None:
    heap = drilldown(go, mode).heap

    weak = [str(row["path"]) for row in paths(heap, "main.Buffer").rows()]
    assert len(weak) == 1
    strong = paths(heap, "main.Buffer", strong=True)
    assert len(strong) == 0
    assert strong.notes == ("1 of these objects: no other way than those that were left out",)
    assert len(paths_of_all_roots(heap, "main.Buffer", strong=True)) == 0
    assert len(paths(heap, "main.Entry", strong=True)) == 3


def test_garbage_has_no_way(go: Toolchain) -> None:
    heap = drilldown(go).heap
    dead = np.flatnonzero(~heap.live)
    assert dead.size > 1  # number 0 is the virtual root

    table = paths(heap, hex(int(heap.objects.addr[dead[-1]])))
    assert len(table) == 0
    assert table.notes == ("1 of these objects: no way at all: garbage",)


def test_who_refers_to_an_object_by_field(go: Toolchain) -> None:
    read = drilldown(go)

    into = list(references(read.heap, read.ready["common"], into=True).rows())
    twins = [row for row in into if row["from"] == "main.Twin"]
    assert [row["field"] for row in twins] == [".Common", ".Common"]
    assert [(row["shallow_bytes"], row["retained_bytes"]) for row in twins] == [(32, 32)] * 2


def test_what_an_object_refers_to_by_field(go: Toolchain) -> None:
    read = drilldown(go)

    rows: list[dict[str, Value]] = list(references(read.heap, read.ready["entry"] + 8, into=False).rows())
    assert [(row["field"], row["shallow_bytes"]) for row in rows] == [(".Blob[*]", 1024), (".Name", 48)]
    assert rows[1]["to"] == "string"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("0x10", "there is no object at 0x10"),
        ("0xzz", "0xzz is no address"),
        ("main.Nobody", "nothing is called"),
    ],
)
def test_what_is_not_there_is_an_error_that_helps(what: str, said: str, go: Toolchain) -> None:
    with pytest.raises(UsageError, match=said):
        paths(drilldown(go).heap, what)

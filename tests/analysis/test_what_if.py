"""What would be freed, worked out by hand for one program, and by removing references from it."""

from __future__ import annotations

import numpy as np
import pytest

from heldby.analysis.drilldown.path_lookup import find_place
from heldby.analysis.drilldown.top import top
from heldby.analysis.drilldown.what_if import what_if
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.errors import UsageError
from tests.analysis.drilldown_program import Read, drilldown
from tests.support.build import Mode
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

ENTRY = 32 + 48 + 1024


def freed(read: Read, *without: str) -> dict[str, tuple[int, int]]:
    """Return objects and bytes that would be freed, by type."""
    rows = what_if(read.heap, without).rows()
    return {str(row["type"]): (row["freed_objects"], row["freed_bytes"]) for row in rows}  # type: ignore[misc]


def test_a_field_frees_what_nothing_else_reaches(go: Toolchain) -> None:
    found = freed(drilldown(go), "main.manager.paths")

    assert found["main.Entry"] == (100, 3200)
    assert found["string"] == (100, 4800)
    assert found["[]uint8" if "[]uint8" in found else "[1024]uint8"] == (100, 102_400)
    maps = sum(size for name, (_, size) in found.items() if "map" in name)
    assert sum(size for _, size in found.values()) == 100 * ENTRY + maps


def test_elements_can_go_without_their_map(go: Toolchain) -> None:
    read = drilldown(go)

    found = freed(read, "main.manager.paths[*]")
    assert found["main.Entry"] == (100, 3200)
    assert not any("map" in name for name in found)
    assert "100 references" in what_if(read.heap, ["main.manager.paths[*]"]).title


def test_what_two_share_is_freed_only_when_both_go(go: Toolchain) -> None:
    read = drilldown(go)

    assert freed(read, "main.manager.spare") == {}
    assert "main.Spare" not in freed(read, "main.keeper")
    assert freed(read, "main.manager.spare", "main.keeper") == {"main.Spare": (1, 4096)}
    assert freed(read, "main.twinA") == {"main.Twin": (1, 32)}
    both = freed(read, "main.twinA", "main.twinB")
    assert both == {"main.Twin": (2, 64), "main.Common": (1, 8192)}


def test_a_slice_goes_by_the_name_of_its_field(go: Toolchain) -> None:
    read = drilldown(go)
    blobs = freed(read, "main.manager.paths[*].Blob[*]")

    assert sum(size for _, size in blobs.values()) == 102_400
    assert freed(read, "main.manager.paths[*].Blob") == blobs


def test_a_list_goes_with_its_head(go: Toolchain) -> None:
    assert freed(drilldown(go), "main.manager.chain") == {"main.Entry": (50, 1600)}


def test_a_variable_frees_all_that_it_holds(go: Toolchain) -> None:
    found = freed(drilldown(go), "main.manager")

    assert found["main.Manager"] == (1, 24)
    assert found["main.Entry"] == (150, 4800)
    assert "main.Spare" not in found


def test_goroutines_free_their_requests_when_they_end(go: Toolchain) -> None:
    read = drilldown(go)

    found = freed(read, "goroutine main.serve")
    # The seven requests, in slots of 512 bytes; the runtime keeps the goroutines' own records for others.
    assert sum(size for _, size in found.values()) == 7 * 512
    assert sum(count for count, _ in found.values()) == 7


def test_without_debug_information_a_variable_goes_by_its_place(go: Toolchain) -> None:
    read = drilldown(go, Mode.STRIPPED)

    names = [str(row["root"]) for row in top(read.heap, "root").rows() if row["retained_bytes"] == 512]
    assert any(freed(read, name) == {"main.Request": (1, 512)} for name in names)


def test_one_goroutine_goes_by_its_id(go: Toolchain) -> None:
    read = drilldown(go)
    rows = top(read.heap, "goroutine").rows()
    goid = next(row["goid"] for row in rows if row["goroutine"] == "main.serve")

    found = freed(read, f"goroutine {goid}")
    assert sum(size for _, size in found.values()) == 512


def test_a_path_is_looked_up_level_by_level(go: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen count: only the children of rows on the way are named, not every path of the heap."""
    tree = build_holder_tree(drilldown(go).heap)
    offsets, children = tree.paths.children()
    counts = np.diff(offsets)
    manager = next(int(p) for p in children[: counts[0]] if tree.text(int(p)) == "main.manager")
    named: list[int] = []
    text = HolderTree.text
    monkeypatch.setattr(HolderTree, "text", lambda self, path: named.append(path) or text(self, path))

    find_place(tree, "main.manager.paths")

    assert len(named) == counts[0] + counts[manager]
    assert len(named) < tree.paths.path_count / 2


def test_nothing_is_freed_is_said(go: Toolchain) -> None:
    table = what_if(drilldown(go).heap, ["main.manager.spare"])

    assert len(table) == 0
    assert "0 B in 0 objects would be freed" in table.title
    assert table.notes == ("something else still reaches all of it; see heldby paths",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("main.manager.pathz", "nothing is called main.manager.pathz"),
        ("goroutine 999999", "there is no goroutine 999999"),
        ("", "nothing is called"),
    ],
)
def test_a_wrong_name_is_an_error_that_helps(text: str, said: str, go: Toolchain) -> None:
    with pytest.raises(UsageError, match=said):
        what_if(drilldown(go).heap, [text])

"""`heldby sites`: each site with its holders, narrowed from either side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from heldby.analysis.allocation.site_table import site_outline, site_pairs
from heldby.analysis.drilldown.selection import Selection
from heldby.analysis.holding.holder_tree import build_holder_tree
from heldby.analysis.table import Table
from heldby.cli.main import cli
from heldby.cli.run import Run
from heldby.errors import MissingData, UsageError
from tests.support.allocations import sites_heap, sites_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace

MIB = 1 << 20


def pairs(table: Table) -> set[tuple[object, object, object]]:
    return {(row["site"], row["holder"], row["bytes"]) for row in table.rows()}


def test_site_has_all_its_holders(go: Toolchain) -> None:
    tree = build_holder_tree(sites_heap(go, 1))

    table = site_pairs(tree, by="function", site="main.newSmall")

    assert pairs(table) == {
        ("main.newSmall", "main.left.Small[*][*]", 4 * MIB),
        ("main.newSmall", "main.right.Small[*][*]", 8 * MIB),
        ("main.newSmall", "(garbage)", 2 * MIB),
    }
    garbage = {row["holder"]: row["garbage"] for row in table.rows()}
    assert garbage["(garbage)"] is True
    assert garbage["main.left.Small[*][*]"] is False


def test_holder_has_all_its_sites(go: Toolchain) -> None:
    tree = build_holder_tree(sites_heap(go, 1))

    table = site_pairs(tree, by="function", selection=Selection(holder="main.left"))

    # The arrays of 4,096 and of 512 pointers are in the last row of the holders. From Go 1.22 on a header of 8
    # bytes stands before 512 pointers, so their slot is of the next size class.
    arrays = 32_768 + (4864 if go.minor >= "1.22" else 4096)
    assert pairs(table) == {
        ("main.newSmall", "main.left.Small[*][*]", 4 * MIB),
        ("main.newLarge", "main.left.Large[*][*]", 32 * MIB),
        ("main.fill", "everything else", arrays),
    }


def test_package_line_and_stack_are_sites_too(go: Toolchain) -> None:
    tree = build_holder_tree(sites_heap(go, 1))

    by_package = site_pairs(
        tree, by="package", site="main", selection=Selection(holder="main.right.Middle[*]")
    )
    by_line = site_pairs(tree, site="main.newInlined")
    by_stack = site_pairs(tree, by="stack", site="main.newInlined")

    assert next(row["site"] for row in by_package.rows()) == "main"
    (line,) = by_line.rows()
    assert (line["site"], line["line"]) == ("main.newInlined main.go:47", 47)
    (stack,) = by_stack.rows()
    assert stack["site"] == (
        "main.newInlined main.go:47 < main.fill main.go:61 < main.main main.go:83 < "
        f"runtime.main {str(stack['site']).rpartition(' ')[2]}"
    )


def test_outline_has_each_site_above_its_holders(go: Toolchain) -> None:
    tree = build_holder_tree(sites_heap(go, 1))

    table = site_outline(tree, by="function", site="main.new...")

    rows = [(row["depth"], row["bytes"], row["allocated_at_and_held_by"]) for row in table.rows()]
    assert rows == [
        (0, 36 * MIB, "main.newLarge"),
        (1, 32 * MIB, "main.left.Large[*][*]"),
        (1, 4 * MIB, "main.right.Large[*][*]"),
        (0, 14 * MIB, "main.newSmall"),
        (1, 8 * MIB, "main.right.Small[*][*]"),
        (1, 4 * MIB, "main.left.Small[*][*]"),
        (1, 2 * MIB, "(garbage)"),
        (0, 8 * MIB, "main.newInlined"),
        (1, 8 * MIB, "main.right.Middle[*][*]"),
    ]
    assert table.title.endswith("every allocation is sampled")


def test_rows_are_largest_first_and_shares_add_up(go: Toolchain) -> None:
    table = site_pairs(build_holder_tree(sites_heap(go, 1)), by="line")
    rows = list(table.rows())

    assert rows[0]["function"] == "main.newLarge"
    assert str(rows[0]["file"]).endswith("/main.go")
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1)  # type: ignore[arg-type]


def test_nothing_that_fits_is_a_mistake_of_the_asker(go: Toolchain) -> None:
    tree = build_holder_tree(sites_heap(go, 1))

    with pytest.raises(UsageError, match=r"no sampled object fits --site main\.nothing"):
        site_pairs(tree, site="main.nothing")


def test_process_without_profile_says_why_and_how_to_have_it(go: Toolchain) -> None:
    with pytest.raises(MissingData, match="no memory profile") as caught:
        site_outline(build_holder_tree(sites_heap(go, 0)))
    assert caught.value.next_step == "leave runtime.MemProfileRate at its default and start the program again"


def test_command_writes_the_pairs_as_json(go: Toolchain, tmp_path: Path) -> None:
    path = tmp_path / "sites.json"
    with running(sites_program(go), ["1"]) as program:
        wait_until_still(program.pid)
        arguments = ["sites", str(program.pid), "-q", "--by", "function", "--site", "main.newInlined"]
        done = CliRunner().invoke(cli, [*arguments, "--format", "json", "-o", str(path)], obj=Run())

    assert done.exit_code == 0, done.output
    document = json.loads(path.read_text())
    assert document["table"] == "sites"
    assert [(row["holder"], row["bytes"], row["samples"]) for row in document["rows"]] == [
        ("main.right.Middle[*][*]", 8 * MIB, 2048)
    ]

"""Every object belongs to one row of the first screen, and the rows' bytes and objects are those of their own."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import heldby
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.holding.holders import holder_rows
from heldby.analysis.holding.ownership import NOBODY, ownership_of
from tests.support.build import scenario_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace


@functools.cache
def tree_of(go: Toolchain, name: str) -> HolderTree:
    with running(scenario_program(name, go)) as program:
        wait_until_still(program.pid)
        return build_holder_tree(heldby.open(program.pid).heap)


@pytest.mark.parametrize("name", ["shared", "maps", "lists"])
def test_rows_have_the_bytes_and_objects_of_what_belongs_to_them(go: Toolchain, name: str) -> None:
    tree = tree_of(go, name)
    rows, rest = holder_rows(tree)

    owner = ownership_of(tree).of_all()

    live = owner != NOBODY
    sizes = tree.heap.sizes[: tree.heap.object_count + 1]
    found_bytes = [int(sizes[owner == number].sum()) for number in range(len(rows) + 1)]
    found_objects = np.bincount(owner[live], minlength=len(rows) + 1).tolist()
    assert found_bytes == [row.bytes for row in (*rows, rest)]
    assert found_objects == [row.objects for row in (*rows, rest)]


def test_live_objects_and_no_others_belong_to_somebody(go: Toolchain) -> None:
    tree = tree_of(go, "shared")

    owner = ownership_of(tree).of_all()

    assert np.array_equal(owner != NOBODY, tree.heap.live)


def test_objects_below_a_row_belong_to_it(go: Toolchain) -> None:
    tree = tree_of(go, "shared")
    ownership = ownership_of(tree)
    documents = next(
        number for number, row in enumerate(ownership.rows) if tree.text(row.path).endswith("main.Document")
    )

    members = np.flatnonzero(ownership.of_all() == documents)

    types = {tree.heap.naming.type_name(tree.heap.naming.type_at(int(member))) for member in members}
    assert "main.Document" in types
    assert set(tree.paths.path_of[tree.heap.tree.number[members]].tolist()) == {
        ownership.rows[documents].path
    }

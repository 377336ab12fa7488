"""What nobody holds alone: it is a top of its own, called by its type, with those who hold it beside it."""

from __future__ import annotations

import functools

import pytest

import heldby
from heldby.analysis.holding.holder_tree import HolderTree, build_holder_tree
from heldby.analysis.holding.holders import describe_rows, holder_rows
from heldby.analysis.holding.sharing import ways_into
from tests.support.build import scenario_program
from tests.support.process import running, wait_until_still
from tests.support.toolchains import Toolchain

pytestmark = pytest.mark.ptrace


@functools.cache
def shared_tree(go: Toolchain) -> HolderTree:
    with running(scenario_program("shared", go)) as program:
        wait_until_still(program.pid)
        return build_holder_tree(heldby.open(program.pid).heap)


def tops_of_type(tree: HolderTree, name: str) -> list[int]:
    """Return the paths of shared objects of a type, most retained first."""
    offsets, children = tree.paths.children()
    return [
        int(path)
        for path in children[offsets[0] : offsets[1]]
        if tree.step(int(path))[0] == "shared" and tree.type_text(int(path)) == name
    ]


def test_object_that_all_goroutines_of_a_function_hold_is_held_by_their_group(go: Toolchain) -> None:
    tree = shared_tree(go)
    group = next(
        path
        for path in range(1, tree.paths.path_count)
        if tree.root_name(path).strip() == "goroutine main.(*Server).serve" and tree.step(path)[0] == "root"
    )

    servers = [
        path
        for path in range(1, tree.paths.path_count)
        if tree.root_of(path) == group and tree.type_text(path) == "main.Server"
    ]

    assert tree.root_kind(group) == "goroutine"
    (server,) = servers
    others_bytes, others = 129_824, 702  # all but the map of 200 sessions
    map_bytes = int(tree.paths.retained[server]) - others_bytes
    map_objects = tree.objects_retained(server) - others
    if go.minor >= "1.24":
        # Header, directory, one table, 32 groups of 136 bytes and a malloc header in 4,864.
        assert (map_bytes, map_objects) == (48 + 8 + 32 + 4864, 4)
    else:
        # Header, record of overflows, 34 buckets of 144 bytes in 5,376; each further overflow bucket, of which
        # the hashes decide, another 144. In 1.21 the map grows: 68 buckets in 10,240 beside the old ones.
        fixed, objects = (48 + 24 + 10_240 + 5376, 4) if go.minor == "1.21" else (48 + 24 + 5376, 3)
        assert map_bytes - fixed == 144 * (map_objects - objects)
        assert 0 <= map_objects - objects < 16


def test_objects_of_two_indexes_are_one_row_with_both(go: Toolchain) -> None:
    tree = shared_tree(go)

    (documents,) = tops_of_type(tree, "main.Document")

    assert ways_into(tree, [documents])[documents] == (
        "global main.byDate.documents[*]",
        "global main.byTitle.documents[*]",
    )
    assert int(tree.paths.count[documents]) == 50


def test_every_live_byte_and_object_is_in_exactly_one_row(go: Toolchain) -> None:
    tree = shared_tree(go)
    heap = tree.heap
    rows, rest = holder_rows(tree)

    sizes = heap.sizes[: heap.object_count + 1]
    assert sum(row.bytes for row in rows) + rest.bytes == int(sizes[heap.live].sum())
    assert sum(row.objects for row in rows) + rest.objects == int(heap.live.sum())
    assert sum(holder.retained_bytes for holder in describe_rows(tree, rows, rest)) == int(
        sizes[heap.live].sum()
    )


def test_row_is_a_path_once(go: Toolchain) -> None:
    rows, _ = holder_rows(shared_tree(go))

    assert len({row.path for row in rows}) == len(rows)

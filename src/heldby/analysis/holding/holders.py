"""Holders: the few paths at which the live bytes pile up, each byte in exactly one row.

From the top of the merged dominator tree down: while most of what a path retains lies below one child, or the
path is a single object with several large fields, the parts get rows of their own; where neither holds, the
bytes have piled up (Eclipse MAT's accumulation point) and the path is a row. What is left at a path after its
parts were taken out is a row too, or joins "everything else" when it is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heldby.analysis.answer import EVERYTHING_ELSE, Holder
from heldby.analysis.holding.containers import maps_on
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.analysis.holding.sharing import ways_into
from heldby.heap.code_knowledge import shown_users
from heldby.units import format_count

_SMALLEST_SHARE: Final = 0.005
# MAT descends while one child keeps at least this much of its parent.
_MAJORITY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Row:
    """A path and the bytes and objects that are counted there and nowhere else."""

    path: int
    bytes: int
    objects: int


def holder_rows(tree: HolderTree) -> tuple[list[Row], Row]:
    """Return the rows, largest first, and the sum of all that is too small for a row.

    Together they make the live bytes, exactly.
    """
    return rows_of(tree, divided(tree))


def divided(tree: HolderTree) -> list[Row]:
    """Return the paths that live bytes are charged to, each with what lies there and below no other of them.

    Some are too small for a row of the answer. What lies below none of them belongs to no row either.
    """
    paths = tree.paths
    offsets, children = paths.children()
    smallest = _smallest(tree)
    parts: list[Row] = []
    pending = [int(child) for child in children[offsets[0] : offsets[1]]]
    while pending:
        path = pending.pop()
        total = int(paths.retained[path])
        if total < smallest:
            continue
        below = [int(child) for child in children[offsets[path] : offsets[path + 1]]]
        large = [child for child in below if paths.retained[child] >= smallest]
        split = _should_split(tree, path, large)
        taken = large if split else []
        pending.extend(taken)
        own = total - sum(int(paths.retained[child]) for child in taken)
        own_objects = tree.objects_retained(path) - sum(tree.objects_retained(child) for child in taken)
        parts.append(Row(path, own, own_objects))
    return parts


def rows_of(tree: HolderTree, parts: list[Row]) -> tuple[list[Row], Row]:
    """Return the rows among the parts that `divided` returned, as `holder_rows` does."""
    smallest = _smallest(tree)
    rows = sorted((part for part in parts if part.bytes >= smallest), key=lambda row: (-row.bytes, row.path))
    rest_bytes = int(tree.paths.retained[0]) - sum(row.bytes for row in rows)
    rest_objects = tree.objects_retained(0) - sum(row.objects for row in rows)
    return rows, Row(0, rest_bytes, rest_objects)


def _smallest(tree: HolderTree) -> int:
    return max(1, int(int(tree.paths.retained[0]) * _SMALLEST_SHARE))


def _should_split(tree: HolderTree, path: int, large: list[int]) -> bool:
    if not large:
        return False
    paths = tree.paths
    if int(paths.objects[path]) <= 1 or not int(paths.shallow[path]):
        return True
    return int(paths.retained[large[0]]) >= _MAJORITY * int(paths.retained[path])


def describe_rows(tree: HolderTree, rows: list[Row], rest: Row) -> tuple[Holder, ...]:
    """Return the rows as holders, with names, owners and containers."""
    live = max(int(tree.paths.retained[0]), 1)
    roots = {row.path: tree.root_of(row.path) for row in rows}
    shared = sorted({root for root in roots.values() if tree.root_kind(root) == "object"})
    ways = ways_into(tree, shared)
    maps = maps_on(tree, [row.path for row in rows])
    found = [_holder(tree, row, roots[row.path], ways, maps, live) for row in rows]
    if rest.bytes:
        found.append(
            Holder(
                path=EVERYTHING_ELSE,
                root=EVERYTHING_ELSE,
                root_kind="object",
                retained_bytes=rest.bytes,
                retained_objects=rest.objects,
                share=rest.bytes / live,
                evidence=(f"each path below {_SMALLEST_SHARE:.1%} of the live bytes",),
            )
        )
    return tuple(found)


def _holder(
    tree: HolderTree,
    row: Row,
    root: int,
    ways: dict[int, tuple[str, ...]],
    maps: dict[int, tuple[str, ...]],
    live: int,
) -> Holder:
    text = tree.text(row.path).strip()
    count, objects = int(tree.paths.count[row.path]), int(tree.paths.objects[row.path])
    elements = text.endswith("[*]") and objects > count
    return Holder(
        path=text,
        root=tree.root_name(root).strip(),
        root_kind=tree.root_kind(root),
        type=tree.type_text(row.path),
        held_by=ways.get(root, ()),
        containers=maps[row.path],
        retained_bytes=row.bytes,
        retained_objects=row.objects,
        share=row.bytes / live,
        used_by=_users(tree, root),
        objects_at_end=objects - count if elements else count,
        title=_records_title(tree, row.path, root, count),
    )


def _records_title(tree: HolderTree, path: int, root: int, count: int) -> str | None:
    """Return what to call a path to the runtime's records of goroutines, which no code of the program can let go.

    The frames of a goroutine that waits point to its own record (runtime/chan.go, chanrecv: gp and mysg).
    """
    naming = tree.heap.naming
    number = tree.type_of(path)
    if not naming.is_runtime_record(number):
        return None
    if tree.root_kind(root) != "goroutine":
        return f"the runtime's own {naming.type_name(number)}"
    where = tree.root_name(root).strip().removeprefix("goroutine ")
    if naming.type_name(number) != "runtime.g":
        return f"goroutines in {where} (their {naming.type_name(number)})"
    goroutines = "1 goroutine" if count == 1 else f"{format_count(count)} goroutines"
    return f"{goroutines} in {where} (their runtime records)"


def _users(tree: HolderTree, root: int) -> tuple[str, ...]:
    """Return the functions whose code uses a global variable that has no name."""
    heap = tree.heap
    vertex = int(heap.tree.order[tree.paths.first[root]])
    node = vertex - heap.object_count - 1
    if heap.code is None or tree.root_kind(root) != "global" or node < 0:
        return ()
    row = int(heap.roots.item[node])
    if not heap.variables.nameless[row]:
        return ()
    variables = heap.variables
    start = int(variables.used_at[row])
    size = int(variables.size[row]) if start == int(variables.start[row]) else 1
    return shown_users(heap.code.users(start, start + size))

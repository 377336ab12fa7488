"""Allocation sites with their holders as tables: one for people, with holders below each site, and a flat one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.allocation.estimates import Estimates, estimates
from heldby.analysis.allocation.sites import profile_rate, sampled_objects, shown_stacks
from heldby.analysis.answer import EVERYTHING_ELSE, Frame
from heldby.analysis.drilldown.selection import EVERYTHING, Selection, large_rows, pattern
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.analysis.holding.ownership import NOBODY, Ownership, ownership_of
from heldby.analysis.table import Kind, Table, column, number_column, text_column
from heldby.errors import UsageError
from heldby.golang.functions.functions import package_of, short_name
from heldby.units import format_bytes

I64 = NDArray[np.int64]
Stack = tuple[Frame, ...]
By = Literal["line", "function", "package", "stack"]
GARBAGE: Final = "(garbage)"
_HOLDERS_SHOWN: Final = 5
_SHOWN_SHARE: Final = 0.01
_NOWHERE: Final = Frame(func="(no stack)")
_KEYS: Final[dict[str, Callable[[Stack], Hashable]]] = {
    "line": lambda stack: stack[0],
    "function": lambda stack: stack[0].func,
    "package": lambda stack: package_of(stack[0].func),
    "stack": lambda stack: stack,
}
_NOTE: Final = "bytes are estimated from samples; in 95 of 100 cases the truth lies between low and high"


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Sites, and the pairs of site and holder that have samples; both largest first.

    Attributes:
        names: of each site.
        stacks: one of each site.
        sites: estimates by site.
        site, holder: ``int64[c]`` of each pair; those of one site stand together.
        pairs: estimates by pair.
        samples: how many live and garbage objects they come from.
    """

    names: Sequence[str]
    stacks: Sequence[Stack]
    sites: Estimates
    site: I64
    holder: I64
    pairs: Estimates
    samples: tuple[int, int]


def site_outline(
    tree: HolderTree,
    *,
    by: By = "line",
    site: str | None = None,
    selection: Selection = EVERYTHING,
    min_size: int | None = None,
) -> Table:
    """Return each site with its holders below it, for people; small ones are summed. See `site_pairs`."""
    cells = _cells(tree, by, site, selection)
    ownership = ownership_of(tree)
    firsts = np.searchsorted(cells.site, np.arange(len(cells.stacks) + 1)).tolist()
    rows: list[tuple[int, int, int | None, int | None, int, str]] = []
    for number, stack in enumerate(cells.stacks):
        if int(cells.sites.bytes[number]) < (min_size or 0):
            continue
        rows.append((0, *_numbers(cells.sites, number), _name(stack, by, short_name)))
        smallest = max(_SHOWN_SHARE * rows[-1][1], min_size or 0)
        pairs = range(firsts[number], firsts[number + 1])
        shown = [pair for pair in pairs[:_HOLDERS_SHOWN] if cells.pairs.bytes[pair] >= smallest]
        rows += [
            (1, *_numbers(cells.pairs, pair), _holder(ownership, int(cells.holder[pair]))) for pair in shown
        ]
        left = len(pairs) - len(shown)
        if left:
            rest = slice(pairs.stop - left, pairs.stop)
            summed = int(cells.pairs.bytes[rest].sum()), None, None, int(cells.pairs.samples[rest].sum())
            rows.append((1, *summed, "1 more holder" if left == 1 else f"{left:,} more holders"))
    columns = zip(*rows, strict=True) if rows else ((),) * 6
    depth, amounts, lows, highs, samples, names = columns
    return Table(
        name="sites",
        columns=(
            column("depth", Kind.NUMBER, depth),
            column("bytes", Kind.BYTES, amounts),
            number_column("low", Kind.BYTES, lows),
            number_column("high", Kind.BYTES, highs),
            column("samples", Kind.COUNT, samples),
            text_column("allocated_at_and_held_by", names),
        ),
        title=_title(cells, profile_rate(tree.heap)),
        notes=(_NOTE,),
        outline="depth",
    )


def site_pairs(
    tree: HolderTree,
    *,
    by: By = "line",
    site: str | None = None,
    selection: Selection = EVERYTHING,
    min_size: int | None = None,
) -> Table:
    """Return one row for each site and holder, for programs.

    O(samples + paths), with a selection O(objects).

    Args:
        tree: the merged paths of the heap.
        by: what a site is: a line of code, a function, a package, or a whole stack.
        site: pattern of functions or packages that the stack must pass through.
        selection: what the allocated objects must be; any selection leaves garbage out.
        min_size: least bytes of a row.

    Raises:
        MissingData: the process has no memory profile.
        UsageError: no sampled object fits.
    """
    cells = _cells(tree, by, site, selection)
    ownership = ownership_of(tree)
    holders = np.unique(cells.holder)
    codes = np.searchsorted(holders, cells.holder)
    leaves = [stack[0] for stack in cells.stacks]
    pairs = cells.pairs
    table = Table(
        name="sites",
        columns=(
            text_column("site", cells.names, cells.site),
            text_column("function", [leaf.func for leaf in leaves], cells.site),
            text_column("file", [leaf.file for leaf in leaves], cells.site),
            number_column("line", Kind.NUMBER, [leaves[row].line for row in cells.site.tolist()]),
            text_column("holder", [_holder(ownership, row) for row in holders.tolist()], codes),
            column("garbage", Kind.FLAG, cells.holder == NOBODY),
            column("bytes", Kind.BYTES, pairs.bytes),
            column("bytes_low", Kind.BYTES, pairs.low),
            column("bytes_high", Kind.BYTES, pairs.high),
            column("objects", Kind.COUNT, pairs.objects),
            column("samples", Kind.COUNT, pairs.samples),
            column("share", Kind.SHARE, pairs.bytes / max(int(pairs.bytes.sum()), 1)),
        ),
        title=_title(cells, profile_rate(tree.heap)),
        notes=(_NOTE,),
    )
    return large_rows(table, "bytes", min_size)


def _cells(tree: HolderTree, by: By, site: str | None, selection: Selection) -> _Cells:
    rate = profile_rate(tree.heap)
    objects, bucket, _ = sampled_objects(tree.heap)
    if selection:
        chosen = selection.objects(tree.heap)[objects]
        objects, bucket = objects[chosen], bucket[chosen]
    buckets, which = np.unique(bucket, return_inverse=True)
    stacks, of_bucket = shown_stacks(tree.heap.profile, buckets)
    stacks = [stack or (_NOWHERE,) for stack in stacks]
    of_sample = of_bucket[which]
    fits = _passing(stacks, site)[of_sample]
    if not fits.any():
        raise UsageError(
            "no sampled object fits" + (f" --site {site}" if site is not None else ""),
            next_step="list all sites with: heldby sites TARGET; ... stands for any text, as in encoding/...",
        )
    objects, of_sample = objects[fits], of_sample[fits]
    sizes = tree.heap.profile.size[bucket[fits]]
    numbers: dict[Hashable, int] = {}
    merged = np.array([numbers.setdefault(_KEYS[by](stack), len(numbers)) for stack in stacks], np.int64)
    _, first, place = np.unique(merged[of_sample], return_index=True, return_inverse=True)
    owner = ownership_of(tree).of(objects).astype(np.int64)
    total = estimates(place, first.size, sizes, rate)
    order = np.argsort(-total.bytes, kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    place = rank[place]
    shown = [stacks[row] for row in of_sample[first[order]].tolist()]
    pair, of_pair = np.unique(np.stack((place, owner), axis=1), axis=0, return_inverse=True)
    part = estimates(of_pair.reshape(-1), len(pair), sizes, rate)
    at = np.lexsort((-part.bytes, pair[:, 0]))
    return _Cells(
        names=[_name(stack, by) for stack in shown],
        stacks=shown,
        sites=total.take(order),
        site=pair[at, 0],
        holder=pair[at, 1],
        pairs=part.take(at),
        samples=(int((owner != NOBODY).sum()), int((owner == NOBODY).sum())),
    )


def _passing(stacks: Sequence[Stack], site: str | None) -> NDArray[np.bool_]:
    """Return which stacks pass through a function, or a package, that the pattern matches."""
    if site is None:
        return np.ones(len(stacks), np.bool_)
    wanted = pattern(site)
    names = {frame.func for stack in stacks for frame in stack}
    fitting = {name for name in names if wanted.fullmatch(name) or wanted.fullmatch(package_of(name))}
    return np.array([any(frame.func in fitting for frame in stack) for stack in stacks], np.bool_)


def _name(stack: Stack, by: By, called: Callable[[str], str] = str) -> str:
    """Return what a site is called; `called` gives the name of a function."""
    if by == "package":
        return package_of(stack[0].func)
    if by == "function":
        return called(stack[0].func)
    texts = [called(frame.func) + (f" {_place(frame)}" if frame.file else "") for frame in stack]
    return texts[0] if by == "line" else " < ".join(texts)


def _place(frame: Frame) -> str:
    name = (frame.file or "").rpartition("/")[2]
    return f"{name}:{frame.line}" if frame.line else name


def _holder(ownership: Ownership, row: int) -> str:
    if row == NOBODY:
        return GARBAGE
    if row == len(ownership.rows):
        return EVERYTHING_ELSE
    return ownership.tree.text(ownership.rows[row].path).strip()


def _numbers(found: Estimates, row: int) -> tuple[int, int, int, int]:
    return int(found.bytes[row]), int(found.low[row]), int(found.high[row]), int(found.samples[row])


def _title(cells: _Cells, rate: int) -> str:
    live, garbage = cells.samples
    every = "every allocation is sampled" if rate == 1 else f"one for each {format_bytes(rate)} allocated"
    return f"Allocation sites: {live:,} samples of live objects, {garbage:,} of garbage; {every}"

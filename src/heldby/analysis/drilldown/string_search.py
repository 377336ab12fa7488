"""Which strings and slices of bytes hold a text, and who holds them."""

from __future__ import annotations

import re
from itertools import repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.references import names_of
from heldby.analysis.holder_tree import HolderTree
from heldby.analysis.ownership import ownership_of
from heldby.analysis.string_values import Strings, string_values
from heldby.analysis.table import Kind, Table, column, text_column
from heldby.golang.texts.text_kernels import copy_pieces
from heldby.golang.texts.text_search_kernels import find_bytes
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap

LONGEST: Final = 1 << 20
_MOST_BYTES: Final = 1 << 27
_STRETCH: Final = 1 << 17
_SHOWN: Final = 256
_HOLDERS_NAMED: Final = 3
_META: Final = re.compile(r"[.^$*+?{}\[\]\\|()]")


def find_text(heap: Heap, tree: HolderTree, pattern: str, *, limit: int | None = None) -> Table:
    """Return the strings and slices of bytes that hold `pattern`, with who refers to each and which holder counts it.

    One row for each reference to such a text from a live object or a root; texts that are constants of the program
    take no heap and are not searched. O(references + bytes of texts).

    Args:
        heap: what to look at.
        tree: its merged paths.
        pattern: a regular expression (Python's ``re``, on bytes); plain text if it is none.
        limit: rows.
    """
    graph = heap.graph
    sources = np.repeat(np.arange(graph.node_count, dtype=np.uint32), np.diff(graph.offsets))
    targets = heap.deferred.restored(graph).targets
    # Texts lie in objects without pointers.
    plain = np.zeros(graph.node_count, np.bool_)
    plain[: heap.object_count + 1] = heap.objects.noscan()
    plain[0] = False
    edges = np.flatnonzero(plain[targets])
    edges = edges[(heap.tree.number[sources[edges]] != np.uint32(NONE)) & (sources[edges] != 0)]
    found = string_values(heap, edges, sources[edges], targets[edges], with_bytes=True)
    expression, note = _expression(pattern)
    hits, missing = _search(heap, found, pattern, expression)
    rows = np.flatnonzero(hits)
    notes = [note] if note else []
    held = ownership_of(tree)
    owners = held.of(targets[found.edges[rows]]) if rows.size else np.zeros(0, np.int32)
    names = [tree.text(row.path).strip() for row in held.rows] + ["everything else"]
    notes += _by_holder(owners, names)
    if missing:
        notes.append(
            f"{missing:,} texts lie in memory that was not captured; they were not searched to their end"
        )
    if not found.known.all():
        notes.append(f"of {int((~found.known).sum()):,} strings length or place is not known")
    if bool((found.length > LONGEST).any()) and expression is not None:
        notes.append(f"of longer texts the first {LONGEST:,} bytes were searched")
    shown = rows[:limit]
    return _table(
        heap, tree, found, shown, sources, targets, notes, names, owners[:limit], rows.size, pattern
    )


def _expression(pattern: str) -> tuple[re.Pattern[bytes] | None, str | None]:
    """Return what to search with, None for plain text; and what to say when it was meant to be more."""
    if not _META.search(pattern):
        return None, None
    try:
        return re.compile(pattern.encode("utf-8", "surrogateescape")), None
    except re.error as error:
        return None, f"searched as plain text, since it is no regular expression: {error}"


def _search(
    heap: Heap, strings: Strings, pattern: str, expression: re.Pattern[bytes] | None
) -> tuple[NDArray[np.bool_], int]:
    """Return which texts match, and how many have bytes that were not captured. Equal texts are searched once."""
    rows = np.flatnonzero(strings.known)
    order = rows[np.lexsort((strings.length[rows], strings.address[rows]))]
    address, length = strings.address[order], strings.length[order]
    new = np.ones(order.size, np.bool_)
    new[1:] = (address[1:] != address[:-1]) | (length[1:] != length[:-1])
    address, length = address[new], length[new]
    pages = heap.process.runtime.pages
    if expression is None:
        needle = np.frombuffer(pattern.encode("utf-8", "surrogateescape"), np.uint8)
        found = np.ones(address.size, np.uint8)
        if needle.size:
            find_bytes(pages, address, length, needle, found)
    else:
        found = _matching(heap, address, np.minimum(length, LONGEST), expression)
    hits = np.zeros(strings.known.size, np.bool_)
    hits[order] = (found == 1)[np.cumsum(new) - 1]
    return hits, int((found == 2).sum())


def _matching(
    heap: Heap, address: NDArray[np.uint64], length: NDArray[np.int64], expression: re.Pattern[bytes]
) -> NDArray[np.uint8]:
    found = np.zeros(address.size, np.uint8)
    ends = np.cumsum(length)
    low = 0
    while low < address.size:
        before = int(ends[low - 1]) if low else 0
        high = max(min(int(np.searchsorted(ends, before + _MOST_BYTES)), low + _STRETCH), low + 1)
        starts = np.zeros(high - low + 1, np.int64)
        starts[1:] = ends[low:high] - before
        out, present = np.zeros(int(starts[-1]), np.uint8), np.zeros(high - low, np.uint8)
        copy_pieces(heap.process.runtime.pages, address[low:high], starts, out, present)
        data, bounds = out.tobytes(), starts.tolist()
        # No loop of Python's: map runs in C.
        pieces = map(data.__getitem__, map(slice, bounds[:-1], bounds[1:]))
        matches = np.fromiter(map(bool, map(expression.search, pieces)), np.bool_, high - low)
        found[low:high] = np.where(present == 0, 2, matches)
        low = high
    return found


def _by_holder(owners: NDArray[np.int32], names: list[str]) -> list[str]:
    """Say which holders have most of the texts that were found."""
    counts = np.bincount(owners[owners >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:_HOLDERS_NAMED]
    return [f"{int(counts[row]):,} of them count for {names[row]}" for row in order.tolist() if counts[row]]


def _table(
    heap: Heap,
    tree: HolderTree,
    strings: Strings,
    rows: NDArray[np.intp],
    sources: NDArray[np.uint32],
    targets: NDArray[np.uint32],
    notes: list[str],
    names: list[str],
    owners: NDArray[np.int32],
    total: int,
    pattern: str,
) -> Table:
    edges = strings.edges[rows]
    source, target = sources[edges], targets[edges]
    labels = heap.naming.labels(edges, source)
    is_object = source <= np.uint32(heap.object_count)
    addrs = heap.objects.addr[np.where(is_object, source, 0)]
    numbers = heap.tree.number[target]
    paths = tree.paths.path_of[np.where(numbers == np.uint32(NONE), 0, numbers)]
    distinct, codes = np.unique(paths, return_inverse=True)
    return Table(
        "find",
        (
            text_column("text", _shown_texts(heap, strings, rows)),
            column("bytes", Kind.BYTES, strings.length[rows]),
            column("address", Kind.ADDRESS, strings.address[rows]),
            text_column("held_by", *names_of(heap, source)),
            text_column("field", heap.naming.types.layouts.labels.texts, labels),
            column("source", Kind.ADDRESS, addrs, unknown=~is_object),
            text_column("holder", [*names, None], np.where(owners < 0, len(names), owners)),
            text_column("path", [tree.text(int(path)).strip() for path in distinct], codes.reshape(-1)),
        ),
        title=f"{total:,} of {strings.edges.size:,} strings and slices of bytes hold {pattern}",
        notes=tuple(notes),
        details=("path",),
        hidden=("holder", "address"),
        total_rows=total if total > rows.size else None,
    )


def _shown_texts(heap: Heap, strings: Strings, rows: NDArray[np.intp]) -> list[str]:
    lengths = np.minimum(strings.length[rows], _SHOWN)
    starts = np.zeros(rows.size + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    out, present = np.zeros(int(starts[-1]), np.uint8), np.zeros(rows.size, np.uint8)
    copy_pieces(heap.process.runtime.pages, strings.address[rows], starts, out, present)
    data, bounds = out.tobytes(), starts.tolist()
    pieces = map(data.__getitem__, map(slice, bounds[:-1], bounds[1:]))
    return list(map(str, pieces, repeat("utf-8"), repeat("backslashreplace")))

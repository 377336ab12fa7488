"""Which strings and slices of bytes hold a text, and who holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.drilldown.references import names_of
from heldby.analysis.drilldown.string_values import (
    Strings,
    joined,
    strings_of_objects,
    strings_of_roots,
)
from heldby.analysis.drilldown.text_patterns import LONGEST, NOT_CAPTURED, TextPattern, text_pattern
from heldby.analysis.holding.holder_tree import HolderTree
from heldby.analysis.holding.ownership import ownership_of
from heldby.analysis.table import Kind, Table, column, text_column
from heldby.golang.texts.text_kernels import copy_pieces
from heldby.graph.csr import NONE
from heldby.heap.heap import Heap

_SHORT: Final = 1 << 10
_SHOWN: Final = 256
_HOLDERS_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScope:
    """Which texts are searched; None for all that are live.

    Attributes:
        sources: ``bool[n + 1]``, objects whose strings and slices count; those of roots do not then.
        texts: ``bool[n + 1]``, objects that the text must lie in.
        least_bytes: the length of the shortest text that counts.
    """

    sources: NDArray[np.bool_] | None = None
    texts: NDArray[np.bool_] | None = None
    least_bytes: int = 0


ALL_TEXTS: Final = TextScope()


def find_text(
    heap: Heap, tree: HolderTree, pattern: str, *, scope: TextScope = ALL_TEXTS, limit: int | None = None
) -> Table:
    """Return the strings and slices of bytes that hold `pattern`, with who refers to each and which holder counts it.

    One row for each reference to such a text from a live object or a root; texts that are constants of the program
    take no heap and are not searched. O(references + bytes of texts); memory only for what is found, and for long
    texts.

    Args:
        heap: what to look at.
        tree: its merged paths.
        pattern: a regular expression (Python's ``re``, on bytes); plain text if it is none.
        scope: which texts are searched.
        limit: rows.
    """
    wanted = text_pattern(pattern)
    search = _Search(heap, wanted)
    for texts, unknown in _texts(heap, scope):
        search.add(texts, unknown)
    found = search.finish()
    held = ownership_of(tree)
    owners = held.of(found.target) if found.edges.size else np.zeros(0, np.int32)
    names = [tree.text(row.path).strip() for row in held.rows] + ["everything else"]
    notes = [wanted.note] if wanted.note else []
    notes += _by_holder(owners, names)
    notes += search.notes()
    shown = found.take(slice(0, limit))
    title = f"{found.edges.size:,} of {search.total:,} strings and slices of bytes hold {pattern}"
    return _table(heap, tree, shown, names, owners[:limit], found.edges.size, title, tuple(notes))


def _texts(heap: Heap, scope: TextScope) -> Iterator[tuple[Strings, int]]:
    """Give the texts of some objects at a time, and how many have a place or length that is not known."""
    # Texts lie in objects without pointers.
    plain = heap.objects.noscan() if scope.texts is None else heap.objects.noscan() & scope.texts
    plain[0] = False
    reached = heap.tree.reached
    counted = reached[: plain.size] if scope.sources is None else reached[: plain.size] & scope.sources
    parts = strings_of_objects(heap, counted, with_bytes=True)
    roots = [] if scope.sources is not None else [strings_of_roots(heap, with_bytes=True)]
    for strings in chain(parts, roots):
        texts = strings.take(plain[strings.target] & reached[strings.source])
        enough = texts.length >= scope.least_bytes
        yield texts.take(texts.known & enough), int((~texts.known).sum())


class _Search:
    """One search: short texts are looked at as they come, long ones in the end, equal ones once."""

    def __init__(self, heap: Heap, pattern: TextPattern) -> None:
        self._heap = heap
        self._pattern = pattern
        self._found: list[Strings] = []
        self._long: list[Strings] = []
        self._missing = self._unknown = 0
        self._cut = False
        self.total = 0

    def add(self, texts: Strings, unknown: int) -> None:
        """Search the short ones of `texts` and put the others aside."""
        self.total += texts.edges.size + unknown
        self._unknown += unknown
        short = texts.length <= _SHORT
        self._look(texts.take(short))
        if not short.all():
            self._long.append(texts.take(np.flatnonzero(~short)))

    def _look(self, texts: Strings) -> None:
        matches = self._pattern.matches(self._heap, texts.address, texts.length)
        self._missing += int((matches == NOT_CAPTURED).sum())
        self._found.append(texts.take(np.flatnonzero(matches == 1)))

    def finish(self) -> Strings:
        """Search the long ones, and return all that was found, in the order of the references."""
        texts = joined(self._long)
        order = np.lexsort((texts.length, texts.address))
        texts = texts.take(order)
        new = np.ones(order.size, np.bool_)
        new[1:] = (texts.address[1:] != texts.address[:-1]) | (texts.length[1:] != texts.length[:-1])
        matches = self._pattern.matches(self._heap, texts.address[new], texts.length[new])
        self._missing += int((matches == NOT_CAPTURED).sum())
        self._cut = self._pattern.expression is not None and bool((texts.length > LONGEST).any())
        self._found.append(texts.take((matches == 1)[np.cumsum(new) - 1] if order.size else slice(0)))
        found = joined(self._found)
        return found.take(np.argsort(found.edges, kind="stable"))

    def notes(self) -> list[str]:
        """Return what could not be searched."""
        notes = []
        if self._missing:
            notes.append(
                f"{self._missing:,} texts lie in memory that was not captured; "
                "they were not searched to their end"
            )
        if self._unknown:
            notes.append(f"of {self._unknown:,} strings length or place is not known")
        if self._cut:
            notes.append(f"of longer texts the first {LONGEST:,} bytes were searched")
        return notes


def _by_holder(owners: NDArray[np.int32], names: list[str]) -> list[str]:
    """Say which holders have most of the texts that were found."""
    counts = np.bincount(owners[owners >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:_HOLDERS_NAMED]
    return [f"{int(counts[row]):,} of them count for {names[row]}" for row in order.tolist() if counts[row]]


def _table(
    heap: Heap,
    tree: HolderTree,
    texts: Strings,
    names: list[str],
    owners: NDArray[np.int32],
    total: int,
    title: str,
    notes: tuple[str, ...],
) -> Table:
    labels = heap.naming.labels(texts.edges, texts.source)
    is_object = texts.source <= np.uint32(heap.object_count)
    numbers = heap.tree.number[texts.target]
    paths = tree.paths.path_of[np.where(numbers == np.uint32(NONE), 0, numbers)]
    distinct, codes = np.unique(paths, return_inverse=True)
    return Table(
        "find",
        (
            text_column("text", _shown_texts(heap, texts)),
            column("bytes", Kind.BYTES, texts.length),
            column("address", Kind.ADDRESS, texts.address),
            text_column("held_by", *names_of(heap, texts.source)),
            text_column("field", [text or "*" for text in heap.naming.types.layouts.labels.texts], labels),
            column("source", Kind.ADDRESS, heap.addresses_of(texts.source), unknown=~is_object),
            text_column("holder", [*names, None], np.where(owners < 0, len(names), owners)),
            text_column("path", [tree.text(int(path)).strip() for path in distinct], codes.reshape(-1)),
        ),
        title=title,
        notes=notes,
        details=("path",),
        hidden=("holder", "address"),
        total_rows=total if total > texts.edges.size else None,
    )


def _shown_texts(heap: Heap, texts: Strings) -> list[str]:
    lengths = np.minimum(texts.length, _SHOWN)
    starts = np.zeros(lengths.size + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    out, present = np.zeros(int(starts[-1]), np.uint8), np.zeros(lengths.size, np.uint8)
    copy_pieces(heap.process.runtime.pages, texts.address, starts, out, present)
    data, bounds = out.tobytes(), starts.tolist()
    pieces = map(data.__getitem__, map(slice, bounds[:-1], bounds[1:]))
    return list(map(str, pieces, repeat("utf-8"), repeat("backslashreplace")))

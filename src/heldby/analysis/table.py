"""`Table`: what every question about a heap is answered with: named columns that know what their numbers are.

A table is plain NumPy: it knows nothing of screens, files, Arrow or DuckDB; those read it. Texts are kept as
codes into a list of words, so that ten million rows with a thousand types take 4 bytes each, and choosing
rows is indexing. Texts come from the target and are not escaped here: front ends do that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heldby.errors import InternalError

Value = int | float | bool | str | None


class Kind(StrEnum):
    """What the values of a column are, and with that their unit and how people read them."""

    BYTES = "bytes"
    COUNT = "count"
    SHARE = "share"
    """Of a whole, 0 to 1."""
    SECONDS = "seconds"
    ADDRESS = "address"
    NUMBER = "number"
    """An integer that counts nothing: a goroutine's id, a line."""
    UNSIGNED = "unsigned"
    """An integer of 64 bits without a sign, that is no address: of Go's uint64, a hash."""
    REAL = "real"
    """A number with a fraction and without a unit."""
    FLAG = "flag"
    TEXT = "text"


DTYPES: dict[Kind, type[np.generic]] = {
    Kind.BYTES: np.int64,
    Kind.COUNT: np.int64,
    Kind.SHARE: np.float64,
    Kind.SECONDS: np.float64,
    Kind.ADDRESS: np.uint64,
    Kind.NUMBER: np.int64,
    Kind.UNSIGNED: np.uint64,
    Kind.REAL: np.float64,
    Kind.FLAG: np.bool_,
    Kind.TEXT: np.uint32,
}


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column; make it with `column` or `text_column`.

    Attributes:
        name: as in JSON, CSV and SQL: ``retained_bytes``.
        kind: what the values are.
        values: ``int64`` for bytes, counts and numbers, ``float64`` for shares, seconds and reals, ``uint64`` for
            addresses and what is unsigned, ``bool`` for flags; for texts ``uint32``, rows of `words`.
        unknown: ``bool``, True where the value is not known (the number there means nothing); None when all
            are. An unknown text is a word that is None.
        words: the distinct texts of a text column (distinct for thrift; equal ones do no harm).
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    unknown: NDArray[np.bool_] | None = None
    words: Sequence[str | None] = ()

    def __len__(self) -> int:
        return int(self.values.size)

    def take(self, rows: NDArray[np.intp] | slice) -> Column:
        """Return the column of the chosen rows (numbers, or a slice without a copy)."""
        unknown = self.unknown[rows] if self.unknown is not None else None
        return replace(self, values=self.values[rows], unknown=unknown)

    def to_list(self) -> list[Value]:
        """Return the values as Python's own; None where unknown. For tables that people read: a loop."""
        plain: list[Value] = self.values.tolist()
        if self.kind is Kind.TEXT:
            return [self.words[code] for code in plain]  # type: ignore[index]
        if self.unknown is None:
            return plain
        return [None if hidden else value for value, hidden in zip(plain, self.unknown.tolist(), strict=True)]


def column(name: str, kind: Kind, values: ArrayLike, *, unknown: NDArray[np.bool_] | None = None) -> Column:
    """Return a column of numbers, converted to the type of its kind."""
    array = np.ascontiguousarray(values, DTYPES[kind])
    if unknown is not None and not unknown.any():
        unknown = None
    return Column(name, kind, array, unknown)


def number_column(name: str, kind: Kind, values: Iterable[int | float | None]) -> Column:
    """Return a column of a few numbers in Python's own types; None is unknown."""
    listed = list(values)
    unknown = np.array([value is None for value in listed], np.bool_)
    return column(name, kind, [0 if value is None else value for value in listed], unknown=unknown)


def text_column(
    name: str, words: Sequence[str | None], codes: NDArray[np.integer[Any]] | None = None
) -> Column:
    """Return a column of texts: ``words[codes]``, or `words` themselves, one for each row."""
    if codes is None:
        codes = np.arange(len(words), dtype=np.uint32)
    return Column(name, Kind.TEXT, np.ascontiguousarray(codes, np.uint32), None, words)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Table:
    """Columns of equal length, with what a reader should know beside them.

    Attributes:
        name: one word, ``top``; names the relation in SQL and files.
        columns: in the order in which people read them.
        title: a sentence over the table; empty for none.
        notes: caveats, in plain words.
        outline: the name of a column that says how deep a row lies below those before it; on a screen the first
            text is indented by it, and the column is not shown.
        total_rows: how many rows there are in all, when the table has only the first of them.
        hidden: names of columns that a screen has no room for.
        details: names of text columns that are long; on a screen they stand below their row, not in it.
    """

    name: str
    columns: tuple[Column, ...]
    title: str = ""
    notes: tuple[str, ...] = ()
    outline: str | None = None
    total_rows: int | None = None
    details: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {column.name: len(column) for column in self.columns}
        if len(lengths) != len(self.columns) or len(set(lengths.values())) > 1:
            raise InternalError(
                f"the columns of {self.name} are {[(c.name, len(c)) for c in self.columns]}, not of one length"
            )

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def __repr__(self) -> str:
        rows = "1 row" if len(self) == 1 else f"{len(self):,} rows"
        return f"<heldby table {self.name}: {rows} of {', '.join(column.name for column in self.columns)}>"

    @property
    def row_count(self) -> int:
        """Rows in all, those that `head` cut off included."""
        return len(self) if self.total_rows is None else self.total_rows

    def __getitem__(self, name: str) -> Column:
        """Return the column `name`. Raises KeyError."""
        for candidate in self.columns:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    def take(self, rows: NDArray[np.intp]) -> Table:
        """Return the table of the chosen rows, in that order; it is then all there is."""
        return replace(self, columns=tuple(column.take(rows) for column in self.columns), total_rows=None)

    def head(self, limit: int | None) -> Table:
        """Return the first `limit` rows (all for None); `row_count` stays that of the whole."""
        if limit is None or limit >= len(self):
            return self
        columns = tuple(column.take(slice(0, limit)) for column in self.columns)
        return replace(self, columns=columns, total_rows=self.row_count)

    def with_losses(self, losses: Sequence[str]) -> Table:
        """Return the table with what its numbers lack as the first of its notes, unless it says so already."""
        if set(losses) <= set(self.notes):
            return self
        return replace(self, notes=(*losses, *(note for note in self.notes if note not in losses)))

    def rows(self) -> Iterator[dict[str, Value]]:
        """Return each row as a dictionary by column name. A Python loop: for tables that people read."""
        names = [column.name for column in self.columns]
        for values in zip(*(column.to_list() for column in self.columns), strict=True):
            yield dict(zip(names, values, strict=True))

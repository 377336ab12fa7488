"""What a table and a column are: name, meaning and unit, and where in a heap the values come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.table import Column, Kind, column, text_column
from heldby.sql.facts import Facts

Numbers = NDArray[Any] | tuple[NDArray[Any], NDArray[np.bool_]]
Texts = tuple[Sequence[str | None], NDArray[np.integer[Any]]]

SQL_TYPES: Final = {
    Kind.BYTES: "BIGINT",
    Kind.COUNT: "BIGINT",
    Kind.SHARE: "DOUBLE",
    Kind.REAL: "DOUBLE",
    Kind.SECONDS: "DOUBLE",
    Kind.ADDRESS: "UBIGINT",
    Kind.NUMBER: "BIGINT",
    Kind.UNSIGNED: "UBIGINT",
    Kind.FLAG: "BOOLEAN",
    Kind.TEXT: "VARCHAR",
}
UNITS: Final = {
    Kind.BYTES: "bytes",
    Kind.COUNT: "count",
    Kind.SHARE: "0 to 1",
    Kind.SECONDS: "seconds",
    Kind.ADDRESS: "address",
}


@dataclass(frozen=True, slots=True)
class ColumnOf:
    """A column of a table.

    Attributes:
        name: in SQL and in files.
        kind: what the values are, and with that their unit.
        meaning: for docs/sql.md; says when a value is unknown (NULL).
        values: for numbers an array, or an array and which values are unknown; for texts the distinct words and
            the row of each value among them.
        secret: contents of the process's memory; exported only when asked for.
    """

    name: str
    kind: Kind
    meaning: str
    values: Callable[[Facts], Any]
    secret: bool = False

    def of(self, facts: Facts) -> Column:
        """Return the values for one heap."""
        found = self.values(facts)
        if self.kind is Kind.TEXT:
            words, codes = found
            return text_column(self.name, words, codes)
        if isinstance(found, tuple):
            return column(self.name, self.kind, found[0], unknown=found[1])
        return column(self.name, self.kind, found)


@dataclass(frozen=True, slots=True)
class TableOf:
    """A table.

    Attributes:
        name: in SQL; the file's name in an export.
        meaning: what a row is, for docs/sql.md.
        cost: what the first query that uses it costs; empty when that is not worth a word.
        columns: in the order of ``SELECT *``.
    """

    name: str
    meaning: str
    columns: tuple[ColumnOf, ...]
    cost: str = ""

    def __getitem__(self, name: str) -> ColumnOf:
        """Return the column `name`. Raises KeyError."""
        for candidate in self.columns:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

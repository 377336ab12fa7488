"""The rows of an answer as NumPy arrays, of the types that tables have.

Numbers that SQL makes of sums (HUGEINT, DECIMAL) become BIGINT and DOUBLE. A column of whole numbers with one beyond
BIGINT becomes texts of their digits: NumPy has no such number, and readers of JSON and spreadsheets round it. What is
neither a number nor a text becomes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import duckdb

_HUGE: Final = ("HUGEINT", "UHUGEINT")
_SIMPLE: Final = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
    *("DOUBLE", "BOOLEAN", "VARCHAR"),
)


def first_rows(relation: duckdb.DuckDBPyRelation, limit: int | None) -> dict[str, Any]:
    """Return the first rows of an answer as NumPy arrays by column, all rows without `limit`; see the module.

    Raises:
        duckdb.Error: the query fails.
    """
    import duckdb

    try:
        return _rows(relation, limit, whole="BIGINT")
    except duckdb.ConversionException:
        if not any(str(kind) in _HUGE for kind in relation.types):
            raise
    # Sums of addresses and of hashes pass 64 bits, few others do: these only are computed twice.
    found = _rows(relation, limit, whole="VARCHAR")
    for (name, digits), kind in zip(found.items(), relation.types, strict=True):
        if str(kind) in _HUGE:
            found[name] = _as_numbers(digits)
    return found


def _rows(relation: duckdb.DuckDBPyRelation, limit: int | None, *, whole: str) -> dict[str, Any]:
    plain = relation.project(", ".join(_plain(relation, whole)))
    rows: dict[str, Any] = (plain.limit(limit) if limit is not None else plain).fetchnumpy()
    return rows


def _as_numbers(digits: Any) -> Any:
    """Return whole numbers given as texts as ``int64`` if all of them fit; otherwise as they are."""
    unknown = np.ma.getmaskarray(digits)
    numbers = [
        0 if hidden else int(text) for text, hidden in zip(np.ma.getdata(digits), unknown, strict=True)
    ]
    if all(-(1 << 63) <= number < 1 << 63 for number in numbers):
        return np.ma.masked_array(np.array(numbers, np.int64), mask=unknown)
    return digits


def _plain(relation: duckdb.DuckDBPyRelation, whole: str) -> Iterator[str]:
    """Yield the SQL of each column as a type that `_SIMPLE` has; of a whole number beyond 64 bits as `whole`."""
    for number, (name, kind) in enumerate(zip(relation.columns, relation.types, strict=True), 1):
        text = str(kind)
        to = None
        if text in _HUGE:
            to = whole
        elif text.startswith("DECIMAL") or text == "FLOAT":
            to = "DOUBLE"
        elif text not in _SIMPLE:
            to = "VARCHAR"
        column = f"#{number}"
        quoted = name.replace('"', '""')
        yield f'{column}::{to} AS "{quoted}"' if to else f'{column} AS "{quoted}"'

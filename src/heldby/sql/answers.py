"""The answer to a query as a `Table`: kinds, and with them units, by the names and types of its columns."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.table import DTYPES, Column, Kind, Table, column, text_column
from heldby.sql.catalog import CATALOG
from heldby.sql.database import Database

_KINDS: Final = {column.name: column.kind for table in CATALOG.values() for column in table.columns}
_BYTES: Final = re.compile(r"bytes\)?$")
_WINDOW: Final = 1 << 12
_COUNT: Final = re.compile(r"^(count|n$|objects?$)|objects\)?$")


def ask(database: Database, query: str, *, limit: int | None = None) -> Table:
    """Return the answer to `query`; with `limit` its first rows, and how many there are in all.

    Numbers of columns called ``bytes``, ``..._bytes`` or ``sum(bytes)`` are bytes, and so on.

    Raises:
        UsageError, LimitExceeded: as for `Database.fetch`.
    """
    # A few more rows than are shown tell how many there are without asking twice, mostly.
    window = None if limit is None else max(limit, _WINDOW)
    relation, arrays = database.fetch(query, limit=window)
    names = _distinct(relation.columns)
    columns = [
        _column(name, str(kind), values[:limit])
        for name, kind, values in zip(names, relation.types, arrays.values(), strict=True)
    ]
    total = next((values.size for values in arrays.values()), 0)
    if total == window:
        total = database.row_count(relation)
    rows = len(columns[0]) if columns else 0
    table = Table("query", tuple(columns), total_rows=total if total != rows else None)
    return table.with_losses(database.losses)


def _column(name: str, sql_type: str, values: NDArray[Any]) -> Column:
    unknown = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    plain = np.ma.getdata(values)
    if plain.dtype == object:
        words = [
            None if word is None or (unknown is not None and unknown[at]) else str(word)
            for at, word in enumerate(plain)
        ]
        return text_column(name, words)
    kind = _kind(name, sql_type, plain)
    return column(name, kind, plain, unknown=unknown)


def _kind(name: str, sql_type: str, values: NDArray[Any]) -> Kind:
    if values.dtype == np.bool_:
        return Kind.FLAG
    if sql_type == "UBIGINT":
        return Kind.ADDRESS
    known = _KINDS.get(name)
    if known is not None and np.can_cast(values.dtype, DTYPES[known]) and known is not Kind.TEXT:
        return known
    if values.dtype.kind == "f":
        return Kind.REAL
    if _BYTES.search(name):
        return Kind.BYTES
    return Kind.COUNT if _COUNT.search(name) else Kind.NUMBER


def _distinct(names: list[str]) -> list[str]:
    """Return the names of columns, with a number behind those that occur again."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found

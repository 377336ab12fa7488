"""The answer to a query as a `Table`: kinds, and with them units, by the names and types of its columns."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.table import DTYPES, Column, Kind, Table, column, text_column
from heldby.sql.addresses import address_columns
from heldby.sql.catalog import CATALOG
from heldby.sql.database import Database

_KINDS: Final = {column.name: column.kind for table in CATALOG.values() for column in table.columns}
_BYTES: Final = re.compile(r"bytes\)?$")
_WINDOW: Final = 1 << 12
_COUNT: Final = re.compile(r"^(count|n$|objects?$)|objects\)?$")


def ask(database: Database, query: str, *, limit: int | None = None) -> Table:
    """Return the answer to `query`; with `limit` its first rows, and how many there are in all.

    Numbers of columns called ``bytes``, ``..._bytes`` or ``sum(bytes)`` are bytes, and so on; what is made of addresses
    is one.

    Raises:
        UsageError, LimitExceeded: as for `Database.fetch`.
    """
    # A few more rows than are shown tell how many there are without asking twice, mostly.
    window = None if limit is None else max(limit, _WINDOW)
    relation, arrays = database.fetch(query, limit=window)
    names = _distinct(relation.columns)
    unsigned = [str(kind) == "UBIGINT" for kind in relation.types]
    addresses = address_columns(database.tree(query), relation.columns) if any(unsigned) else unsigned
    columns = [
        _column(name, values[:limit], is_address=is_unsigned and is_address)
        for name, values, is_unsigned, is_address in zip(
            names, arrays.values(), unsigned, addresses, strict=True
        )
    ]
    total = next((values.size for values in arrays.values()), 0)
    if total == window:
        total = database.row_count(relation)
    rows = len(columns[0]) if columns else 0
    table = Table("query", tuple(columns), total_rows=total if total != rows else None)
    return table.with_losses(database.losses)


def _column(name: str, values: NDArray[Any], *, is_address: bool) -> Column:
    unknown = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    plain = np.ma.getdata(values)
    if plain.dtype == object:
        words = [
            None if word is None or (unknown is not None and unknown[at]) else str(word)
            for at, word in enumerate(plain)
        ]
        return text_column(name, words)
    kind = Kind.ADDRESS if is_address else _kind(name, plain)
    return column(name, kind, plain, unknown=unknown)


def _kind(name: str, values: NDArray[Any]) -> Kind:
    if values.dtype == np.bool_:
        return Kind.FLAG
    if values.dtype == np.uint64:
        return Kind.UNSIGNED
    known = _KINDS.get(name)
    if known is not None and np.can_cast(values.dtype, DTYPES[known]) and known is not Kind.TEXT:
        return known
    if values.dtype.kind == "f":
        return Kind.REAL
    if _BYTES.search(name):
        return Kind.BYTES
    return Kind.COUNT if _COUNT.search(name) else Kind.NUMBER


def _distinct(names: list[str]) -> list[str]:
    """Return the names of columns, with a number behind those that SQL does not tell from one before."""
    taken: set[str] = set()
    return [free_name(name, taken) for name in names]


def free_name(name: str, taken: set[str]) -> str:
    """Return `name`, with a number behind it if SQL takes it for one of `taken` (in lower case), and add it there."""
    given, number = name, 2
    while given.lower() in taken:
        given, number = f"{name}_{number}", number + 1
    taken.add(given.lower())
    return given

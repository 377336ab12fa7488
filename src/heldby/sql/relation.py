"""`Relation`: a table or the answer to a query in Python, computed when it is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from heldby.analysis.table import Kind, Table, Value
from heldby.errors import UsageError
from heldby.sql.answers import ask
from heldby.sql.html_table import table_to_html

if TYPE_CHECKING:
    from heldby.sql.database import Database

_ROWS_SHOWN: Final = 20
Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Relation:
    """Rows of a table of the heap, or of an answer; nothing is computed before they are read.

    It speaks the Arrow C stream interface, so data frame libraries take it as it is, without heldby depending on
    any of them::

        polars.DataFrame(heap.types)
        pyarrow.table(heap.types)
        pandas.DataFrame.from_arrow(heap.types)
        types = heap.types; duckdb.sql("SELECT * FROM types")

    Cost: the columns that are read are made first, about 0.1 s each for 10 million objects; `select` names the
    ones that are needed. Columns and units are described in docs/sql.md; bytes are bytes, addresses ``uint64``.
    """

    _database: Database
    _source: str
    _names: tuple[str, ...]
    _chosen: tuple[str, ...] = ()
    _conditions: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self._chosen or self._names

    def select(self, *columns: str) -> Relation:
        """Return the same rows with these columns only; what is not named is not computed."""
        self._check(columns)
        return replace(self, _chosen=columns)

    def where(self, condition: str | None = None, /, **equal: Plain | Iterable[Plain]) -> Relation:
        """Return the rows for which all of this holds.

        Args:
            condition: in SQL: ``"bytes > 4096 AND live"``.
            equal: values of columns, as in ``type="main.Entry"``; a list for any of several, None for unknown.

        Raises:
            UsageError: there is no such column.
        """
        self._check(equal)
        conditions = [f"({condition})"] if condition is not None else []
        conditions += [_equal(name, value) for name, value in equal.items()]
        return replace(self, _conditions=(*self._conditions, *conditions))

    def query(self) -> str:
        """Return the SQL that it stands for."""
        names = ", ".join(_quoted(name) for name in self.columns)
        return f"SELECT {names} FROM {self._source}{self._filter()}"  # noqa: S608

    def table(self, limit: int | None = None) -> Table:
        """Return the first `limit` rows, or all, as NumPy columns with their units."""
        return ask(self._database, self.query(), limit=limit)

    def rows(self, limit: int | None = None) -> list[dict[str, Value]]:
        """Return the first `limit` rows, or all, as dictionaries; for a few rows: 2 µs a value."""
        return list(self.table(limit).rows())

    def __len__(self) -> int:
        query = f"SELECT count(*) AS n FROM {self._source}{self._filter()}"  # noqa: S608
        return int(ask(self._database, query)["n"].values[0])

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows as an Arrow C stream (a PyCapsule); DuckDB makes it, in batches, from NumPy arrays."""
        return self._database.stream(self.query(), requested_schema)

    def __repr__(self) -> str:
        return f"<heldby.Relation of {', '.join(self.columns)}: {self.query()}>"

    def _repr_html_(self) -> str:
        return table_to_html(self.table(_ROWS_SHOWN))

    def _filter(self) -> str:
        return f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""

    def _check(self, names: Iterable[str]) -> None:
        wrong = [name for name in names if name not in self._names]
        if wrong:
            raise UsageError(f"there is no column {wrong[0]}", cause=f"there are {', '.join(self._names)}")


def _equal(name: str, value: Plain | Iterable[Plain]) -> str:
    column = _quoted(name)
    if value is None:
        return f"{column} IS NULL"
    if isinstance(value, Iterable) and not isinstance(value, str):
        texts = ", ".join(_literal(each) for each in value)
        return f"{column} IN ({texts})" if texts else "false"
    return f"{column} = {_literal(value)}"


def _literal(value: Plain) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def relation_of_table(database: Database, name: str) -> Relation:
    """Return the table `name` of the catalog."""
    from heldby.sql.catalog import CATALOG

    return Relation(database, name, tuple(column.name for column in CATALOG[name].columns))


def relation_of_query(database: Database, query: str) -> Relation:
    """Return the answer to `query`. Raises `UsageError` for a query that is wrong, at once."""
    found = database.relation(query)
    plain = query.strip().rstrip(";")
    return Relation(database, f"({plain}) AS answer", tuple(found.columns))


__all__ = ["Kind", "Relation", "relation_of_query", "relation_of_table"]

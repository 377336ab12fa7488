"""DuckDB over the tables of one heap: read-only, shut off from files, and made column by column as queries need it.

A query that counts objects by type must not make twelve columns of ten million rows. So the columns that a
query may mean, by the words in it, are made and registered (NumPy arrays, without a copy); all others of the same
table raise if they are read after all, and then the whole table is made.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heldby.analysis.table import Column, Kind
from heldby.errors import LimitExceeded, UsageError
from heldby.heap.heap import Heap
from heldby.sql.catalog import CATALOG
from heldby.sql.facts import Facts
from heldby.sql.rows import first_rows
from heldby.sql.schema import SQL_TYPES, TableOf

if TYPE_CHECKING:
    import duckdb

# SHOW and DESCRIBE are SELECT; PIVOT is MULTI, since it makes a type for its columns first.
_READING: Final = ("SELECT", "EXPLAIN", "MULTI")
_NOT_MADE: Final = "heldby: a column was not made"
_ABOUT_TABLES: Final = re.compile(r"\s*(describe|desc|show)\b", re.IGNORECASE)
_WORD: Final = re.compile(r"\w+")
_CONFIGURATION: Final = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,  # a query must not see Python's variables
    "lock_configuration": True,
}


class Database:
    """The tables of `heap` in SQL. Opening it costs 20 ms; a table's columns are made when a query names them.

    Threads may share it: DuckDB refuses a second call on a connection, so one waits for the other here.

    Attributes:
        losses: what the numbers of the heap lack, see `Heap`.
    """

    def __init__(self, heap: Heap) -> None:
        self.losses = heap.losses
        self._facts = Facts(heap)
        self._made: dict[str, dict[str, Column]] = {name: {} for name in CATALOG}
        self._connection = sandbox()
        self._lock = threading.RLock()
        for table in CATALOG.values():
            self._show(table)

    def relation(self, query: str) -> duckdb.DuckDBPyRelation:
        """Return the answer to a query; it is computed when it is read.

        Raises:
            UsageError: the query cannot be understood, or does not only read.
        """
        with self._lock, for_people():
            self._refuse_other_than_reading(query)
            self.prepare(query)
            found = self._connection.sql(query)
        if found is None:
            raise UsageError("that query has no answer", next_step="ask with SELECT")
        return found

    def fetch(
        self, query: str, *, limit: int | None = None
    ) -> tuple[duckdb.DuckDBPyRelation, dict[str, Any]]:
        """Return the answer as a relation and its first rows as NumPy arrays by column; all rows without `limit`.

        Their types are those of `heldby.sql.rows`.

        Raises:
            UsageError, LimitExceeded: the query is wrong, or needs too much memory.
        """
        with self._lock, for_people():
            relation = self.relation(query)
            try:
                return relation, first_rows(relation, limit)
            except Exception as error:
                if _NOT_MADE not in str(error):
                    raise
            for name in CATALOG:
                if name in query.lower():
                    self.make(name)
            relation = self.relation(query)
            return relation, first_rows(relation, limit)

    def stream(self, query: str, schema: object | None = None) -> object:
        """Return the answer as an Arrow C stream (a PyCapsule).

        DuckDB answers while it is read; until then it takes no other query.
        """
        with self._lock, for_people():
            stream = self.relation(query).__arrow_c_stream__
            return stream() if schema is None else stream(schema)

    def row_count(self, relation: duckdb.DuckDBPyRelation) -> int:
        """Return how many rows an answer has."""
        with self._lock, for_people():
            return int(relation.count("*").fetchall()[0][0])

    def tree(self, query: str) -> dict[str, Any]:
        """Return a query as ``json_serialize_sql`` gives it: ``error`` for what is no SELECT."""
        with self._lock, for_people():
            return syntax_tree(self._connection, query)

    def prepare(self, query: str) -> None:
        """Make the columns that `query` may mean."""
        if _ABOUT_TABLES.match(query):
            return
        words = {word.lower() for word in _WORD.findall(query)}
        everything = self._means_all_columns(query)
        for name in words & CATALOG.keys():
            columns = [column.name for column in CATALOG[name].columns if everything or column.name in words]
            self.make(name, *columns, all_columns=everything)

    def make(self, table: str, *names: str, all_columns: bool = True) -> dict[str, Column]:
        """Make columns of a table and return those that are made; every column if none is named."""
        spec, made = CATALOG[table], self._made[table]
        # A table that only counts rows needs its length: any column has it.
        wanted = names or [column.name for column in (spec.columns if all_columns else spec.columns[:1])]
        missing = [name for name in wanted if name not in made]
        for name in missing:
            made[name] = spec[name].of(self._facts)
        if missing:
            self._show(spec)
        return made

    def _means_all_columns(self, query: str) -> bool:
        """Tell whether a query may mean columns that it does not name: ``*``, NATURAL JOIN, DESCRIBE."""
        tree = self.tree(query)
        if tree.get("error"):  # no SELECT
            return True
        return any(
            node.get("class") == "STAR" or node.get("ref_type") == "NATURAL" or node.get("type") == "SHOW_REF"
            for node in nodes_of(tree)
        )

    def _refuse_other_than_reading(self, query: str) -> None:
        statements = self._connection.extract_statements(query)
        if len(statements) != 1:
            raise UsageError(
                "there is no query" if not statements else f"there are {len(statements)} queries",
                next_step="ask one question at a time",
            )
        kind = statements[0].type.name
        if kind not in _READING:
            raise UsageError(
                f"{kind} is not allowed: the tables can only be read",
                next_step="ask with SELECT; heldby export TARGET --parquet DIR gives files to work on",
            )

    def _show(self, table: TableOf) -> None:
        """Make the view of a table from the columns that are made, in the table's order."""
        made = self._made[table.name]
        columns = [made[column.name] for column in table.columns if column.name in made]
        select = select_of(self._connection, table.name, columns)
        missing = [
            f"""error('{_NOT_MADE}')::{SQL_TYPES[column.kind]} AS "{column.name}" """
            for column in table.columns
            if column.name not in made
        ]
        if missing:
            inner = f"({select})" if made else "(SELECT 1)"
            shown = [f'"{column.name}"' if column.name in made else "" for column in table.columns]
            waiting = iter(missing)
            all_columns = ", ".join(text or next(waiting) for text in shown)
            select = f"SELECT {all_columns} FROM {inner} AS made"  # noqa: S608
        self._connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS {select}")


def select_of(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[Column]) -> str:
    """Register columns (NumPy arrays, no copy) with `connection` and return the SELECT of their values.

    Texts are codes of four bytes, joined with their words.
    """
    if not columns:
        return "SELECT 1"
    numbers: dict[str, Any] = {}
    select, joins = [], []
    for column in columns:
        name, values = column.name, column.values
        numbers[name] = values if column.unknown is None else np.ma.masked_array(values, mask=column.unknown)
        if column.kind is Kind.TEXT:
            words = f"_{table}_{name}"
            texts = np.empty(len(column.words), object)
            texts[:] = [_well_formed(word) for word in column.words]
            connection.register(words, {"code": np.arange(texts.size, dtype=np.uint32), "word": texts})
            select.append(f'{words}.word AS "{name}"')
            joins.append(f' LEFT JOIN {words} ON rows."{name}" = {words}.code')
        else:
            select.append(f'rows."{name}"::{SQL_TYPES[column.kind]} AS "{name}"')
    connection.register(f"_{table}", numbers)
    return f"SELECT {', '.join(select)} FROM _{table} AS rows{''.join(joins)}"  # noqa: S608


def sandbox() -> duckdb.DuckDBPyConnection:
    """Return a connection to an empty DuckDB that reaches neither files nor Python's variables."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET pandas_analyze_sample = 0")  # objects are texts, whatever the first ones are
    for name, value in _CONFIGURATION.items():
        connection.execute(f"SET {name} = {str(value).lower()}")
    return connection


@contextmanager
def for_people() -> Iterator[None]:
    """Turn what DuckDB says of a query into words for people."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise LimitExceeded(
            "this query needs more memory than there is",
            cause=_first_line(error),
            next_step="ask for fewer columns or rows, or aggregate before joining",
        ) from error
    except duckdb.Error as error:
        what, *more = [line for line in str(error).splitlines() if line.strip()]
        hints = [line.strip() for line in more if line.startswith(("Candidate", "Did you mean", "LINE 1"))]
        raise UsageError(
            f"the query cannot be answered: {_KIND.sub('', what)}",
            cause="; ".join(hints) or None,
            next_step="SHOW TABLES lists the tables, DESCRIBE objects its columns; docs/sql.md says what they mean",
        ) from error


_KIND: Final = re.compile(r"^[A-Z]\w+(?: [A-Z]\w+)* Error: ")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def syntax_tree(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    """Return a query as ``json_serialize_sql`` gives it."""
    said = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    tree: dict[str, Any] = json.loads(said[0][0])
    return tree


def nodes_of(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the dictionaries in what ``json_serialize_sql`` says of a query."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _well_formed(word: str | None) -> str | None:
    """Return a text that is UTF-8, as DuckDB wants it."""
    return word if word is None else word.encode("utf-8", "backslashreplace").decode()

r"""A `Table` for programs: as JSON, as CSV, and as Parquet.

All three have exact numbers, bytes and seconds, and nothing (null, an empty cell) where a value is unknown. JSON is
ASCII; in CSV whatever does not print is an escape; Parquet keeps texts as they are, but for bytes that are no UTF-8
(``\\xNN``).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.analysis.answer import SCHEMA
from heldby.analysis.table import Column, Kind, Table, Value
from heldby.errors import OutputError
from heldby.render.plain_text import printable, well_formed

_SQL_TYPES: Final = {
    Kind.BYTES: "BIGINT",
    Kind.COUNT: "BIGINT",
    Kind.NUMBER: "BIGINT",
    Kind.UNSIGNED: "UBIGINT",
    Kind.SHARE: "DOUBLE",
    Kind.REAL: "DOUBLE",
    Kind.SECONDS: "DOUBLE",
    Kind.ADDRESS: "UBIGINT",
    Kind.FLAG: "BOOLEAN",
    Kind.TEXT: "VARCHAR",
}
# A spreadsheet takes a cell that begins so for a formula and runs it (OWASP, "CSV Injection").
# A number in a column of texts, such as the value of a field, is one for a spreadsheet too and stays what it is.
_FORMULA: Final = re.compile(r"[=@]|[+-](?!(?:0x[0-9a-f]+|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|[Ii]nf)\Z)")


def table_to_json(table: Table) -> str:
    """Return one JSON object with a line break at its end.

    Addresses are texts, ``0xc000010000``, and so are the reals that JSON has no number for: ``inf``, ``-inf``, ``nan``.
    """
    names = [column.name for column in table.columns]
    values = [[_json_value(column.kind, value) for value in column.to_list()] for column in table.columns]
    document = {
        "schema": SCHEMA,
        "table": table.name,
        "title": well_formed(table.title),
        "columns": [{"name": column.name, "kind": str(column.kind)} for column in table.columns],
        "rows": [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)],
        "total_rows": table.row_count,
        "caveats": [well_formed(note) for note in table.notes],
    }
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _json_value(kind: Kind, value: Value) -> Value:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value) if kind is Kind.REAL else None
    return hex(int(value)) if kind is Kind.ADDRESS and value is not None else value


def table_to_csv(table: Table) -> str:
    """Return the rows below a line of names (RFC 4180); title and notes have no place in CSV.

    A text that a spreadsheet would run as a formula gets an apostrophe in front; a plain number does not.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([column.name for column in table.columns])
    cells = [[_csv_value(column.kind, value) for value in column.to_list()] for column in table.columns]
    writer.writerows(zip(*cells, strict=True))
    return file.getvalue()


def _csv_value(kind: Kind, value: Value) -> Value:
    if value is None:
        return ""
    if isinstance(value, str):
        text = printable(value)
        return f"'{text}" if _FORMULA.match(text) else text
    if isinstance(value, bool):
        return "true" if value else "false"
    return _json_value(kind, value)


def write_parquet(table: Table, path: Path) -> None:
    """Write the rows to `path`, which is replaced: bigint, double, ubigint for addresses and what is unsigned, varchar.

    DuckDB writes it, from NumPy arrays without a copy of the numbers.

    Raises:
        OutputError: the file cannot be written.
    """
    import duckdb

    from heldby.sql.write_errors import write_failure

    relation = {column.name: _duck_values(column) for column in table.columns}
    names = [column.name.replace('"', '""') for column in table.columns]
    typed = ", ".join(
        f'"{name}"::{_SQL_TYPES[column.kind]} AS "{name}"'
        for name, column in zip(names, table.columns, strict=True)
    )
    with duckdb.connect() as connection:
        connection.execute("SET pandas_analyze_sample = 0")  # objects are texts, whatever the first ones are
        connection.register("table_rows", relation)
        try:
            connection.execute(f"COPY (SELECT {typed} FROM table_rows) TO ? (FORMAT parquet)", [str(path)])  # noqa: S608
        except duckdb.Error as error:
            raise OutputError(
                "cannot write the parquet file",
                cause=printable(write_failure(error)),
                next_step="choose another place for the output",
            ) from error


def _duck_values(column: Column) -> NDArray[Any]:
    if column.kind is Kind.TEXT:
        words = [None if word is None else well_formed(word) for word in column.words]
        distinct = np.empty(len(words), object)
        distinct[:] = words
        texts: NDArray[Any] = distinct[column.values]
        return texts
    if column.unknown is None:
        return column.values
    return np.ma.MaskedArray(column.values, column.unknown)

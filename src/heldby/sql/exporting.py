"""The tables of a heap as a folder of Parquet files, for any engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from heldby.errors import OutputError, UsageError
from heldby.folders import replacing_folder
from heldby.heap.heap import Heap
from heldby.progress import QUIET, Progress
from heldby.sql.catalog import CATALOG
from heldby.sql.database import select_of
from heldby.sql.facts import Facts
from heldby.sql.schema import SQL_TYPES, UNITS, ColumnOf, TableOf
from heldby.sql.write_errors import write_failure
from heldby.version import __version__

SCHEMA_FILE: Final = "schema.json"


def refuse_folder(folder: Path, *, force: bool) -> None:
    """Raise `UsageError` where an export must not go: to a file, or to what is there already.

    `force` allows an earlier export and an empty folder, never a folder with anything else in it.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file", next_step="name a folder that does not exist yet")
    if not any(folder.iterdir()):
        return
    if not (folder / SCHEMA_FILE).exists():
        raise UsageError(
            f"{folder} has files that heldby did not write", next_step="name a folder that does not exist yet"
        )
    if not force:
        raise UsageError(f"{folder} exists", next_step="choose another name, or replace it with --force")


def export_tables(
    heap: Heap, folder: Path, *, strings: bool = False, force: bool = False, progress: Progress = QUIET
) -> None:
    """Write every table to ``folder/NAME.parquet``, and what they mean to ``folder/schema.json``.

    The folder is whole or not there; it is readable by its owner only. Texts of the process's memory
    (``strings.text``) are left out unless `strings`. About a second for a million objects; a table at a time is
    in memory.

    Raises:
        UsageError: see `refuse_folder`.
        OutputError: it cannot be written.
    """
    refuse_folder(folder, force=force)
    facts = Facts(heap)
    try:
        with replacing_folder(folder) as temporary:
            for table in CATALOG.values():
                with progress.phase(f"writing {table.name}"):
                    _write(facts, table, temporary / f"{table.name}.parquet", strings=strings)
            path = temporary / SCHEMA_FILE
            path.touch(0o600)
            path.write_text(
                json.dumps(schema(strings=strings) | {"caveats": list(heap.caveats)}, indent=2), "utf-8"
            )
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}",
            next_step="choose another place for the output",
        ) from error


def schema(*, strings: bool) -> dict[str, Any]:
    """Return what the tables and columns of an export mean."""
    return {
        "heldby": __version__,
        "tables": {
            table.name: {
                "meaning": table.meaning,
                "columns": {
                    column.name: {
                        "type": SQL_TYPES[column.kind],
                        "unit": UNITS.get(column.kind),
                        "meaning": column.meaning,
                    }
                    for column in _chosen(table, strings=strings)
                },
            }
            for table in CATALOG.values()
        },
    }


def _chosen(table: TableOf, *, strings: bool) -> Iterator[ColumnOf]:
    return (column for column in table.columns if strings or not column.secret)


def _write(facts: Facts, table: TableOf, path: Path, *, strings: bool) -> None:
    import duckdb

    columns = [column.of(facts) for column in _chosen(table, strings=strings)]
    with duckdb.connect() as connection:
        connection.execute("SET pandas_analyze_sample = 0")
        select = select_of(connection, table.name, columns)
        try:
            connection.execute(f"COPY ({select}) TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
        except duckdb.Error as error:
            raise OSError(write_failure(error)) from error
    path.chmod(0o600)

"""``heldby export --parquet``: the same tables, whole or not there, without the process's secrets."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import duckdb
import pytest

from heldby.api import open_kept
from heldby.errors import OutputError, UsageError
from heldby.heap import Heap
from heldby.sql import exporting
from heldby.sql.answers import ask
from heldby.sql.catalog import CATALOG
from heldby.sql.database import Database
from heldby.sql.exporting import SCHEMA_FILE, export_tables, refuse_folder
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace


@pytest.fixture(scope="module")
def heap(captures: Callable[[str, Mode], Path]) -> Heap:
    return open_kept(captures("texts", Mode.DEFAULT), cache=False).heap


@pytest.fixture(scope="module")
def exported(heap: Heap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "tables"
    export_tables(heap, folder)
    return folder


def test_there_is_a_file_for_every_table_and_one_that_says_what_they_mean(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        SCHEMA_FILE,
        *(f"{name}.parquet" for name in CATALOG),
    }
    said = json.loads((exported / SCHEMA_FILE).read_text())

    for name in CATALOG:
        columns = duckdb.sql(f"DESCRIBE SELECT * FROM '{exported}/{name}.parquet'").fetchall()
        assert [(column[0], column[1]) for column in columns] == [
            (column, facts["type"]) for column, facts in said["tables"][name]["columns"].items()
        ]
    assert said["tables"]["objects"]["columns"]["retained_bytes"]["unit"] == "bytes"


@pytest.mark.parametrize("name", CATALOG)
def test_a_file_has_the_rows_of_the_table_in_sql(exported: Path, heap: Heap, name: str) -> None:
    columns = [column.name for column in CATALOG[name].columns if not column.secret]
    names = ", ".join(f'"{column}"' for column in columns)
    inside = ask(Database(heap), f"SELECT {names} FROM {name} ORDER BY ALL")
    found = duckdb.sql(f"SELECT {names} FROM '{exported}/{name}.parquet' ORDER BY ALL").fetchall()

    assert found == [tuple(row.values()) for row in inside.rows()]


def test_contents_of_the_process_s_memory_travel_only_when_asked_for(
    exported: Path, heap: Heap, tmp_path: Path
) -> None:
    def texts(folder: Path) -> list[str]:
        path = folder / "strings.parquet"
        columns = [row[0] for row in duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()]
        if "text" not in columns:
            return []
        return [row[0] for row in duckdb.sql(f"SELECT text FROM '{path}' WHERE bytes = 20").fetchall()]

    export_tables(heap, tmp_path / "with", strings=True)

    assert texts(exported) == []
    assert len([text for text in texts(tmp_path / "with") if text == "mnopqrstuvwxyzabcdef"]) == 100


def test_only_the_user_can_read_an_export(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in exported.iterdir()} == {0o600}


def test_an_export_is_replaced_only_by_force(exported: Path, heap: Heap, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    (copy / "holders.parquet").write_bytes(b"")

    with pytest.raises(UsageError, match="exists"):
        export_tables(heap, copy)
    assert (copy / "holders.parquet").read_bytes() == b""
    export_tables(heap, copy, force=True)

    assert (copy / "holders.parquet").read_bytes()[:4] == b"PAR1"
    assert list(tmp_path.iterdir()) == [copy]


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(UsageError, match="files that heldby did not write"):
        refuse_folder(tmp_path, force=True)
    with pytest.raises(UsageError, match="is a file"):
        refuse_folder(tmp_path / "thesis.tex", force=True)
    (tmp_path / "empty").mkdir()
    refuse_folder(tmp_path / "empty", force=False)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("IO Error: broken")])
def test_what_cannot_be_written_leaves_nothing(heap: Heap, tmp_path: Path, error: OSError) -> None:
    with mock.patch.object(exporting, "_write", side_effect=error), pytest.raises(OutputError):
        export_tables(heap, tmp_path / "tables")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_told(heap: Heap, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        export_tables(heap, tmp_path / "absent" / "tables")

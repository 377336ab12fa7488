"""`heldby.open` in Python: tables that pandas, polars, pyarrow and DuckDB read, and notebooks show."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import heldby
from heldby.analysis.table import Kind, Table, number_column, text_column
from heldby.errors import UsageError
from heldby.session import Session
from heldby.sql.catalog import CATALOG
from heldby.sql.html_table import table_to_html
from tests.support.build import Mode

pytestmark = pytest.mark.ptrace


@pytest.fixture(scope="module")
def heap(captures: Callable[[str, Mode], Path]) -> Session:
    return heldby.open(captures("texts", Mode.DEFAULT), cache=False)


def test_every_table_is_a_property_with_its_meaning(heap: Session) -> None:
    for name, table in CATALOG.items():
        assert getattr(heap, name).columns == tuple(column.name for column in table.columns)
        assert (inspect.getdoc(getattr(Session, name)) or "").endswith(".")


def test_polars_pyarrow_pandas_and_duckdb_read_the_same_rows(heap: Session) -> None:
    polars, pyarrow, pandas = (importlib.import_module(name) for name in ("polars", "pyarrow", "pandas"))
    labels = heap.types.where(type="[]main.Label").select("type", "objects", "bytes")
    [expected] = [{"type": "[]main.Label", "objects": 1, "bytes": 1408}]

    assert polars.DataFrame(labels).to_dicts() == [expected]
    assert pyarrow.table(labels).to_pylist() == [expected]
    assert pandas.DataFrame.from_arrow(labels).to_dict("records") == [expected]
    assert duckdb.sql("SELECT * FROM labels").fetchall() == [tuple(expected.values())]


def test_every_table_crosses_to_arrow_whole(heap: Session) -> None:
    pyarrow = importlib.import_module("pyarrow")
    for name in CATALOG:
        relation = getattr(heap, name)
        table = pyarrow.table(relation)

        assert table.column_names == list(relation.columns)
        assert table.num_rows == len(relation)


def test_unknown_values_are_null_in_arrow(heap: Session) -> None:
    pyarrow = importlib.import_module("pyarrow")
    table = pyarrow.table(heap.edges.where("root IS NOT NULL").select("source", "root"))

    assert table.num_rows == len(heap.edges.where(source=None)) > 0
    assert table["source"].null_count == table.num_rows
    assert table["root"].null_count == 0


def test_conditions_and_values_narrow_the_rows(heap: Session) -> None:
    words = heap.strings.where("text LIKE '________ijkl%'", bytes=48)  # park.Text: eight digits, then letters

    assert len(words) == 1000
    assert len(words.where("text LIKE '0%'", field=["", "[*]"])) == 100  # the lowest digit is the first
    assert len(heap.objects.where(type="it's none")) == 0
    assert len(heap.objects.where(live=True)) == heap.answer.heap.live_objects
    assert len(heap.objects.where(type=[])) == 0


def test_a_column_that_does_not_exist_is_told(heap: Session) -> None:
    with pytest.raises(UsageError, match="there is no column typ") as caught:
        heap.objects.where(typ="main.Label")

    assert "address, bytes, type" in str(caught.value.cause)


def test_only_what_is_selected_is_made(captures: Callable[[str, Mode], Path]) -> None:
    heap = heldby.open(captures("texts", Mode.DEFAULT), cache=False)
    list(heap.objects.where(live=True).select("bytes").rows(3))

    assert set(heap.database._made["objects"]) == {"bytes", "live"}
    assert len(heap.objects) == heap.heap.object_count


def test_an_answer_in_sql_is_a_relation_like_the_tables(heap: Session) -> None:
    found = heap.sql("SELECT type, count(*) AS n FROM objects WHERE live GROUP BY ALL ORDER BY n DESC;")

    assert found.columns == ("type", "n")
    assert next(iter(found.rows(1)))["type"] == "string"
    assert len(found.where(type="[]main.Label")) == 1
    with pytest.raises(UsageError, match="nosuch"):
        heap.sql("SELECT nosuch FROM objects")


def test_a_session_shows_itself_in_a_notebook(heap: Session) -> None:
    page = heap._repr_html_()

    assert "main.words[*]" in page
    assert page.count("<tr>") == len(heap.answer.holders) + 1
    assert "texts (go1." in repr(heap)
    assert "SELECT" in repr(heap.holders)


def test_an_object_and_its_values_show_themselves(heap: Session) -> None:
    [row] = heap.objects.where(type="[]main.Label", live=True).select("address").rows(1)
    label = heap.object(int(str(row["address"])), items=3)

    assert repr(label) == f"<[]main.Label at {row['address']:#x}>"
    assert repr(label.go.elements[0]).startswith("<main.Label ")
    assert repr(label.referrers).startswith("<heldby table refs: ")
    page = label._repr_html_()
    assert "[]main.Label at 0x" in page
    assert page.count("<tr>") == 2


def test_texts_of_the_target_are_escaped_in_html() -> None:
    table = Table(
        "t",
        (
            text_column("a<b", ["<script>alert(1)</script>", "right\u202eleft", None]),
            number_column("bytes", Kind.BYTES, [2048, None, 5]),
        ),
        total_rows=9,
    )
    page = table_to_html(table)

    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "right\\u202eleft" in page
    assert "<th>a&lt;b</th>" in page
    assert ">2.00 KiB</td>" in page
    assert "3 of 9 rows" in page

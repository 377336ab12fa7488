"""Tables as text, JSON, CSV and Parquet: the same values, escaped where a screen or a spreadsheet obeys."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import duckdb
import numpy as np
import pytest
from rich.cells import cell_len

from heldby.analysis.table import Kind, Table, column, number_column, text_column
from heldby.errors import OutputError
from heldby.render.table_formats import table_to_csv, table_to_json, write_parquet
from heldby.render.table_output import table_text

HOSTILE = "main.\x1b[31mEvil\u202e\n"


def every_kind() -> Table:
    return Table(
        "things",
        (
            text_column("type", ["main.Entry", HOSTILE, None]),
            number_column("retained_bytes", Kind.BYTES, [1_073_741_824, 48, None]),
            column("objects", Kind.COUNT, [19_400_000, 412, 0]),
            number_column("share", Kind.SHARE, [0.873, 0.001, None]),
            number_column("waited", Kind.SECONDS, [259_200.0, 0.041, None]),
            column("addr", Kind.ADDRESS, [0xC000010000, 0xFFFF_FFFF_FFFF_FFF8, 0]),
            column("goid", Kind.NUMBER, [100_000_000, 2, 3]),
            column("leaked", Kind.FLAG, [True, False, False]),
        ),
        title="Things by type",
        notes=("sampled",),
    )


def test_text_has_units_and_says_what_is_unknown() -> None:
    assert table_text(every_kind(), width=110).plain.splitlines() == [
        "Things by type",
        "",
        "type                         retained  objects    share   waited                addr       goid  leaked",
        "main.Entry                   1.00 GiB   19.4 M      87%      3 d        0xc000010000  100000000  yes",
        "main.\\x1b[31mEvil\\u202e\\x0a      48 B      412      <1%    41 ms  0xfffffffffffffff8          2  no",
        "                              unknown        0  unknown  unknown                 0x0          3  no",
        "",
        "note: sampled",
    ]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_long_texts_are_cut_in_the_middle_so_that_lines_fit(width: int) -> None:
    table = Table(
        "t",
        (
            text_column("path", ["main.manager" + ".field" * 50 + ".end", "short"]),
            text_column("type", ["map[string]" + "[]" * 80 + "int", "int"]),
            column("retained_bytes", Kind.BYTES, [1 << 30, 1]),
        ),
    )

    lines = table_text(table, width=width).plain.splitlines()

    assert max(map(cell_len, lines)) == width
    assert lines[1].startswith("main.manag")
    assert ".end" in lines[1]
    assert "…" in lines[1]


def test_a_heading_of_two_words_takes_two_lines_so_that_texts_have_room() -> None:
    table = Table("t", (text_column("type", ["int"]), column("retained_objects", Kind.COUNT, [7])))

    assert table_text(table).plain.splitlines() == [
        "      retained",
        "type   objects",
        "int          7",
    ]


def test_long_notes_are_wrapped() -> None:
    table = Table("t", (column("n", Kind.COUNT, [1]),), notes=("word " * 20,))

    lines = table_text(table, width=60).plain.splitlines()

    assert lines[-2:] == [
        "note: word word word word word word word word word word word",
        "      word word word word word word word word word",
    ]


def test_rows_are_indented_by_the_column_that_says_how_deep_they_are() -> None:
    table = Table(
        "tree",
        (
            text_column("path", ["main.manager", ".paths", "[*]", "main.other"]),
            column("depth", Kind.COUNT, [0, 1, 2, 0]),
        ),
        outline="depth",
    )

    assert table_text(table).plain.splitlines() == [
        "path",
        "main.manager",
        "  .paths",
        "    [*]",
        "main.other",
    ]


def test_the_rows_that_were_cut_off_are_counted() -> None:
    table = Table("t", (column("n", Kind.COUNT, np.arange(5)),))

    assert table_text(table.head(2)).plain.splitlines()[-1] == "3 more rows (--limit 5)"
    assert table_text(table.head(4)).plain.splitlines()[-1] == "1 more row (--limit 5)"


def test_an_empty_table_says_so() -> None:
    assert table_text(Table("t", (column("n", Kind.COUNT, []),))).plain == "nothing found"


def test_a_fourth_note_is_shown_when_all_are_wanted() -> None:
    table = Table("t", (column("n", Kind.COUNT, [1]),), notes=("a", "b", "c", "d"))

    assert table_text(table).plain.splitlines()[-1] == "note: 1 more with -v or --format json"
    assert table_text(table, all_notes=True).plain.splitlines()[-1] == "note: d"


def test_json_has_exact_numbers_and_null_for_what_is_unknown() -> None:
    text = table_to_json(every_kind().head(3))
    document = json.loads(text)

    assert text.isascii()
    assert document["schema"] == 1
    assert document["table"] == "things"
    assert document["columns"][1] == {"name": "retained_bytes", "kind": "bytes"}
    assert document["total_rows"] == 3
    assert document["caveats"] == ["sampled"]
    assert document["rows"][0] == {
        "type": "main.Entry",
        "retained_bytes": 1_073_741_824,
        "objects": 19_400_000,
        "share": 0.873,
        "waited": 259_200.0,
        "addr": "0xc000010000",
        "goid": 100_000_000,
        "leaked": True,
    }
    assert document["rows"][1]["type"] == HOSTILE
    assert [document["rows"][2][name] for name in ("type", "retained_bytes", "share", "waited")] == [None] * 4


def test_csv_is_read_back_with_escapes_and_empty_cells() -> None:
    rows = list(csv.reader(io.StringIO(table_to_csv(every_kind()))))

    assert rows[0] == ["type", "retained_bytes", "objects", "share", "waited", "addr", "goid", "leaked"]
    assert rows[2][:3] == ["main.\\x1b[31mEvil\\u202e\\x0a", "48", "412"]
    assert rows[2][5:] == ["0xfffffffffffffff8", "2", "false"]
    assert rows[3][:5] == ["", "", "0", "", ""]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("-1-1", "'-1-1"),
        ("-128 (StateDone)", "'-128 (StateDone)"),
        ("=5", "'=5"),
        ("+0x18", "+0x18"),
        ("-99999999999999999999", "-99999999999999999999"),
        ("-5+1", "'-5+1"),
        ("-128", "-128"),
        ("-0.25", "-0.25"),
        ("-1e-07", "-1e-07"),
        ("-inf", "-inf"),
        ("+Inf", "+Inf"),
        (".paths[*]", ".paths[*]"),
    ],
)
def test_csv_has_no_cell_that_a_spreadsheet_runs(text: str, cell: str) -> None:
    rows = list(csv.reader(io.StringIO(table_to_csv(Table("t", (text_column("text", [text]),))))))

    assert rows[1] == [cell]


def test_numbers_at_the_edges_are_said_in_every_format(tmp_path: Path) -> None:
    table = Table(
        "t",
        (
            number_column('real "x"', Kind.REAL, [math.inf, -math.inf, math.nan, None]),
            number_column("u", Kind.UNSIGNED, [(1 << 64) - 1, 0, 5, None]),
        ),
    )
    write_parquet(table, tmp_path / "t.parquet")

    assert [line.split() for line in table_text(table).plain.splitlines()[1:]] == [
        ["inf", "18446744073709551615"],
        ["-inf", "0"],
        ["nan", "5"],
        ["unknown", "unknown"],
    ]
    assert [list(row.values()) for row in json.loads(table_to_json(table))["rows"]] == [
        ["inf", 18446744073709551615],
        ["-inf", 0],
        ["nan", 5],
        [None, None],
    ]
    assert table_to_csv(table).split() == [
        *('"real', '""x""",u', "inf,18446744073709551615", "-inf,0", "nan,5", ","),
    ]
    # DuckDB takes a NaN of NumPy for NULL.
    assert duckdb.sql(f"SELECT * FROM '{tmp_path}/t.parquet'").fetchall() == [
        *((math.inf, 18446744073709551615), (-math.inf, 0), (None, 5), (None, None)),
    ]


def test_parquet_is_read_back_with_types_and_nulls(tmp_path: Path) -> None:
    file = tmp_path / "things.parquet"

    write_parquet(every_kind(), file)

    found = duckdb.sql(f"SELECT * FROM '{file}'")
    assert dict(zip(found.columns, map(str, found.types), strict=True)) == {
        "type": "VARCHAR",
        "retained_bytes": "BIGINT",
        "objects": "BIGINT",
        "share": "DOUBLE",
        "waited": "DOUBLE",
        "addr": "UBIGINT",
        "goid": "BIGINT",
        "leaked": "BOOLEAN",
    }
    assert found.fetchall() == [
        ("main.Entry", 1_073_741_824, 19_400_000, 0.873, 259_200.0, 0xC000010000, 100_000_000, True),
        (HOSTILE, 48, 412, 0.001, 0.041, 0xFFFF_FFFF_FFFF_FFF8, 2, False),
        (None, None, 0, None, None, 0, 3, False),
    ]


def test_parquet_keeps_types_without_rows_and_without_known_values(tmp_path: Path) -> None:
    empty, unknown = tmp_path / "empty.parquet", tmp_path / "unknown.parquet"

    write_parquet(Table("t", (text_column("a", []), column("b", Kind.SHARE, []))), empty)
    write_parquet(Table("t", (text_column("a", [None] * 3000 + ["\udc80x"]),)), unknown)

    assert [str(kind) for kind in duckdb.sql(f"SELECT * FROM '{empty}'").types] == ["VARCHAR", "DOUBLE"]
    assert duckdb.sql(f"SELECT count(*), count(a), max(a) FROM '{unknown}'").fetchall() == [
        (3001, 1, "\\x80x")
    ]


def test_a_parquet_file_that_cannot_be_written_says_why_without_json() -> None:
    with pytest.raises(OutputError, match="cannot write the parquet file") as caught:
        write_parquet(every_kind(), Path("/dev/full"))

    assert caught.value.cause is not None
    assert "No space left on device" in caught.value.cause
    assert "{" not in caught.value.cause


def test_a_folder_that_is_not_there_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the parquet file"):
        write_parquet(every_kind(), tmp_path / "nowhere" / "t.parquet")


def test_what_the_numbers_lack_comes_before_other_notes_and_once() -> None:
    table = Table("t", (column("n", Kind.COUNT, [1]),), notes=("sampled", "cut off"))

    assert table.with_losses(["cut off", "2 spans are lost"]).notes == (
        "cut off",
        "2 spans are lost",
        "sampled",
    )
    assert table.with_losses([]) is table


def test_columns_without_room_stand_below_their_row_by_name() -> None:
    numbers = [
        number_column(f"{name}_bytes", Kind.BYTES, [1 << 30, None])
        for name in ("first", "second", "third", "fourth")
    ]
    table = Table(
        "t",
        (
            text_column("type", ["map[string]*main.Connection", "int"]),
            *numbers,
            column("retained_objects", Kind.COUNT, [412, 7]),
            text_column("kind", ["global", None]),
        ),
    )

    assert table_text(table, width=60).plain.splitlines() == [
        "type                     first    second     third    fourth",
        "map[string…onnection  1.00 GiB  1.00 GiB  1.00 GiB  1.00 GiB",
        "      retained objects 412, kind global",
        "int                    unknown   unknown   unknown   unknown",
        "      retained objects 7",
    ]


def test_details_stand_below_the_columns_without_room() -> None:
    table = Table(
        "t",
        (
            *(column(f"number_{at}", Kind.NUMBER, [10**11]) for at in range(6)),
            text_column("path", ["main.manager"]),
        ),
        details=("path",),
    )

    assert table_text(table, width=60).plain.splitlines() == [
        "      number        number        number        number",
        "           0             1             2             3",
        "100000000000  100000000000  100000000000  100000000000",
        "      number 4 100000000000, number 5 100000000000",
        "      main.manager",
    ]

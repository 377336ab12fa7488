"""Tables: what is written comes back, and nothing else, here and in every other engine that reads Parquet."""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars
import pyarrow.parquet as pyarrow
import pytest
from numpy.typing import NDArray

from heldby.store.tables import PAGE_ROWS, Damaged, TableFile, write_table
from heldby.store.thrift_compact import array, flag, i32, i64, struct, text

WIDE = np.array([0, 5, 1 << 40], np.int64)
SMALL = np.array([7, 0, 255], np.uint32)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    path = tmp_path / "some.parquet"
    return path, write_table(path, {"wide": lambda: WIDE, "small": lambda: SMALL})


def test_columns_come_back_as_they_were_and_take_no_more_bytes_than_they_need(
    written: tuple[Path, dict[str, Any]],
) -> None:
    path, said = written
    found = TableFile(path, said).read({"small": np.uint32, "wide": np.int64})

    assert said["rows"] == 3
    assert said["bytes"] == path.stat().st_size
    assert [[page["place"] for page in column["pages"]] for column in said["columns"].values()] == [
        [128],
        [1280],
    ]
    assert [column["dtype"] for column in said["columns"].values()] == ["<u8", "|u1"]
    assert found["wide"].dtype == np.int64
    assert found["wide"].tolist() == [0, 5, 1 << 40]
    assert found["small"].dtype == np.uint32
    assert found["small"].tolist() == [7, 0, 255]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_numbers_below_zero_and_truths_come_back(tmp_path: Path) -> None:
    path = tmp_path / "small.parquet"
    items, truths = np.array([-1, 300], np.int64), np.array([True, False])
    said = write_table(path, {"items": lambda: items, "truths": lambda: truths})
    found = TableFile(path, said).read({"items": np.int64, "truths": np.bool_})

    assert [column["dtype"] for column in said["columns"].values()] == ["<i8", "|u1"]
    assert found["items"].tolist() == [-1, 300]
    assert found["truths"].dtype == np.bool_
    assert found["truths"].tolist() == [True, False]


def test_a_column_may_keep_its_width_or_be_read_as_narrow_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "two.parquet"
    said = write_table(path, {"wide": lambda: SMALL, "narrow": lambda: SMALL}, ["wide"])
    found = TableFile(path, said).read({"wide": np.uint32, "narrow": np.uint32}, ["narrow"])

    assert [column["dtype"] for column in said["columns"].values()] == ["<u4", "|u1"]
    assert found["wide"].tolist() == found["narrow"].tolist() == [7, 0, 255]
    assert found["narrow"].dtype == np.uint8


def test_what_is_changed_in_memory_does_not_reach_the_file(written: tuple[Path, dict[str, Any]]) -> None:
    path, said = written
    before = path.read_bytes()
    TableFile(path, said).read({"wide": np.int64})["wide"][:] = 9

    assert path.read_bytes() == before


def test_more_than_a_stretch_is_written_whole(tmp_path: Path) -> None:
    values = np.arange((1 << 20) + 3, dtype=np.uint32)
    path = tmp_path / "long.parquet"
    said = write_table(path, {"values": lambda: values})

    assert np.array_equal(TableFile(path, said).read({"values": np.uint32})["values"], values)


def test_no_rows_are_an_empty_column(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    said = write_table(path, {"values": lambda: np.zeros(0, np.uint32)})

    assert TableFile(path, said).read({"values": np.uint32})["values"].shape == (0,)
    assert duckdb.sql(f"FROM '{path}'").fetchall() == []


#: A width each; of eight bytes with and without a sign. `halves` has enough rows for its dictionary, `few` has not.
COLUMNS = {
    "bytes": np.arange(10_000) % 256,
    "truths": np.arange(10_000) % 3 == 0,
    "halves": np.arange(10_000) % 4_999,
    "few": np.arange(10_000) % 5_001,
    "words": np.arange(10_000, dtype=np.uint32) * np.uint32(400_000),
    "longs": np.arange(10_000, dtype=np.uint64) << np.uint64(50),
    "signed": np.arange(10_000) - 5,
}
DTYPES = ["|u1", "|u1", "<u2", "<u4", "<u4", "<u8", "<i8"]
ENGINES: dict[str, Callable[[Path], dict[str, NDArray[Any]]]] = {
    "duckdb": lambda path: dict(duckdb.sql(f"FROM '{path}'").fetchnumpy()),
    "pyarrow": lambda path: {
        name: column.to_numpy()
        for name, column in zip(
            COLUMNS, pyarrow.read_table(path, page_checksum_verification=True), strict=True
        )
    },
    "polars": lambda path: {each.name: each.to_numpy() for each in polars.read_parquet(path)},
}


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 10_000])
@pytest.mark.parametrize("engine", ENGINES)
def test_other_engines_read_the_same_numbers(tmp_path: Path, engine: str, rows: int) -> None:
    path = tmp_path / "all.parquet"
    columns = {name: column[:rows] for name, column in COLUMNS.items()}
    said = write_table(path, {name: partial(np.copy, column) for name, column in columns.items()})
    here = TableFile(path, said).read({name: column.dtype.type for name, column in columns.items()})

    for name, values in ENGINES[engine](path).items():
        assert values.tolist() == here[name].tolist() == columns[name].tolist(), name
    if rows == 10_000:
        assert [column["dtype"] for column in said["columns"].values()] == DTYPES


@pytest.mark.parametrize("engine", ENGINES)
def test_more_rows_than_a_page_may_have_are_several_row_groups(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "pages.parquet"
    said = write_table(path, {name: partial(np.copy, each) for name, each in COLUMNS.items()}, page_rows=600)
    here = TableFile(path, said).read({name: column.dtype.type for name, column in COLUMNS.items()})

    assert pyarrow.ParquetFile(path).metadata.num_row_groups == 17
    for name, values in ENGINES[engine](path).items():
        assert values.tolist() == here[name].tolist() == COLUMNS[name].tolist(), name


def test_a_page_never_has_more_bytes_than_its_header_can_say() -> None:
    assert PAGE_ROWS * 8 < 2**31


def test_no_byte_of_a_table_can_change_unseen(written: tuple[Path, dict[str, Any]]) -> None:
    path, said = written
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(Damaged):
            TableFile(path, said).read({"wide": np.int64, "small": np.uint32})


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "<u8"},  # wider than what is asked for
        {"dtype": "|O"},
        {"dtype": "<i8"},
        {"pages": []},
        {"pages": None},
    ],
)
def test_a_manifest_that_says_something_else_of_a_column_is_damage(
    written: tuple[Path, dict[str, Any]], wrong: dict[str, Any]
) -> None:
    path, said = written
    said["columns"]["small"].update(wrong)

    with pytest.raises(Damaged):
        TableFile(path, said).read({"small": np.uint32})


@pytest.mark.parametrize(
    "wrong",
    [
        {"place": 1 << 20},
        {"place": "0"},
        {"place": -1},
        {"rows": 2},
        {"rows": 4},
        {"end": 1283},  # its three values, but not what fills their group of eight
        {"start": 0},
        {"crc32": 0},
    ],
)
def test_a_manifest_that_says_something_else_of_a_page_is_damage(
    written: tuple[Path, dict[str, Any]], wrong: dict[str, Any]
) -> None:
    path, said = written
    said["columns"]["small"]["pages"][0].update(wrong)

    with pytest.raises(Damaged):
        TableFile(path, said).read({"small": np.uint32})


def test_a_column_that_is_not_there_is_damage(written: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(Damaged):
        TableFile(*written).read({"other": np.uint32})


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (i32(0), b"\0"),
        (i32(-1), b"\x01"),
        (i32(1), b"\x02"),
        (i32(-(2**31)), b"\xff\xff\xff\xff\x0f"),
        (i64(2**40), b"\x80\x80\x80\x80\x80\x40"),
        (text("heap"), b"\x04heap"),
        (array([i32(1), i32(2)], of=i32(0)), b"\x25\x02\x04"),
        (array([i32(0)] * 20, of=i32(0)), b"\xf5\x14" + bytes(20)),
        (struct({1: i32(1), 3: flag(False), 9: struct({})}), b"\x15\x02\x22\x6c\0\0"),
    ],
)
def test_headers_are_thrift_s_compact_protocol(value: tuple[int, bytes], data: bytes) -> None:
    assert value[1] == data

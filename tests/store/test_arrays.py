"""Columns as they lie in memory: what is written comes back, and nothing else."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldby.store.arrays import ArrayFile, Damaged, write_arrays

WIDE = np.array([0, 5, 1 << 40], np.int64)
SMALL = np.array([7, 0, 255], np.uint32)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    path = tmp_path / "some.arrays"
    return path, write_arrays(path, {"wide": lambda: WIDE, "small": lambda: SMALL})


def test_columns_come_back_as_they_were_and_take_no_more_bytes_than_they_need(
    written: tuple[Path, dict[str, Any]],
) -> None:
    path, said = written
    found = ArrayFile(path, said).read({"small": np.uint32, "wide": np.int64})

    assert said["rows"] == 3
    assert said["bytes"] == path.stat().st_size == 128  # 3 x 8 and 3 x 1 bytes, each up to a multiple of 64
    assert [column["dtype"] for column in said["columns"].values()] == ["<u8", "|u1"]
    assert found["wide"].dtype == np.int64
    assert found["wide"].tolist() == [0, 5, 1 << 40]
    assert found["small"].dtype == np.uint32
    assert found["small"].tolist() == [7, 0, 255]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_numbers_below_zero_and_truths_come_back(tmp_path: Path) -> None:
    path = tmp_path / "small.arrays"
    items, truths = np.array([-1, 300], np.int64), np.array([True, False])
    said = write_arrays(path, {"items": lambda: items, "truths": lambda: truths})
    found = ArrayFile(path, said).read({"items": np.int64, "truths": np.bool_})

    assert [column["dtype"] for column in said["columns"].values()] == ["<i8", "|u1"]
    assert found["items"].tolist() == [-1, 300]
    assert found["truths"].dtype == np.bool_
    assert found["truths"].tolist() == [True, False]


def test_a_column_may_keep_its_width_or_be_read_as_narrow_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "two.arrays"
    said = write_arrays(path, {"wide": lambda: SMALL, "narrow": lambda: SMALL}, ["wide"])
    found = ArrayFile(path, said).read({"wide": np.uint32, "narrow": np.uint32}, ["narrow"])

    assert [column["dtype"] for column in said["columns"].values()] == ["<u4", "|u1"]
    assert found["wide"].tolist() == found["narrow"].tolist() == [7, 0, 255]
    assert found["narrow"].dtype == np.uint8


def test_what_is_changed_in_memory_does_not_reach_the_file(written: tuple[Path, dict[str, Any]]) -> None:
    path, said = written
    before = path.read_bytes()
    ArrayFile(path, said).read({"wide": np.int64})["wide"][:] = 9

    assert path.read_bytes() == before


def test_more_than_a_stretch_is_written_whole(tmp_path: Path) -> None:
    values = np.arange((1 << 20) + 3, dtype=np.uint32)
    path = tmp_path / "long.arrays"
    said = write_arrays(path, {"values": lambda: values})

    assert np.array_equal(ArrayFile(path, said).read({"values": np.uint32})["values"], values)


def test_no_rows_are_an_empty_column(tmp_path: Path) -> None:
    path = tmp_path / "none.arrays"
    said = write_arrays(path, {"values": lambda: np.zeros(0, np.uint32)})

    assert said["bytes"] == 0
    assert ArrayFile(path, said).read({"values": np.uint32})["values"].shape == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "<u8"},  # wider than what is asked for
        {"dtype": "|O"},
        {"dtype": "<i8"},
        {"place": 1 << 20},
        {"place": "0"},
        {"crc32": 0},
    ],
)
def test_a_manifest_that_does_not_fit_the_file_is_damage(
    written: tuple[Path, dict[str, Any]], wrong: dict[str, Any]
) -> None:
    path, said = written
    said["columns"]["small"].update(wrong)

    with pytest.raises(Damaged):
        ArrayFile(path, said).read({"small": np.uint32})


def test_a_column_that_is_not_there_is_damage(written: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(Damaged):
        ArrayFile(*written).read({"other": np.uint32})

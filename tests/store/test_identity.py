"""What makes two files the same capture, and two programs the same heldby."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from heldby.store.identity import analysis_version, digest_of, identity_of

MIB = 1 << 20


def file_of(path: Path, size: int) -> np.ndarray:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    path.write_bytes(data.tobytes())
    return data


def test_a_file_that_is_untouched_stays_the_same(tmp_path: Path) -> None:
    data = file_of(tmp_path / "a", 9 * MIB)

    assert identity_of(tmp_path / "a") == identity_of(tmp_path / "a")
    assert identity_of(tmp_path / "a").endswith(f"-{digest_of(data)}")


def test_the_time_of_the_last_change_counts(tmp_path: Path) -> None:
    file_of(tmp_path / "a", 1000)
    before = identity_of(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(0, 1))

    assert identity_of(tmp_path / "a") != before


@pytest.mark.parametrize("size", [1, 5000, 3 * MIB, 9 * MIB])
@pytest.mark.parametrize("place", [0.0, 0.999999])
def test_a_byte_at_the_head_or_tail_counts(size: int, place: float) -> None:
    data = np.zeros(size, np.uint8)
    before = digest_of(data)
    data[int(place * size)] = 1

    assert digest_of(data) != before


def test_two_sizes_are_two_files() -> None:
    assert digest_of(np.zeros(9 * MIB, np.uint8)) != digest_of(np.zeros(9 * MIB + 1, np.uint8))


def test_no_more_than_three_mebibytes_are_read() -> None:
    class Counted(np.ndarray):
        read = 0

        def __getitem__(self, key: slice) -> np.ndarray:  # type: ignore[override]
            Counted.read += key.stop - key.start
            return super().__getitem__(key)  # type: ignore[no-any-return]

    digest_of(np.zeros(64 * MIB, np.uint8).view(Counted))

    assert Counted.read == 3 * MIB


def test_the_version_names_the_release_and_the_code() -> None:
    release, _, code = analysis_version().rpartition("-")

    assert release == "0.1.0"
    assert len(code) == 16

"""Tables of numbers: their columns as they lie in memory, mapped instead of decoded.

Each column has the narrowest unsigned numbers that hold it, or int64 if one is negative. What is narrower than the
heap's own is widened when it is read, everything else is mapped, privately: what a command changes in memory
never reaches the file.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_STRETCH: Final = 1 << 16
_ALIGNMENT: Final = 64
_DTYPES: Final = ("|u1", "<u2", "<u4", "<u8", "<i8")


class Damaged(Exception):
    """A kept analysis is not what its manifest says; it never reaches the user: the capture is read again."""


def write_arrays(
    path: Path, columns: Mapping[str, Callable[[], NDArray[Any]]], as_they_are: Collection[str] = ()
) -> dict[str, Any]:
    """Write columns of one length to the new file `path`, one after the other, each made when it is its turn.

    Returns what the manifest says of the file: rows, bytes, and of each column its dtype, its place and its
    CRC-32. Holds a column and a stretch of it. Those named in `as_they_are` stay as wide as they are.

    Raises:
        OSError: the file cannot be written.
    """
    said: dict[str, Any] = {"rows": 0, "columns": {}}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for name, make in columns.items():
            values = make()
            dtype = values.dtype.newbyteorder("<") if name in as_they_are else _narrowest(values)
            place, crc = file.tell(), 0
            for low in range(0, values.size, _STRETCH):
                data = np.ascontiguousarray(values[low : low + _STRETCH], dtype).data
                crc = zlib.crc32(data, crc)
                file.write(data)
            padding = bytes(-file.tell() % _ALIGNMENT)
            file.write(padding)
            said["columns"][name] = {"dtype": dtype.str, "place": place, "crc32": zlib.crc32(padding, crc)}
            said["rows"] = int(values.size)
            del values
        said["bytes"] = file.tell()
    return said


def _narrowest(values: NDArray[Any]) -> np.dtype[Any]:
    if values.dtype.kind == "i" and int(values.min(initial=0)) < 0:
        return np.dtype("<i8")
    return np.min_scalar_type(int(values.max(initial=0))).newbyteorder("<")


class ArrayFile:
    """A file of `write_arrays`.

    Args:
        path: the file.
        said: what its manifest says of it.
    """

    def __init__(self, path: Path, said: Mapping[str, Any]) -> None:
        self._path = path
        self._said = said

    @property
    def rows(self) -> int:
        """Rows of every column."""
        return int(self._said["rows"])

    def read(
        self, dtypes: Mapping[str, type[np.generic]], narrow: Collection[str] = ()
    ) -> dict[str, NDArray[Any]]:
        """Return columns by name, writable; those named in `narrow` are not widened to their dtype.

        Checking one takes 1 ms for a million rows, widening it as much.

        Raises:
            Damaged: the file is not there, or not what was written.
        """
        try:
            return {
                name: self._column(name, np.dtype(dtype), name in narrow) for name, dtype in dtypes.items()
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{self._path.name}: {error}") from error

    def _column(self, name: str, wanted: np.dtype[Any], narrow: bool) -> NDArray[Any]:
        said = self._said["columns"][name]
        dtype = np.dtype(said["dtype"]) if said["dtype"] in _DTYPES else None
        if (
            dtype is None
            or dtype.itemsize > wanted.itemsize
            or (dtype.kind == "i" and wanted.kind != "i")  # something is negative
        ):
            raise Damaged(f"{self._path.name}: {name} is not what was written")
        if not self.rows:
            return np.zeros(0, wanted)
        size, place = self.rows * dtype.itemsize, said["place"]
        size_on_disk = size + -(place + size) % _ALIGNMENT
        data = memoryview(self._mapped)[place : place + size_on_disk]
        if len(data) != size_on_disk or zlib.crc32(data) != said["crc32"]:
            raise Damaged(f"{self._path.name}: {name} has changed")
        values: NDArray[Any] = np.frombuffer(self._mapped, dtype, self.rows, place)
        # The same width is the same bits: what is negative was written as it was.
        if dtype.itemsize == wanted.itemsize:
            return values.view(wanted)
        return values if narrow else values.astype(wanted)

    @cached_property
    def _mapped(self) -> mmap.mmap:
        # Not read-only: kernels are compiled for arrays that may be written to.
        with self._path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

"""Tables of numbers: Parquet files whose columns are mapped instead of decoded.

Each column has the narrowest unsigned numbers that hold it, or int64 if one is negative. What is narrower than the
heap's own is widened when it is read, everything else is mapped, privately: what a command changes in memory
never reaches the file. The manifest says where the values are; other engines find them by the footer.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from heldby.store.parquet_format import (
    MAGIC,
    PAGE_BYTES,
    Chunk,
    before_values,
    data_page_header,
    dictionary_page,
    footer,
    has_dictionary,
    padding,
)

PAGE_ROWS: Final = PAGE_BYTES // 8 & -64
"""Rows of a row group. More are several, which reading puts together: not mapped, but then nobody waits for that."""

_STRETCH: Final = 1 << 16
_ALIGNMENT: Final = 64
_HEADER_ROOM: Final = 64  # a page's header takes 30 bytes or less, and `before_values` 7
_DTYPES: Final = ("|u1", "<u2", "<u4", "<u8", "<i8")


class Damaged(Exception):
    """A kept analysis is not what its manifest says; it never reaches the user: the capture is read again."""


def write_table(
    path: Path,
    columns: Mapping[str, Callable[[], NDArray[Any]]],
    as_they_are: Collection[str] = (),
    page_rows: int = PAGE_ROWS,
) -> dict[str, Any]:
    """Write columns of one length to the new file `path`, one after the other, each made when it is its turn.

    Returns what the manifest says of the file: rows, bytes, the footer, and of each column its dtype and its pages.
    Holds a column and a stretch of it. Those named in `as_they_are` stay as wide as they are.

    Raises:
        OSError: the file cannot be written.
    """
    said: dict[str, Any] = {"rows": 0, "columns": {}}
    chunks: list[list[Chunk]] = []  # by column
    dtypes: list[tuple[str, np.dtype[Any]]] = []
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(MAGIC)
        for name, make in columns.items():
            values = make()
            dtype = values.dtype.newbyteorder("<") if name in as_they_are else _narrowest(values)
            bounds = [*range(0, values.size, page_rows), values.size]
            pages = [_write_page(file, name, values[low:high], dtype) for low, high in pairwise(bounds)]
            said["columns"][name] = {"dtype": dtype.str, "pages": [page for page, _ in pages]}
            said["rows"] = int(values.size)
            chunks.append([chunk for _, chunk in pages])
            dtypes.append((name, dtype))
            del values
        end = footer(list(zip(*chunks, strict=True)), dtypes)
        said["footer"] = {"place": file.tell(), "crc32": zlib.crc32(end, zlib.crc32(MAGIC))}
        file.write(end)
        said["bytes"] = file.tell()
    return said


def _narrowest(values: NDArray[Any]) -> np.dtype[Any]:
    if values.dtype.kind == "i" and int(values.min(initial=0)) < 0:
        return np.dtype("<i8")
    highest = int(values.max(initial=0))
    dtype = np.min_scalar_type(highest).newbyteorder("<")
    if (
        dtype.itemsize == 2 and 2 * (highest + 1) > values.size
    ):  # the dictionary would take more than it saves
        return np.dtype("<u4")
    return dtype


def _write_page(
    file: IO[bytes], name: str, values: NDArray[Any], dtype: np.dtype[Any]
) -> tuple[dict[str, int], Chunk]:
    """Write a column of a row group: its values first, then what comes before them, which has their checksum."""
    rows, start = int(values.size), file.tell()
    dictionary = dictionary_page(int(values.max(initial=0))) if has_dictionary(dtype) else b""
    place = -(-(start + len(dictionary) + _HEADER_ROOM) // _ALIGNMENT) * _ALIGNMENT
    first = before_values(dtype, rows)
    crc = zlib.crc32(first)
    file.seek(place)
    for low in range(0, rows, _STRETCH):
        data = np.ascontiguousarray(values[low : low + _STRETCH], dtype).data
        crc = zlib.crc32(data, crc)
        file.write(data)
    after = bytes(padding(dtype, rows))
    crc = zlib.crc32(after, crc)
    file.write(after)
    end = file.tell()
    header = data_page_header(dtype, rows, len(first) + end - place, crc)
    data_page = place - len(first) - len(header)
    front = (dictionary + header).rjust(place - len(first) - start, b"\0")
    file.seek(start)
    file.write(front + first)
    file.seek(end)
    # Of the page, and then of what stands before it.
    page = {"rows": rows, "start": start, "place": place, "end": end, "crc32": zlib.crc32(front, crc)}
    return page, Chunk(name, dtype, rows, data_page - len(dictionary), data_page, end)


class TableFile:
    """A file of `write_table`.

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
        pages = said["pages"]
        if (
            dtype is None
            or dtype.itemsize > wanted.itemsize
            or (dtype.kind == "i" and wanted.kind != "i")  # something is negative
            or sum(page["rows"] for page in pages) != self.rows
        ):
            raise Damaged(f"{self._path.name}: {name} is not what was written")
        if not self.rows:
            return np.zeros(0, wanted)
        parts = [self._page(page, dtype, name) for page in pages]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        # The same width is the same bits: what is negative was written as it was.
        if dtype.itemsize == wanted.itemsize:
            return values.view(wanted)
        return values if narrow else values.astype(wanted)

    def _page(self, page: Mapping[str, int], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
        mapped = memoryview(self._mapped)
        start, place, end = page["start"], page["place"], page["end"]
        if not 0 <= start <= place <= end <= len(mapped) or place + page["rows"] * dtype.itemsize > end:
            raise Damaged(f"{self._path.name}: {name} is not what was written")
        begin = place - len(before_values(dtype, page["rows"]))
        if zlib.crc32(mapped[start:begin], zlib.crc32(mapped[begin:end])) != page["crc32"]:
            raise Damaged(f"{self._path.name}: {name} has changed")
        return np.frombuffer(self._mapped, dtype, page["rows"], place)

    @cached_property
    def _mapped(self) -> mmap.mmap:
        # Not read-only: kernels are compiled for arrays that may be written to.
        with self._path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        said = self._said["footer"]
        if zlib.crc32(mapped[said["place"] :], zlib.crc32(mapped[: len(MAGIC)])) != said["crc32"]:
            raise Damaged(f"{self._path.name}: its footer has changed")
        return mapped

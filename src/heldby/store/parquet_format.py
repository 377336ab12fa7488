"""The parts of a Parquet file whose values lie in it as they lie in memory.

Parquet's plain encoding of whole numbers of 4 and 8 bytes is their bytes, one after the other. Numbers of 1 and 2
bytes have no type of their own there, but a dictionary's indexes may be packed in 8 or 16 bits each: with the
dictionary 0, 1, 2 and so on they are the values. No column is optional, nothing is compressed, and a column of a
row group is one page, so it can be mapped, while DuckDB, pyarrow and all others read the file as any other.

Source: ``src/main/thrift/parquet.thrift`` and ``Encodings.md`` of apache/parquet-format 2.11.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from heldby.store.thrift_compact import Value, array, flag, i8, i32, i64, struct, text, varint
from heldby.version import __version__

MAGIC: Final = b"PAR1"
PAGE_BYTES: Final = (1 << 31) - 1
"""A page's size is an i32."""

_INT32, _INT64 = 1, 2
_PLAIN, _RLE, _RLE_DICTIONARY = 0, 3, 8
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_CONVERTED_TYPES: Final = {"|u1": 11, "<u2": 12, "<u4": 13, "<u8": 14, "<i8": 18}
_GROUP: Final = 8  # values: indexes are packed eight at a time


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group, which is one page, with a dictionary before it or none.

    Attributes:
        name: of the column.
        dtype: of its values.
        rows: how many they are.
        start: where its first page's header begins in the file.
        data_page: where the header of the page with the values begins.
        end: where that page ends.
    """

    name: str
    dtype: np.dtype[Any]
    rows: int
    start: int
    data_page: int
    end: int


def has_dictionary(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of `dtype` are indexes into a dictionary of themselves."""
    return dtype.itemsize < 4


def padding(dtype: np.dtype[Any], rows: int) -> int:
    """Return the bytes after the values of a page that belong to it."""
    return -rows % _GROUP * dtype.itemsize if has_dictionary(dtype) else 0


def before_values(dtype: np.dtype[Any], rows: int) -> bytes:
    """Return what a page's values begin with: the width of indexes, and that they come packed to the end."""
    if not has_dictionary(dtype):
        return b""
    groups = -(-rows // _GROUP)
    return bytes([8 * dtype.itemsize]) + varint(groups << 1 | 1)


def dictionary_page(highest: int) -> bytes:
    """Return a page with the dictionary 0, 1, 2 and so on, up to `highest`."""
    data = np.arange(highest + 1, dtype="<u4").tobytes()
    about = struct({1: i32(highest + 1), 2: i32(_PLAIN), 3: flag(True)})
    sizes = {2: i32(len(data)), 3: i32(len(data)), 4: i32(_signed(zlib.crc32(data)))}
    return struct({1: i32(_DICTIONARY_PAGE), **sizes, 7: about})[1] + data


def data_page_header(dtype: np.dtype[Any], rows: int, size: int, crc: int) -> bytes:
    """Return the header of a page of `size` bytes with the CRC-32 `crc`."""
    encoding = _RLE_DICTIONARY if has_dictionary(dtype) else _PLAIN
    # Levels are always said to be RLE; columns that are not optional have none.
    about = struct({1: i32(rows), 2: i32(encoding), 3: i32(_RLE), 4: i32(_RLE)})
    return struct({1: i32(_DATA_PAGE), 2: i32(size), 3: i32(size), 4: i32(_signed(crc)), 5: about})[1]


def footer(groups: Sequence[Sequence[Chunk]], columns: Sequence[tuple[str, np.dtype[Any]]]) -> bytes:
    """Return what ends a file: what is where in it, the length of that, and the magic number."""
    root = struct({4: text("schema"), 5: i32(len(columns))})
    elements = [root, *(_schema_element(name, dtype) for name, dtype in columns)]
    said = {
        1: i32(2),
        2: array(elements, of=root),
        3: i64(sum(group[0].rows for group in groups)),
        4: array([_row_group(group) for group in groups], of=struct({})),
        6: text(f"heldby version {__version__}"),
    }
    data = struct(said)[1]
    return data + len(data).to_bytes(4, "little") + MAGIC


def _schema_element(name: str, dtype: np.dtype[Any]) -> Value:
    integer = struct({1: i8(8 * dtype.itemsize), 2: flag(dtype.kind == "i")})
    required = i32(0)
    return struct(
        {
            1: i32(_physical(dtype)),
            3: required,
            4: text(name),
            6: i32(_CONVERTED_TYPES[dtype.str]),
            10: struct({10: integer}),
        }
    )


def _row_group(chunks: Sequence[Chunk]) -> Value:
    total = sum(chunk.end - chunk.start for chunk in chunks)
    columns = [_column_chunk(chunk) for chunk in chunks]
    return struct({1: array(columns, of=struct({})), 2: i64(total), 3: i64(chunks[0].rows), 6: i64(total)})


def _column_chunk(chunk: Chunk) -> Value:
    encodings = (_PLAIN, _RLE_DICTIONARY) if has_dictionary(chunk.dtype) else (_PLAIN,)
    size = i64(chunk.end - chunk.start)
    uncompressed = i32(0)
    said = {
        1: i32(_physical(chunk.dtype)),
        2: array([i32(each) for each in encodings], of=i32(0)),
        3: array([text(chunk.name)], of=text("")),
        4: uncompressed,
        5: i64(chunk.rows),
        6: size,
        7: size,
        9: i64(chunk.data_page),
    }
    if has_dictionary(chunk.dtype):
        said[11] = i64(chunk.start)
    return struct({2: i64(chunk.start), 3: struct(said)})


def _physical(dtype: np.dtype[Any]) -> int:
    return _INT64 if dtype.itemsize == 8 else _INT32


def _signed(crc: int) -> int:
    return crc - (1 << 32) if crc >> 31 else crc

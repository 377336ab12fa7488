"""Thrift's compact protocol, as far as Parquet's headers are written in it.

Source: ``doc/specs/thrift-compact-protocol.md`` of Apache Thrift. A value is its wire type and its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Value = tuple[int, bytes]

_TRUE, _FALSE, _I8, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 2, 3, 5, 6, 8, 9, 12


def varint(value: int) -> bytes:
    """Return an unsigned number, seven bits a byte, the lowest first (ULEB128)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def flag(value: bool) -> Value:
    """Return a truth, which as a field is its type alone."""
    return (_TRUE if value else _FALSE), b""


def i8(value: int) -> Value:
    """Return a number of 8 bits."""
    return _I8, value.to_bytes(1, "little", signed=True)


def i32(value: int) -> Value:
    """Return a number of 32 bits, or a member of an enumeration."""
    return _I32, _zigzag(value)


def i64(value: int) -> Value:
    """Return a number of 64 bits."""
    return _I64, _zigzag(value)


def text(value: str) -> Value:
    """Return a string."""
    data = value.encode()
    return _BINARY, varint(len(data)) + data


def array(values: Sequence[Value], of: Value) -> Value:
    """Return a list of values of the type of `of`."""
    kind = of[0]
    head = (
        bytes([len(values) << 4 | kind]) if len(values) < 15 else bytes([0xF0 | kind]) + varint(len(values))
    )
    return _LIST, head + b"".join(data for _, data in values)


def struct(fields: Mapping[int, Value]) -> Value:
    """Return a struct of fields by their numbers, which rise by 15 at most."""
    out, last = bytearray(), 0
    for number, (kind, data) in fields.items():
        out.append(number - last << 4 | kind)
        out += data
        last = number
    return _STRUCT, bytes(out) + b"\0"


def _zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)

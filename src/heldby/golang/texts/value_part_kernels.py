"""The parts of values that hold no others: how long a number, a text, a time is in each form."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from heldby.golang.texts.json_text_kernels import json_string_bytes, read64, read_byte
from heldby.golang.texts.number_text_kernels import decimal_digits, float_text_bytes, varint_bytes
from heldby.golang.texts.value_programs import (
    ARRAY,
    BOOL,
    BYTES,
    COMPLEX,
    FIXED_TEXT,
    FLOAT32,
    FLOAT64,
    INT,
    INTERFACE,
    MAP,
    NUMBER,
    OPAQUE,
    POINTER,
    RAW_JSON,
    SLICE,
    STRING,
    TIME,
    UINT,
)
from heldby.jit import ONE, ZERO, inline_kernel, inner_kernel, u64

HAS_NO_JSON, IS_UNKNOWN, IS_FUNCTION = 1, 2, 3
_NULL = u64(4)
_LONGEST = 40  # bits of a length
_LARGEST_ZERO = 1 << 20


@inner_kernel
def _word(memory, addr):
    """Return the aligned word at `addr`, as `read64`; not inlined, which would triple the time to compile."""
    return read64(memory, addr)


@inner_kernel
def _integer(memory, addr, size):
    """Return an integer of 1, 2, 4 or 8 bytes as its bits."""
    word = _word(memory, addr & ~u64(7)) >> ((addr & u64(7)) << u64(3))
    if size >= u64(8):
        return word
    return word & ((ONE << (size << u64(3))) - ONE)


@inline_kernel
def _signed(bits, size):
    """Return an integer's value from its bits."""
    unused = u64(64) - (size << u64(3))
    return np.int64(bits << unused) >> np.int64(unused)


@inline_kernel
def _magnitude(value):
    return u64(-value) if value < 0 else u64(value)


@inline_kernel
def _time_seconds(memory, addr):
    """Return a time.Time's seconds since the year 1 (time/time.go, Time.sec)."""
    wall = _word(memory, addr)
    if wall >> u64(63):
        return np.int64((wall << ONE) >> u64(31)) + np.int64(59453308800)
    return np.int64(_word(memory, addr + u64(8)))


@inner_kernel
def time_text_bytes(memory, addr):
    """Return how long the JSON text of the time.Time at `addr` is; 0 where it has none (years after 9999)."""
    seconds = _time_seconds(memory, addr)
    if seconds < -31622400 or seconds >= 315537897600:
        return ZERO
    size = u64(22)
    nanoseconds = _word(memory, addr) & u64((1 << 30) - 1)
    if nanoseconds:
        size += u64(10)
        while nanoseconds % u64(10) == ZERO:
            nanoseconds //= u64(10)
            size -= ONE
    # time/zoneinfo.go, Location: name, zone, tx, extend, cacheStart, cacheEnd, cacheZone.
    location = _word(memory, addr + u64(16))
    if not location:
        return size
    zones, count = _word(memory, location + u64(16)), _word(memory, location + u64(24))
    if not count:
        return size
    unix = seconds - 62135596800
    zone = zones
    start, end = np.int64(_word(memory, location + u64(80))), np.int64(_word(memory, location + u64(88)))
    cached = _word(memory, location + u64(96))
    if cached and start <= unix < end:
        zone = cached
    else:
        changes, low, high = _word(memory, location + u64(40)), ZERO, _word(memory, location + u64(48))
        high = min(high, u64(1 << 16))
        while low < high:
            middle = (low + high) >> ONE
            if np.int64(_word(memory, changes + (middle << u64(4)))) <= unix:
                low = middle + ONE
            else:
                high = middle
        if low:
            zone += read_byte(memory, changes + ((low - ONE) << u64(4)) + u64(8)) << u64(5)
    if _word(memory, zone + u64(16)):
        return size + u64(5)
    return size


@inner_kernel
def raw_json_bytes(memory, addr, size):
    """Return how long a json.RawMessage is without white space, with HTML escapes (json/indent.go, compact)."""
    total, quoted, escaped = ZERO, False, False
    for i in range(size):
        byte = read_byte(memory, addr + i)
        if byte in (u64(0x3C), u64(0x3E), u64(0x26)):
            total += u64(6)
        elif not quoted and byte in (u64(0x20), u64(9), u64(10), u64(13)):
            continue
        else:
            total += ONE
            separator = (
                byte == u64(0xE2) and i + u64(2) < size and read_byte(memory, addr + i + ONE) == u64(0x80)
            )
            if separator and read_byte(memory, addr + i + u64(2)) & u64(0xFE) == u64(0xA8):
                total += u64(3)
        if escaped:
            escaped = False
        elif quoted and byte == u64(0x5C):
            escaped = True
        elif byte == u64(0x22):
            quoted = not quoted
    return total


@inner_kernel
def is_empty(memory, types, release, addr, typ, zero):
    """Tell whether ``omitempty`` (or with `zero`, ``omitzero``) leaves a field out."""
    op = types.op[typ]
    if op in (BOOL, INT, UINT):
        return _integer(memory, addr, types.size[typ]) == ZERO
    if op == FLOAT64:
        return (_integer(memory, addr, u64(8)) << ONE) == ZERO
    if op == FLOAT32:
        return (_integer(memory, addr, u64(4)) & u64(0x7FFFFFFF)) == ZERO
    if op in (STRING, NUMBER):
        return _word(memory, addr + u64(8)) == ZERO
    if op in (BYTES, RAW_JSON, SLICE):
        return _word(memory, addr if zero else addr + u64(8)) == ZERO
    if op in (POINTER, INTERFACE):
        return _word(memory, addr) == ZERO
    if op == MAP:
        header = _word(memory, addr)
        return header == ZERO or (not zero and _word(memory, header + release.maps.used) == ZERO)
    if not zero:
        return op == ARRAY and types.length[typ] == ZERO
    if op == TIME:
        return _time_seconds(memory, addr) == 0 and _word(memory, addr) & u64((1 << 30) - 1) == ZERO
    for i in range(min(types.size[typ], u64(_LARGEST_ZERO))):
        if read_byte(memory, addr + i):
            return False
    return True


@inner_kernel
def leaf_sizes(memory, powers, rules, op, length, addr, size, bits, second, quote):
    """Return the sizes of a value without parts: JSON text, packed, bytes of text in it, bytes that are missing.

    The fifth value tells what it is not: `HAS_NO_JSON`, `IS_UNKNOWN`, `IS_FUNCTION`, or 0.

    `memory`, `powers` and `rules` are as for `json_string_bytes` and `float_text_bytes`; `op`, `length` and `size`
    are the type's; the value lies at `addr`, `bits` is its number and `second` its second word; `quote` is 2 where
    the text stands in quotes.
    """
    if op == BOOL:
        return (u64(4) if bits else u64(5)) + quote, ONE, ZERO, ZERO, 0
    if op == INT:
        value = _signed(bits, size)
        digits = decimal_digits(_magnitude(value)) + (ONE if value < 0 else ZERO)
        zigzag = (u64(value) << ONE) ^ u64(value >> np.int64(63))
        return digits + quote, varint_bytes(zigzag) if size > ONE else ONE, ZERO, ZERO, 0
    if op == UINT:
        return decimal_digits(bits) + quote, varint_bytes(bits) if size > ONE else ONE, ZERO, ZERO, 0
    if op in (FLOAT64, FLOAT32):
        count = float_text_bytes(powers, bits, op == FLOAT32)
        if not count:
            return _NULL, size, ZERO, ZERO, HAS_NO_JSON
        return count + quote, size, ZERO, ZERO, 0
    if op in (STRING, NUMBER, BYTES, RAW_JSON):
        if second >> u64(_LONGEST):
            return _NULL, ONE, ZERO, ZERO, IS_UNKNOWN
        stored, missing = varint_bytes(second) + second, ZERO
        if op == NUMBER:
            count = max(second, ONE) + quote
        elif op == STRING:
            count, missing = json_string_bytes(memory, bits, second, quote != ZERO, rules)
        elif not bits:
            count = _NULL
        elif op == BYTES:
            count = u64(2) + u64(4) * ((second + u64(2)) // u64(3))
        else:
            count = raw_json_bytes(memory, bits, second)
        return count, stored, second, missing, 0
    if op == TIME:
        count = time_text_bytes(memory, addr)
        if not count:
            return _NULL, u64(15), ZERO, ZERO, HAS_NO_JSON
        return count, u64(15), ZERO, ZERO, 0
    if op == FIXED_TEXT:
        return length, size, ZERO, ZERO, 0
    if op == COMPLEX:
        return _NULL, size, ZERO, ZERO, HAS_NO_JSON
    if op == OPAQUE:
        return _NULL, ZERO, ZERO, ZERO, IS_FUNCTION if bits else 0
    return _NULL, size, ZERO, ZERO, IS_UNKNOWN

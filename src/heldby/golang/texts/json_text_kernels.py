"""How many bytes a Go string takes as JSON text (encoding/json/encode.go, appendString with HTML escapes)."""

# mypy: ignore-errors
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heldby.jit import ONE, ZERO, inline_kernel, inner_kernel, u64
from heldby.memory.paging_kernels import PAGE_MISSING, PageTable, load64, page_of

MISSING_BYTE = 256
_LOW_BITS = 0x0101010101010101
_HIGH_BITS = 0x8080808080808080


class Memory(NamedTuple):
    """The bytes of a process for kernels: what was captured, and behind it the program's read-only parts."""

    captured: PageTable
    program: PageTable


class TextRules(NamedTuple):
    r"""How the release's encoding/json writes what is no plain text.

    Attributes:
        invalid: bytes for a byte that is no UTF-8: 6 for an escape, up to Go 1.26; then 3 for U+FFFD itself.
        feed: bytes for a backspace and a form feed: 6 (``\u0008``) up to Go 1.21, then 2.
    """

    invalid: np.uint64
    feed: np.uint64


@inline_kernel
def is_present(memory, addr):
    """Tell whether the page of `addr` is known."""
    pages = memory.captured
    if page_of(pages.directory, pages.tables, addr) != np.int64(PAGE_MISSING):
        return True
    pages = memory.program
    return page_of(pages.directory, pages.tables, addr) != np.int64(PAGE_MISSING)


@inline_kernel
def read64(memory, addr):
    """Return the aligned 64-bit word at `addr`; 0 when it is missing."""
    pages = memory.captured
    page = page_of(pages.directory, pages.tables, addr)
    if page >= 0:
        return pages.words[u64(page) + ((addr & u64(4095)) >> u64(3))]
    if page != np.int64(PAGE_MISSING):
        return u64(0)
    pages = memory.program
    return load64(pages.directory, pages.tables, pages.words, addr)


@inner_kernel
def read_byte(memory, addr):
    """Return the byte at `addr`; 0 when it is missing."""
    return (read64(memory, addr & ~u64(7)) >> ((addr & u64(7)) << u64(3))) & u64(255)


@inline_kernel
def _has_zero_byte(word):
    return (word - u64(_LOW_BITS)) & ~word & u64(_HIGH_BITS)


@inline_kernel
def _is_plain(word):
    """Tell whether all eight bytes stand for themselves: ASCII from 0x20 on, no quote, backslash, <, > or &."""
    low = u64(_LOW_BITS)
    odd = word & u64(_HIGH_BITS)
    odd |= (word - low * u64(0x20)) & ~word & u64(_HIGH_BITS)
    odd |= _has_zero_byte(word ^ (low * u64(0x22)))
    odd |= _has_zero_byte(word ^ (low * u64(0x5C)))
    odd |= _has_zero_byte(word ^ (low * u64(0x3C)))
    odd |= _has_zero_byte(word ^ (low * u64(0x3E)))
    odd |= _has_zero_byte(word ^ (low * u64(0x26)))
    return odd == ZERO


@inline_kernel
def _rune_bytes(memory, addr, left, first):
    """Return the bytes of the rune at `addr`, 1 where it is invalid (unicode/utf8, DecodeRune)."""
    if first < u64(0xC2) or first > u64(0xF4):
        return ONE
    size = u64(2) if first < u64(0xE0) else u64(3) if first < u64(0xF0) else u64(4)
    if left < size:
        return ONE
    second = read_byte(memory, addr + ONE)
    low, high = u64(0x80), u64(0xBF)
    if first == u64(0xE0):
        low = u64(0xA0)
    elif first == u64(0xED):
        high = u64(0x9F)
    elif first == u64(0xF0):
        low = u64(0x90)
    elif first == u64(0xF4):
        high = u64(0x8F)
    if second < low or second > high:
        return ONE
    for i in range(u64(2), size):
        if read_byte(memory, addr + i) & u64(0xC0) != u64(0x80):
            return ONE
    return size


@inner_kernel
def json_string_bytes(memory, addr, size, twice, rules):
    """Return the bytes of the string of `size` bytes at `addr` as JSON, quotes included, and what is missing.

    With `twice`, of its JSON text as a JSON string again, as the option ",string" writes it. `rules` are
    `TextRules`. Bytes that were not captured count one each.
    """
    total, missing, at, end = u64(2), ZERO, addr, addr + size
    # Quotes and backslashes of the text, each of which the second turn escapes.
    marked = u64(2)
    while at < end:
        if at & u64(7) == ZERO or missing:
            if not is_present(memory, at):
                step = min(end - at, u64(4096) - (at & u64(4095)))
                missing += step
                total += step
                at += step
                continue
            if at & u64(7) == ZERO and end - at >= u64(8) and _is_plain(read64(memory, at)):
                total += u64(8)
                at += u64(8)
                continue
        elif at == addr and not is_present(memory, at):
            step = min(end - at, u64(4096) - (at & u64(4095)))
            missing += step
            total += step
            at += step
            continue
        byte = read_byte(memory, at)
        if byte < u64(0x80):
            if byte == u64(0x22) or byte == u64(0x5C):
                total += u64(2)
                marked += u64(2)
            elif byte in (u64(0x3C), u64(0x3E), u64(0x26)):
                total += u64(6)
                marked += ONE
            elif byte >= u64(0x20):
                total += ONE
            elif byte == u64(8) or byte == u64(12):
                total += rules.feed
                marked += ONE
            elif byte in (u64(9), u64(10), u64(13)):
                total += u64(2)
                marked += ONE
            else:
                total += u64(6)
                marked += ONE
            at += ONE
            continue
        step = _rune_bytes(memory, at, end - at, byte)
        escaped = False
        if step == u64(3) and byte == u64(0xE2) and read_byte(memory, at + ONE) == u64(0x80):
            escaped = read_byte(memory, at + u64(2)) & u64(0xFE) == u64(0xA8)
        if escaped:
            total += u64(6)
            marked += ONE
        elif step == ONE:
            total += rules.invalid
            marked += ONE if rules.invalid == u64(6) else ZERO
        else:
            total += step
        at += step
    if twice:
        total += marked + u64(2)
    return total, missing

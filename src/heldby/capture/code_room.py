"""Finding bytes of the target that are executable and that nothing ever runs.

Linkers leave such room: between the ELF headers and the first section where both share a page with code
(Go's own linker), and after the last instruction up to the end of the page, which the kernel maps because
it maps whole pages. Bytes there belong to no function: no thread runs them, no return address points there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from heldby.capture.procfs import Mapping
from heldby.memory.core_file import PROGRAM_HEADER, PT_LOAD
from heldby.memory.image import PAGE_SIZE

_ALIGN: Final = 64
_PF_X: Final = 1


@dataclass(frozen=True, slots=True)
class Room:
    """``size`` bytes at `addr` of the target that nothing runs, and what the program's file holds there."""

    addr: int
    original: bytes


def find_rooms(executable: bytes, mappings: list[Mapping], size: int) -> list[Room]:
    """Return places for `size` bytes of code in the mapped program, best first.

    Args:
        executable: the first megabyte or more of the program's file, headers included.
        mappings: the mappings of that file.
        size: a multiple of 8.
    """
    headers = _program_headers(executable)
    if headers is None:
        return []
    taken = _described_ranges(executable, headers)
    rooms: list[Room] = []
    for mapping in mappings:
        if "x" not in mapping.perms or not mapping.is_private:
            continue
        if mapping.offset == 0:
            rooms.extend(_between_headers_and_code(executable, mapping, taken, size))
        rooms.extend(_after_the_code(executable, headers, mapping, size))
    return rooms


def _program_headers(executable: bytes) -> np.ndarray | None:
    if len(executable) < 64 or executable[:6] != b"\x7fELF\x02\x01":
        return None
    (offset,) = struct.unpack_from("<Q", executable, 32)
    entry_size, count = struct.unpack_from("<HH", executable, 54)
    end = offset + count * PROGRAM_HEADER.itemsize
    if entry_size != PROGRAM_HEADER.itemsize or end > len(executable):
        return None
    return np.frombuffer(executable[offset:end], PROGRAM_HEADER)


def _described_ranges(executable: bytes, headers: np.ndarray) -> list[tuple[int, int]]:
    """Return the file ranges that some header names, apart from whole segments."""
    program_at, section_at = struct.unpack_from("<QQ", executable, 32)
    section_size, section_count = struct.unpack_from("<HH", executable, 58)
    ranges = [(0, 64), (program_at, program_at + len(headers) * PROGRAM_HEADER.itemsize)]
    ranges.append((section_at, section_at + section_size * section_count))
    ranges += [
        (int(h["offset"]), int(h["offset"]) + int(h["filesz"])) for h in headers if int(h["type"]) != PT_LOAD
    ]
    for index in range(section_count):
        at = section_at + index * section_size
        if section_size == 64 and at + 64 <= len(executable):
            offset, size = struct.unpack_from("<QQ", executable, at + 24)
            ranges.append((offset, offset + size))
    return sorted(ranges)


def _between_headers_and_code(
    executable: bytes, mapping: Mapping, taken: list[tuple[int, int]], size: int
) -> list[Room]:
    """Return room in the first page: bytes that are zero and that no header names."""
    end = min(PAGE_SIZE, mapping.size, len(executable))
    free, position = [], 64
    for start, stop in [*taken, (end, end)]:
        low = -(-position // _ALIGN) * _ALIGN
        high = min(start, end)
        while low + size <= high:
            if not any(executable[low : low + size]):
                free.append(Room(mapping.start + low, bytes(size)))
            low += -(-size // _ALIGN) * _ALIGN
        position = max(position, stop)
    return free


def _after_the_code(executable: bytes, headers: np.ndarray, mapping: Mapping, size: int) -> list[Room]:
    """Return room behind the segment's last byte, in its last page, where the file's next bytes lie."""
    for header in headers:
        if int(header["type"]) != PT_LOAD or not int(header["flags"]) & _PF_X:
            continue
        offset, length = int(header["offset"]), max(int(header["filesz"]), int(header["memsz"]))
        end = offset + length
        if not mapping.offset <= end - 1 < mapping.offset + mapping.size:
            continue
        low = -(-end // _ALIGN) * _ALIGN
        if low + size <= -(-end // PAGE_SIZE) * PAGE_SIZE and low + size <= len(executable):
            return [Room(mapping.start + low - mapping.offset, executable[low : low + size])]
    return []

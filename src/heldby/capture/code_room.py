"""Finding bytes of the target that are executable and that nothing ever runs.

Linkers leave such room: between the ELF headers and the first section where both share a page with code
(Go's own linker), and after the last instruction up to the end of the page, which the kernel maps because
it maps whole pages. Bytes there belong to no function: no thread runs them, no return address points there.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from heldby.capture.program import Program
from heldby.memory.core_file import PROGRAM_HEADER, PT_LOAD
from heldby.memory.image import PAGE_SIZE
from heldby.memory.mappings import Mapping

_ALIGN: Final = 16
_PF_X: Final = 1


@dataclass(frozen=True, slots=True)
class Room:
    """``size`` bytes at `addr` of the target that nothing runs, and what the program's file holds there."""

    addr: int
    original: bytes


def find_rooms(pid: int, program: Program, mappings: list[Mapping], size: int) -> list[Room]:
    """Return places for `size` bytes of code in process `pid`, best first; empty if there is none.

    The program itself comes first; libraries are looked at only when it has no room.

    Args:
        pid: the process.
        program: its program.
        mappings: all its mappings.
        size: a multiple of 8.
    """
    runnable = [m for m in mappings if "x" in m.perms and m.is_private and not m.is_anonymous]
    rooms = _rooms_in_file(program.head, [m for m in runnable if m.path == program.path], size)
    for mapping in runnable:
        if rooms:
            break
        if mapping.path != program.path:
            rooms = _rooms_in_library(pid, mapping, size)
    return rooms


def _rooms_in_library(pid: int, mapping: Mapping, size: int) -> list[Room]:
    try:
        with Path(f"/proc/{pid}/root{mapping.path}").open("rb") as file:
            if os.fstat(file.fileno()).st_ino != mapping.inode:
                return []  # replaced since it was loaded
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _rooms_in_file(data, [mapping], size)
    except (OSError, ValueError):
        return []


def _rooms_in_file(executable: mmap.mmap, mappings: list[Mapping], size: int) -> list[Room]:
    """Return room in one ELF file and its executable mappings."""
    headers = _program_headers(executable)
    if headers is None:
        return []
    taken = _described_ranges(executable, headers)
    rooms: list[Room] = []
    for mapping in mappings:
        if mapping.offset == 0 and taken is not None:
            rooms.extend(_between_headers_and_code(executable, mapping, taken, size))
        rooms.extend(_after_the_code(executable, headers, mapping, size))
    return rooms


def _program_headers(executable: mmap.mmap) -> np.ndarray | None:
    if len(executable) < 64 or executable[:6] != b"\x7fELF\x02\x01":
        return None
    (offset,) = struct.unpack_from("<Q", executable, 32)
    entry_size, count = struct.unpack_from("<HH", executable, 54)
    end = offset + count * PROGRAM_HEADER.itemsize
    if entry_size != PROGRAM_HEADER.itemsize or end > len(executable):
        return None
    return np.frombuffer(executable[offset:end], PROGRAM_HEADER)


def _described_ranges(executable: mmap.mmap, headers: np.ndarray) -> list[tuple[int, int]] | None:
    """Return the file ranges that some header names, apart from whole segments.

    None without section headers: then zero bytes could belong to anything.
    """
    program_at, section_at = struct.unpack_from("<QQ", executable, 32)
    section_size, section_count = struct.unpack_from("<HH", executable, 58)
    ranges = [(0, 64), (program_at, program_at + len(headers) * PROGRAM_HEADER.itemsize)]
    ranges.append((section_at, section_at + section_size * section_count))
    ranges += [
        (int(h["offset"]), int(h["offset"]) + int(h["filesz"])) for h in headers if int(h["type"]) != PT_LOAD
    ]
    if section_count == 0 or section_size != 64 or section_at + section_count * 64 > len(executable):
        return None
    for at in range(section_at, section_at + section_count * 64, 64):
        offset, size = struct.unpack_from("<QQ", executable, at + 24)
        ranges.append((offset, offset + size))
    return sorted(ranges)


def _between_headers_and_code(
    executable: mmap.mmap, mapping: Mapping, taken: list[tuple[int, int]], size: int
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


def _after_the_code(executable: mmap.mmap, headers: np.ndarray, mapping: Mapping, size: int) -> list[Room]:
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

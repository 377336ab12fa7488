"""Writing ELF cores in one pass: pages first, headers when everything is known.

Page data lies at page-aligned file offsets, so that compiled kernels can use the mapped file as it is.
Room for the headers and notes is kept free at the front (a hole, it costs no disk); should they outgrow it,
they go to the end. Layouts as in `heldby.memory.core_file`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heldby.memory.core_file import (
    MACHINES,
    NT_FILE,
    NT_PRSTATUS,
    PN_XNUM,
    PROGRAM_HEADER,
    PT_LOAD,
    PT_NOTE,
    MappedFile,
    Note,
)
from heldby.memory.image import PAGE_SIZE

NT_FPREGSET: Final = 2
NT_PRPSINFO: Final = 3
NT_X86_XSTATE: Final = 0x202
READ, WRITE, EXECUTE = 4, 2, 1
_SECTION_HEADER_SIZE = 64


@dataclass(slots=True)
class _Load:
    start: int
    size: int
    offset: int
    flags: int


class CoreWriter:
    """Writes one core into an empty file that can seek.

    Args:
        fd: open for writing; the caller closes it.
        machine: ``amd64`` or ``arm64``.
        header_room: bytes kept free at the front for headers and notes.
    """

    def __init__(self, fd: int, *, machine: str, header_room: int) -> None:
        self._fd = fd
        self._machine = MACHINES[machine][0]
        self._room = max(PAGE_SIZE, _page_ceiling(header_room))
        self._end = self._room
        self._loads: list[_Load] = []
        self.page_bytes = 0

    def append(self, addr: int, data: memoryview, flags: int, *, gap_bytes: int = 0) -> None:
        """Store whole pages for the address `addr`.

        A run that begins at most `gap_bytes` after the one before joins its segment; the gap is a hole in
        the file and reads as zeros, so the caller allows it only where that is true.
        """
        last = self._loads[-1] if self._loads else None
        gap = addr - last.start - last.size if last else -1
        if last and 0 <= gap <= gap_bytes and last.flags == flags and last.offset + last.size == self._end:
            self._end += gap
            last.size += gap + data.nbytes
        else:
            self._loads.append(_Load(addr, data.nbytes, self._end, flags))
        write_all(self._fd, data, self._end)
        self._end += data.nbytes
        self.page_bytes += data.nbytes

    def embed(self, source: int, size: int) -> int:
        """Store `size` bytes of the file `source` and return their offset in the core, page-aligned."""
        offset = self._end
        copied = 0
        while copied < size:
            chunk = os.pread(source, min(1 << 20, size - copied), copied)
            if not chunk:
                break
            write_all(self._fd, memoryview(chunk), offset + copied)
            copied += len(chunk)
        self._end = _page_ceiling(offset + copied)
        return offset

    def refer(self, addr: int, size: int, offset: int, flags: int) -> None:
        """Let ``[addr, addr + size)`` be the bytes that lie at `offset` of the core already."""
        self._loads.append(_Load(addr, size, offset, flags))

    def finish(self, notes: Sequence[Note]) -> int:
        """Write headers and notes; return the size of the file."""
        packed = b"".join(pack_note(*note) for note in notes)
        count = len(self._loads) + 1
        needed = 64 + PROGRAM_HEADER.itemsize * count + len(packed) + _SECTION_HEADER_SIZE
        headers_at = 64 if needed <= self._room else self._end
        notes_at = headers_at + PROGRAM_HEADER.itemsize * count
        sections_at = notes_at + len(packed) if count >= PN_XNUM else 0
        self._end = max(self._end, notes_at + len(packed) + _SECTION_HEADER_SIZE)
        os.ftruncate(self._fd, _page_ceiling(self._end))
        write_all(self._fd, memoryview(packed), notes_at)
        write_all(self._fd, memoryview(self._headers(notes_at, len(packed))), headers_at)
        if sections_at:
            # The gABI's way to say more than 65,534 program headers: sh_info of section 0.
            section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 1, 0, count, 0, 0)
            write_all(self._fd, memoryview(section), sections_at)
        write_all(self._fd, memoryview(_elf_header(self._machine, headers_at, count, sections_at)), 0)
        return _page_ceiling(self._end)

    def _headers(self, notes_at: int, notes_size: int) -> bytes:
        import numpy as np

        headers = np.zeros(len(self._loads) + 1, PROGRAM_HEADER)
        headers[0] = (PT_NOTE, 0, notes_at, 0, 0, notes_size, 0, 4)
        loads = sorted(self._loads, key=lambda load: load.start)
        for index, load in enumerate(loads, 1):
            headers[index] = (
                *(PT_LOAD, load.flags, load.offset, load.start, 0, load.size, load.size),
                PAGE_SIZE,
            )
        return headers.tobytes()


def _elf_header(machine: int, headers_at: int, count: int, sections_at: int) -> bytes:
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    many = count >= PN_XNUM
    return identity + struct.pack(
        "<HHIQQQIHHHHHH",
        *(4, machine, 1, 0, headers_at, sections_at, 0, 64, PROGRAM_HEADER.itemsize),
        PN_XNUM if many else count,
        *((_SECTION_HEADER_SIZE, 1, 0) if many else (0, 0, 0)),
    )


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write every byte of `data` at `offset`. Raises `OSError` as the kernel gives it."""
    data = data.cast("B")
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def pack_note(kind: int, name: bytes, data: bytes) -> bytes:
    """Return one ELF note, padded to four bytes."""
    head = struct.pack("<III", len(name) + 1, len(data), kind)
    return head + _pad4(name + b"\0") + _pad4(data)


def prstatus_note(machine: str, tid: int, registers: dict[str, int], *, pid: int, signal: int = 0) -> Note:
    """Return the NT_PRSTATUS note of a thread: ``struct elf_prstatus``; 336 bytes on amd64, 392 on arm64."""
    head = struct.pack("<iiih2xQQiiii64x", signal, 0, 0, signal, 0, 0, tid, pid, pid, pid)
    names = MACHINES[machine][1]
    values = struct.pack(f"<{len(names)}Q", *(registers[name] for name in names))
    return NT_PRSTATUS, b"CORE", head + values + bytes(8)


def prpsinfo_note(*, pid: int, ppid: int, uid: int, gid: int, name: str) -> Note:
    """Return the NT_PRPSINFO note, ``struct elf_prpsinfo`` of 64-bit processors, without the command line."""
    data = struct.pack(
        "<bcbb4xQIIiiii16s80s",
        0,
        b"R",
        0,
        0,
        0,
        uid,
        gid,
        pid,
        ppid,
        pid,
        pid,
        name.encode()[:15],
        name.encode(),
    )
    return NT_PRPSINFO, b"CORE", data


def file_note(files: Sequence[MappedFile]) -> Note:
    """Return the NT_FILE note: count, page size, (start, end, page offset) each, then the paths."""
    data = struct.pack("<QQ", len(files), PAGE_SIZE)
    data += b"".join(struct.pack("<QQQ", f.start, f.end, f.offset // PAGE_SIZE) for f in files)
    data += b"".join(f.path.encode("utf-8", "surrogateescape") + b"\0" for f in files)
    return NT_FILE, b"CORE", data


def _pad4(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _page_ceiling(size: int) -> int:
    return -(-size // PAGE_SIZE) * PAGE_SIZE

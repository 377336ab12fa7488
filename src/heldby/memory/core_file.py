"""ELF cores: ours, gdb's and the kernel's, whole or cut off.

Parsed with NumPy records, not with pyelftools: a capture can have 60,000 segments, and a damaged one must
give what it has. Layouts: ELF-64 Object File Format 1.5; ``struct elf_prstatus`` and ``NT_FILE`` from the
kernel's fs/binfmt_elf.c; registers from arch/{x86,arm64}/include/uapi/asm/ptrace.h.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from heldby.errors import FormatError, LimitExceeded, NotACore, Truncated, Unsupported
from heldby.memory.image import ADDRESS_END, PAGE_SIZE, ZEROS, Bytes, Image, Segment

NT_PRSTATUS: Final = 1
NT_AUXV: Final = 6
NT_FILE: Final = 0x46494C45
NT_SIGINFO: Final = 0x53494749
CAPTURE_NOTE_NAME: Final = b"heldby"
# Debuggers read notes by type alone (delve took type 1 for a thread): "HELD" collides with none of theirs.
CAPTURE_NOTE_TYPE: Final = 0x48454C44

AMD64_REGISTERS: Final = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
)
ARM64_REGISTERS: Final = (*(f"x{n}" for n in range(31)), "sp", "pc", "pstate")
# By the name that Go gives the processor: ELF's number, and the registers in the order of NT_PRSTATUS.
MACHINES: Final = {"amd64": (62, AMD64_REGISTERS), "arm64": (183, ARM64_REGISTERS)}
PROGRAM_HEADER: Final = np.dtype(
    [
        *(("type", "<u4"), ("flags", "<u4"), ("offset", "<u8"), ("vaddr", "<u8"), ("paddr", "<u8")),
        *(("filesz", "<u8"), ("memsz", "<u8"), ("align", "<u8")),
    ]
)
PT_LOAD, PT_NOTE, PN_XNUM = 1, 4, 0xFFFF
# The kernel's own limit is 65,530 mappings; ours split them at holes, about 15,000 times per GiB at worst.
_MOST_SEGMENTS: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread as it stood at the pause: its id and its general registers by name (``rip``, ``sp`` ...)."""

    tid: int
    registers: dict[str, int]


@dataclass(frozen=True, slots=True)
class MappedFile:
    """``[start, end)`` maps the file `path` from byte `offset`."""

    start: int
    end: int
    offset: int
    path: str


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """A file that the process had mapped and that travels in the core."""

    path: str
    data: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreFile:
    """An ELF core, understood as far as that is possible without knowing Go.

    Attributes:
        machine: ``amd64`` or ``arm64``.
        threads: in the order of the file; the first is the one that dumped.
        auxv: the auxiliary vector by type number.
        note: what our capture recorded (docs/capture.md), None for a foreign core.
        executable: the program's file, when it travels in the core; None otherwise.
        libraries: the shared libraries in Go that travel in the core.
        missing_bytes: bytes that the headers promise and the file does not have.
        caveats: what a reader should know, in plain words.
    """

    path: Path
    machine: str
    image: Image
    threads: tuple[Thread, ...]
    auxv: dict[int, int]
    mapped_files: tuple[MappedFile, ...]
    note: dict[str, Any] | None
    executable: Bytes | None
    libraries: tuple[EmbeddedFile, ...] = ()
    signal: int | None = None
    missing_bytes: int = 0
    caveats: tuple[str, ...] = field(default=())

    def unmap_pages(self) -> None:
        """Give back the pages of the file that were looked at; what is read again comes from the page cache."""
        view: object = self.image.buffers[0].base
        mapped = view.obj if isinstance(view, memoryview) else None
        if isinstance(mapped, mmap.mmap):  # read-only, of a file: nothing can be lost
            mapped.madvise(mmap.MADV_DONTNEED)


def is_core(head: bytes) -> bool:
    """Tell from the first 18 bytes whether a file is a 64-bit little-endian ELF core."""
    return len(head) >= 18 and head[:6] == b"\x7fELF\x02\x01" and head[16:18] == b"\x04\x00"


def open_core(path: Path) -> CoreFile:
    """Map the core at `path` and return what it holds. Reads the headers and notes only.

    Raises:
        NotACore: the file is something else.
        Truncated: not even the headers are whole.
        Unsupported: 32-bit, big-endian or another processor.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if not is_core(head):
                raise _not_a_core(path, head)
            data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise FormatError(
            f"{path}: {error.strerror}", next_step="check the path and its permissions"
        ) from error
    return parse_core(data, path)


def parse_core(data: Bytes, path: Path) -> CoreFile:
    """Return the core in `data` (see `open_core`); `path` is only for messages."""
    machine, register_names = _machine(data, path)
    headers, truncated_headers = _program_headers(data, path)
    caveats: list[str] = []
    missing: list[tuple[int, int]] = []
    loads: list[Segment] = []
    for header in headers[headers["type"] == PT_LOAD]:
        start, offset, size = int(header["vaddr"]), int(header["offset"]), int(header["filesz"])
        present = max(0, min(size, data.size - offset))
        if present < size:
            missing.append((start + present, start + size))
        if present:
            loads.append(Segment(start, start + present, 0, offset))
    missing.sort()
    notes = list(_all_notes(data, headers))
    threads = tuple(_threads(notes, register_names))
    capture_note = _capture_note(notes)
    missing_bytes = sum(end - start for start, end in missing)
    if missing:
        caveats.append(f"the core is cut off: {missing_bytes:,} bytes that its headers promise are not there")
    if truncated_headers:
        caveats.append("the core is cut off inside its program headers")
    if capture_note is not None:
        unreadable = capture_note.get("unreadable_bytes")
        if isinstance(unreadable, int) and unreadable > 0:
            caveats.append(f"{unreadable:,} bytes of the process could not be read when it was captured")
        loads.extend(_zero_segments(capture_note, missing))
    return CoreFile(
        path=path,
        machine=machine,
        image=Image((data,), loads),
        threads=threads,
        auxv=_auxv(notes),
        mapped_files=tuple(_mapped_files(notes)),
        note=capture_note,
        executable=_embedded(data, (capture_note or {}).get("executable")),
        libraries=tuple(_libraries(data, capture_note)),
        signal=next(
            (int(struct.unpack_from("<i", d)[0]) for t, n, d in notes if t == NT_SIGINFO and len(d) >= 4),
            None,
        ),
        missing_bytes=missing_bytes,
        caveats=tuple(caveats),
    )


def _not_a_core(path: Path, head: bytes) -> FormatError:
    if not head:
        return Truncated(f"{path} is empty", next_step="take the core or capture again")
    if head[:4] == b"\x7fELF" and len(head) >= 18:
        if head[4:6] != b"\x02\x01":
            return Unsupported(
                f"{path} is a 32-bit or big-endian ELF file", next_step="only 64-bit little-endian is read"
            )
        if head[16:18] != b"\x04\x00":
            return NotACore(
                f"{path} is an ELF program, not a core",
                cause="the executable was given where the core belongs",
                next_step="give the core or a PID; name the executable with --exe",
            )
    if head[:4] == b"\x7fELF":
        return Truncated(f"{path} ends inside the ELF header", next_step="take the core or capture again")
    return NotACore(
        f"{path} is no ELF core",
        cause="it starts with " + ascii(head[:8].decode("latin-1")),
        next_step="give a PID, a core file, a file that heldby capture wrote, or a pprof profile",
    )


def _machine(data: Bytes, path: Path) -> tuple[str, tuple[str, ...]]:
    if data.size < 64:
        raise Truncated(f"{path} ends inside the ELF header", next_step="take the core or capture again")
    number = int(data[18]) | int(data[19]) << 8
    for name, (elf_number, registers) in MACHINES.items():
        if number == elf_number:
            return name, registers
    raise Unsupported(
        f"{path} comes from ELF machine number {number}", next_step="amd64 (62) and arm64 (183) are read"
    )


def _program_headers(data: Bytes, path: Path) -> tuple[np.ndarray, bool]:
    phoff, shoff = struct.unpack("<QQ", data[32:48].tobytes())
    phentsize, phnum = struct.unpack("<HH", data[54:58].tobytes())
    if phentsize != PROGRAM_HEADER.itemsize:
        raise FormatError(
            f"{path}: program headers have {phentsize} bytes each, not 56", cause="the file is damaged"
        )
    if phnum == PN_XNUM:
        # More than 65,534 segments: the count is in sh_info of section 0 (ELF gABI, "Program header").
        if shoff + 48 > data.size:
            raise Truncated(
                f"{path} ends before its section header", next_step="take the core or capture again"
            )
        phnum = struct.unpack("<I", data[shoff + 44 : shoff + 48].tobytes())[0]
    whole = max(0, min(phnum, (data.size - phoff) // phentsize)) if phoff < data.size else 0
    if whole > _MOST_SEGMENTS:
        raise LimitExceeded(
            f"{path} has {whole:,} program headers; at most {_MOST_SEGMENTS:,} are read",
            cause="the file is damaged",
        )
    if whole == 0:
        raise Truncated(f"{path} ends before its program headers", next_step="take the core or capture again")
    raw = data[phoff : phoff + whole * phentsize]
    return np.frombuffer(raw.tobytes(), PROGRAM_HEADER), whole < phnum


Note = tuple[int, bytes, bytes]


def _all_notes(data: Bytes, headers: np.ndarray) -> Iterator[Note]:
    for header in headers[headers["type"] == PT_NOTE]:
        offset, size = int(header["offset"]), int(header["filesz"])
        yield from iter_notes(data[offset : offset + size].tobytes())


def iter_notes(data: bytes) -> Iterator[Note]:
    """Yield ``(type, name, description)`` of each whole ELF note in `data`."""
    position = 0
    while position + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, position)
        name_at = position + 12
        data_at = name_at + (name_size + 3) // 4 * 4
        if data_at + size > len(data):
            return
        yield kind, data[name_at : name_at + name_size].rstrip(b"\0"), data[data_at : data_at + size]
        position = data_at + (size + 3) // 4 * 4


def _threads(notes: list[Note], names: tuple[str, ...]) -> Iterator[Thread]:
    for kind, name, data in notes:
        if kind == NT_PRSTATUS and name == b"CORE" and len(data) >= 112 + 8 * len(names):
            values = struct.unpack_from(f"<{len(names)}Q", data, 112)
            yield Thread(struct.unpack_from("<i", data, 32)[0], dict(zip(names, values, strict=True)))


def _auxv(notes: list[Note]) -> dict[int, int]:
    for kind, name, data in notes:
        if kind == NT_AUXV and name == b"CORE":
            words = struct.unpack_from(f"<{len(data) // 16 * 2}Q", data)
            return dict(zip(words[::2], words[1::2], strict=True))
    return {}


def _mapped_files(notes: list[Note]) -> Iterator[MappedFile]:
    for kind, name, data in notes:
        if kind != NT_FILE or name != b"CORE" or len(data) < 16:
            continue
        count, page = struct.unpack_from("<QQ", data)
        if 16 + count * 24 > len(data):
            continue
        paths = data[16 + count * 24 :].split(b"\0")
        for index in range(min(count, len(paths))):
            start, end, pages = struct.unpack_from("<QQQ", data, 16 + index * 24)
            yield MappedFile(start, end, pages * page, paths[index].decode("utf-8", "surrogateescape"))


def _capture_note(notes: list[Note]) -> dict[str, Any] | None:
    for kind, name, data in notes:
        if kind == CAPTURE_NOTE_TYPE and name == CAPTURE_NOTE_NAME:
            try:
                note = json.loads(data.rstrip(b"\0"))
            except (ValueError, RecursionError):
                return None
            return note if isinstance(note, dict) else None
    return None


def _zero_segments(note: dict[str, Any], missing: list[tuple[int, int]]) -> Iterator[Segment]:
    """Yield the anonymous mappings of our own capture: what of them is in no segment is zero.

    What a segment promises and a cut-off file does not have is unknown, so it is left out.
    """
    ranges = note.get("zero_ranges")
    for item in ranges if isinstance(ranges, list) else ():
        if (
            isinstance(item, list)
            and len(item) == 2
            and all(isinstance(x, int) and 0 <= x < ADDRESS_END for x in item)
        ):
            start, end = item
            if start % PAGE_SIZE == 0 and end % PAGE_SIZE == 0:
                for low, high in _without(start, end, missing):
                    yield Segment(low, high, ZEROS, 0)


def _without(start: int, end: int, holes: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what is left of ``[start, end)``; `holes` are in address order."""
    for low, high in holes:
        if low < end and high > start:
            if start < low:
                yield start, low
            start = max(start, high)
    if start < end:
        yield start, end


def _embedded(data: Bytes, place: object) -> Bytes | None:
    """Return the file that the capture's note says lies in the core, None if that cannot be."""
    if not isinstance(place, dict):
        return None
    offset, size = place.get("offset"), place.get("size")
    if not isinstance(offset, int) or not isinstance(size, int) or offset < 0:
        return None
    return data[offset : offset + size] if 0 < size <= data.size - offset else None


def _libraries(data: Bytes, note: dict[str, Any] | None) -> Iterator[EmbeddedFile]:
    places = (note or {}).get("libraries")
    for place in places if isinstance(places, list) else ():
        file = _embedded(data, place)
        if file is not None and isinstance(place.get("path"), str):
            yield EmbeddedFile(place["path"], file)

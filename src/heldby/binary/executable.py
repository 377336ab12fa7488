"""`Executable`: an ELF program as bytes: what it is, its segments, sections, build ids.

Read with NumPy records from ELF-64 Object File Format 1.5; section names are used where there are any, but
nothing here depends on them: a program may have been run through ``sstrip``. All of it may be hostile, so
each count, offset and length is checked against the file before it is used.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from heldby.binary.compressed_section import decompressed
from heldby.binary.symbols import SymbolTable
from heldby.errors import FormatError, Truncated, Unsupported
from heldby.memory.image import Bytes, Segment

MACHINES: Final = {62: "amd64", 183: "arm64"}
_TYPES: Final = {2: "EXEC", 3: "DYN"}
_PT_LOAD, _PT_NOTE, _PT_PHDR = 1, 4, 6
_PF_WRITE, _PF_EXECUTE = 2, 1
_SHT_NOTE, _SHT_NOBITS = 7, 8
_SHF_ALLOC, _SHF_COMPRESSED = 0x2, 0x800
_MAX_NOTES = 64
_MAX_SECTIONS = 1 << 16
_HEADER: Final = np.dtype(
    [
        *[("ident", "S16"), ("type", "<u2"), ("machine", "<u2"), ("version", "<u4"), ("entry", "<u8")],
        *[("phoff", "<u8"), ("shoff", "<u8"), ("flags", "<u4"), ("ehsize", "<u2"), ("phentsize", "<u2")],
        *[("phnum", "<u2"), ("shentsize", "<u2"), ("shnum", "<u2"), ("shstrndx", "<u2")],
    ]
)
_PROGRAM_HEADER: Final = np.dtype(
    [
        *[("type", "<u4"), ("flags", "<u4"), ("offset", "<u8"), ("vaddr", "<u8"), ("paddr", "<u8")],
        *[("filesz", "<u8"), ("memsz", "<u8"), ("align", "<u8")],
    ]
)
_SECTION_HEADER: Final = np.dtype(
    [
        *[("name", "<u4"), ("type", "<u4"), ("flags", "<u8"), ("addr", "<u8"), ("offset", "<u8")],
        *[("size", "<u8"), ("link", "<u4"), ("info", "<u4"), ("addralign", "<u8"), ("entsize", "<u8")],
    ]
)


@dataclass(frozen=True, slots=True)
class LoadSegment:
    """A PT_LOAD: memory from `address` on, of which `file_size` bytes lie at `offset` in the file."""

    address: int
    memory_size: int
    offset: int
    file_size: int
    writable: bool
    executable: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; `size` is what lies in the file (0 for .bss), `memory_size` what it takes then."""

    name: str
    type: int
    address: int
    offset: int
    size: int
    memory_size: int
    link: int
    compressed: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Executable:
    """An ELF program for amd64 or arm64. Make one with `open_executable` or `parse_executable`.

    Attributes:
        data: the file, ``uint8[size]``; usually a map of it.
        name: for messages.
        machine: ``amd64`` or ``arm64``.
        kind: ``EXEC`` (fixed addresses) or ``DYN`` (position independent: a load bias is added at run time).
        entry: static address of the first instruction.
        program_headers_address: static address of the program headers, None without PT_PHDR; AT_PHDR of a
            process minus this is its load bias.
        segments: the PT_LOADs by address.
        sections: in file order; empty when the headers are gone.
        caveats: what a reader should know, in plain words.
        losses: those of them that say that a part of the program is missing.
    """

    data: Bytes = field(repr=False)
    name: str
    machine: str
    kind: str
    entry: int
    program_headers_address: int | None
    segments: tuple[LoadSegment, ...]
    sections: tuple[Section, ...] = field(repr=False)
    caveats: tuple[str, ...]
    losses: tuple[str, ...] = ()

    @cached_property
    def _by_name(self) -> dict[str, Section]:
        return {section.name: section for section in reversed(self.sections)}

    def section(self, name: str) -> Section | None:
        """Return the first section of that name, or None."""
        return self._by_name.get(name)

    def section_bytes(self, name: str) -> Bytes | None:
        """Return what section `name` holds, decompressed, or None when there is no such section.

        No copy unless it is compressed. A section that runs past the end of the file gives what is there.

        Raises:
            FormatError: the compressed bytes are damaged.
            Unsupported: they are compressed in another way than zlib.
        """
        section = self.section(name)
        if section is None:
            return None
        raw = self.data[section.offset : section.offset + section.size]
        return decompressed(raw, name, self.name) if section.compressed else raw

    @cached_property
    def symbols(self) -> SymbolTable:
        """The symbols of ``.symtab``; empty when it was stripped."""
        section = self.section(".symtab")
        if section is None or section.link >= len(self.sections):
            return SymbolTable(np.empty(0, np.uint8), np.empty(0, np.uint8))
        names = self.sections[section.link]
        return SymbolTable(
            self.data[section.offset : section.offset + section.size],
            self.data[names.offset : names.offset + names.size],
        )

    @property
    def is_stripped(self) -> bool:
        """Whether there is no symbol table (``-s`` or strip)."""
        return self.symbols.count == 0

    @property
    def has_dwarf(self) -> bool:
        """Whether there is debug information in this very file."""
        return any((s := self.section(name)) is not None and s.size > 0 for name in (".debug_info",))

    @cached_property
    def gnu_build_id(self) -> str | None:
        """The linker's build id in hexadecimal, or None (Go writes one by default from 1.24)."""
        description = self._note(b"GNU", 3, ".note.gnu.build-id")
        return description.hex() if description else None

    @cached_property
    def go_build_id(self) -> str | None:
        """Go's own build id (``action/.../content``), or None."""
        description = self._note(b"Go", 4, ".note.go.buildid")
        return description.decode("utf-8", "replace") if description else None

    def _note(self, owner: bytes, kind: int, section_name: str) -> bytes | None:
        regions = [self.data[s.offset : s.offset + s.size] for s in self.sections if s.name == section_name]
        for header in _program_headers(self.data):
            if header["type"] == _PT_NOTE:
                start, size = int(header["offset"]), int(header["filesz"])
                regions.append(self.data[start : start + size])
        for region in regions[:_MAX_NOTES]:
            found = _find_note(region[: 1 << 20].tobytes(), owner, kind)
            if found is not None:
                return found
        return None

    def bytes_at(self, address: int, size: int) -> Bytes:
        """Return up to `size` file bytes at a static address; shorter or empty where the file has none.

        The bytes of writable segments are what the program starts with.
        """
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.file_size:
                start = segment.offset + address - segment.address
                stop = min(start + size, segment.offset + segment.file_size)
                return self.data[start:stop]
        return self.data[:0]

    def read_only_segments(self, load_bias: int, buffer: int) -> list[Segment]:
        """Return what the program maps and never writes, where a process with `load_bias` has it.

        For the `Image` of a core that left these parts out; `buffer` is the number that `data` has there.
        """
        return [
            Segment(s.address + load_bias, s.address + s.file_size + load_bias, buffer, s.offset)
            for s in self.segments
            if not s.writable and s.file_size
        ]

    @cached_property
    def text(self) -> tuple[int, Bytes]:
        """Static address and bytes of the code: ``.text``, or the largest executable segment without names.

        For the code of Go alone the caller cuts it to the module's ``[text, etext)``.
        """
        section = self.section(".text")
        if section is not None and section.size:
            return section.address, self.data[section.offset : section.offset + section.size]
        code = [s for s in self.segments if s.executable]
        if not code:
            return 0, self.data[:0]
        largest = max(code, key=lambda s: s.file_size)
        return largest.address, self.data[largest.offset : largest.offset + largest.file_size]


def open_executable(path: Path) -> Executable:
    """Map the program at `path`. Reads its headers only.

    Raises:
        FormatError: no such file, or no ELF program (see `parse_executable`).
    """
    try:
        with path.open("rb") as file:
            data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise FormatError(
            f"{path}: {error.strerror}", next_step="check the path and its permissions"
        ) from error
    except ValueError as error:  # mmap of an empty file
        raise Truncated(
            f"{path} is empty", cause="the file was not copied whole", next_step="copy the program again"
        ) from error
    return parse_executable(data, str(path))


def parse_executable(data: Bytes, name: str = "the executable") -> Executable:
    """Return the program in `data` (``uint8[size]``), which is kept, not copied.

    A file that is cut off gives what it has, with a caveat, as long as its headers are whole.

    Raises:
        FormatError: it is no ELF program.
        Truncated: the ELF header or the program headers are not whole.
        Unsupported: 32-bit, big-endian, another processor, or an object file.
    """
    header = _header(data, name)
    if int(header["type"]) not in _TYPES:
        raise Unsupported(
            f"{name} is an ELF file of type {int(header['type'])}, not a program",
            cause="it is an object file or a core",
            next_step="give the program itself",
        )
    program_headers = _program_headers(data)
    loads = program_headers[program_headers["type"] == _PT_LOAD]
    if not loads.size:
        raise Truncated(
            f"{name} has no loadable segments",
            cause="the file is cut off after its ELF header",
            next_step="copy the program again and compare its size",
        )
    losses: list[str] = []
    segments = tuple(sorted((_segment(h, data.size) for h in loads), key=lambda s: s.address))
    missing = sum(int(h["filesz"]) for h in loads) - sum(s.file_size for s in segments)
    if missing:
        losses.append(f"{name} is cut off: {missing:,} bytes that its headers promise are not there")
    sections = _sections(data, header)
    nameless = () if sections else (f"{name} has no section headers",)
    phdr = program_headers[program_headers["type"] == _PT_PHDR]
    return Executable(
        data=data,
        name=name,
        machine=MACHINES[int(header["machine"])],
        kind=_TYPES[int(header["type"])],
        entry=int(header["entry"]),
        program_headers_address=int(phdr[0]["vaddr"]) if phdr.size else None,
        segments=segments,
        sections=sections,
        caveats=(*losses, *nameless),
        losses=tuple(losses),
    )


def _header(data: Bytes, name: str) -> Any:
    head = data[: _HEADER.itemsize]
    if head[:4].tobytes() != b"\x7fELF":
        raise FormatError(
            f"{name} is no ELF file",
            cause="it is a script, an archive or a program of another system",
            next_step="give the program that the process runs (ls -l /proc/PID/exe)",
        )
    if head.size < _HEADER.itemsize:
        raise Truncated(
            f"{name} ends after {data.size} bytes",
            cause="the file was not copied whole",
            next_step="copy the program again",
        )
    header = np.frombuffer(head.tobytes(), _HEADER)[0]
    if head[4] != 2 or head[5] != 1 or int(header["machine"]) not in MACHINES:
        raise Unsupported(
            f"{name} is for another machine (class {head[4]}, byte order {head[5]}, "
            f"machine {int(header['machine'])})",
            cause="only 64-bit little-endian amd64 and arm64 are read",
            next_step="use a program built for linux/amd64 or linux/arm64",
        )
    return header


def _records(data: Bytes, offset: int, count: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the whole records among `count` at `offset`, as a copy (records need not be aligned)."""
    count = max(0, min(count, (data.size - offset) // dtype.itemsize))
    return np.frombuffer(data[offset : offset + count * dtype.itemsize].tobytes(), dtype)


def build_id_of_head(head: bytes) -> str | None:
    """Return the GNU build id from the first bytes of an ELF file, or None where it does not lie in them."""
    if len(head) < _HEADER.itemsize or not head.startswith(b"\x7fELF"):
        return None
    data = np.frombuffer(head, np.uint8)
    for header in _program_headers(data):
        if header["type"] == _PT_NOTE:
            start, size = int(header["offset"]), int(header["filesz"])
            found = _find_note(head[start : start + size], b"GNU", 3)
            if found is not None:
                return found.hex()
    return None


def _program_headers(data: Bytes) -> np.ndarray[Any, Any]:
    header = np.frombuffer(data[: _HEADER.itemsize].tobytes(), _HEADER)[0]
    if int(header["phentsize"]) != _PROGRAM_HEADER.itemsize:
        return np.empty(0, _PROGRAM_HEADER)
    return _records(data, int(header["phoff"]), int(header["phnum"]), _PROGRAM_HEADER)


def _segment(header: Any, file_size: int) -> LoadSegment:
    offset, size, flags = int(header["offset"]), int(header["filesz"]), int(header["flags"])
    return LoadSegment(
        address=int(header["vaddr"]),
        memory_size=int(header["memsz"]),
        offset=offset,
        file_size=max(0, min(size, file_size - offset)),
        writable=bool(flags & _PF_WRITE),
        executable=bool(flags & _PF_EXECUTE),
    )


def _sections(data: Bytes, header: Any) -> tuple[Section, ...]:
    if int(header["shentsize"]) != _SECTION_HEADER.itemsize or int(header["shoff"]) == 0:
        return ()
    offset, count, names_index = int(header["shoff"]), int(header["shnum"]), int(header["shstrndx"])
    first = _records(data, offset, 1, _SECTION_HEADER)
    if count == 0 and first.size:  # the count did not fit into 16 bits
        count = min(int(first[0]["size"]), _MAX_SECTIONS)
    headers = _records(data, offset, count, _SECTION_HEADER)
    names = b""
    if names_index < headers.size:
        start, size = int(headers[names_index]["offset"]), int(headers[names_index]["size"])
        names = data[start : start + min(size, 1 << 24)].tobytes()
    return tuple(_section(h, names, data.size) for h in headers)


def _section(header: Any, names: bytes, file_size: int) -> Section:
    start = int(header["name"])
    end = names.find(b"\0", start)
    name = names[start : end if end >= 0 else len(names)][:256].decode("utf-8", "replace")
    offset, size = int(header["offset"]), int(header["size"])
    present = 0 if int(header["type"]) == _SHT_NOBITS else max(0, min(size, file_size - offset))
    return Section(
        name=name,
        type=int(header["type"]),
        address=int(header["addr"]),
        offset=offset,
        size=present,
        memory_size=size,
        link=int(header["link"]),
        compressed=bool(int(header["flags"]) & _SHF_COMPRESSED),
    )


def _find_note(region: bytes, owner: bytes, kind: int) -> bytes | None:
    position = 0
    while position + 12 <= len(region):
        name_size, size, note_kind = (
            int.from_bytes(region[position + k : position + k + 4], "little") for k in (0, 4, 8)
        )
        name_at = position + 12
        at = name_at + (name_size + 3) // 4 * 4
        if at + size > len(region):
            return None
        if note_kind == kind and region[name_at : name_at + name_size].rstrip(b"\0") == owner:
            return region[at : at + size]
        position = at + (size + 3) // 4 * 4
    return None

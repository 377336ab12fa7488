"""The ELF files of a process: its program and the Go libraries it loaded, each at its place in memory.

A program is looked for inside the core (our captures carry it), then at the path the caller names, then where
the core says it was. It must be the very file: the first page and the build ids in it are compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heldby.binary.executable import Executable, open_executable, parse_executable
from heldby.errors import FormatError, HeldbyError, NoExecutable, Truncated, WrongExecutable
from heldby.golang.runtime.module import AddressRange
from heldby.memory.core_file import CoreFile, EmbeddedFile
from heldby.memory.image import Image
from heldby.memory.paging_kernels import PageTable, build_page_table

_AT_PHDR, _AT_ENTRY = 3, 9
_MOST_LIBRARIES: Final = 256


@dataclass(frozen=True, slots=True)
class Shift:
    """Static addresses ``[start, end)`` are `by` lower than those of the process."""

    start: int
    end: int
    by: int


@dataclass(frozen=True, slots=True)
class NameSource:
    """A file whose symbols and debug information name what a program has in memory.

    Attributes:
        executable: the program's own file, or an unstripped build of the same source.
        shifts: where the process has the parts of the file; that of the code comes first.
    """

    executable: Executable
    shifts: tuple[Shift, ...]

    @property
    def code_shift(self) -> int:
        """Run-time address minus static address of the code."""
        return self.shifts[0].by

    def at_run_time(self, addresses: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return where the process has static addresses; 0 for what lies in no part of the file."""
        out = np.zeros(addresses.size, np.uint64)
        for shift in self.shifts:
            inside = (addresses >= shift.start) & (addresses < shift.end)
            out[inside] = addresses[inside] + np.uint64(shift.by % (1 << 64))
        return out


@dataclass(frozen=True)
class LoadedProgram:
    """An ELF file as the process has it.

    Attributes:
        executable: the file.
        load_bias: run-time address minus static address.
        explicit: found outside of the core.
        named_by: another file that its names come from, None for its own.
    """

    executable: Executable
    load_bias: int
    explicit: bool = False
    named_by: NameSource | None = None

    @cached_property
    def names(self) -> NameSource:
        """Where its symbols and debug information come from."""
        whole = Shift(0, (1 << 64) - 1, self.load_bias)
        return self.named_by or NameSource(self.executable, (whole,))

    @cached_property
    def ranges(self) -> list[AddressRange]:
        """Where its segments lie, the anonymous tail (bss) included."""
        return [
            (s.address + self.load_bias, s.address + s.memory_size + self.load_bias)
            for s in self.executable.segments
        ]

    def covers(self, addr: int) -> bool:
        """Tell whether an address lies in one of its segments."""
        return any(low <= addr < high for low, high in self.ranges)


def find_program(core: CoreFile, exe: Path | None) -> LoadedProgram:
    """Return the program of the process.

    Raises:
        NoExecutable: the core does not carry it and it is not where it was.
        WrongExecutable: it is another build, or for another processor.
    """
    executable, explicit = _find_executable(core, exe)
    if executable.machine != core.machine:
        raise WrongExecutable(
            f"{executable.name} is for {executable.machine}, the core is from {core.machine}",
            next_step="name the program that the process ran with --exe",
        )
    program = LoadedProgram(executable, _load_bias(core, executable), explicit)
    _compare_first_page(core, program)
    return program


def find_libraries(core: CoreFile, caveats: list[str]) -> list[LoadedProgram]:
    """Return the shared libraries and plugins of the process that contain Go.

    Those that are neither in the core nor where it says they were are left out; the runtime misses them by
    name. One that is there and is another build is left out with a caveat.
    """
    carried = {file.path: file for file in core.libraries}
    found: list[LoadedProgram] = []
    bases = {mapped.path: mapped.start for mapped in reversed(core.mapped_files) if mapped.offset == 0}
    for path, base in sorted(bases.items())[:_MOST_LIBRARIES]:
        executable = _library(path, carried.get(path))
        if executable is None or executable.machine != core.machine:
            continue
        lowest = min(segment.address - segment.offset for segment in executable.segments)
        library = LoadedProgram(executable, base - lowest, path not in carried)
        try:
            _compare_first_page(core, library)
        except WrongExecutable as error:
            caveats.append(f"{error.message}; what it holds has no names")
            continue
        found.append(library)
    return found


def read_only_pages(programs: Iterable[LoadedProgram]) -> PageTable:
    """Return the pages of the programs' read-only parts, whose text constants a core need not hold."""
    return build_page_table(with_read_only_parts(Image((), ()), programs))


def with_read_only_parts(image: Image, programs: Iterable[LoadedProgram]) -> Image:
    """Return `image` with what programs map and never write, where it does not have that already."""
    for program in programs:
        data = program.executable.data
        segments = program.executable.read_only_segments(program.load_bias, len(image.buffers))
        image = Image((*image.buffers, data), (*image.segments, *segments))
    return image


def _library(path: str, carried: EmbeddedFile | None) -> Executable | None:
    """Return the Go library that the process mapped from `path`, None if it is none or not to be had."""
    try:
        if carried is not None:
            return parse_executable(carried.data, path)
        if ".so" not in Path(path).name or not Path(path).is_file():
            return None
        executable = open_executable(Path(path))
    except (HeldbyError, OSError):
        return None
    is_go = executable.go_build_id is not None or executable.section(".gopclntab") is not None
    return executable if is_go and executable.kind == "DYN" and executable.segments else None


def _find_executable(core: CoreFile, exe: Path | None) -> tuple[Executable, bool]:
    """Return the program and whether it was found outside the core."""
    if exe is not None:
        return open_executable(exe), True
    if core.executable is not None:
        return parse_executable(core.executable, f"the executable in {core.path}"), False
    recorded = _recorded_path(core)
    if recorded is None and core.missing_bytes:
        raise Truncated(
            f"{core.path} is cut off: {core.missing_bytes:,} bytes that its headers promise are not there",
            cause="the file was not copied or written whole",
            next_step="copy it again and compare its size",
        )
    if recorded is None:
        raise NoExecutable(
            f"{core.path} does not say which program it came from",
            cause="it has no file table (NT_FILE)",
            next_step="name the program with --exe",
        )
    try:
        return open_executable(Path(recorded)), True
    except FormatError as error:
        raise NoExecutable(
            f"the program of {core.path} is needed: {error.message}",
            cause=f"the core was written by {recorded}, which is not here",
            next_step="copy that file here and name it with --exe; heldby capture takes it along",
        ) from error


def _recorded_path(core: CoreFile) -> str | None:
    """Return the path of the file that is mapped at the program headers (AT_PHDR)."""
    program_headers = core.auxv.get(_AT_PHDR, core.auxv.get(_AT_ENTRY, 0))
    for mapped in core.mapped_files:
        if mapped.start <= program_headers < mapped.end:
            return mapped.path
    return core.mapped_files[0].path if core.mapped_files else None


def _load_bias(core: CoreFile, executable: Executable) -> int:
    if executable.kind != "DYN":
        return 0
    at_entry, at_headers = core.auxv.get(_AT_ENTRY), core.auxv.get(_AT_PHDR)
    if at_headers is not None and executable.program_headers_address is not None:
        return at_headers - executable.program_headers_address
    if at_entry is not None:
        return at_entry - executable.entry
    starts = [m.start - m.offset for m in core.mapped_files if m.path == executable.name]
    if starts:
        return min(starts) - min(s.address - s.offset for s in executable.segments)
    raise NoExecutable(
        f"{core.path} does not say where its program was loaded",
        cause="it has neither an auxiliary vector nor a file table",
        next_step="capture with heldby capture or gcore, which record both",
    )


def _compare_first_page(core: CoreFile, program: LoadedProgram) -> None:
    """Compare the first page that the process had mapped (ELF header, build-id notes) with the file's."""
    executable = program.executable
    first = executable.segments[0]
    size = min(4096, first.file_size)
    data, missing = core.image.read_available(first.address + program.load_bias, size)
    if missing or data[:4] != b"\x7fELF":
        return
    # The first page is read-only and the same in every process: header, program headers, build-id notes.
    if data != executable.data[first.offset : first.offset + size].tobytes():
        raise WrongExecutable(
            f"{executable.name} is not the program that the process ran",
            cause="its ELF header and build id differ from those in the core; it was probably rebuilt",
            next_step="name the very file that the process ran with --exe",
        )

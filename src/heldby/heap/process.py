"""A core and its executable put together: the process as the Go runtime saw it.

The executable is looked for inside the core (our captures carry it), then at the path the caller names, then
where the core says it was. It must be the very program: build ids are compared where both sides have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heldby.binary.build_info import BuildInfo, read_build_info
from heldby.binary.executable import Executable, open_executable, parse_executable
from heldby.errors import FormatError, NoExecutable, NotGoProcess, Unsupported, WrongExecutable
from heldby.golang.module import AddressRange
from heldby.golang.runtime import Runtime, find_runtime
from heldby.memory.core_file import CoreFile
from heldby.memory.image import Image

_AT_PHDR, _AT_ENTRY = 3, 9
# Addresses that are wanted by name; everything else is found without symbols.
_RUNTIME_SYMBOLS: Final = (
    *(
        "runtime.allgs",
        "runtime.allm",
        "runtime.allp",
        "runtime.mheap_",
        "runtime.memstats",
        "runtime.allfin",
    ),
    *("runtime.gcController", "runtime.gcCleanups", "runtime.mbuckets", "runtime.mProfCycle"),
    "runtime.MemProfileRate",
    *("runtime.disableMemoryProfiling", "runtime.work", "runtime.gcphase", "runtime.buildVersion"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What a core and its executable say together.

    Attributes:
        core: the core file.
        executable: the program.
        load_bias: run-time address minus static address of the program.
        build_info: what the linker recorded, None when it was removed.
        runtime: the Go runtime, with an image that covers core and program.
        caveats: what a reader should know, in plain words.
    """

    core: CoreFile
    executable: Executable
    load_bias: int
    build_info: BuildInfo | None
    runtime: Runtime
    caveats: tuple[str, ...]


def assemble_process(core: CoreFile, *, exe: Path | None = None) -> Process:
    """Join `core` with its executable and find the Go runtime.

    Raises:
        NoExecutable: the core does not carry its program and it is not where it was.
        WrongExecutable: the program is another build.
        NotGoProcess, Unsupported, CheckFailed, NotCaptured: see `find_runtime`.
    """
    if core.machine != "amd64":
        raise Unsupported(
            f"{core.path} comes from an {core.machine} machine, which is not read yet",
            cause="stacks and layouts of other processors are not tested, and a wrong answer is worse than none",
            next_step="capture the service on amd64",
        )
    executable, explicit = _find_executable(core, exe)
    if executable.machine != core.machine:
        raise WrongExecutable(
            f"{executable.name} is for {executable.machine}, the core is from {core.machine}",
            next_step="name the program that the process ran with --exe",
        )
    bias = _load_bias(core, executable)
    _compare_build_ids(core, executable, bias)
    image = Image(
        (*core.image.buffers, executable.data),
        (*core.image.segments, *executable.read_only_segments(bias, len(core.image.buffers))),
    )
    info = read_build_info(executable)
    table = executable.symbols
    symbols = {name: at + bias for name in _RUNTIME_SYMBOLS if (at := table.address_of(name)) is not None}
    try:
        runtime = find_runtime(
            image,
            _program_ranges(executable, bias),
            arch=core.machine,
            version=info.go_version if info else None,
            symbols=symbols,
        )
    except NotGoProcess as error:
        if explicit and info is not None:
            raise WrongExecutable(
                f"{executable.name} is a Go program, but not the one in {core.path}",
                cause="its function table is not where the core's data refers to",
                next_step="name the very file that the process ran with --exe",
            ) from error
        raise
    return Process(
        core=core,
        executable=executable,
        load_bias=bias,
        build_info=info,
        runtime=runtime,
        caveats=(*core.caveats, *executable.caveats),
    )


def _find_executable(core: CoreFile, exe: Path | None) -> tuple[Executable, bool]:
    """Return the program and whether it was found outside the core."""
    if exe is not None:
        return open_executable(exe), True
    if core.executable is not None:
        return parse_executable(core.executable, f"the executable in {core.path}"), False
    recorded = _recorded_path(core)
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


def _compare_build_ids(core: CoreFile, executable: Executable, bias: int) -> None:
    """Compare the first page that the process had mapped (ELF header, build-id notes) with the file's."""
    first = executable.segments[0]
    size = min(4096, first.file_size)
    data, missing = core.image.read_available(first.address + bias, size)
    if missing or data[:4] != b"\x7fELF":
        return
    # The first page is read-only and the same in every process: header, program headers, build-id notes.
    if data != executable.data[first.offset : first.offset + size].tobytes():
        raise WrongExecutable(
            f"{executable.name} is not the program that the process ran",
            cause="its ELF header and build id differ from those in the core; it was probably rebuilt",
            next_step="name the very file that the process ran with --exe",
        )


def _program_ranges(executable: Executable, bias: int) -> list[AddressRange]:
    return [(s.address + bias, s.address + s.memory_size + bias) for s in executable.segments]

"""A core and its program put together: the process as the Go runtime saw it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from heldby.binary.build_info import BuildInfo, read_build_info
from heldby.binary.dwarf import read_dwarf
from heldby.binary.executable import Executable
from heldby.errors import NotGoProcess, Truncated, WrongExecutable
from heldby.golang.layouts.dwarf_layout import dwarf_layout
from heldby.golang.layouts.layout import Layout
from heldby.golang.release_checks import check_layout, without_debug_information
from heldby.golang.runtime.runtime import Runtime, find_runtime
from heldby.heap.programs import LoadedProgram, find_libraries, find_program, with_read_only_parts
from heldby.heap.symbols_file import names_from
from heldby.memory.core_file import CoreFile
from heldby.memory.image import Image

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
    *("runtime.buckhash", "runtime.gcController", "runtime.gcCleanups", "runtime.mbuckets"),
    *("runtime.mProfCycle", "runtime.MemProfileRate"),
    *("runtime.disableMemoryProfiling", "runtime.work", "runtime.gcphase", "runtime.buildVersion"),
    "net/netip.z4",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What a core and its executable say together.

    Attributes:
        core: the core file.
        executable: the program.
        programs: what of the process is Go, at least one: the program first, then plugins; for a program in
            another language its Go libraries.
        build_info: what the linker recorded, None when it was removed.
        runtime: the Go runtime, with an image that covers core and program.
        caveats: what a reader should know, in plain words.
        losses: those of them that say that a part of core or program is missing.
    """

    core: CoreFile
    executable: Executable
    programs: tuple[LoadedProgram, ...]
    build_info: BuildInfo | None
    runtime: Runtime
    caveats: tuple[str, ...]
    losses: tuple[str, ...]


def assemble_process(core: CoreFile, *, exe: Path | None = None, symbols: Path | None = None) -> Process:
    """Join `core` with its executable and find the Go runtime.

    Args:
        core: the core or capture.
        exe: the executable, where the core does not carry it.
        symbols: an unstripped build of the same source, to name what the executable does not name any more.

    Raises:
        NoExecutable: the core does not carry its program and it is not where it was.
        WrongExecutable: the program is another build, or damaged.
        NotGoProcess, Unsupported, CheckFailed, NotCaptured: see `find_runtime`.
    """
    program = find_program(core, exe)
    caveats = [*core.caveats, *program.executable.caveats]
    programs = [program, *find_libraries(core, caveats)]
    image = with_read_only_parts(core.image, programs)
    info = next(filter(None, (read_build_info(each.executable) for each in programs)), None)
    try:
        runtime = find_runtime(
            image,
            [addresses for each in programs for addresses in each.ranges],
            arch=core.machine,
            version=info.go_version if info else None,
            symbols=_symbols(programs),
            newer=lambda version: _described_layout(program, image, version),
        )
    except NotGoProcess as error:
        if core.missing_bytes:
            raise Truncated(
                f"{core.path} is cut off before the Go runtime's own data",
                cause=f"{core.missing_bytes:,} bytes that its headers promise are not there",
                next_step="look for a full disk or a limit on the size of cores (ulimit -c); take it again",
            ) from error
        if program.explicit and info is not None:
            raise WrongExecutable(
                f"{program.executable.name} is a Go program, but not the one in {core.path}",
                cause="its function table is not where the core's data refers to",
                next_step="name the very file that the process ran with --exe",
            ) from error
        raise
    if symbols is not None:
        main = programs[0] if programs[0].covers(runtime.modules[0].word("text")) else programs[-1]
        named = replace(main, named_by=names_from(symbols, main, runtime))
        programs = [named if each is main else each for each in programs]
        runtime = replace(runtime, symbols=_symbols(programs))
    if not runtime.says_release:
        caveats.append(
            f"the program does not say which Go release built it: its structures are those of {runtime.version}"
        )
    texts = [module.word("text") for module in runtime.modules]
    with_code = tuple(each for each in programs if any(each.covers(text) for text in texts))
    if not with_code:
        raise WrongExecutable(
            f"{program.executable.name} does not have the code that ran in {core.path}",
            cause="its program headers are damaged, or it is another file",
            next_step="name the very file that the process ran with --exe",
        )
    return Process(
        core=core,
        executable=program.executable,
        programs=with_code,
        build_info=info,
        runtime=runtime,
        caveats=tuple(caveats),
        losses=(*core.caveats, *program.executable.losses),
    )


def _described_layout(program: LoadedProgram, image: Image, version: str) -> Layout:
    """Return the layout of a release that is not known, as the program's debug information describes it.

    Raises:
        Unsupported: it has none.
        CheckFailed: what it says contradicts what heldby takes for granted.
    """
    dwarf = read_dwarf(program.executable)
    if dwarf is None:
        raise without_debug_information(version, program.executable.machine)
    layout = dwarf_layout(dwarf, version, program.executable.machine, image.read, program.load_bias)
    check_layout(layout)
    return layout


def _symbols(programs: list[LoadedProgram]) -> dict[str, int]:
    """Return the run-time addresses of what is wanted by name; the first program that has a name counts."""
    found: dict[str, int] = {}
    for each in reversed(programs):
        table = each.names.executable.symbols
        known = {name: at for name in _RUNTIME_SYMBOLS if (at := table.address_of(name)) is not None}
        addrs = each.names.at_run_time(np.array(list(known.values()), np.uint64)).tolist()
        found.update(zip(known, addrs, strict=True))
    return found

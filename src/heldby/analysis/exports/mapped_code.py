"""The code that a process had mapped, as its own runtime would list it in a profile.

runtime/pprof (proto.go, parseProcSelfMaps) lists the executable mappings of /proc/self/maps, with the GNU build id
that it reads from each file. A capture has the same text; other cores have a table of mapped files that does not say
which are code, so that of them only the Go programs' own are known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heldby.analysis.process_facts import process_facts
from heldby.analysis.rss.evidence import read_evidence
from heldby.binary.executable import build_id_of_head, open_executable
from heldby.errors import HeldbyError
from heldby.heap.process import Process
from heldby.memory.mappings import Mapping
from heldby.profiles.pprof_write import MappedCode

_DELETED: Final = " (deleted)"
_HEAD: Final = 4096


def mapped_code(process: Process) -> tuple[MappedCode, ...]:
    """Return the mappings of code by address; of a core that names no files, the program's as its headers say.

    A build id is empty where the file is neither in the core nor here, as the very file (device and inode).
    """
    ids = _BuildIds(process)
    found = [
        MappedCode(each.start, each.end, each.offset, path, ids.of(each, path))
        for each in _executable_mappings(process)
        if (path := each.path.removesuffix(_DELETED)) or each.inode
    ]
    return tuple(found) or tuple(_of_headers(process))


def _executable_mappings(process: Process) -> list[Mapping]:
    recorded = [item.mapping for item in read_evidence(process.core).memory]
    if recorded:
        return [mapping for mapping in recorded if mapping.perms[2] == "x"]
    code = [
        segment.address + program.load_bias
        for program in process.programs
        for segment in program.executable.segments
        if segment.executable
    ]
    return [
        Mapping(mapped.start, mapped.end, "r-xp", mapped.offset, "", -1, mapped.path)
        for mapped in process.core.mapped_files
        if any(mapped.start <= start < mapped.end for start in code)
    ]


class _BuildIds:
    """GNU build ids of mapped files: of those in the core, in memory, and at their paths."""

    def __init__(self, process: Process) -> None:
        self._core = process.core
        self._bases = {item.path: item.start for item in reversed(self._core.mapped_files) if not item.offset}
        self._known = {
            program.executable.name: program.executable.gnu_build_id or "" for program in process.programs[1:]
        }
        exe = process_facts(self._core, process).exe
        if exe is not None:
            self._known[exe] = process.programs[0].executable.gnu_build_id or ""

    def of(self, mapping: Mapping, path: str) -> str:
        """Return the build id of a mapped file, empty when it has none or nobody knows."""
        if path not in self._known:
            self._known[path] = self._in_memory(path) or _in_file(mapping, path) or ""
        return self._known[path]

    def _in_memory(self, path: str) -> str | None:
        base = self._bases.get(path)
        if base is None:
            return None
        head, missing = self._core.image.read_available(base, _HEAD)
        return None if missing else build_id_of_head(head)


def _in_file(mapping: Mapping, path: str) -> str | None:
    try:
        facts = Path(path).stat()
        device = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}"
        if (facts.st_ino, device) != (mapping.inode, mapping.device):
            return None
        return open_executable(Path(path)).gnu_build_id
    except (HeldbyError, OSError, ValueError):
        return None


def _of_headers(process: Process) -> Iterator[MappedCode]:
    """Yield where the program's own headers want its code."""
    program = process.programs[0]
    text = process.runtime.modules[0].word("text")
    file = process_facts(process.core, process).exe or ""
    for segment in program.executable.segments:
        start = segment.address + program.load_bias
        if start <= text < start + segment.memory_size:
            build_id = program.executable.gnu_build_id or ""
            yield MappedCode(start, start + segment.memory_size, segment.offset, file, build_id)

"""The program of a process and the libraries it loaded: their files, and whether they are Go."""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from heldby.capture.procfs import thread_state
from heldby.errors import NotGoProcess, PermissionDenied, TargetGone
from heldby.memory.core_file import PROGRAM_HEADER, PT_NOTE, iter_notes
from heldby.memory.mappings import Mapping

# The first is in .go.buildinfo (debug/buildinfo); the others begin the function table, since Go 1.16.
_GO_SIGNS: Final = (
    b"\xff Go buildinf:",
    b"\xf1\xff\xff\xff\x00\x00\x01\x08",
    b"\xf0\xff\xff\xff\x00\x00\x01\x08",
    b"\xfa\xff\xff\xff\x00\x00\x01\x08",
)
_NT_GNU_BUILD_ID: Final = 3
_NT_GO_BUILD_ID: Final = 4


@dataclass(frozen=True, slots=True)
class Program:
    """An open executable or shared library.

    Attributes:
        path: as the process's own mount namespace calls it.
        fd: open for reading; `close` closes it.
        head: the file, mapped.
        build_id: the GNU build id in hexadecimal, or None.
        go_build_id: the Go tool's build id, or None.
        is_go: the file carries a sign of the Go linker.
    """

    path: str
    fd: int
    size: int
    head: mmap.mmap
    build_id: str | None
    go_build_id: str | None
    is_go: bool

    def close(self) -> None:
        """Close the file."""
        self.head.close()
        os.close(self.fd)

    def facts(self) -> dict[str, Any]:
        """Return what the capture's note says of it."""
        return {
            "path": self.path,
            "size": self.size,
            "build_id": self.build_id,
            "go_build_id": self.go_build_id,
        }


def open_program(pid: int) -> Program:
    """Open the program of a process through ``/proc/PID/exe``, which works when it was deleted or replaced.

    Raises:
        TargetGone: there is no such process.
        PermissionDenied: this user may not look at it.
        NotGoProcess: it is a kernel thread.
    """
    link = Path(f"/proc/{pid}/exe")
    if not link.parent.exists():
        raise TargetGone(f"there is no process {pid}", next_step="check the PID with ps or pgrep")
    try:
        path = os.readlink(link)  # noqa: PTH115, a path that may not exist here
        fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        if thread_state(pid, pid) in "XZ":
            raise TargetGone(
                f"process {pid} has ended",
                cause="only its exit code is left, for its parent",
                next_step="give the PID of a running Go program",
            ) from error
        raise NotGoProcess(
            f"process {pid} has no program",
            cause="it is a kernel thread",
            next_step="give the PID of a running Go program",
        ) from error
    except PermissionError as error:
        raise PermissionDenied(
            f"the program of process {pid} may not be read",
            cause="the process belongs to another user, or the kernel protects it",
            next_step=f"run as its user or as root; heldby doctor {pid} says what is missing",
        ) from error
    return _program(path, fd)


def open_go_libraries(pid: int, program: Program, mappings: Sequence[Mapping]) -> list[Program]:
    """Open the plugins and shared libraries of a process that contain Go code; those of C stay closed.

    One that may not be opened is left out: the runtime then misses it, and says so.
    """
    found: list[Program] = []
    met = {program.path}
    for mapping in mappings:
        if mapping.is_anonymous or "x" not in mapping.perms or mapping.path in met:
            continue
        met.add(mapping.path)
        library = _open_mapped(pid, mapping)
        if library is not None and library.is_go:
            found.append(library)
        elif library is not None:
            library.close()
    return found


def _open_mapped(pid: int, mapping: Mapping) -> Program | None:
    """Open a mapped file by its mapping, which needs privileges, or else by its path as the process sees it."""
    for link in (
        f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}",
        f"/proc/{pid}/root{mapping.path}",
    ):
        try:
            fd = os.open(link, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            facts = os.fstat(fd)
            if stat.S_ISREG(facts.st_mode) and facts.st_ino == mapping.inode and facts.st_size:
                return _program(mapping.path, fd)
        except (OSError, ValueError):
            pass  # a file that cannot be mapped is no library
        os.close(fd)
    return None


def _program(path: str, fd: int) -> Program:
    head = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    build_id, go_build_id = _build_ids(head)
    return Program(path, fd, len(head), head, build_id, go_build_id, _looks_like_go(head))


def _looks_like_go(data: mmap.mmap) -> bool:
    return any(data.find(sign) >= 0 for sign in _GO_SIGNS)


def _build_ids(data: mmap.mmap) -> tuple[str | None, str | None]:
    if len(data) < 64 or data[:6] != b"\x7fELF\x02\x01":
        return None, None
    (offset,) = struct.unpack_from("<Q", data, 32)
    count = min(struct.unpack_from("<H", data, 56)[0], (len(data) - offset) // PROGRAM_HEADER.itemsize)
    build_id = go_build_id = None
    headers = np.frombuffer(data[offset : offset + max(0, count) * PROGRAM_HEADER.itemsize], PROGRAM_HEADER)
    for header in headers[headers["type"] == PT_NOTE]:
        start = int(header["offset"])
        for kind, name, value in iter_notes(data[start : start + min(int(header["filesz"]), 1 << 16)]):
            if name == b"GNU" and kind == _NT_GNU_BUILD_ID:
                build_id = value.hex()
            elif name == b"Go" and kind == _NT_GO_BUILD_ID:
                go_build_id = value.decode("ascii", "replace")
    return build_id, go_build_id

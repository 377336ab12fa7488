"""What /proc says of a process: mappings, threads, limits. Reads text only, changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heldby.errors import PermissionDenied, TargetGone

PROC: Final = Path("/proc")
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_CGROUP_FILES: Final = ("memory.max", "memory.high", "memory.current", "memory.swap.max", "memory.stat")
_CGROUP1_FILES: Final = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of /proc/PID/maps.

    Attributes:
        perms: four characters such as ``rw-p``.
        device: ``major:minor`` in hexadecimal; with `inode` it tells files apart.
    """

    start: int
    end: int
    perms: str
    offset: int
    device: str
    inode: int
    path: str

    @property
    def size(self) -> int:
        """Bytes of address space."""
        return self.end - self.start

    @property
    def is_private(self) -> bool:
        """Writes stay in this process."""
        return self.perms[3] == "p"

    @property
    def is_anonymous(self) -> bool:
        """No file is behind it: what was never touched is zero."""
        return self.inode == 0

    @property
    def flags(self) -> int:
        """Permissions as in ELF's ``p_flags``."""
        return sum(bit for bit, sign in zip((4, 2, 1), self.perms, strict=False) if sign != "-")


def read_text(pid: int, name: str) -> str | None:
    """Return a file of ``/proc/PID``, or None if it cannot be read."""
    try:
        return (PROC / str(pid) / name).read_text("utf-8", "surrogateescape")
    except OSError:
        return None


def require_text(pid: int, name: str) -> str:
    """Return a file of ``/proc/PID``.

    Raises:
        TargetGone: there is no such process.
        PermissionDenied: this user may not read it.
    """
    try:
        return (PROC / str(pid) / name).read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise TargetGone(f"there is no process {pid}", next_step="check the PID with ps") from error
    except PermissionError as error:
        raise PermissionDenied(
            f"/proc/{pid}/{name} may not be read",
            cause="the process belongs to another user, or dropped privileges",
            next_step=f"run as its user or as root; heldby doctor {pid} says what is missing",
        ) from error


def parse_maps(text: str) -> list[Mapping]:
    """Return the mappings of a maps file in address order; lines that make no sense are left out."""
    return [mapping for line in text.splitlines() if (mapping := _parse_mapping(line)) is not None]


def _parse_mapping(line: str) -> Mapping | None:
    fields = line.split(None, 5)
    if len(fields) < 5:
        return None
    try:
        start, end = (int(x, 16) for x in fields[0].split("-"))
        # Newlines in paths come as \012 (fs/proc/task_mmu.c, seq_file_path).
        path = fields[5].replace("\\012", "\n") if len(fields) > 5 else ""
        return Mapping(start, end, fields[1], int(fields[2], 16), fields[3], int(fields[4]), path)
    except ValueError:
        return None


def status_fields(text: str) -> dict[str, str]:
    """Return the lines of a status file by name."""
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def status_bytes(fields: dict[str, str], name: str) -> int | None:
    """Return a size such as VmRSS in bytes, None when the kernel does not tell."""
    parts = fields.get(name, "").split()
    return int(parts[0]) * 1024 if len(parts) == 2 and parts[0].isdigit() else None


def thread_ids(pid: int) -> list[int]:
    """Return the threads of a process. Raises `TargetGone`."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208, in the pause
    except OSError as error:
        raise TargetGone(f"process {pid} is gone") from error


def thread_state(pid: int, tid: int) -> str:
    """Return the state letter of a thread as in ps(1), ``X`` when it is gone."""
    text = read_text(pid, f"task/{tid}/stat")
    return "X" if text is None else text.rpartition(")")[2].split()[0]


def is_kernel_worker(pid: int, tid: int) -> bool:
    """Tell whether a thread only ever runs in the kernel, such as those of io_uring; it cannot be traced."""
    text = read_text(pid, f"task/{tid}/stat")
    fields = [] if text is None else text.rpartition(")")[2].split()
    # PF_IO_WORKER and PF_USER_WORKER of <linux/sched.h>; field 9 of stat.
    return len(fields) > 6 and fields[6].isdigit() and bool(int(fields[6]) & 0x4010)


def namespace_ids(pid: int, tids: list[int]) -> dict[int, int]:
    """Return each thread's id as the process itself sees it; equal ids when it shares our PID namespace."""
    if not in_other_pid_namespace(pid):
        return {tid: tid for tid in tids}
    ids = {}
    for tid in tids:
        fields = status_fields(read_text(pid, f"task/{tid}/status") or "")
        inner = fields.get("NSpid", "").split()
        ids[tid] = int(inner[-1]) if inner else tid
    return ids


def in_other_pid_namespace(pid: int) -> bool:
    """Tell whether the process lives in another PID namespace, such as a container's."""
    try:
        return (PROC / str(pid) / "ns/pid").readlink() != Path("/proc/self/ns/pid").readlink()
    except OSError:
        return False


def cgroup_memory_files(cgroup_text: str) -> dict[str, str]:
    """Return the readable memory files of the cgroup that ``/proc/PID/cgroup`` names, by file name."""
    found: dict[str, str] = {}
    folders: tuple[Path, ...]
    names: tuple[str, ...]
    for line in cgroup_text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            folders, names = (_CGROUP_ROOT, _CGROUP_ROOT / "unified"), _CGROUP_FILES
        elif "memory" in controllers.split(","):
            folders, names = (_CGROUP_ROOT / "memory",), _CGROUP1_FILES
        else:
            continue
        for folder in folders:
            found |= dict(_readable(folder / path.lstrip("/"), names))
    return found


def _readable(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, (folder / name).read_text()
        except OSError:
            continue

"""What /proc says of a process: status, threads, limits. Reads text only, changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heldby.errors import PermissionDenied, TargetGone

PROC: Final = Path("/proc")
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_CGROUP_FILES: Final = (
    *("memory.max", "memory.high", "memory.current", "memory.peak", "memory.swap.max", "memory.swap.current"),
    *("memory.stat", "memory.events"),
)
_CGROUP1_FILES: Final = (
    *("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.stat"),
    *("memory.kmem.usage_in_bytes", "memory.oom_control"),
)


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


def read_machine_uptime() -> str | None:
    """Return /proc/uptime: seconds since the machine started."""
    try:
        return (PROC / "uptime").read_text()
    except OSError:
        return None


def cgroup_memory_files(cgroup_text: str) -> dict[str, str]:
    """Return the readable memory files of the cgroup that ``/proc/PID/cgroup`` names, by file name.

    Limits of the groups above count too: ``above memory.max`` has those of all of them, nearest first, and
    ``processes`` is how many processes share the group.
    """
    found: dict[str, str] = {}
    for line in cgroup_text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        parts = [part for part in path.split("/") if part not in ("", "..")]
        if controllers == "":
            for root in (_CGROUP_ROOT, _CGROUP_ROOT / "unified"):
                found |= _group_files(root, parts, _CGROUP_FILES, "memory.max")
        elif "memory" in controllers.split(","):
            # Version 1 tells the limit of all groups above in memory.stat, hierarchical_memory_limit.
            found |= _group_files(_CGROUP_ROOT / "memory", parts, _CGROUP1_FILES, None)
    return found


def _group_files(root: Path, parts: list[str], names: tuple[str, ...], limit: str | None) -> dict[str, str]:
    folder = root.joinpath(*parts)
    found = dict(_readable(folder, names))
    if not found:
        return found
    if limit is not None:
        above = [root.joinpath(*parts[:depth]) for depth in range(len(parts) - 1, -1, -1)]
        limits = [text.strip() for group in above for _, text in _readable(group, (limit,))]
        found[f"above {limit}"] = " ".join(limits)
    for _, text in _readable(folder, ("cgroup.procs",)):
        found["processes"] = str(len(text.split()))
    return found


def _readable(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, (folder / name).read_text()
        except OSError:
            continue

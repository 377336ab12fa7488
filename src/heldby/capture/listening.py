"""Which process of this machine serves a TCP port, and its own figures, read while it runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from heldby.capture.procfs import PROC, cgroup_memory_files, read_machine_uptime, read_text
from heldby.memory.core_file import CoreFile
from heldby.memory.image import Image

_LISTEN: Final = "0A"  # include/net/tcp_states.h
_SECONDS: Final = 2.0


def listening_process(host: str, port: int) -> int | None:
    """Return the process that listens on `port` of `host`, if that is this machine and it can be told.

    The address must be one of ours, which a connection to it shows; the listening socket's inode is then
    looked for among the open files of all processes that this user may look at.
    """
    if not _is_here(host, port):
        return None
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None
    for folder in PROC.iterdir():
        if folder.name.isdigit() and _holds(folder, inodes):
            return int(folder.name)
    return None


def _is_here(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as connection:
            return bool(connection.getpeername()[0] == connection.getsockname()[0])
    except OSError:
        return False


def _listening_inodes(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN and fields[1].rpartition(":")[2] == f"{port:04X}":
                yield fields[9]


def _holds(folder: Path, inodes: set[str]) -> bool:
    try:
        with os.scandir(folder / "fd") as files:
            for file in files:
                target = os.readlink(file.path)  # noqa: PTH115, of many files
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    return True
    except OSError:
        pass
    return False


def command_line(pid: int) -> bytes | None:
    """Return the arguments of a process, separated by NUL bytes as net/http/pprof serves them too."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().rstrip(b"\0")
    except OSError:
        return None


def running_figures(pid: int) -> CoreFile:
    """Return what /proc says of a running process, as a core without memory; nothing is stopped."""
    cgroup = read_text(pid, "cgroup")
    proc: dict[str, Any] = {
        "status": read_text(pid, "status"),
        "stat": read_text(pid, "stat"),
        "smaps": read_text(pid, "smaps"),
        "cgroup_files": cgroup_memory_files(cgroup or ""),
        "uptime": read_machine_uptime(),
    }
    try:
        program = str((PROC / str(pid) / "exe").readlink())
    except OSError:
        program = ""
    return CoreFile(
        path=PROC / str(pid),
        machine="amd64" if os.uname().machine == "x86_64" else "arm64",
        image=Image((), ()),
        threads=(),
        auxv={},
        mapped_files=(),
        note={"pid": pid, "method": "endpoint", "executable": {"path": program}, "proc": proc},
        executable=None,
    )

"""Which process listens on a TCP port of this machine: what turns a URL into a PID."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from heldby.capture.procfs import PROC

_LISTEN: Final = "0A"  # include/net/tcp_states.h, TCP_LISTEN
_MOST_PROCESSES: Final = 100_000
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


def listening_pid(host: str, port: int) -> int | None:
    """Return who listens on `port`, for a `host` that is this machine's loopback; None when unknown.

    Sockets of other users are not seen without being root. O(open files of all processes).
    """
    if not _is_loopback(host):
        return None
    wanted = set(_inodes(port))
    for pid in _pids():
        if wanted & set(_sockets(pid)):
            return pid
    return None


def _is_loopback(host: str) -> bool:
    if host.lower() in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _inodes(port: int) -> Iterator[str]:
    """Yield the sockets that listen on `port` (Documentation/networking/proc_net_tcp.rst)."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / name).read_text("ascii", "replace").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN and fields[1].endswith(f":{port:04X}"):
                yield fields[9]


def _pids() -> Iterator[int]:
    for path in _entries(PROC)[:_MOST_PROCESSES]:
        if path.name.isdecimal():
            yield int(path.name)


def _sockets(pid: int) -> Iterator[str]:
    for path in _entries(PROC / str(pid) / "fd"):
        try:
            found = _SOCKET.fullmatch(str(path.readlink()))
        except OSError:
            continue
        if found:
            yield found[1]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []

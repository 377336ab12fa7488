"""How much memory a process's cgroups and the machine can still give: a fork that is written to needs some.

A copy-on-write child costs its page tables, and a page for each page that the service writes while the copy
lives. Both are charged to the service's cgroup, so close to the limit a fork could get the service killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heldby.capture.procfs import read_text, status_bytes, status_fields
from heldby.units import format_bytes

_ROOT: Final = Path("/sys/fs/cgroup")
_UNLIMITED: Final = 1 << 60
_LEAST_BYTES: Final = 64 << 20
_WATCHED_BYTES: Final = 24 << 20
_WRITTEN_SHARE: Final = 8


@dataclass(frozen=True, slots=True)
class _Group:
    """The memory control files of one cgroup; versions 1 and 2 call them differently."""

    limit: Path
    usage: Path
    statistics: Path
    cache_name: str

    def headroom(self) -> int | None:
        limit, usage = _number(self.limit), _number(self.usage)
        if limit is None or usage is None or limit > _UNLIMITED:
            return None
        return max(0, limit - usage + self._reclaimable())

    def _reclaimable(self) -> int:
        """Return page cache that the kernel drops before it kills anything, as kubelet counts it."""
        try:
            lines = self.statistics.read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith(self.cache_name + " "))


class Headroom:
    """Memory left to a process under the limits of its cgroups and of the machine."""

    def __init__(self, pid: int) -> None:
        self._groups = _limited_groups(read_text(pid, "cgroup") or "")

    def available(self) -> int | None:
        """Return the bytes left under the tightest limit, None when nothing is known."""
        known = [room for group in self._groups if (room := group.headroom()) is not None]
        machine = available_memory()
        return min([*known, *([] if machine is None else [machine])], default=None)

    def is_short(self) -> bool:
        """Tell, while a copy lives, whether the service is about to meet a limit."""
        available = self.available()
        return available is not None and available < _WATCHED_BYTES

    def why_too_little(self, status: str, also_needed: int) -> str | None:
        """Return why a fork may cost the service its life, None when there is room.

        Args:
            status: /proc/PID/status.
            also_needed: bytes of memory that the capture itself will take.
        """
        fields = status_fields(status)
        resident = status_bytes(fields, "RssAnon") or 0
        tables = status_bytes(fields, "VmPTE") or 0
        needed = tables + max(_LEAST_BYTES, resident // _WRITTEN_SHARE)
        available = self.available()
        machine = available_memory()
        if available is not None and available < needed:
            return f"{format_bytes(available)} of memory are left to it; a fork wants {format_bytes(needed)}"
        if machine is not None and machine < needed + also_needed:
            return f"the machine has {format_bytes(machine)} of memory left"
        return None


def available_memory() -> int | None:
    """Return MemAvailable of the machine in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _limited_groups(cgroup_text: str) -> list[_Group]:
    groups: list[_Group] = []
    for line in cgroup_text.splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        names = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(names), -1, -1):
            inner = Path(*names[:depth])
            if controllers:
                folder = _ROOT / "memory" / inner
                files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            else:
                folder = _ROOT / inner
                files = ("memory.max", "memory.current", "inactive_file")
            group = _Group(folder / files[0], folder / files[1], folder / "memory.stat", files[2])
            if _number(group.limit) is not None:
                groups.append(group)
    return groups


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
